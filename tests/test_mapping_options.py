"""Options and `values` fit their field, or the run stops before it reads a row."""

from typing import Any

import pytest

from test_mapping import GUID, refuse, resolve

FITTING = {
    "format": ("%Y", {"birthDate", "attributes"}),
    "type": ("date", {"attributes"}),
    "split": ("|", {"tags", "attributes"}),
    "region": ("PL", {"phone"}),
    "zone": ("UTC", {"attributes"}),
    "case": ("keep", {"email"}),
    "decimal": (",", {"attributes"}),
    "trim": (False, {"city", "countryCode", "tags", "attributes"}),
}
FIELDS = (
    "email phone customId uuid clientId city countryCode birthDate sex tags attributes "
    "agreements".split()
)


@pytest.mark.parametrize("option", FITTING)
@pytest.mark.parametrize("field", FIELDS)
def test_an_option_fits_its_field_or_is_refused(field: str, option: str) -> None:
    value, fits = FITTING[option]
    entry = {"column": "c", option: value}
    nested = {"attributes": {"x": entry}, "agreements": {"sms": entry}}
    path = {"attributes": "attributes.x", "agreements": "agreements.sms"}
    job: dict[str, Any] = {
        "mapping": {
            ("uuid" if field == "customId" else "customId"): "i",
            field: nested.get(field, entry),
        },
        "workspace": {"guid": GUID},
    }

    if field in fits:
        assert resolve(["c", "i"], **job).rule(path.get(field, field))
    else:
        told = f"does not fit its field: mapping.{path.get(field, field)}.{option}"
        refuse(told, ["c", "i"], **job)


def test_all_options_that_do_not_fit_are_named() -> None:
    refuse(
        "field: mapping.email.format, mapping.email.type, mapping.sex.region",
        ["e", "s"],
        mapping={
            "email": {"column": "e", "type": "text", "format": "%Y", "zone": None},
            "sex": {"column": "s", "region": "PL"},
        },
    )


@pytest.mark.parametrize(
    ("field", "values", "told"),
    [
        ("agreements.sms", {"a": 1}, "true or false"),
        ("agreements.sms", {"a": "true"}, "true or false"),
        ("sex", {"a": "WOMAN"}, "one of FEMALE, MALE, NOT_SPECIFIED, OTHER"),
        ("countryCode", {"a": "Polska"}, "ISO 3166 codes"),
        ("countryCode", {"a": 48}, "ISO 3166 codes"),
        ("city", {"a": 1}, "text"),
        ("city", {"a": ""}, "text"),
        ("city", {"a": "x\0"}, "text"),
        ("tags", {"a": True}, "text"),
        ("attributes.x", {"a": ""}, "text, numbers of 64 bits, or true and false"),
        ("attributes.x", {"a": 2**63}, "text, numbers of 64 bits, or true and false"),
        ("attributes.x", {"a": float("nan")}, "text, numbers"),
        ("attributes.x", {"a": float("inf")}, "text, numbers"),
        ("attributes.x", {"a": 1, "b": "1"}, "all of one type"),
        ("attributes.x", {"a": 1, "b": True}, "all of one type"),
        ("attributes.x", {}, "to some value"),
    ],
)
def test_values_have_to_fit_their_field(
    field: str, values: dict[str, object], told: str
) -> None:
    parent, _, key = field.partition(".")
    entry = {"column": "c", "values": values}

    message = refuse(
        f"mapping.{field}.values must map to",
        ["e", "c"],
        mapping={"email": "e", parent: {key: entry} if key else entry},
    )

    assert told in message


@pytest.mark.parametrize("field", ["email", "phone", "customId", "uuid", "birthDate"])
def test_identifiers_and_dates_take_no_values(field: str) -> None:
    refuse(
        f"mapping.{field}.values",
        ["c"],
        mapping={field: {"column": "c", "values": {"a": "b"}}},
    )
