"""A look at all profiles finds what is not as it should be."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.sandbox.server import SandboxOptions, build_sandbox
from pipeline.sandbox.writes import Write, WriteKind
from sandbox_driver import drive
from torture.crowd import Crowd, Size
from torture.held import Asked, Seen, asked, look, n_taken

N_PEOPLE = 20
ZONE = "Europe/Warsaw"
POINTS = "json_extract(attributes, '$.points')"


def item_of(row: dict[str, str]) -> dict[str, Any]:
    """Write a person as a client would."""
    fields = {name: value for name, value in row.items() if "." not in name}
    return fields | {
        "agreements": {"email": row["agreements.email"] == "yes"},
        "attributes": {
            "tier": row["attributes.tier"],
            "points": int(row["attributes.points"]),
            "seen": f"{row['attributes.seen']}+02:00",
        },
    }


@pytest.fixture
def crowd() -> Crowd:
    size = Size(N_PEOPLE, changed=0.1, moved=0.05)
    return Crowd(size, date(2027, 10, 10), random.Random(1))  # noqa: S311


@pytest.fixture
def database(crowd: Crowd, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "crm.sqlite"
    with closing(build_sandbox(SandboxOptions(database=str(path)))) as sandbox:
        items = [item_of(row) for row in crowd.rows.iter_rows(named=True)]
        sandbox.store.enqueue(1, [Write(WriteKind.UPSERT, None, i) for i in items])
        sandbox.settle()
        yield path


def test_profiles_that_are_the_people_are_equal(crowd: Crowd, database: Path) -> None:
    found = look(database, crowd.everybody(), ZONE)

    assert found == Seen(N_PEOPLE, 0, 0)
    assert found.is_equal
    assert n_taken(database) == N_PEOPLE


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ("email = 'x' || email", Seen(N_PEOPLE, 1, 0)),
        ("firstName = firstName || 'a'", Seen(N_PEOPLE, 1, 0)),
        ("city = NULL", Seen(N_PEOPLE, 1, 0)),
        ("zipCode = ''", Seen(N_PEOPLE, 1, 0)),
        ("birthDate = '1900-01-02'", Seen(N_PEOPLE, 1, 0)),
        ("agreements = (agreements | 1) - (agreements & 1)", Seen(N_PEOPLE, 1, 0)),
        ("attributes = json_remove(attributes, '$.tier')", Seen(N_PEOPLE, 1, 0)),
        (
            f"attributes = json_set(attributes, '$.points', '' || {POINTS})",
            Seen(N_PEOPLE, 1, 0),
        ),
        (
            "attributes = json_set(attributes, '$.seen', '2027-10-10T12:00:00+01:00')",
            Seen(N_PEOPLE, 1, 0),
        ),
        (
            "attributes = json_set(attributes, '$.seen', '2027-10-10T10:00:00Z')",
            Seen(N_PEOPLE, 0, 0),
        ),
        ("attributes = json_set(attributes, '$.seen', 'noon')", Seen(N_PEOPLE, 1, 0)),
        ("customId = 'C9'", Seen(N_PEOPLE, 1, 1)),
        ("customId = 'C00000008'", Seen(N_PEOPLE, 2, 1)),
    ],
)
def test_a_profile_altered_behind_its_back_is_found(
    crowd: Crowd, database: Path, change: str, seen: Seen
) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            f"UPDATE profiles SET {change} WHERE customId = ?",  # noqa: S608 - ours
            (crowd.rows["customId"][7],),
        )

    assert look(database, crowd.everybody(), ZONE) == seen


def test_requests_are_counted_by_how_they_were_answered(tmp_path: Path) -> None:
    database = tmp_path / "crm.sqlite"
    with closing(drive(database=str(database), token_lifetime_s=10.0)) as driver:
        assert driver.send("GET", "/v4/clients/1").status_code == 404
        driver.time.now_s += 20
        assert driver.send("GET", "/v4/clients/1").status_code == 401

        assert asked(database) == Asked(n_requests=3, n_expired=1, n_bad=2)


def test_profiles_that_are_missing_or_of_nobody_are_found(
    crowd: Crowd, database: Path
) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "DELETE FROM profiles WHERE customId = ?", (crowd.rows["customId"][7],)
        )
    stranger = crowd.rows.tail(1)

    found = look(database, crowd.rows.join(stranger, on="customId", how="anti"), ZONE)

    assert found == Seen(N_PEOPLE - 1, 1, 1)
