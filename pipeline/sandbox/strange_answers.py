"""
What a fate looks like: answers in place of the application's, and its answers spoilt.

Pure: an answer is a value, cut in the parts in which it leaves. Statuses that no
description of the API names (section 7.2) get the error body of the service below 502
and the HTML page of a gateway from there on (7.3).
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from starlette.responses import Response

from pipeline.sandbox import facts
from pipeline.sandbox.fates import Forecast
from pipeline.sandbox.replies import Refusal, error_reply
from pipeline.sandbox.weather import Fate, Weather

FOREIGN_HOST: Final = "https://elsewhere.invalid"
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_WITH_RETRY_AFTER: Final = frozenset({413, 429, 503})
_BODILESS: Final = frozenset({204, 205, 304})
_FIRST_OF_GATEWAY: Final = 502
_FIRST_OF_ERRORS: Final = 400
_OK: Final = 200
_ACCEPTED: Final = 202
_N_DRIPS: Final = 20
_CHUNK_BYTES: Final = 64 * 1024
_YEAR_S: Final = 365 * 24 * 3600
_PORTAL_PAGE: Final = (
    "<!DOCTYPE html><html><head><title>Guest network</title></head><body>"
    '<form action="/login" method="post"><input name="room"></form></body></html>'
)
_REMARK: Final = b'{"status":"queued"}'
_GZIP: Final = (b"content-encoding", b"gzip")
_JSON: Final = (b"content-type", facts.JSON_CONTENT_TYPE.encode())

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """
    An answer as it leaves.

    Attributes:
        headers: With lower-case names.
        parts: Of the body, in order; may be many, so they are made when needed.
        pause_s: Before each part.
        is_torn: Whether the connection ends after the last part, whatever the
            headers announced.
    """

    status: int
    headers: Headers
    parts: Iterable[bytes]
    pause_s: float = 0.0
    is_torn: bool = False


# --- in place of an answer -----------------------------------------------------------


def retry_after(weather: Weather, wait_s: float, wall_s: float, lot: float) -> str:
    """Write `Retry-After` in one of the ways there are, right and wrong."""
    way: str = weather.retry_after
    if way == "mixed":
        ways = ("seconds", "date", "garbage", "negative")
        way = ways[int(lot * len(ways)) % len(ways)]
    if way == "date":
        return formatdate(wall_s + wait_s, usegmt=True)
    written = {
        "seconds": f"{wait_s:.0f}",
        "garbage": "soon",
        "negative": f"-{max(1.0, wait_s):.0f}",
        "huge": str(_YEAR_S),
    }
    return written[way]


def throttled(path: str, wall_s: float, retry_after_text: str | None) -> Response:
    """Answer 429; the seconds to wait are optional, as with the real ones."""
    reply = _error(429, "Too many requests", path, wall_s)
    if retry_after_text is not None:
        reply.headers["Retry-After"] = retry_after_text
    return reply


def odd_status(status: int, path: str, wall_s: float) -> Response:
    """Answer with a status alone, or with what usually comes with it."""
    if status in _BODILESS or status < _FIRST_OF_ERRORS:
        return Response(status_code=status)
    if status < _FIRST_OF_GATEWAY:
        return _error(status, "The request could not be processed", path, wall_s)
    page = f"<html><body><h1>{status} {_reason(status)}</h1></body></html>"
    return Response(page, status, media_type="text/html")


@dataclass(frozen=True, slots=True)
class Scene:
    """What an answer of the weather may depend on."""

    sky: Forecast
    weather: Weather
    path: str
    wall_s: float

    def wait(self) -> str:
        """Write `Retry-After`."""
        weather = self.weather
        return retry_after(weather, weather.retry_after_s, self.wall_s, self.sky.lot)


def _of_status(scene: Scene) -> Response:
    status = _one_of(scene.weather.statuses, scene.sky.lot)
    reply = odd_status(status, scene.path, scene.wall_s)
    if status in _WITH_RETRY_AFTER:
        reply.headers["Retry-After"] = scene.wait()
    return reply


def _redirect(scene: Scene) -> Response:
    host = FOREIGN_HOST if scene.sky.fate is Fate.REDIRECT_FOREIGN else ""
    status = _one_of(_REDIRECTS, scene.sky.lot)
    return Response(status_code=status, headers={"Location": host + scene.path})


_INSTEAD: Final[Mapping[Fate, Callable[[Scene], Response]]] = MappingProxyType(
    {
        Fate.THROTTLE: lambda at: throttled(at.path, at.wall_s, at.wait()),
        Fate.THROTTLE_BARE: lambda at: throttled(at.path, at.wall_s, None),
        Fate.ERROR: lambda at: odd_status(500, at.path, at.wall_s),
        Fate.UNAVAILABLE: lambda at: odd_status(503, at.path, at.wall_s),
        Fate.BAD_REQUEST: lambda at: odd_status(400, at.path, at.wall_s),
        Fate.PORTAL: lambda _: Response(_PORTAL_PAGE, _OK, media_type="text/html"),
        Fate.STATUS: _of_status,
        Fate.REDIRECT: _redirect,
        Fate.REDIRECT_FOREIGN: _redirect,
    }
)


def instead_of_answer(scene: Scene) -> Response | None:
    """Return the answer of a fate that keeps the request from being carried out."""
    make = _INSTEAD.get(scene.sky.fate)
    return make(scene) if make else None


def _one_of(statuses: tuple[int, ...], lot: float) -> int:
    return statuses[int(lot * len(statuses)) % len(statuses)]


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # one of the many that only gateways know
        return "Error"


def _error(status: int, message: str, path: str, wall_s: float) -> Response:
    refusal = Refusal(status, message, error=_reason(status))
    return error_reply(refusal, path, wall_s)


# --- an answer spoilt ----------------------------------------------------------------


def _other_status(scene: Scene, given: Answer, body: bytes) -> Answer:
    if given.status >= _FIRST_OF_ERRORS:
        return replace(given, parts=(body,))
    status = _one_of(scene.weather.statuses_after, scene.sky.lot)
    reply = odd_status(status, scene.path, scene.wall_s)
    return Answer(status, tuple(reply.raw_headers), (bytes(reply.body),))


def _remarked(_: Scene, given: Answer, body: bytes) -> Answer:
    if given.status != _ACCEPTED:
        return replace(given, parts=(body,))
    return _with_body(given, (_REMARK,), len(_REMARK), _JSON)


def _cut_after_head(_: Scene, given: Answer, body: bytes) -> Answer:
    told = _with_body(given, (), len(body or _REMARK))
    return replace(told, is_torn=True)


def _cut_in_body(_: Scene, given: Answer, body: bytes) -> Answer:
    whole = body or _REMARK
    told = _with_body(given, (whole[: len(whole) // 2],), len(whole))
    return replace(told, is_torn=True)


def _dripping(scene: Scene, given: Answer, body: bytes) -> Answer:
    whole = body or b" " * _N_DRIPS
    told = _with_body(given, _slices(whole, _N_DRIPS), len(whole))
    return replace(told, pause_s=scene.weather.drip_s)


def _huge(scene: Scene, given: Answer, body: bytes) -> Answer:
    n_bytes = scene.weather.huge_bytes
    return _with_body(given, _swollen(body, n_bytes), max(n_bytes, len(body)))


def _gzipped(_: Scene, given: Answer, body: bytes) -> Answer:
    packed = b"".join(_packed((body,)))
    return _with_body(given, (packed,), len(packed), _GZIP)


def _bomb(scene: Scene, given: Answer, body: bytes) -> Answer:
    parts = _packed(_swollen(body, scene.weather.huge_bytes))
    return _with_body(given, parts, None, _GZIP)


_SPOIL: Final[Mapping[Fate, Callable[[Scene, Answer, bytes], Answer]]] = (
    MappingProxyType(
        {
            Fate.STATUS_AFTER: _other_status,
            Fate.REMARK: _remarked,
            Fate.CUT_AFTER_HEAD: _cut_after_head,
            Fate.CUT_IN_BODY: _cut_in_body,
            Fate.DRIP: _dripping,
            Fate.HUGE: _huge,
            Fate.PACKED: _gzipped,
            Fate.BOMB: _bomb,
        }
    )
)
SPOILING: Final = frozenset(_SPOIL)


def spoilt(scene: Scene, given: Answer) -> Answer:
    """
    Return what a fate makes of the answer of a request that was carried out.

    Args:
        scene: Its fate is one of `SPOILING`.
    """
    return _SPOIL[scene.sky.fate](scene, given, b"".join(given.parts))


def _with_body(
    given: Answer,
    parts: Iterable[bytes],
    n_bytes: int | None,
    *more: tuple[bytes, bytes],
) -> Answer:
    replaced = {b"content-length", *(name for name, _ in more)}
    kept = tuple(pair for pair in given.headers if pair[0] not in replaced)
    if n_bytes is not None:
        more = (*more, (b"content-length", str(n_bytes).encode()))
    return replace(given, headers=(*kept, *more), parts=parts)


def _slices(body: bytes, n_slices: int) -> Iterator[bytes]:
    step = -(-len(body) // n_slices)
    return (body[at : at + step] for at in range(0, len(body), step))


def _swollen(body: bytes, n_bytes: int) -> Iterator[bytes]:
    """Yield a body and blanks behind it, which JSON does not mind."""
    yield body
    blanks = b" " * _CHUNK_BYTES
    for left in range(n_bytes - len(body), 0, -_CHUNK_BYTES):
        yield blanks[:left]


def _packed(parts: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(9, wbits=31)
    for part in parts:
        if packed := packer.compress(part):
            yield packed
    yield packer.flush()
