"""Every reply has a verdict, and nothing that may pass with time rejects a row."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import BatchState, Fault, Reply, Step, Verdict
from pipeline.retry_after import retry_after_s
from pipeline.verdict import (
    ANOMALIES,
    READ_ANSWERS,
    TABLE,
    NoReplyError,
    Shape,
    Size,
    classify,
    is_failure,
    is_of_the_batch,
    is_overload,
    of_fault,
    rule_of,
)

DONE, AGAIN, STOP, REFUSED = Step.DONE, Step.AGAIN, Step.STOP, Step.REFUSED
ACCEPTED, REJECTED = BatchState.ACCEPTED, BatchState.REJECTED
PENDING, UNKNOWN = BatchState.PENDING, BatchState.UNKNOWN
TRANSIENT = {408, 409, 423, 425, 429, 500, 502, 503, 504, *range(520, 525)}
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DATE = format_datetime(NOW, usegmt=True)


def reply(status: int = 202, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def errors(*fields: str) -> bytes:
    return json.dumps({"errors": [{"field": field} for field in fields]}).encode()


NAMED = errors("list[3].email", "list[1]")
UNNAMED = errors("list[3].email", "email")

# Status, body → step, state, code, rows named. A batch of ten rows.
EXPECTED = [
    (202, b"", DONE, ACCEPTED, "HTTP_202", ()),
    (202, b"{}", DONE, ACCEPTED, "HTTP_202", ()),
    (202, b"<html>", DONE, ACCEPTED, "HTTP_202", ()),
    (202, NAMED, DONE, ACCEPTED, "ACCEPTED_BODY", ()),
    (202, UNNAMED, DONE, ACCEPTED, "ACCEPTED_BODY", ()),
    (207, NAMED, DONE, ACCEPTED, "HTTP_207", (1, 3)),
    (
        207,
        json.dumps([{"path": "list[2].x"}]).encode(),
        DONE,
        ACCEPTED,
        "HTTP_207",
        (2,),
    ),
    (207, UNNAMED, REFUSED, UNKNOWN, "HTTP_207", (3,)),
    (207, b"", AGAIN, UNKNOWN, "HTTP_207", ()),
    (207, b"[]", AGAIN, UNKNOWN, "HTTP_207", ()),
    (207, b'["row 3"]', AGAIN, UNKNOWN, "HTTP_207", ()),
    (400, NAMED, REFUSED, PENDING, "HTTP_400", (1, 3)),
    (400, UNNAMED, REFUSED, PENDING, "HTTP_400", (3,)),
    (400, b"no", REFUSED, PENDING, "HTTP_400", ()),
    (422, NAMED, REFUSED, PENDING, "HTTP_422", (1, 3)),
    (422, b"", REFUSED, PENDING, "HTTP_422", ()),
    (401, b"", Step.AUTH, PENDING, "HTTP_401", ()),
    (401, b'{"error": "Unauthorized"}', Step.AUTH, PENDING, "HTTP_401", ()),
    (401, b'["Token expired."]', Step.AUTH, PENDING, "HTTP_401", ()),
    (401, b'{"error": "Token expired."}', AGAIN, PENDING, "TOKEN_EXPIRED", ()),
    (403, b'{"error": "Token expired."}', AGAIN, PENDING, "TOKEN_EXPIRED", ()),
    (404, b'{"error": "Token expired."}', STOP, PENDING, "HTTP_404", ()),
    (403, NAMED, Step.AUTH, PENDING, "HTTP_403", ()),
    (404, b"", STOP, PENDING, "HTTP_404", ()),
    (413, b"", Step.TOO_BIG, PENDING, "HTTP_413", ()),
    (408, b"", AGAIN, UNKNOWN, "HTTP_408", ()),
    (409, b"", AGAIN, PENDING, "HTTP_409", ()),
    (423, b"", AGAIN, PENDING, "HTTP_423", ()),
    (425, b"", AGAIN, PENDING, "HTTP_425", ()),
    (429, b"", AGAIN, PENDING, "HTTP_429", ()),
    *[
        (status, b"", AGAIN, UNKNOWN, f"HTTP_{status}", ())
        for status in (500, 502, 503, 504, 520, 521, 522, 523, 524)
    ],
    *[
        (status, b"<html>", STOP, UNKNOWN, f"HTTP_{status}", ())
        for status in (0, 100, 200, 201, 204, 300, 301, 302, 307, 308, 399)
    ],
    *[
        (status, b"", STOP, PENDING, f"HTTP_{status}", ())
        for status in (402, 405, 406, 410, 411, 415, 418, 426, 431, 451, 499)
    ],
    *[
        (status, b"", STOP, UNKNOWN, f"HTTP_{status}", ())
        for status in (501, 505, 511, 525, 599, 600, 999)
    ],
]


@pytest.mark.parametrize("line", EXPECTED, ids=str)
def test_every_line_of_the_table(
    line: tuple[int, bytes, Step, BatchState, str, tuple[int, ...]],
) -> None:
    status, body, *expected = line
    found = classify(reply(status, body), 10)

    assert [found.step, found.state, found.code, found.named] == expected
    assert found.status == status


@pytest.mark.parametrize(
    ("status", "body", "step", "code"),
    [
        (400, b"no", REFUSED, "REFUSED"),
        (422, NAMED, REFUSED, "REFUSED"),
        (207, NAMED, REFUSED, "REFUSED"),
        (207, UNNAMED, REFUSED, "REFUSED"),
        (413, b"", Step.TOO_BIG, "TOO_LARGE"),
    ],
)
def test_a_single_row_that_is_refused_is_rejected(
    status: int, body: bytes, step: Step, code: str
) -> None:
    verdict = classify(reply(status, body), 1)

    assert verdict == Verdict(step, REJECTED, code, status, named=(0,))


def test_a_single_row_behind_an_unreadable_207_is_not_rejected() -> None:
    assert classify(reply(207, b"[]"), 1).state is UNKNOWN


def test_every_rule_is_reached_by_some_answer_or_fault() -> None:
    answers = {
        id(rule_of(status, shape, size))
        for status in range(1000)
        for shape in Shape
        for size in Size
    }
    faults = {id(rule) for rule in TABLE if rule.fault is not None}

    assert {id(rule) for rule in TABLE} == answers | faults
    assert all(rule.meaning for rule in TABLE)


def test_a_torn_body_hides_no_202_and_is_an_anomaly() -> None:
    torn = classify(Reply(202, {}, NAMED[:9], is_complete=False), 5)

    assert (torn.step, torn.state, torn.code) == (DONE, ACCEPTED, "ACCEPTED_TORN")
    assert {torn.code, classify(reply(202, NAMED), 5).code} == ANOMALIES
    assert classify(Reply(207, {}, b"[", is_complete=False), 5).step is AGAIN


@pytest.mark.parametrize(
    ("status", "max_tries", "of_batch"),
    [(409, 3, True), (423, 3, True), (207, 3, False), (503, None, False)],
)
def test_few_tries_are_enough_for_some(
    status: int,
    max_tries: int | None,
    of_batch: bool,  # noqa: FBT001
) -> None:
    verdict = classify(reply(status), 5)

    assert (verdict.max_tries, is_of_the_batch(verdict)) == (max_tries, of_batch)


def test_what_is_a_failure_of_the_service() -> None:
    failures = {s for s in range(1000) if is_failure(classify(reply(s), 5))}

    assert failures == TRANSIENT - {429}
    assert is_failure(of_fault(NoReplyError(Fault.AMBIGUOUS, "READ_ERROR")))


HEADERS = st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text())
REPLIES = st.builds(
    Reply,
    st.integers(0, 999),
    HEADERS,
    st.binary(max_size=200) | st.sampled_from([NAMED, UNNAMED]),
    is_complete=st.booleans(),
)


@given(answer=REPLIES, n_rows=st.integers(1, 1000))
def test_every_reply_has_a_verdict_and_only_a_refusal_rejects(
    answer: Reply, n_rows: int
) -> None:
    verdict = classify(answer, n_rows, sent=b"[" + b"{}," * (n_rows - 1) + b"{}]")

    if verdict.state is ACCEPTED:
        assert answer.status in (202, 207)
    if answer.status == 202:
        assert (verdict.state, verdict.named) == (ACCEPTED, ())
    if verdict.step is AGAIN:
        assert answer.status in TRANSIENT | {207}
        assert verdict.state in (PENDING, UNKNOWN)
    if verdict.state is REJECTED:
        assert n_rows == 1
        assert verdict.code in ("REFUSED", "TOO_LARGE")
        assert answer.status in (207, 400, 413, 422)
    assert all(0 <= n < n_rows for n in verdict.named)
    assert verdict.retry_after_s is None or 0 <= verdict.retry_after_s <= 1e9


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("code", ["READ_ERROR", "NOT_HTTP", "TLS_ERROR"])
def test_no_fault_rejects_or_accepts(fault: Fault, code: str) -> None:
    verdict = of_fault(NoReplyError(fault, code, 3.0))

    assert verdict.state is (UNKNOWN if fault is Fault.AMBIGUOUS else PENDING)
    is_again = fault in (Fault.UNSENT, Fault.AMBIGUOUS)
    assert verdict.step is (AGAIN if is_again else STOP)
    assert (verdict.is_throttled, verdict.retry_after_s) == (True, 3.0)
    few = {(Fault.UNSENT, "TLS_ERROR"), (Fault.AMBIGUOUS, "NOT_HTTP")}
    assert verdict.max_tries == (3 if (fault, code) in few else None)
    assert not is_of_the_batch(verdict)


@pytest.mark.parametrize("status", [202, 204, 207, 301])
def test_a_read_is_answered_by_nothing_but_its_own_status(status: int) -> None:
    found = classify(reply(status, NAMED), answers=READ_ANSWERS)

    assert (found.step, found.state, found.named) == (STOP, UNKNOWN, ())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0.2", 0.2),
        ("-5", 0.0),
        ("86400", 86400.0),
        ("9" * 400, 1e9),
        ("", None),
        ("soon", None),
        ("1e3", None),
        ("inf", None),
        ("٣", None),
        ("1, 2", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=9), usegmt=True), 0.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -9999", None),
        (f"Sun, 01 Mar {'9' * 30} 12:00:30 GMT", None),
    ],
)
def test_every_spelling_of_retry_after(value: str, seconds: float | None) -> None:
    answer = reply(429, retry_after=value, date=DATE)

    assert retry_after_s(answer) == seconds
    assert classify(answer, 5).retry_after_s == seconds


def test_a_date_without_the_servers_own_date_is_unusable() -> None:
    later = format_datetime(NOW + timedelta(seconds=90), usegmt=True)

    assert retry_after_s(reply(429, retry_after=later)) is None


def test_a_429_is_throttled_even_without_a_wait_and_a_500_only_with_one() -> None:
    assert classify(reply(429), 5).is_throttled
    assert not classify(reply(500), 5).is_throttled
    assert classify(reply(500, retry_after="1"), 5).is_throttled


def test_a_torn_body_is_no_answer_to_a_read() -> None:
    torn = Reply(202, {}, b"", is_complete=False)
    page = Reply(200, {}, b'{"cust', is_complete=False)

    assert classify(torn, answers={202}).step is Step.DONE
    assert classify(page, answers=READ_ANSWERS).step is Step.AGAIN
    assert classify(reply(200), answers=READ_ANSWERS).step is Step.DONE


@pytest.mark.parametrize(
    ("code", "throttled", "overload"),
    [("READ_TIMEOUT", False, True), ("HTTP_503", False, False), ("X", True, True)],
)
def test_timeouts_and_throttling_are_overload(
    code: str,
    throttled: bool,  # noqa: FBT001
    overload: bool,  # noqa: FBT001
) -> None:
    verdict = Verdict(Step.AGAIN, BatchState.UNKNOWN, code, is_throttled=throttled)

    assert is_overload(verdict) == overload
