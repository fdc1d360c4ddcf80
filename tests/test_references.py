"""Variables in a job: filled in anywhere, and the only way to write a password."""

import pytest

from pipeline.errors import SettingsError
from pipeline.references import without_references

VARIABLES = {"FOLDER": "in", "DB_PASSWORD": "p@ss/wort:1?", "URL": "duckdb:///a.db"}


def filled(job: dict[str, object]) -> dict[str, object]:
    read: dict[str, object] = without_references(job, VARIABLES.get, VARIABLES.get)
    return read


def connection(text: str) -> object:
    read = filled({"source": {"query": "${FOLDER}", "connection": text}})["source"]
    assert isinstance(read, dict)
    assert read["query"] == "in"
    return read["connection"]


def test_references_are_filled_in_wherever_there_is_text() -> None:
    job: dict[str, object] = {"a": {"b": ["${FOLDER}/x", 1]}, "source": "${FOLDER}"}

    assert filled(job) == {"a": {"b": ["in/x", 1]}, "source": "in"}
    assert filled({"source": {"path": "${FOLDER}"}}) == {"source": {"path": "in"}}
    assert filled({"version": 1}) == {"version": 1}


def test_the_address_for_alerts_stays_a_reference() -> None:
    job: dict[str, object] = {"notify": {"url": "${URL}", "form": "${FOLDER}"}}

    assert filled(job) == {"notify": {"url": "${URL}", "form": "in"}}
    assert filled({"notify": "${FOLDER}"}) == {"notify": "in"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${URL}", "duckdb:///a.db"),
        ("sqlite:///${FOLDER}/a.db", "sqlite:///in/a.db"),
        (
            "postgresql://u:${DB_PASSWORD}@h/d",
            "postgresql://u:p%40ss%2Fwort%3A1%3F@h/d",
        ),
        ("postgresql://h:5432/d?options=a@b", "postgresql://h:5432/d?options=a@b"),
        ("x://h/d?user=u&password=${DB_PASSWORD}&a=1", None),
    ],
)
def test_a_password_may_hold_any_sign(written: str, meant: str | None) -> None:
    expected = meant or "x://h/d?user=u&password=p%40ss%2Fwort%3A1%3F&a=1"

    assert connection(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "postgresql://u:geheim@h/d",
        "postgresql://u:ge@heim@h/d",
        "postgresql://u:x${DB_PASSWORD}@h/d",
        "postgresql://u:@h/d",
        "mysql+pymysql://h/d?PASSWORD=geheim",
    ],
)
def test_a_password_in_the_job_is_refused_and_not_repeated(written: str) -> None:
    with pytest.raises(SettingsError, match="holds a password") as refused:
        connection(written)

    assert "heim" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [("NOWHERE", "is not set"), ("SYNERISE_API_KEY", "is a secret")],
)
def test_what_cannot_be_filled_in_is_named(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        filled({"a": f"${{{name}}}"})
    with pytest.raises(SettingsError, match=words):
        connection(f"postgresql://u:${{{name}}}@h/d")
