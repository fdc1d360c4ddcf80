"""
What an endpoint is, what it is handed, and the checks that come before all of them.

Order of the checks: credentials (401), permission (403), content type (415), version
(400), size (413 or 400). Handlers are plain functions; they raise `Refusal`.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.responses import Response

from pipeline.sandbox import facts
from pipeline.sandbox.fates import CLEAR, Omen
from pipeline.sandbox.records import Clocks
from pipeline.sandbox.replies import Refusal
from pipeline.sandbox.store import Store
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.validation import MalformedBodyError, read_json

_VERSION: Final = re.compile(r"4\.[0-9]+")
_UNPACKED_MOST: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class Wallet:
    """The tokens given out: a serial number, and those declared expired early."""

    n_issued: int = 0
    revoked: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Desk:
    """
    Everything a handler may use.

    Attributes:
        workspace_guid: Of the workspace that the key opens.
    """

    store: Store
    rules: Switches
    clocks: Clocks
    token_lifetime_s: float
    wallet: Wallet
    workspace_guid: str = facts.WORKSPACE_GUID


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    A request after its body has been read.

    Attributes:
        body: At most the largest body allowed; what came beyond is only counted.
        omen: What the weather asks the handlers to do.
    """

    request_no: int
    body: bytes
    n_bytes: int
    digest: str
    omen: Omen = CLEAR


@dataclass(frozen=True, slots=True)
class Call:
    """
    One request as its handler sees it.

    Attributes:
        path: The path as it was sent, percent-encoding included.
        parts: The variable parts of the path, decoded.
        params: Query parameters, the last of each name.
        headers: With lower-case names.
    """

    arrival: Arrival
    path: str
    parts: Mapping[str, str]
    params: Mapping[str, str]
    headers: Mapping[str, str]


Handler = Callable[[Desk, Call], Response]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One operation of the API as a row of a table.

    Attributes:
        name: Its name in the log and its `operationId`.
        path: With variable parts in braces.
        permission: Needed on the API key; None where nothing is needed.
        success: Status of the documented success.
        refusals: Documented statuses of refusals (API contract, section 7.2).
        is_open: Callable without credentials.
        is_typed_read: A GET that wants a JSON `Content-Type` all the same.
    """

    name: str
    method: str
    path: str
    handler: Handler
    summary: str
    success: int
    refusals: tuple[int, ...]
    permission: str | None = None
    is_open: bool = False
    is_typed_read: bool = False
    is_deprecated: bool = False

    def is_v4(self) -> bool:
        """Tell whether the profile API's own headers apply."""
        return self.path.startswith("/v4/")

    def wants_json(self) -> bool:
        """Tell whether a missing JSON `Content-Type` is a 415; logins are lenient."""
        return self.is_typed_read or (
            self.method == "POST" and self.path.startswith(facts.CLIENTS_PATH)
        )


def decode_part(text: str) -> str:
    """
    Decode a percent-encoded part of a path; `+` stays a plus.

    Raises:
        Refusal: 400 when the bytes are not UTF-8.
    """
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as reason:
        raise Refusal(400, "The path is not valid UTF-8") from reason


def check_permission(endpoint: Endpoint, rules: Switches) -> None:
    """Refuse a call the key has no permission for (open question 26)."""
    if endpoint.permission in rules.denied_permissions:
        raise Refusal(
            rules.denied_status, f"API key permission required: {endpoint.permission}"
        )


def check_headers(endpoint: Endpoint, call: Call, rules: Switches) -> None:
    """Check content type and version (API contract, sections 1.3 and 1.4)."""
    if rules.strict_content_type and endpoint.wants_json():
        sent = call.headers.get("content-type", "")
        if sent.partition(";")[0].strip().lower() != facts.JSON_CONTENT_TYPE:
            raise Refusal(415, f"Content-Type must be {facts.JSON_CONTENT_TYPE}")
    if rules.strict_api_version and endpoint.is_v4():
        version = call.headers.get(facts.API_VERSION_HEADER.lower(), "")
        if not _VERSION.fullmatch(version):
            raise Refusal(
                400, f"Header {facts.API_VERSION_HEADER}: {facts.API_VERSION} required"
            )


def _body_of(call: Call, rules: Switches) -> bytes:
    """
    Return the body, unpacked if that is allowed, within the size limit.

    Raises:
        Refusal: For a body that is too large or packed in a way not accepted.
    """
    body = call.arrival.body
    too_large = call.arrival.n_bytes > rules.max_body_bytes
    packing = call.headers.get("content-encoding", "identity").lower()
    if packing != "identity" and not too_large:
        if packing != "gzip" or not rules.gzip_bodies:
            raise Refusal(415, "Content-Encoding is not accepted")
        body = _unpack(body)
        too_large = len(body) > rules.max_body_bytes
    if too_large:
        raise Refusal(
            rules.oversize_bytes_status,
            f"The request body exceeds the maximum size of {rules.max_body_bytes}",
        )
    return body


def json_of(call: Call, rules: Switches) -> object:
    """
    Read the body as JSON.

    Raises:
        Refusal: For a body that is too large, packed, or no JSON.
    """
    try:
        return read_json(_body_of(call, rules))
    except MalformedBodyError as reason:
        raise Refusal(400, str(reason)) from reason


def _unpack(body: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(body, _UNPACKED_MOST)
    except zlib.error as reason:
        raise Refusal(400, "The body is not readable gzip") from reason
