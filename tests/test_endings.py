"""What a verdict ends a run with."""

import pytest

from pipeline.endings import fatal, is_resumable
from pipeline.errors import (
    CannotWriteError,
    ContractError,
    InterruptedRunError,
    InvariantError,
    JournalDamagedError,
    LimitError,
    PatienceEndedError,
    PipelineError,
    SettingsError,
    SourceChangedError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.records import BatchState, Step, Verdict

PENDING, UNKNOWN = BatchState.PENDING, BatchState.UNKNOWN


@pytest.mark.parametrize(
    ("verdict", "heard", "error", "word"),
    [
        (Verdict(Step.AGAIN, PENDING, "CONNECT_ERROR"), False, UnreachableError, ""),
        (Verdict(Step.AGAIN, PENDING, "CONNECT_ERROR"), True, PatienceEndedError, ""),
        (Verdict(Step.AGAIN, UNKNOWN, "READ_ERROR"), False, PatienceEndedError, ""),
        (
            Verdict(Step.AGAIN, PENDING, "HTTP_429", 429, retry_after_s=3600.0),
            True,
            PatienceEndedError,
            "3600 s",
        ),
        (Verdict(Step.AUTH, PENDING, "HTTP_403"), True, TokenRefusedError, "403"),
        (Verdict(Step.STOP, PENDING, "HTTP_404", 404), True, SettingsError, "base URL"),
        (Verdict(Step.AGAIN, UNKNOWN, "NOT_HTTP"), True, ContractError, "not HTTP"),
        (Verdict(Step.AGAIN, UNKNOWN, "HTTP_207", 207), True, ContractError, "which"),
        (Verdict(Step.STOP, PENDING, "CERTIFICATE"), False, ContractError, "ca-bundle"),
        (
            Verdict(Step.STOP, PENDING, "LOGIN_PROXY_ERROR"),
            False,
            SettingsError,
            "proxy",
        ),
        (Verdict(Step.STOP, UNKNOWN, "HTTP_207"), True, ContractError, "status 207"),
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
    assert word in str(found)
    assert "7" in str(found) or "nothing was sent" in str(found)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (LimitError, True),
        (PatienceEndedError, True),
        (InterruptedRunError, True),
        (TokenRefusedError, True),
        (ContractError, True),
        (SettingsError, True),
        (CannotWriteError, True),
        (InvariantError, True),
        (SourceChangedError, False),
        (JournalDamagedError, False),
    ],
)
def test_a_run_goes_on_with_pending_rows_unless_its_ground_is_gone(
    kind: type[PipelineError],
    expected: bool,  # noqa: FBT001
) -> None:
    assert is_resumable(1, kind("x")) is expected
    assert not is_resumable(0, kind("x"))


def test_rows_that_are_pending_without_a_reason_can_be_gone_on_with() -> None:
    assert is_resumable(1, None)
    assert not is_resumable(0, None)


@pytest.mark.parametrize("code", ["CERTIFICATE", "PROXY_ERROR"])
def test_in_the_middle_of_a_run_nobody_says_that_nothing_was_sent(code: str) -> None:
    verdict = Verdict(Step.STOP, PENDING, code)

    told = str(fatal(verdict, "batch 7 (3 rows, 90 bytes)", 1, heard=True))

    assert "nothing was sent" not in told
    assert "its rows are pending" in told


def test_a_pause_of_ours_is_no_wish_of_the_service_and_a_call_has_no_rows() -> None:
    verdict = Verdict(Step.AGAIN, PENDING, "LOGIN_HTTP_503", retry_after_s=2.0)

    told = str(fatal(verdict, "the question", 8, heard=True, of_rows=False))

    assert "status 503 (at the login); come back later" in told
    assert "rows" not in told
