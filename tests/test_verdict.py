"""Every reply has a verdict, and nothing that may pass with time rejects a row."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import (
    ContractError,
    InvariantError,
    PatienceEndedError,
    PipelineError,
    SettingsError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.records import BatchState, Fault, Reply, Step, Verdict
from pipeline.verdict import (
    READ_ANSWERS,
    NoReplyError,
    classify,
    fatal,
    is_overload,
    named_rows,
    of_fault,
    pieces,
    retry_after_s,
)

TRANSIENT = {408, 409, 423, 425, 429, 500, 502, 503, 504, *range(520, 525)}
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DATE = format_datetime(NOW, usegmt=True)


def reply(status: int = 202, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


@pytest.mark.parametrize(
    ("status", "step", "state"),
    [
        (202, Step.DONE, BatchState.ACCEPTED),
        (200, Step.STOP, BatchState.UNKNOWN),
        (204, Step.STOP, BatchState.UNKNOWN),
        (207, Step.STOP, BatchState.UNKNOWN),
        (302, Step.STOP, BatchState.UNKNOWN),
        (400, Step.REFUSED, BatchState.PENDING),
        (401, Step.AUTH, BatchState.PENDING),
        (403, Step.AUTH, BatchState.PENDING),
        (404, Step.STOP, BatchState.PENDING),
        (405, Step.STOP, BatchState.PENDING),
        (408, Step.AGAIN, BatchState.UNKNOWN),
        (409, Step.AGAIN, BatchState.PENDING),
        (413, Step.TOO_BIG, BatchState.PENDING),
        (415, Step.STOP, BatchState.PENDING),
        (422, Step.REFUSED, BatchState.PENDING),
        (429, Step.AGAIN, BatchState.PENDING),
        (500, Step.AGAIN, BatchState.UNKNOWN),
        (501, Step.STOP, BatchState.UNKNOWN),
        (503, Step.AGAIN, BatchState.UNKNOWN),
        (505, Step.STOP, BatchState.UNKNOWN),
        (524, Step.AGAIN, BatchState.UNKNOWN),
    ],
)
def test_the_table(status: int, step: Step, state: BatchState) -> None:
    verdict = classify(reply(status), 1000)

    assert (verdict.step, verdict.state, verdict.status) == (step, state, status)
    assert verdict.code == f"HTTP_{status}"


HEADERS = st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text())
REPLIES = st.builds(
    Reply,
    st.integers(0, 999),
    HEADERS,
    st.binary(max_size=200),
    is_complete=st.booleans(),
)


@given(answer=REPLIES, n_rows=st.integers(1, 1000))
def test_every_reply_has_a_verdict_and_only_a_refusal_rejects(
    answer: Reply, n_rows: int
) -> None:
    verdict = classify(answer, n_rows)

    assert (verdict.state is BatchState.ACCEPTED) == (answer.status == 202)
    assert (verdict.step is Step.AGAIN) == (answer.status in TRANSIENT)
    if verdict.state is BatchState.REJECTED:
        assert (n_rows, verdict.code) == (1, "REFUSED")
        assert answer.status in (400, 422)
    assert all(0 <= n < n_rows for n in verdict.named)
    assert verdict.retry_after_s is None or 0 <= verdict.retry_after_s <= 1e9


@pytest.mark.parametrize("fault", list(Fault))
def test_no_fault_rejects_or_accepts(fault: Fault) -> None:
    verdict = of_fault(NoReplyError(fault, "READ_ERROR", 3.0))

    assert verdict.state in (BatchState.PENDING, BatchState.UNKNOWN)
    assert (verdict.state is BatchState.UNKNOWN) == (fault is Fault.AMBIGUOUS)
    assert (verdict.step is Step.AGAIN) == (fault in (Fault.UNSENT, Fault.AMBIGUOUS))
    assert (verdict.is_throttled, verdict.retry_after_s) == (True, 3.0)


def test_a_single_refused_row_is_rejected() -> None:
    verdict = classify(reply(400, b"no"), 1)

    assert verdict == Verdict(
        Step.REFUSED, BatchState.REJECTED, "REFUSED", 400, named=(0,)
    )


@pytest.mark.parametrize(
    ("errors", "rows"),
    [
        ([{"field": "list[3].email"}], (3,)),
        ([{"field": "[0].email"}, {"field": "list[2]"}, {"field": "list[2]"}], (0, 2)),
        ([{"field": "list[10].email"}], ()),
        ([{"field": "tags[3]"}], ()),
        ([{"field": "attributes[3]"}], ()),
        ([{"field": "email"}, {"field": None}, {"field": 3}, "list[1]", None], ()),
        ([{"message": "list[1].email"}], ()),
        ("list[1]", ()),
        (None, ()),
    ],
)
def test_rows_are_named_by_index(errors: object, rows: tuple[int, ...]) -> None:
    assert named_rows(json.dumps({"errors": errors}).encode(), 10) == rows
    assert (
        classify(reply(400, json.dumps({"errors": errors}).encode()), 10).named == rows
    )


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"<html>", b"3", b"[" * 60_000, b'{"errors": {}}']
)
def test_a_body_that_cannot_be_read_names_nobody(body: bytes) -> None:
    assert named_rows(body, 10) == ()


def test_a_bare_array_of_errors_is_read_too() -> None:
    assert named_rows(b'[{"field": "[4]"}]', 10) == (4,)


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


def test_a_torn_body_hides_no_202_but_is_no_answer_to_a_read() -> None:
    torn = Reply(202, {}, b"", is_complete=False)
    page = Reply(200, {}, b'{"cust', is_complete=False)

    assert classify(torn, 5).step is Step.DONE
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


PENDING, UNKNOWN = BatchState.PENDING, BatchState.UNKNOWN


@pytest.mark.parametrize(
    ("verdict", "heard", "error", "word"),
    [
        (Verdict(Step.AGAIN, PENDING, "CONNECT_ERROR"), False, UnreachableError, "69"),
        (Verdict(Step.AGAIN, PENDING, "CONNECT_ERROR"), True, PatienceEndedError, ""),
        (Verdict(Step.AGAIN, UNKNOWN, "READ_ERROR"), False, PatienceEndedError, ""),
        (
            Verdict(Step.AGAIN, PENDING, "HTTP_429", 429, retry_after_s=3600.0),
            True,
            PatienceEndedError,
            "3600 s",
        ),
        (Verdict(Step.AUTH, PENDING, "HTTP_403"), True, TokenRefusedError, "403"),
        (Verdict(Step.TOO_BIG, PENDING, "HTTP_413"), True, ContractError, "too big"),
        (Verdict(Step.STOP, PENDING, "CERTIFICATE"), False, ContractError, "ca-bundle"),
        (Verdict(Step.STOP, PENDING, "PROXY_ERROR"), False, SettingsError, "proxy"),
        (Verdict(Step.STOP, UNKNOWN, "HTTP_207"), True, ContractError, "HTTP_207"),
    ],
)
def test_what_ends_a_run(
    verdict: Verdict,
    heard: bool,  # noqa: FBT001
    error: type[PipelineError],
    word: str,
) -> None:
    found = fatal(verdict, "batch 7 (3 rows, 90 bytes)", 3, heard=heard)

    assert type(found) is error
    assert word in str(found) or error is UnreachableError


def test_pieces_keep_every_byte_of_a_row() -> None:
    rows = ['{"a":1.0e5}', '{"b": "é\\u0000]},["}', "{}", '{"n":' + "9" * 5000 + "}"]
    body = f"[ {rows[0]} ,{rows[1]}, {rows[2]}\n,{rows[3]}]".encode()
    first, second = pieces(body, [(0, 3), (1, 2)])

    assert first == ((0, 3), f"[{rows[0]},{rows[3]}]".encode())
    assert second == ((1, 2), f"[{rows[1]},{rows[2]}]".encode())


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text() | st.floats() | st.integers()),
        min_size=1,
        max_size=12,
    )
)
def test_pieces_of_any_body_put_together_are_the_body(rows: list[object]) -> None:
    body = json.dumps(rows, ensure_ascii=True).encode()
    found = pieces(body, [(n,) for n in range(len(rows))])

    joined = [json.dumps(json.loads(piece)[0]) for _, piece in found]
    assert joined == [json.dumps(row) for row in rows]


@pytest.mark.parametrize(
    ("body", "groups"), [(b"[{}]", [(1,)]), (b"{", [(0,)]), (b"[{}", [(0,)])]
)
def test_a_body_unlike_its_batch_is_a_defect(
    body: bytes, groups: list[tuple[int, ...]]
) -> None:
    with pytest.raises(InvariantError):
        pieces(body, groups)
