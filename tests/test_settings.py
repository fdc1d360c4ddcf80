"""Settings: frozen, strict, defaults in one place, secrets that stay secret."""

import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.contract import (
    AGREEMENTS,
    DEFAULT_BATCH_BYTES,
    MAX_BATCH_BYTES,
    MAX_BATCH_ROWS,
    NATIVE_FIELDS,
    FieldKind,
)
from pipeline.credentials import Credentials, RemoteSettings, Secret
from pipeline.settings import (
    ColumnMapping,
    FieldRule,
    Job,
    Mapping,
    SourceSettings,
    kind_of,
)

CANARY = "canary-5d1f"


# -- the job ---------------------------------------------------------------------------


def test_a_job_is_frozen_all_the_way_down() -> None:
    job = Job()

    for section, name in (
        (job, "verify"),
        (job.rows, "blank"),
        (job.source, "path"),
        (job.workspace, "guid"),
        (job.delivery, "rate"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, name, None)


@pytest.mark.parametrize(
    "section", ["", "source", "workspace", "mapping", "rows", "delivery"]
)
def test_a_misspelt_key_is_refused_in_every_section(section: str) -> None:
    told: dict[str, Any] = {"colour": 1}

    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Job.model_validate({section: told} if section else told)


@pytest.mark.parametrize(
    ("section", "key", "fine", "wrong"),
    [
        ("delivery", "concurrency", [1, 32, None], [0, 33, 1.5, "many"]),
        ("delivery", "rate", [0.1, 1, None], [0, -1, "inf", "nan"]),
        ("delivery", "max_rows", [1, MAX_BATCH_ROWS], [0, MAX_BATCH_ROWS + 1]),
        ("delivery", "max_bytes", [1000, MAX_BATCH_BYTES], [999, MAX_BATCH_BYTES + 1]),
        ("rows", "region", ["PL", None], ["pl", "POL", "P", "PL\n", ""]),
        ("rows", "blank", ["omit", "erase", "block"], ["OMIT", None]),
        ("rows", "null_token", ["NULL", "#N/A", "a b", None], ["", " ", "a ", "\n"]),
        ("rows", "allow_erase", [{}, {"city": 0}], [{"city": -1}, {"city": "all"}, 5]),
        (
            "rows",
            "accept_findings",
            [(), ("BOM", "E_NOTATION:a:b")],
            ["BOM", ("TYPO",), ("bom",), (":a",), None],
        ),
        ("rows", "duplicates", ["fold", "first", "last", "block"], ["merge"]),
        ("rows", "extra_columns", ["attributes", "ignore", "refuse"], ["drop"]),
        ("source", "delimiter", [";", "\t", None], ["", ";;"]),
        ("source", "format", ["csv", "parquet", "jsonl"], ["xlsx", "CSV"]),
        ("workspace", "auth", ["login", "basic"], ["token"]),
        ("notify", "url", ["${A}", "${_a1}"], ["https://a", "$A", "${1}", "x${A}", ""]),
    ],
)
def test_values_have_bounds(
    section: str, key: str, fine: list[object], wrong: list[object]
) -> None:
    for value in fine:
        job = Job.model_validate({section: {key: value}})
        assert getattr(getattr(job, section), key) == value
    for value in wrong:
        with pytest.raises(ValidationError):
            Job.model_validate({section: {key: value}})


def test_paths_are_a_list_whatever_was_written() -> None:
    assert SourceSettings().paths == ()
    assert SourceSettings(path="a.csv").paths == ("a.csv",)
    assert SourceSettings(path=("b", "a")).paths == ("b", "a")


@pytest.mark.parametrize("wrong", [{"split": ""}, {"decimal": ";"}, {"type": "int"}])
def test_options_of_a_column_have_bounds(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ColumnMapping.model_validate({"column": "c", **wrong})


def test_types_of_values_stay_what_they_were() -> None:
    values: dict[str, Any] = {"a": True, "b": 1, "c": 1.0, "d": "1", "e": False}

    read = ColumnMapping(column="c", values=values).values

    assert read is not None
    assert [type(v) for v in read.values()] == [bool, int, float, str, bool]
    assert read == values


# -- the published schema --------------------------------------------------------------


def properties(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][name]["properties"]
    return found


def test_the_schema_of_the_job_is_json_and_holds_the_defaults() -> None:
    schema = json.loads(json.dumps(Job.model_json_schema()))

    assert schema["additionalProperties"] is False
    assert schema["properties"]["version"]["default"] == 1
    assert schema["properties"]["verify"]["default"] == "sample"
    rows = properties(schema, "RowSettings")
    assert {key: told["default"] for key, told in rows.items()} == {
        "blank": "omit",
        "duplicates": "fold",
        "extra_columns": "refuse",
        "region": None,
        "accept_findings": [],
        "null_token": None,
        "allow_erase": {},
    }
    delivery = properties(schema, "DeliverySettings")
    assert {key: told["default"] for key, told in delivery.items()} == {
        "concurrency": None,
        "rate": None,
        "max_rows": MAX_BATCH_ROWS,
        "max_bytes": DEFAULT_BATCH_BYTES,
        "max_rejects": None,
        "max_wait": 900.0,
        "max_duration": None,
    }
    column = properties(schema, "ColumnMapping")
    assert "default" not in column.pop("column")
    assert {key: told["default"] for key, told in column.items()} == {
        **dict.fromkeys(("values", "format", "type", "split", "region", "zone")),
        "decimal": ".",
        "on_invalid": "block",
        "trim": True,
        "case": "lower",
    }


def test_every_key_of_the_job_has_a_default_and_every_section_is_closed() -> None:
    schema = Job.model_json_schema()

    assert all("default" in told for told in schema["properties"].values())
    assert all(
        told["additionalProperties"] is False for told in schema["$defs"].values()
    )
    assert Job() == Job.model_validate(json.loads(Job().model_dump_json()))


# -- fields ----------------------------------------------------------------------------


def test_every_field_has_a_kind() -> None:
    assert {kind_of(f.name) for f in NATIVE_FIELDS} == {f.kind for f in NATIVE_FIELDS}
    assert kind_of("attributes.email") is FieldKind.ATTRIBUTE
    assert all(kind_of(f"agreements.{n}") is FieldKind.AGREEMENT for n in AGREEMENTS)
    with pytest.raises(KeyError):
        kind_of("colour")


def test_a_mapping_finds_its_rules() -> None:
    rule = FieldRule("email", "mail", FieldKind.EMAIL, ColumnMapping(column="mail"))

    assert Mapping((rule,)).rule("email") is rule
    assert Mapping((rule,)).rule("mail") is None


# -- secrets ---------------------------------------------------------------------------


def test_a_secret_is_shown_to_nobody_but_the_wire() -> None:
    secret = Secret(CANARY)
    credentials = Credentials(token=secret, api_key=Secret(CANARY), guid="g")
    remote = RemoteSettings("https://api.example.com", credentials)

    for told in (secret, credentials, remote, [secret], {"k": secret}):
        texts = (repr(told), str(told), f"{told}", f"{told!r:>80}", "%s" % (told,))  # noqa: UP031
        assert not any(CANARY in text for text in texts)
        assert CANARY.encode() not in pickle.dumps(told)
    assert CANARY not in str(dataclasses.asdict(remote))
    assert secret.reveal() == CANARY


def test_a_pickled_or_copied_secret_is_empty() -> None:
    secret = Secret(CANARY)

    for back in (pickle.loads(pickle.dumps(secret)), copy.deepcopy(secret)):  # noqa: S301
        assert isinstance(back, Secret)
        assert not back
        assert back.reveal() == ""


def test_a_secret_has_no_attribute_to_print() -> None:
    assert not hasattr(Secret(CANARY), "__dict__")
    assert bool(Secret(CANARY))
    assert not Secret("")


def test_credentials_default_to_none_at_all() -> None:
    assert not Credentials().token
    assert not Credentials().api_key
    assert Credentials().token is not Credentials().token
