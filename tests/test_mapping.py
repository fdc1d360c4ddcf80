"""Which column becomes which field; nothing is dropped in silence."""

import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract import (
    FORBIDDEN_IN_ATTRIBUTE_NAMES,
    IDENTIFIERS,
    NATIVE_FIELDS,
    READ_ONLY_NAMES,
    RESERVED_ATTRIBUTES,
    TOOL_COLUMNS,
    FieldKind,
)
from pipeline.errors import SettingsError
from pipeline.mapping import refuse_extra, resolve_mapping
from pipeline.settings import Job, Mapping, MappingSettings

GUID = "00000000-0000-4000-8000-000000000000"


def resolve(columns: list[str], **job: Any) -> Mapping:
    return resolve_mapping(columns, Job.model_validate(job))


def fields_of(mapping: Mapping) -> dict[str, str]:
    return {rule.name: rule.column for rule in mapping.rules}


def refuse(match: str, columns: list[str], **job: Any) -> str:
    with pytest.raises(SettingsError, match=re.escape(match)) as caught:
        resolve(columns, **job)
    return str(caught.value)


# -- without a mapping ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("email", "email"),
        ("E-Mail", "email"),
        ("E_MAIL address", "email"),
        ("mail", "email"),
        ("Phone Number", "phone"),
        ("mobile_phone", "phone"),
        ("CUSTOM ID", "customId"),
        ("custom_identify", "customId"),
        ("externalId", "customId"),
        ("UUID", "uuid"),
        ("first_name", "firstName"),
        ("Surname", "lastName"),
        ("Post\u00a0Code", "zipCode"),
        ("Country", "countryCode"),
        ("DOB", "birthDate"),
        ("date-of-birth", "birthDate"),
        ("Gender", "sex"),
        ("avatar url", "avatarUrl"),
        ("tags", "tags"),
        ("attributes.Shoe size", "attributes.Shoe size"),
        ("attributes.a.b", "attributes.a.b"),
        ("agreements.email", "agreements.email"),
        ("agreements.WEBPUSH", "agreements.webPush"),
    ],
)
def test_a_header_that_names_a_field_is_taken(header: str, field: str) -> None:
    mapping = resolve([header, "customid" if field != "customId" else "uuid"])

    assert fields_of(mapping)[field] == header
    assert mapping.extra == ()


@pytest.mark.parametrize(
    "header",
    [
        "id",
        "name",
        "status",
        "client_id",
        "Client ID",
        "clientid",
        "e.mail",
        "agreements.fax",
        "agreements",
        "attributes",
        "attributes.",
        "Attributes.x",
        "loyalty",
        "",
    ],
)
def test_a_header_that_names_nothing_is_extra(header: str) -> None:
    mapping = resolve(["email", header])

    assert fields_of(mapping) == {"email": "email"}
    assert mapping.extra == (header,)
    assert mapping.ignored == ()


def test_every_native_field_is_found_by_its_own_name() -> None:
    names = [f.name for f in NATIVE_FIELDS if f.kind is not FieldKind.CLIENT_ID]

    mapping = resolve(names)

    assert fields_of(mapping) == {name: name for name in names}
    assert {r.name: r.kind for r in mapping.rules} == {
        f.name: f.kind for f in NATIVE_FIELDS if f.name in names
    }


def test_columns_that_are_known_to_hold_json_are_read_as_json() -> None:
    in_json = frozenset({"attributes.n", "firstName"})
    columns = ["email", "firstName", "attributes.n", "attributes.t"]

    mapping = resolve_mapping(columns, Job(), json_columns=in_json)

    types = {rule.name: rule.options.type for rule in mapping.rules}
    assert types == dict.fromkeys(columns) | {"attributes.n": "json"}
    job = Job.model_validate(
        {"mapping": {"email": "email", "attributes": {"n": "attributes.n"}}}
    )
    declared = resolve_mapping(columns[:1] + columns[2:3], job, json_columns=in_json)
    assert declared.rules[1].options.type is None


def test_read_only_names_and_the_tools_own_columns_are_ignored_never_extra() -> None:
    odd = [*sorted(READ_ONLY_NAMES), *TOOL_COLUMNS]

    for extra_columns in ("refuse", "ignore", "attributes"):
        mapping = resolve(["email", *odd], rows={"extra_columns": extra_columns})

        assert fields_of(mapping) == {"email": "email"}
        assert list(mapping.ignored) == odd
        assert mapping.extra == ()


