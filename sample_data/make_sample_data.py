"""
Write the sample data and what is expected of it; always the same bytes.

    python sample_data/make_sample_data.py [ROOT]

writes ROOT/sample_data/ and ROOT/tests/expected/; ROOT is this project by default.
"""

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import polars as pl

PROJECT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))  # a script sees its own folder only

from sample_data.broken_files import Broken, all_files  # noqa: E402 - see above
from sample_data.people import COLUMNS, Inventor  # noqa: E402
from sample_data.planted import Entry, csv_line, fates, plant  # noqa: E402

SEED: Final = 20_240_229
README: Final = """\
# Sample data

Nobody here exists: names are drawn from lists, domains are example.com, example.org
and example.net, phones come from ranges reserved for fiction or from small invented
blocks.

`python sample_data/make_sample_data.py` writes everything in this folder and
`tests/expected/`, always the same bytes. What is expected of a row was written down
when the row was planted; the tool was not run to find it. `tests/reference.py` comes
to the same result in another way.

| file | holds |
|---|---|
| `customers.csv` | {n_records} records, {n_empty} of them empty lines |
| `customers.jsonl`, `customers.parquet` | the {n_twins} records that have cells, \
in the same order; an empty cell is an absent key or null |
| `small_broken/` | one kind of damage in each file |

The job for the customers is `configs/migrate-customers.yaml`. Under it the rows of
`customers.csv` end like this:

| state | code | rows |
|---|---|---|
{counts}

## small_broken

What `crm-pipeline check sample_data/small_broken/FILE` says, without a job file.
Rows are numbered from 1, the first record after the header; all other rows are
sendable. A missing path or a folder (exit 66) and bit rot that leaves a Parquet file
readable cannot be shown by a file; a row over the request limit would not be small.

| file | damage | what the tool does | exit | rows |
|---|---|---|---|---|
{broken}
"""


def write_csv(path: Path, entries: list[Entry]) -> None:
    """Write the records; every twentieth has quotes around all its cells."""
    lines = [",".join(COLUMNS)]
    for n, entry in enumerate(entries):
        plain = csv_line(entry.cells, quote_all=n % 20 == 0) if entry.cells else ""
        lines.append(plain if entry.line is None else entry.line)
    path.write_bytes(("\n".join(lines) + "\n").encode())


def write_twins(folder: Path, entries: list[Entry]) -> None:
    """Write the records that have cells as Parquet and as JSON lines."""
    rows = [{k: v for k, v in entry.cells.items() if v} for entry in entries]
    pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String)).write_parquet(
        folder / "customers.parquet"
    )
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "customers.jsonl").write_bytes("".join(lines).encode())


def write_table(path: Path, header: tuple[str, ...], rows: Iterable[object]) -> None:
    """Write a table of expectations as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)  # type: ignore[arg-type] # rows are tuples


def write_expectations(folder: Path, entries: list[Entry], files: list[Broken]) -> None:
    """Write the fate of every record of the samples."""
    fate_columns = ("row_no", "state", "code", "folded_into")
    write_table(folder / "customers.csv", fate_columns, fates(entries))
    twins = [entry for entry in entries if entry.line is None]
    write_table(folder / "customers_parquet.csv", fate_columns, fates(twins))
    rows: list[tuple[object, ...]] = []
    for file in files:
        if not file.codes:
            rows.append((file.name, file.exit_code, "", "", ""))
        for n, code in enumerate(file.codes, start=1):
            rows.append((file.name, file.exit_code, n, state_of(code), code))
    columns = ("file", "exit_code", "row_no", "state", "code")
    write_table(folder / "small_broken.csv", columns, rows)


def state_of(code: str) -> str:
    """Name the state that a row code belongs to."""
    return {"": "accepted", "EMPTY": "empty", "FOLDED": "folded"}.get(code, "blocked")


def write_readme(path: Path, entries: list[Entry], files: list[Broken]) -> None:
    """Write the page that explains the sample, with its counts."""
    tally: dict[tuple[str, str], int] = {}
    for _, state, code, _ in fates(entries):
        tally[state, code] = tally.get((state, code), 0) + 1
    counts = [
        f"| {state} | {f'`{code}`' if code else ''} | {n} |"
        for (state, code), n in sorted(tally.items())
    ]
    broken = []
    for file in files:
        rows = ", ".join(
            f"{n} `{code}`" for n, code in enumerate(file.codes, start=1) if code
        )
        broken.append(
            f"| `{file.name}` | {file.damage} | {file.answer} | {file.exit_code} | "
            f"{rows} |"
        )
    text = README.format(
        n_records=len(entries),
        n_empty=sum(entry.state == "empty" for entry in entries),
        n_twins=sum(entry.line is None for entry in entries),
        counts="\n".join(counts),
        broken="\n".join(broken),
    )
    path.write_text(text, encoding="utf-8", newline="\n")


def write_all(root: Path) -> None:
    """Write both folders below *root*."""
    data, expected = root / "sample_data", root / "tests" / "expected"
    (data / "small_broken").mkdir(parents=True, exist_ok=True)
    expected.mkdir(parents=True, exist_ok=True)
    entries, files = plant(Inventor(SEED)), all_files()
    write_csv(data / "customers.csv", entries)
    write_twins(data, [entry for entry in entries if entry.line is None])
    for file in files:
        (data / "small_broken" / file.name).write_bytes(file.content)
    write_expectations(expected, entries, files)
    write_readme(data / "README.md", entries, files)
    print(f"{len(entries)} records and {len(files)} broken files below {root}")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT)
