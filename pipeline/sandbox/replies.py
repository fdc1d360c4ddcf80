"""
Answers and error bodies in the documented shapes.

Pure: a handler raises `Refusal`, and the service a path belongs to decides which body
it becomes (API contract, section 7.3).
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from pipeline.sandbox import facts
from pipeline.sandbox.profiles import iso_time
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.validation import Problem

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# `errors[].code` has no documented meaning (7.3); this is the number used here.
INVALID_VALUE_CODE: Final = 400


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of the sandbox
    """
    An answer other than the success of the endpoint.

    Attributes:
        error: Summary of the error body; the reason phrase by default.
        details: Entries for `errors`, ready to be sent.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error: str | None = None,
        details: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error = error or HTTPStatus(status).phrase
        self.details = tuple(details)


def json_reply(value: object, status: int = 200) -> Response:
    """Answer with compact JSON in UTF-8."""
    return Response(_encode(value).encode(), status, media_type=facts.JSON_CONTENT_TYPE)


def error_reply(refusal: Refusal, path: str, now_s: float) -> Response:
    """
    Answer with an error body.

    Both documented shapes have the same five keys; `errors` belongs to that of the
    profile services and appears there only when it applies.
    """
    body: dict[str, Any] = {
        "timestamp": iso_time(now_s),
        "status": refusal.status,
        "error": refusal.error,
        "message": refusal.message,
        "path": path,
    }
    if refusal.details:
        body["errors"] = refusal.details
    return json_reply(body, refusal.status)


def details_of(
    problems: Sequence[tuple[str, Problem]], rules: Switches, now_s: float
) -> list[dict[str, Any]]:
    """
    Describe broken rules as entries of a 207 or of `errors`.

    Args:
        problems: Each with the prefix of its item, such as `list[3].`; empty for a
            body that is one item.
    """
    return [_detail(prefix, found, rules, now_s) for prefix, found in problems]


def _detail(
    prefix: str, problem: Problem, rules: Switches, now_s: float
) -> dict[str, Any]:
    if rules.detail_pointer == "value":
        prefix = ""
    field = f"{prefix}{problem.field}"
    message = f"{problem.field} {problem.message}"
    if rules.detail_shape == "error_code":
        return {
            "path": field,
            "timestamp": iso_time(now_s),
            "errorCode": "VALIDATION_ERROR",
            "status": 400,
            "message": message,
            "traceId": uuid.uuid5(uuid.NAMESPACE_OID, f"{field} {now_s}").hex,
        }
    rejected = problem.rejected
    if rejected is not None and not isinstance(rejected, str):
        rejected = _encode(rejected)
    return {
        "code": INVALID_VALUE_CODE,
        "field": field,
        "message": message,
        "rejectedValue": rejected,
    }