def test_two_columns_for_one_field_are_both_named() -> None:
    told = refuse("two columns for one field", ["email", "Mail", "tel", "phone", "x"])

    assert "email: email, Mail; phone: tel, phone" in told
    assert "init" in told


# -- what is left over ---------------------------------------------------------------


def test_extra_columns_go_three_ways() -> None:
    columns = ["email", "colour", "created", "shoe size"]

    refused = resolve(columns)
    ignored = resolve(columns, rows={"extra_columns": "ignore"})
    attributes = resolve(columns, rows={"extra_columns": "attributes"})

    assert (refused.ignored, refused.extra) == (("created",), ("colour", "shoe size"))
    assert (ignored.ignored, ignored.extra) == (("created", "colour", "shoe size"), ())
    assert (attributes.ignored, attributes.extra) == (("created",), ())
    assert fields_of(refused) == fields_of(ignored) == {"email": "email"}
    assert fields_of(attributes) == {
        "email": "email",
        "attributes.colour": "colour",
        "attributes.shoe size": "shoe size",
    }


def test_an_extra_column_never_writes_a_mapped_attribute() -> None:
    told = refuse(
        "a mapped column and an unmapped one both become attributes.tier",
        ["email", "level", "tier"],
        mapping={"email": "email", "attributes": {"tier": "level"}},
        rows={"extra_columns": "attributes"},
    )

    assert "another name" in told


@given(
    st.lists(
        st.sampled_from([*(f.name for f in NATIVE_FIELDS), *TOOL_COLUMNS, "a", "b"]),
        unique=True,
    ),
    st.sampled_from(["attributes", "ignore", "refuse"]),
)
def test_every_column_is_mapped_or_ignored_or_extra(
    columns: list[str], extra_columns: str
) -> None:
    known = columns if "email" in columns else ["mail", *columns]

    mapping = resolve(known, rows={"extra_columns": extra_columns})

    places = [*(r.column for r in mapping.rules), *mapping.ignored, *mapping.extra]
    assert sorted(places) == sorted(known)


# -- with a mapping ------------------------------------------------------------------


def test_a_mapping_is_all_there_is() -> None:
    mapping = resolve(["email", "city", "kto"], mapping={"customId": "kto"})

    assert fields_of(mapping) == {"customId": "kto"}
    assert mapping.extra == ("email", "city")
    assert mapping.rule("customId") == mapping.rules[0]
    assert mapping.rule("email") is None


def test_all_missing_columns_are_named_with_their_fields() -> None:
    told = refuse(
        "columns 'b' (for city), 'c' (for attributes.x), 'd' (for agreements.sms)",
        ["a", "z"],
        mapping={
            "email": "a",
            "city": "b",
            "attributes": {"x": {"column": "c"}},
            "agreements": {"sms": "d"},
        },
    )

    assert told.endswith("Correct it; there are: a, z.")
    refuse("names a column 'b' (for email)", ["a"], mapping={"email": "b"})


def test_identifiers_come_first_and_the_rest_in_the_order_of_the_mapping() -> None:
    mapping = {
        "tags": "t",
        "attributes": {"z": "z", "a": "a"},
        "uuid": "u",
        "city": "c",
        "agreements": {"sms": "s", "email": "m"},
        "phone": "p",
        "email": "e",
    }

    resolved = resolve(list("tzaucsmpe"), mapping=mapping)

    assert list(fields_of(resolved)) == [
        "email",
        "phone",
        "uuid",
        "tags",
        "attributes.z",
        "attributes.a",
        "city",
        "agreements.sms",
        "agreements.email",
    ]


def test_the_order_survives_a_copy_of_the_settings() -> None:
    settings = MappingSettings.model_validate({"tags": "t", "email": "e"})

    assert MappingSettings.model_validate(settings).order == ("tags", "email")
    assert settings.model_copy().order == ("tags", "email")
    assert pickle.loads(pickle.dumps(settings)).order == settings.order  # noqa: S301
    assert MappingSettings().order == ()


def test_one_column_may_serve_two_fields() -> None:
    mapping = resolve(
        ["e"], mapping={"email": "e", "attributes": {"mail": "e"}, "displayName": None}
    )

    assert fields_of(mapping) == {"email": "e", "attributes.mail": "e"}


# -- attribute names -----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RESERVED_ATTRIBUTES))
def test_reserved_attribute_names_are_refused_with_the_list(name: str) -> None:
    told = refuse(
        f"the API ignores attributes with the name {name} without",
        ["email", "x"],
        mapping={"email": "email", "attributes": {name: "x"}},
    )

    assert ", ".join(sorted(RESERVED_ATTRIBUTES)) in told


