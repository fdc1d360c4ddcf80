"""A plan comes back from its file as it was, or is refused in words."""

import json
from typing import Any

import pytest

from pipeline.delta.plan import (
    Figures,
    Plan,
    mapping_digest,
    mapping_words,
    plan_json,
    plan_of,
    reading_digest,
    rule_digests,
)
from pipeline.errors import SettingsError, SourceChangedError
from pipeline.mapping import resolve_mapping
from pipeline.records import Fingerprint
from pipeline.settings import Job

PLAN = Plan(
    plan_id="20270101-000000-abcd",
    made_at=1.5,
    max_age_s=60.0,
    workspace="guid",
    dataset="people",
    job_file=None,
    mapping_digest="m",
    rules={"email": "r"},
    key_id="k",
    state_generation=3,
    run_generation=4,
    fingerprints=(Fingerprint("people.csv", 5, 6, "s"),),
    files={"rows.parquet": "d"},
    figures=Figures(n_new=2, n_changed=3, n_unchanged=4, changed_fields={"city": 3}),
    reasons=("why",),
    trips=("what",),
)


def text_of(**changes: Any) -> bytes:
    return json.dumps(plan_json(PLAN) | changes).encode()


def test_a_plan_comes_back_as_it_was() -> None:
    assert plan_of(text_of(), "plan.json") == PLAN
    assert (PLAN.figures.n_planned, PLAN.figures.n_persons) == (5, 9)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"version": "x"}', b'{"version": 1}', b"\xff"]
)
def test_what_is_no_plan_is_refused(text: bytes) -> None:
    with pytest.raises(SourceChangedError, match=r"plan\.json is not what"):
        plan_of(text, "plan.json")


def test_every_change_of_a_plan_is_noticed() -> None:
    for name in plan_json(PLAN):
        if name != "version":
            with pytest.raises(SourceChangedError, match="altered"):
                plan_of(text_of(**{name: "another"}), "plan.json")


def test_a_plan_of_another_version_is_refused() -> None:
    with pytest.raises(SettingsError, match="another version"):
        plan_of(text_of(version=99), "plan.json")


def test_what_shapes_no_body_is_no_change_of_a_job() -> None:
    told: dict[str, Any] = {
        "source": {"path": "a.csv"},
        "mapping": {"email": "e"},
        "workspace": {"guid": None},
    }
    digest = mapping_digest(Job.model_validate(told))

    for more in (
        {"source": {"path": "b.csv"}},
        {"delivery": {"rate": 3}},
        {"workspace": {"guid": "another"}},
        {"verify": "none"},
        {"sync": {"plan_max_age": 5}},
    ):
        assert mapping_digest(Job.model_validate(told | more)) == digest
    for more in (
        {"mapping": {"email": "f"}},
        {"rows": {"blank": "block"}},
        {"sync": {"fields": "changed"}},
        {"source": {"path": "a.csv", "encoding": "cp1250"}},
    ):
        assert mapping_digest(Job.model_validate(told | more)) != digest


def reading(**sync: Any) -> str:
    source = {"query": "SELECT 1", "connection": "sqlite:///a.db"}
    job = Job.model_validate({"source": source, "sync": sync})
    return reading_digest(job, resolve_mapping(["email"], job))


def test_another_lag_or_mode_is_another_way_of_reading() -> None:
    moments = {"column": "at", "lag": 60}

    assert reading() == reading(mode="upsert")
    assert reading() != reading(watermark=moments)
    assert reading(watermark=moments) != reading(watermark=moments | {"lag": 61})
    assert reading() != reading(mode="create-only") != reading(mode="update-only")


def test_a_mapping_is_explained_by_what_is_another_one() -> None:
    def rules(**mapping: Any) -> dict[str, str]:
        job = Job.model_validate(
            {"mapping": mapping, "rows": {"extra_columns": "ignore"}}
        )
        return rule_digests(resolve_mapping(["e", "c", "t"], job))

    before = rules(email="e", city="c")
    assert mapping_words(before, rules(email="e", city="c")) == []
    (words,) = mapping_words(before, rules(email="e", city="c", company="t"))
    assert "new fields (company)" in words
    (words,) = mapping_words(before, rules(email="e"))
    assert "no longer city" in words
    (words,) = mapping_words(before, rules(email="e", city="t"))
    assert "reads city in another way" in words
