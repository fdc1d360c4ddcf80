"""What is logged names no person, holds no secret and commands no terminal."""

import io
import json
import logging
import random
import re
import time
from base64 import b64encode
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.logs import (
    NOISY_LIBRARIES,
    JsonFormatter,
    json_line,
    printable,
    quiet_libraries,
    redact,
    set_up_logging,
)

N_CHARS = 200_000
MOST_S = 5.0
CANARIES = (
    "zoë.canary+1@example.com",
    "canary@sub.example.co.uk",
    "canary%40example.com",
    "+48 600 100 200",
    "+48600100200",
    "0048600100200",
    "600 100 200",
    "600100200",
    "eyJhbGciOiJSUzUxMiJ9.eyJjYW5hcnkiOjF9.c2lnbmF0dXJl",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "c2VjcmV0LWNhbmFyeS1zZWNyZXQtY2FuYXJ5LXNlY3JldA==",
)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = set_up_logging(verbose=True, stream=stream)
    yield stream
    logging.getLogger().removeHandler(handler)
    logging.getLogger("pipeline").setLevel(logging.NOTSET)


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("frame", ["{}", "at <{}>, row 7", '{{"x": "{}"}}', "/a/{}?b"])
def test_personal_data_and_secrets_are_masked(canary: str, frame: str) -> None:
    assert canary not in redact(frame.format(canary))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "to postgresql://u:ge@heim@h:5432/d now",
            "to postgresql://<secret>@h:5432/d now",
        ),
        (
            "mysql://h/d?user=u&password=geheim&a=1",
            "mysql://h/d?user=u&password=<secret>&a=1",
        ),
    ],
)
def test_a_connection_is_shown_without_what_opens_it(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize("text", ["Bearer abc.def", "authorization: Basic dXNlcg=="])
def test_credentials_are_masked_after_their_scheme(text: str) -> None:
    assert redact(text).endswith("<secret>")


@pytest.mark.parametrize(
    "text",
    [
        "batch 12 (1000 rows, 950000 bytes) answered HTTP_503 after 0.25 s",
        "row 1048576 of customers.csv: EMAIL",
        "2026-03-01 12:00:00 run finished",
        "1,000,000 rows, 3.14159265358 rows/s",
    ],
)
def test_ordinary_messages_stay_readable(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "work folder: configs/.crm-pipeline/runs/20261126-151304-d783/plan.html",
        "/srv/crm/imports/november/customers_of_the_shop_v2/2026-11-26.csv is gone",
        "/data/pytest-of-nobody/test_a_plan_and_its_night_have_a_page_each0/people.csv",
        "/Users/Anna/Documents/CRM/OldExports/customers-final-v12.parquet is gone",
        "s3/year=2026/month=11/part-00003-c4d1/customers/of/the/shop.parquet",
        "~/projects/crm/.venv/lib/python3.11/site-packages/polars/__init__.py",
    ],
)
def test_paths_stay_readable(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "https://hooks.example.com/services/only/words/and/yet/a/secret/place",
        "to https://hooks.slack.com/services/T0AB12CD3/B0EF45GH6/aBcDeFgHiJkL1234",
        "services/T0AB12CD3/B0EF45GH6/aBcDeFgHiJkL12345",
        "/objects/3fa5c1b2d4e6f7a83fa5c1b2d4e6f7a8/name",
        "/srv/crm/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ],
)
def test_what_only_looks_like_a_path_is_masked(text: str) -> None:
    assert "<token>" in redact(text)


def test_whom_an_address_is_about_is_masked() -> None:
    told = redact("GET /v4/clients/by-customid/kowalska-zofia-of-the-first-floor")

    assert told == "GET /v4/clients/by-customid/<id>"


def test_a_long_text_of_words_is_no_path() -> None:
    told = redact("/words" * 10_000 + "/aBcDeFgHiJkL12345")

    assert told == "<token>"


