"""The check against the baseline: what fails it, what does not, and what it says."""

import json
from pathlib import Path

import pytest

from benchmarks import ratios
from benchmarks.ratios import TOLERANCE, Drift, drifts, failing, middles
from benchmarks.stages import GUARDED, STAGES


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (1.0, "ok"),
        (1.0 + TOLERANCE - 0.001, "ok"),
        (1.0 + TOLERANCE + 0.001, "slower"),
        (1.0 - TOLERANCE - 0.001, "faster"),
    ],
)
def test_only_more_than_the_tolerance_counts(now: float, verdict: str) -> None:
    (drift,) = drifts({"encode": 1.0}, {"encode": now})
    assert drift.verdict == verdict
    assert failing([drift]) == ([drift] if verdict == "slower" else [])


def test_a_ratio_that_one_side_lacks_fails() -> None:
    found = drifts({"gone": 1.0, "both": 1.0}, {"both": 1.0, "new": 2.0})
    verdicts = [(drift.name, drift.verdict) for drift in found]
    assert verdicts == [("gone", "gone"), ("both", "ok"), ("new", "new")]
    assert [drift.name for drift in failing(found)] == ["gone", "new"]
    assert [drift.change for drift in found] == [0, 0, 0]


def test_one_bad_round_moves_nothing() -> None:
    rounds = [{"a": 1.0}, {"a": 9.0}, {"a": 1.1}, {"b": 2.0}]
    assert middles(rounds) == {"a": 1.1, "b": 2.0}


def test_the_table_says_by_how_much() -> None:
    found = [Drift("encode", 1.0, 1.3), Drift("new", None, 0.5), Drift("x", 1, None)]
    assert ratios.told(found).splitlines()[2:] == [
        "| encode | 1.000 | 1.300 | +30.0% | slower |",
        "| new | – | 0.500 | +0.0% | new |",
        "| x | 1.000 | – | +0.0% | gone |",
    ]


def test_the_baseline_has_exactly_what_is_measured() -> None:
    path = Path(ratios.__file__).with_name("baseline.json")
    baseline = json.loads(path.read_text(encoding="utf-8"))
    assert set(baseline["ratios"]) == {"import", *GUARDED}
    assert set(GUARDED) <= set(STAGES)
    assert all(ratio > 0 for ratio in baseline["ratios"].values())
