"""One alert a change of health: what is told, when, and what a record keeps."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.health import (
    CHANGED,
    FAILING,
    RECOVERED,
    Ended,
    Health,
    after,
    alert,
    as_json,
    find,
    from_json,
    put,
    sentence,
    slack,
    told,
)

NIGHT = Ended("customers", "import", 0, 1_000.0, 2.5, run_id="r1", rows={"read": 3})


def night(code: int, at: float = 2_000.0, **more: object) -> Ended:
    return replace(NIGHT, exit_code=code, at=at, **more)  # type: ignore[arg-type]


def course(*codes: int) -> list[str | None]:
    """What is told after each night; everything that is told arrives."""
    health, events = None, []
    for n, code in enumerate(codes):
        health = after(health, night(code, n, says_nothing=code == 143))
        events.append(health.change)
        if health.change:
            health = told(health)
    return events


@pytest.mark.parametrize(
    ("codes", "events"),
    [
        ((0, 0, 0), [None, None, None]),
        ((75,), [FAILING]),
        ((0, 75, 75, 0, 0), [None, FAILING, None, RECOVERED, None]),
        ((3, 75, 3, 0), [FAILING, CHANGED, CHANGED, RECOVERED]),
        ((143, 75, 143, 75, 143, 0), [None, FAILING, None, None, None, RECOVERED]),
    ],
)
def test_a_change_is_told_once(codes: tuple[int, ...], events: list[str]) -> None:
    assert course(*codes) == events


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(st.sampled_from((0, 3, 75, 143)), max_size=9))
def test_what_was_told_last_is_the_health(codes: list[int]) -> None:
    health = None
    for code in codes:
        ended = night(code, says_nothing=code == 143)
        health = after(health, ended)
        if health.change:
            health = told(health)
        assert health.change is None
        assert health.told_exit_code == (health.exit_code or 0)
        assert health.last is ended
    said = [code for code in codes if code != 143]
    if said and health:
        assert health.exit_code == said[-1]
        assert (health.last_ok_at is not None) == (0 in said)


def test_what_could_not_be_told_is_news_until_it_is_past() -> None:
    failing = after(None, night(75))

    assert after(failing, night(75)).change == FAILING
    assert after(failing, night(0)).change is None


def test_since_is_the_first_end_of_its_kind() -> None:
    health = None
    for at, code in enumerate((0, 75, 143, 75, 3)):
        health = after(health, night(code, float(at), says_nothing=code == 143))
        assert health.since_at == (0.0, 1.0, 1.0, 1.0, 4.0)[at]
    assert health
    assert health.last_ok_at == 0.0


def test_records_are_kept_by_dataset_and_activity() -> None:
    one, other = after(None, NIGHT), after(None, replace(NIGHT, activity="verify"))
    records = put(put((), other), one)

    assert records == (one, other)
    newer = after(find(records, night(3)), night(3))
    assert put(records, newer) == (newer, other)
    assert find(records, replace(NIGHT, dataset="others")) is None


def test_a_document_gives_back_its_records() -> None:
    records = (told(after(None, night(75, what="down"))),)

    assert from_json(as_json(records)) == records


@pytest.mark.parametrize(
    "read",
    [
        None,
        [],
        {},
        {"version": 2, "health": []},
        {"version": 1},
        {"version": 1, "health": [{}]},
        {"version": 1, "health": [{"last": {"a": 1}}]},
        {"version": 1, "health": [as_json((Health(NIGHT),))["health"][0] | {"x": 1}]},
    ],
)
def test_another_document_is_none(read: object) -> None:
    assert from_json(read) is None


def test_an_alert_says_what_when_and_which_run() -> None:
    failing = after(after(None, NIGHT), night(75, what="the service is down"))
    content = alert(failing)

    assert content == {
        "version": 1,
        "id": content["id"],
        "event": "failing",
        "dataset": "customers",
        "activity": "import",
        "exit_code": 75,
        "exit_code_before": 0,
        "since": "1970-01-01T00:33:20Z",
        "last_ok": "1970-01-01T00:16:40Z",
        "run_id": "r1",
        "rows": {"read": 3},
        "text": "crm-pipeline: import of customers is failing with exit 75, run r1: "
        "the service is down",
    }
    again = after(failing, night(75, 9_000.0, run_id="r2"))
    assert alert(again)["id"] == content["id"]
    assert alert(after(failing, night(3)))["id"] != content["id"]


def test_the_sentences_of_the_other_changes() -> None:
    failing = told(after(None, night(75)))

    assert sentence(after(failing, night(3, run_id=None))) == (
        "crm-pipeline: import of customers is failing with exit 3, with exit 75 before"
    )
    assert sentence(after(failing, night(0))) == (
        "crm-pipeline: import of customers has recovered (it failed with exit 75 "
        "before), run r1"
    )
    stopped = after(None, night(143, says_nothing=True))
    assert alert(stopped)["since"] == "1970-01-01T00:33:20Z"
    assert alert(stopped)["last_ok"] is None


def test_slack_takes_no_markup_from_a_name() -> None:
    health = after(None, night(75, dataset="<!channel> & co"))

    assert "import of &lt;!channel&gt; &amp; co is" in slack(health)["text"]
