"""All bad files and places of the table, and what they add up to."""

import random
from collections import Counter
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from pipeline.errors import PipelineError
from pipeline.reader import open_source
from pipeline.settings import SourceSettings
from torture import bad_bytes, bad_changes, bad_disks, bad_rows, bad_tables
from torture.bad_files import BadFile, Result, run_all
from torture.proof import Chapter, Figure

CASES: Final[tuple[BadFile, ...]] = tuple(
    sorted(
        (
            *bad_bytes.cases(),
            *bad_tables.cases(),
            *bad_rows.cases(),
            *bad_changes.cases(),
            *bad_disks.cases(),
        ),
        key=lambda case: int(case.kind[1:]),
    )
)
N_FLIPS: Final = 400
_WORDS: Final = """\
Every case is one file, place or moment that an import meets; the table names them by
class. Each must end with its exit code, blame the right rows, and say in one sentence
what happened, where, and what to do: without a traceback, a class name or the content
of a cell, within 2 s, and without a request to the service unless rows are merely
blocked or the fault comes later. Not makeable here: an error in the middle of a file or
of a flush (I26, I27), which need a file layer of their own. `--expect-sha256` (I5) does
not exist: a file whose bits flipped before it was first read is refused where its
structure breaks, and else taken as it is, because polars checks no page sums; what
flips later is caught by the fingerprint. The last figures say how often."""


def prove(n: int | None) -> Chapter:
    """Run the table, or *n* of it, and flip bits of Parquet files."""
    cases = CASES if n is None else CASES[:: max(1, len(CASES) // n)]
    results = run_all(cases)
    bad = [result for result in results if result.faults]
    n_classes = len({case.kind for case in CASES})
    least = min(Counter(case.kind for case in CASES).values())
    slowest = max((result.ended.seconds for result in results), default=0.0)
    flips = flip_bits(n or N_FLIPS)
    figures = (
        Figure("classes", str(n_classes), "27", is_met=n_classes == 27),
        Figure("cases of a class, at least", str(least), "3", is_met=least >= 3),
        Figure(
            "cases run", f"{len(results)} of {len(CASES)}",
            "all" if n is None else "some", is_met=len(results) == len(cases) > 0,
        ),
        Figure("cases that ended otherwise", str(len(bad)), "0", is_met=not bad),
        Figure("slowest here", f"{slowest:.2f} s", "< 2 s", is_met=slowest < 2),
        Figure(
            "single bits flipped in Parquet: crashes", str(flips["crash"]), "0",
            is_met=not flips["crash"],
        ),
        Figure(
            "of these: refused, harmless, silent",
            f"{flips['refused']}, {flips['same']}, {flips['differs']}", "",
            is_met=True,  # told, not promised: no sum of a page is checked
        ),
    )  # fmt: skip
    head = ("class", "case", "exit code", "what it says")
    rows = tuple(_row(result) for result in results)
    return Chapter("Bad files", _WORDS, figures, (head, *rows))


def _row(result: Result) -> tuple[str, ...]:
    case, ended = result.case, result.ended
    said = ended.last_words.removeprefix("crm-pipeline: ")
    if case.codes is not None:
        failed = Counter(code for code in case.codes if code)
        said = ", ".join(f"{n} {code}" for code, n in failed.items()) or "-"
    folder = Path(said.partition(" ")[0].rstrip(",:"))
    said = said.replace(f"{folder.parent}/", "") if folder.is_absolute() else said
    faults = f" FAULT: {'; '.join(result.faults)}" if result.faults else ""
    return case.kind, case.name, str(ended.code), said + faults


def flip_bits(n: int) -> Counter[str]:
    """Read *n* Parquet files with one bit flipped, of four ways to pack."""
    chance = random.Random(1)  # noqa: S311 - the same bits each time
    whole = pl.DataFrame(
        {
            "email": [f"a{i}@b.pl" for i in range(400)],
            "firstName": [f"N{i * 7919 % 400}" for i in range(400)],
        }
    )
    found: Counter[str] = Counter()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "people.parquet"
        for turn in range(n):
            way = ("uncompressed", "snappy", "zstd", "lz4")[turn % 4]
            buffer = BytesIO()
            whole.write_parquet(buffer, compression=way)  # type: ignore[arg-type]
            data = bytearray(buffer.getvalue())
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
            found[_read_again(path, whole)] += 1
    return found


def _read_again(path: Path, whole: pl.DataFrame) -> str:
    try:
        source = open_source(SourceSettings(path=str(path)))
        frames = [piece.frame for piece in source.slices()]
    except PipelineError:
        return "refused"
    except Exception:  # noqa: BLE001 - what must not be
        return "crash"
    read = pl.concat(frames).drop("source_no", "row_no")
    return "same" if read.equals(whole) else "differs"
