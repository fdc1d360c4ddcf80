"""
One row altered behind the tool's back: does reading all rows back find it?

The sandbox keeps its profiles in a file; this machine changes one of them there, by
SQL, so nothing that the tool sends or asks for can tell it. Then every row is read
back: exactly that row must be called wrong, by the field that was changed.
"""

import asyncio
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from pipeline import (
    Connector,
    ImportRequest,
    Job,
    VerifyRequest,
    run_import,
    verify_run,
)
from pipeline.records import VerifyState
from pipeline.sandbox.server import SandboxOptions
from sandbox_driver import served
from torture.proof import Chapter, Figure

N_ROWS: Final = 10_000
N_SHORT_ROWS: Final = 1_000
N_SEEDS: Final = 100
_WORDS: Final = """\
A file with names, consents, tags and numbers is imported into a sandbox whose profiles
lie in a file of their own. For each seed one profile is changed there by SQL: a letter
of a name, a number by one, a consent, the tags, or the whole profile is gone. Then
`verify --all` reads every row back. It must find that row and name the field, and no
other; before the first change it must find nothing."""

# Field that must be named, None for a profile that is gone → what happens to it.
CHANGES: Final[dict[str | None, str]] = {
    "firstName": "UPDATE profiles SET firstName = firstName || 'a' WHERE client_id = ?",
    "attributes.points": "UPDATE profiles SET attributes = json_set(attributes, "
    "'$.points', json_extract(attributes, '$.points') + 1) WHERE client_id = ?",
    "agreements.email": "UPDATE profiles SET agreements = "
    "(agreements | 1) - (agreements & 1) WHERE client_id = ?",
    "tags": "UPDATE profiles SET tags = '[\"b\"]' WHERE client_id = ?",
    None: "DELETE FROM identifiers WHERE client_id = ?",
}


@dataclass(frozen=True)
class Found:
    """What was called wrong: row number and field, None for an absent row."""

    wanted: tuple[int, str | None]
    told: tuple[tuple[int, str | None], ...]

    @property
    def is_right(self) -> bool:
        return self.told == (self.wanted,)


def prove(n: int | None) -> Chapter:
    """Alter *n* rows, one after another, each of a short file; or 100 of a long one."""
    n_rows = N_ROWS if n is None else N_SHORT_ROWS
    before, found = asyncio.run(_played(n_rows, n or N_SEEDS))
    n_right = sum(one.is_right for one in found)
    n_extra = sum(len(set(one.told) - {one.wanted}) for one in found)
    figures = (
        Figure(
            "altered rows found and named", f"{n_right} of {len(found)}",
            f"{len(found)} of {len(found)}", is_met=n_right == len(found) > 0,
        ),
        Figure("rows read back each time", f"{n_rows:,}", "", is_met=True),
        Figure("other rows called wrong", str(n_extra), "0", is_met=not n_extra),
        Figure(
            "rows called wrong before the first change", str(before), "0",
            is_met=not before,
        ),
    )  # fmt: skip
    return Chapter("One altered row", _WORDS, figures)


async def _played(n_rows: int, n_seeds: int) -> tuple[int, list[Found]]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        database = folder / "sandbox.sqlite"
        options = SandboxOptions(database=str(database), settle_s=0.0)
        with served(options) as (sandbox, connector, _):
            told = {"source": {"path": str(_people(folder, n_rows))}, "verify": "none"}
            job = Job.model_validate(told | {"mapping": _mapping()})
            run = await run_import(ImportRequest(job, folder / "work"), connector)
            assert run.counts.accepted == n_rows
            sandbox.settle()
            before = len(await _wrong(folder, run.run_id, connector))
            found = []
            for seed in range(n_seeds):
                dice = random.Random(seed)  # noqa: S311 - the same rows each time
                row_no, field = dice.randint(1, n_rows), dice.choice([*CHANGES])
                with _altered(database, row_no, CHANGES[field]):
                    wrong = await _wrong(folder, run.run_id, connector)
                found.append(Found((row_no, field), wrong))
    return before, found


def _people(folder: Path, n_rows: int) -> Path:
    path = folder / "people.csv"
    rows = (
        f"C{n},p{n}@example.com,Ewa {n},{n},{'yes' if n % 2 else 'no'},a|b{n % 7}\n"
        for n in range(1, n_rows + 1)
    )
    path.write_text("id,mail,name,points,news,tags\n" + "".join(rows))
    return path


def _mapping() -> dict[str, object]:
    return {
        "customId": "id",
        "email": "mail",
        "firstName": "name",
        "attributes": {"points": {"column": "points", "type": "integer"}},
        "agreements": {"email": "news"},
        "tags": {"column": "tags", "split": "|"},
    }


async def _wrong(
    folder: Path, run_id: str, connector: Connector
) -> tuple[tuple[int, str | None], ...]:
    verify = VerifyRequest(folder / "work", run_id, n_rows=None, settle_s=0.0)
    report = await verify_run(verify, connector)
    assert report.counts[VerifyState.UNVERIFIED] == 0
    if report.path is None:
        return ()
    rows = pl.read_csv(report.path, infer_schema=False).select("row_no", "field")
    return tuple((int(row_no), field or None) for row_no, field in rows.iter_rows())


@contextmanager
def _altered(database: Path, row_no: int, change: str) -> Iterator[None]:
    """Change the profile of a row where it lies, and put it back."""
    with closing(sqlite3.connect(database, isolation_level=None)) as store:
        found = store.execute(
            "SELECT client_id FROM profiles WHERE customId = ?", (f"C{row_no}",)
        )
        (client_id,) = found.fetchone()
        tables = ("profiles", "identifiers")
        kept = {
            table: store.execute(
                f"SELECT * FROM {table} WHERE client_id = ?",  # noqa: S608 - our names
                (client_id,),
            ).fetchall()
            for table in tables
        }
        assert store.execute(change, (client_id,)).rowcount > 0
        yield
        for table, rows in kept.items():
            places = ", ".join("?" * len(rows[0]))
            text = f"INSERT OR REPLACE INTO {table} VALUES ({places})"  # noqa: S608
            store.executemany(text, rows)