@pytest.mark.parametrize(
    "part",
    ["/words", "a", "a.", "a@", "@", "%40", "a://", "a://b@", "1 ", "+1-", "eyJ.", "-"],
)
def test_a_long_text_costs_as_much_a_character_as_a_short_one(part: str) -> None:
    """What looks from each place anew would take minutes."""
    began_s = time.process_time()
    redact(part * (N_CHARS // len(part)))

    assert time.process_time() - began_s < MOST_S


def test_addresses_that_follow_each_other_are_all_masked() -> None:
    told = redact("ann@example.com+bob@example.com%40x, 1https://eve:pw@example.com/")

    assert not re.search("ann|bob|eve|pw", told)


def test_tokens_with_slashes_are_masked() -> None:
    """A thousand of each length: none is taken for a path."""
    dice = random.Random(2026)  # noqa: S311 - repeatable
    for n_bytes in (24, 30, 32, 48, 64):
        for _ in range(1_000):
            token = b64encode(dice.randbytes(n_bytes)).decode()
            assert token not in redact(f"key {token}")
            assert "<token>" in redact(f"/{token[:16]}/{token[16:]}")


@given(st.text())
def test_any_text_becomes_one_harmless_line(text: str) -> None:
    shown = printable(text, max_chars=80)

    assert len(shown) <= 80
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("zażółć 東京", "zażółć 東京"),
    ],
)
def test_control_characters_are_shown_not_obeyed(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut_visibly() -> None:
    assert printable("x" * 99, max_chars=10) == "xxxxxxxxx…"


def test_libraries_say_nothing_below_warning(stream: io.StringIO) -> None:
    for name in NOISY_LIBRARIES:
        for level in (logging.DEBUG, logging.INFO):
            logging.getLogger(name).log(level, "GET /by-email/canary@example.com")

    assert stream.getvalue() == ""


def test_a_library_warning_is_cleaned(stream: io.StringIO) -> None:
    logging.getLogger("httpx").warning("at %s\nnext\x1b", "canary@example.com")

    assert stream.getvalue() == "warning: at <email>\\nnext\\x1b\n"


def test_a_traceback_is_cleaned(stream: io.StringIO) -> None:
    try:
        int("canary@example.com\x1b]0;x\x07")
    except ValueError:
        logging.getLogger("pipeline").exception("it failed")

    text = stream.getvalue()
    assert "ValueError: invalid literal" in text
    assert "<email>" in text
    assert "\x1b" not in text


def test_setting_up_twice_says_everything_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up_logging(verbose=True, stream=first)
    handler = set_up_logging(verbose=False, stream=second)
    logging.getLogger("pipeline.x").debug("hidden")
    logging.getLogger("pipeline.x").warning("told")
    logging.getLogger().removeHandler(handler)
    logging.getLogger("pipeline").setLevel(logging.NOTSET)

    assert (first.getvalue(), second.getvalue()) == ("", "warning: told\n")


def test_quieting_is_idempotent() -> None:
    quiet_libraries()
    quiet_libraries()

    assert logging.getLogger("httpx").level == logging.WARNING


def test_a_json_line_is_one_line_and_masked() -> None:
    line = json_line(
        0.5, "info", "said", "a\nto jan@example.com \x1b[31m", run_id="r1", rows=3
    )

    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "info",
        "event": "said",
        "run_id": "r1",
        "rows": 3,
        "text": "a\nto <email> \\x1b[31m",
    }


def test_a_record_as_json_is_masked_with_its_traceback() -> None:
    stream = io.StringIO()
    handler = set_up_logging(
        verbose=True, stream=stream, formatter=JsonFormatter(lambda: "r1")
    )
    try:
        float("jan@example.com")
    except ValueError:
        logging.getLogger("pipeline.x").exception("row of %s", "jan@example.com")
    logging.getLogger("pipeline.x").info("step")
    logging.getLogger().removeHandler(handler)
    first, second = map(json.loads, stream.getvalue().splitlines())

    assert (first["level"], first["run_id"], first["logger"]) == (
        "error",
        "r1",
        "pipeline.x",
    )
    assert first["text"].startswith("row of <email>\nTraceback")
    assert "jan@" not in stream.getvalue()
    assert (second["level"], second["text"]) == ("info", "step")