def test_all_reserved_names_are_told_at_once_and_extra_columns_are_looked_at() -> None:
    told = refuse(
        "the names ip, type without",
        ["email", "ip", "type", "Type"],
        rows={"extra_columns": "attributes"},
    )

    assert "Map the column to another name" in told


@pytest.mark.parametrize("odd", ["", *FORBIDDEN_IN_ATTRIBUTE_NAMES])
def test_forbidden_characters_in_attribute_names_are_refused(odd: str) -> None:
    name = f"a{odd}b" if odd else ""

    told = refuse(
        "an attribute name is empty or holds",
        ["email", "x", "y"],
        mapping={"email": "email", "attributes": {name: "x", "𝄞 é": "y"}},
    )

    assert told.endswith(f": {name!r}")


# -- identifiers ---------------------------------------------------------------------


def test_without_an_identifier_nothing_is_read() -> None:
    told = refuse("no column is mapped to an identifier", ["city"])

    assert told.endswith("and names 1. Mapped so far: city.")
    assert refuse("check the delimiter", ["a;b"]).endswith("Mapped so far: nothing.")
    refuse("no column is mapped", ["a"], mapping={"attributes": {"email2": "a"}})


@pytest.mark.parametrize("name", [n for n in IDENTIFIERS if n != "clientId"])
def test_each_identifier_is_enough(name: str) -> None:
    assert fields_of(resolve([name])) == {name: name}


def test_a_client_id_needs_an_explicit_mapping_and_a_pinned_workspace() -> None:
    refuse("pin it with workspace.guid", ["c"], mapping={"clientId": "c"})

    mapping = resolve(["c"], mapping={"clientId": "c"}, workspace={"guid": GUID})
    assert fields_of(mapping) == {"clientId": "c"}


def test_an_email_that_identifies_nobody_needs_an_attribute() -> None:
    plain: dict[str, Any] = {"workspace": {"unique_email": False}}
    told = {"unique_email": False, "email_attribute": "mail"}

    refuse("set workspace.email_attribute", ["email", "customId"], **plain)
    refuse("no column is mapped to an identifier", ["email"], workspace=told)
    assert fields_of(resolve(["customId"], **plain)) == {"customId": "customId"}
    both = resolve(["customId", "email"], workspace=told)
    assert fields_of(both) == {"email": "email", "customId": "customId"}


def test_two_columns_for_the_email_attribute_are_refused() -> None:
    refuse(
        "both write the attribute 'mail'",
        ["email", "customId", "attributes.mail"],
        workspace={"unique_email": False, "email_attribute": "mail"},
    )


def test_the_attribute_of_the_email_has_a_usable_name_too() -> None:
    for name, told in {"email": "the name email", "": "empty", "a\nb": "a\\nb"}.items():
        refuse(
            told,
            ["email", "customId"],
            workspace={"unique_email": False, "email_attribute": name},
        )


def test_the_region_of_the_rows_serves_where_the_mapping_names_none() -> None:
    def region(job: dict[str, Any]) -> str | None:
        rule = resolve(["tel"], **job).rule("phone")
        assert rule is not None
        return rule.options.region

    own = {"phone": {"column": "tel", "region": "DE"}}
    assert region({}) is None
    assert region({"rows": {"region": "PL"}}) == "PL"
    assert region({"rows": {"region": "PL"}, "mapping": own}) == "DE"
    assert region({"mapping": own}) == "DE"


def test_a_finding_is_accepted_for_a_column_that_exists() -> None:
    def rows(*names: str) -> dict[str, Any]:
        return {"rows": {"accept_findings": names, "extra_columns": "ignore"}}

    assert resolve(["email", "a:b"], **rows("BOM", "BOM:a:b", "BOM:email"))
    told = "accept_findings names columns 'x', '' that the source does not have"
    refuse(told, ["email"], **rows("BOM:x", "BOM:email", "BOM:"))


def test_columns_that_nobody_decided_about_are_refused_by_name() -> None:
    refuse_extra(resolve(["email"]), 1)
    mapping = resolve(["email", "shoe size", "hat size"])

    with pytest.raises(SettingsError, match="2 of 3 columns are not mapped") as caught:
        refuse_extra(mapping, 3)
    assert "shoe size, hat size. Nothing was sent." in str(caught.value)
