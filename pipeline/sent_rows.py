"""The rows of a run that were accepted, made again from their source; or a sample."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.identity import packed_row
from pipeline.line import encoded_slices
from pipeline.outcomes import CHUNK_ROWS, Assembly, Evidence
from pipeline.outgoing import Outgoing
from pipeline.records import State
from pipeline.sampling import allocate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.checker import CheckResult
    from pipeline.line import Line
    from pipeline.records import BatchOutcome
    from pipeline.sampling import Shape
    from pipeline.spill import SliceStore

# In the order of how surely they name one profile.
FINDERS: Final = ("customId", "email", "uuid", "phone")
_JOIN: Final = "+"


@dataclass(frozen=True, slots=True)
class SentRow:
    """
    A row as it went out.

    Attributes:
        shape: The identifiers it has, of `FINDERS`.
        content: Its JSON object, parsed.
    """

    source_no: int
    row_no: int
    batch_no: int
    shape: Shape
    content: Mapping[str, Any]


def accepted_frames(
    line: Line, check: CheckResult, store: SliceStore, batches: Sequence[BatchOutcome]
) -> Iterator[pl.DataFrame]:
    """
    Give the accepted rows in the order in which they went out.

    Args:
        check: Pass 1 of this very line.
        batches: What the journal knows of the run.

    Frame:
        out  source_no, row_no, batch_no UInt64, json, shape, phone String
    """
    assembly = Assembly(Evidence(check.exceptions, check.folded_lane, batches))
    outgoing = Outgoing(check, line.limits.max_row_bytes, line.scratch / "held")
    for encoded in outgoing.encoded(encoded_slices(line, store)):
        for (source_no,), frame in encoded.frame.group_by(
            "source_no", maintain_order=True
        ):
            known = accepted_rows(assembly, int(str(source_no)), frame["row_no"])
            keys = ["source_no", "row_no"]
            rows = frame.join(known, on=keys, how="inner", maintain_order="left")
            yield rows.select(*keys, "batch_no", "json", _shape(), _identifier("phone"))


def accepted_rows(
    assembly: Assembly, source_no: int, row_nos: pl.Series
) -> pl.DataFrame:
    """Look the outcomes up chunk by chunk: folded rows lie far apart."""
    found = []
    for chunk_no in (row_nos // CHUNK_ROWS).unique(maintain_order=True):
        inside = row_nos.filter(row_nos // CHUNK_ROWS == chunk_no)
        first, last = int(inside.min() or 0), int(inside.max() or 0)  # type: ignore[arg-type]
        chunk = assembly.chunk(source_no, first, last - first + 1)
        found.append(chunk.filter(pl.col("state") == State.ACCEPTED.value))
    return pl.concat(found).select("source_no", "row_no", "batch_no")


def _shape() -> pl.Expr:
    has = [
        pl.when(_identifier(name).is_not_null()).then(pl.lit(name)) for name in FINDERS
    ]
    return pl.concat_str(*has, separator=_JOIN, ignore_nulls=True).alias("shape")


def _identifier(name: str) -> pl.Expr:
    return pl.col("json").str.json_path_match(f"$.{name}").alias(name)


def ambiguous_phones(frames: Iterable[pl.DataFrame], rows: pl.Series) -> pl.Series:
    """
    Return the phones of rows that have nothing else and share it with others.

    The API may take such a row for the profile of another one, or not, by the order in
    which they are applied (API 5.2): of any row with this phone nobody can say what its
    profile has to hold.

    Args:
        frames: Of `accepted_frames`.
        rows: Packed, of `CheckResult.shared_phones`.
    """
    found = [
        frame.filter(packed_row().is_in(rows.implode()))["phone"] for frame in frames
    ]
    return pl.concat([pl.Series("phone", [], pl.String), *found]).unique()


@dataclass(frozen=True, slots=True)
class Wave:
    """
    Rows to be asked for together.

    Attributes:
        sizes: Shape → accepted rows that these stand for; they are among them.
        n_ambiguous: Rows that were left out: asking for them proves nothing.
    """

    rows: Sequence[SentRow]
    sizes: Mapping[Shape, int]
    n_ambiguous: int


def waves(
    frames: Iterable[pl.DataFrame],
    ambiguous: pl.Series,
    n_rows: int | None,
    seed: int,
) -> Iterator[Wave]:
    """
    Give one wave with a sample, or one for each frame with all of its rows.

    Args:
        frames: Of `accepted_frames`.
        ambiguous: Phones whose rows are left out.
        n_rows: Of the sample, the same ones for the same seed; None for all rows.

    Cost: memory of *n_rows* rows a shape, and of one frame.
    """
    if n_rows is not None:
        yield _sampled(frames, ambiguous, n_rows, seed)
        return
    for frame in frames:
        clear = _clear(frame, ambiguous)
        yield Wave(_rows(clear), _sizes(clear), frame.height - clear.height)


def _clear(frame: pl.DataFrame, ambiguous: pl.Series) -> pl.DataFrame:
    return frame.filter(~pl.col("phone").is_in(ambiguous.implode()).fill_null(False))  # noqa: FBT003 - the API of polars


def _sampled(
    frames: Iterable[pl.DataFrame], ambiguous: pl.Series, n_rows: int, seed: int
) -> Wave:
    sizes: Counter[Shape] = Counter()
    n_ambiguous = 0
    kept: list[pl.DataFrame] = []
    for frame in frames:
        clear = _clear(frame, ambiguous)
        n_ambiguous += frame.height - clear.height
        sizes.update(_sizes(clear))
        lots = clear.with_columns(packed_row().hash(seed).alias("lot"))
        kept = [_least(pl.concat([*kept, lots]), n_rows)]
    drawn = [
        _least(frame.filter(pl.col("shape") == _JOIN.join(shape)), n)
        for shape, n in allocate(sizes, n_rows).items()
        for frame in kept
    ]
    rows = [row for frame in drawn for row in _rows(frame)]
    rows.sort(key=lambda row: (row.source_no, row.row_no))
    return Wave(rows, sizes, n_ambiguous)


def _sizes(frame: pl.DataFrame) -> dict[Shape, int]:
    counted = frame["shape"].value_counts()
    return {_parts(shape): n for shape, n in counted.iter_rows()}


def _least(frame: pl.DataFrame, n_rows: int) -> pl.DataFrame:
    return frame.filter(pl.col("lot").rank("ordinal").over("shape") <= n_rows)


def _rows(frame: pl.DataFrame) -> list[SentRow]:
    columns = ["source_no", "row_no", "batch_no", "shape", "json"]
    return [
        SentRow(source_no, row_no, batch_no, _parts(shape), json.loads(text))
        for source_no, row_no, batch_no, shape, text in frame[columns].iter_rows()
    ]


def _parts(shape: str) -> Shape:
    return tuple(shape.split(_JOIN)) if shape else ()
