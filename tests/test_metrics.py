"""Metrics are what Prometheus reads, whatever a dataset is called."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from exposition import Labels, parsed
from pipeline.health import Ended, after
from pipeline.metrics import FAMILIES, PREFIX, exposition

NIGHT = Ended(
    "customers",
    "import",
    3,
    1_764_158_400.5,
    12.25,
    run_id="r1",
    rows={"read": 10, "accepted": 8, "blocked": 2},
    n_requests=4,
    bytes_sent=123_456_789_012,
)


def labels(**told: str) -> Labels:
    return frozenset(told.items())


def test_every_family_has_its_sample() -> None:
    ok = after(None, replace(NIGHT, exit_code=0, at=1.0))
    read = parsed(exposition([after(ok, NIGHT)]))
    ours = labels(dataset="customers", activity="import")

    assert set(read) == {PREFIX + name for name in FAMILIES}
    assert {name: read[PREFIX + name].get(ours) for name in FAMILIES} == {
        "healthy": 0.0,
        "exit_code": 3.0,
        "last_end_timestamp_seconds": 1_764_158_400.5,
        "last_ok_timestamp_seconds": 1.0,
        "duration_seconds": 12.25,
        "rows": None,
        "requests": 4.0,
        "sent_bytes": 123_456_789_012.0,
    }
    assert read[f"{PREFIX}rows"] == {
        labels(dataset="customers", activity="import", state=state): float(n)
        for state, n in NIGHT.rows.items()
    }


def test_what_is_not_known_is_no_zero() -> None:
    stopped = replace(NIGHT, exit_code=143, says_nothing=True, rows={})
    read = parsed(exposition([after(None, stopped)]))

    assert {name.removeprefix(PREFIX) for name in read} == set(FAMILIES) - {
        "healthy",
        "last_ok_timestamp_seconds",
        "rows",
    }
    assert exposition([]) == ""


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(st.text(max_size=6), unique=True, max_size=3))
def test_any_name_comes_back(names: list[str]) -> None:
    read = parsed(exposition([after(None, replace(NIGHT, dataset=n)) for n in names]))

    seen = {dict(key)["dataset"] for key in read.get(f"{PREFIX}exit_code", {})}
    assert seen == set(names)
