"""
Talk on stderr, and the one place where personal data and secrets are taken out.

Libraries log for themselves: httpx writes every URL at INFO, so e-mail addresses with
it. They are silenced below WARNING whatever `-v` says, and everything that is logged
at all goes through `redact` and `printable`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

from pipeline.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = [
    "NOISY_LIBRARIES",
    "OWN_LOGGER",
    "HarmlessFormatter",
    "printable",
    "quiet_libraries",
    "redact",
    "set_up_logging",
]

NOISY_LIBRARIES: Final = ("asyncio", "hpack", "httpcore", "httpx", "uvicorn.access")
OWN_LOGGER: Final = "pipeline"
MAX_TEXT_CHARS: Final = 500
MAX_LINE_CHARS: Final = 10_000

# Names of files and folders are words and numbers; a token of 32 characters that
# looks like some of them, with a slash between, is not drawn in a lifetime.
_WORD: Final = re.compile(
    r"(?:[A-Z]?[a-z]{1,20}){1,3}|[A-Z]{1,20}|[0-9]{1,14}|[a-z0-9]{1,8}"
)
_BETWEEN_WORDS: Final = re.compile(r"[/_=-]+")


def _token(found: re.Match[str]) -> str:
    """Return what stands for a long run of characters: itself, if it is a path."""
    begins = found.string.rfind(" ", 0, found.start()) + 1
    is_address = "://" in found.string[begins : found.end()]
    words = filter(None, _BETWEEN_WORDS.split(found[0]))
    is_path = "/" in found[0] and all(map(_WORD.fullmatch, words))
    return found[0] if is_path and not is_address else "<token>"


def _email(found: re.Match[str]) -> str:
    """Return what stands for a run of characters: itself, if no host follows."""
    return "<email>" if found["host"] else found[0]


# In this order: what is longer and more telling comes first. None looks at a run of
# characters from each of its places anew, so a long text costs as much a character.
_MASKS: Final[tuple[tuple[re.Pattern[str], str | Callable[..., str]], ...]] = (
    (re.compile(r"(/by-[a-z-]+/)[^\s/?#'\"]+"), r"\1<id>"),
    (
        re.compile(r"((?<![a-z0-9+.-])[a-z0-9+.-]++://)[^\s/?#'\"]*@", re.IGNORECASE),
        r"\1<secret>@",
    ),
    (re.compile(r"\b(password|passwd|pwd)=[^\s&'\"]+", re.IGNORECASE), r"\1=<secret>"),
    (re.compile(r"\b(Bearer|Basic)\s+[^\s\"',;]+", re.IGNORECASE), r"\1 <secret>"),
    (re.compile(r"\beyJ[\w-]*(\.[\w-]*)+"), "<token>"),
    (
        re.compile(
            r"[\w.!#$&'*+/=?^`{|}~-]++(?P<host>(?:@|%40)[\w-]+(?:\.[\w-]+)*)?",
            re.IGNORECASE,
        ),
        _email,
    ),
    (
        re.compile(
            r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
            re.IGNORECASE,
        ),
        "<key>",
    ),
    (re.compile(r"(?<![\w-])[A-Za-z0-9+/_=-]{32,}"), _token),
    (re.compile(r"(?<!\w)(?:\+|00|%2B)[0-9][0-9 ()/.-]{5,18}[0-9]"), "<phone>"),
    (re.compile(r"(?<![\w.-])[0-9]{3}[ -][0-9]{3}[ -][0-9]{3,4}(?!\w)"), "<phone>"),
    (re.compile(r"(?<![\w.-])[0-9]{9,15}(?![\w.])"), "<phone>"),
)


def quiet_libraries() -> None:
    """Let libraries speak from WARNING on; they print URLs and headers below it."""
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def redact(text: str) -> str:
    """
    Mask what looks like an e-mail address, phone number, token or key.

    Paths of files stay, as far as their names are words and numbers. Addresses of the
    web are no such paths: they may hold a token, or whom they are about.

    A mask too many is harmless; messages of this tool name rows, never values, so it
    is a second line of defence, not the first.
    """
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text


class HarmlessFormatter(logging.Formatter):
    """Every record as a line without personal data, secrets or control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows with its values masked."""
        line = f"{record.levelname.lower()}: {_clean(record.getMessage())}"
        if record.exc_info and record.exc_info[1] is not None:
            return f"{line}\n{self.formatException(record.exc_info)}"
        return line

    def formatException(  # noqa: N802 - the name logging gives it
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        """Return the traceback, line by line clean."""
        text = "".join(traceback.format_exception(ei[1]))
        return "\n".join(map(_clean, text.splitlines()))


def _clean(text: str) -> str:
    return printable(redact(text))


def json_line(
    at: float, level: str, event: str, text: str = "", **fields: object
) -> str:
    """
    Return one JSON object on one line, without personal data and secrets in *text*.

    Args:
        at: Seconds since 1970.
        text: For people; masked and escaped line by line.
        fields: Names, numbers and counts of this tool; they are not masked, so no
            value of a row may be in them.
    """
    told: dict[str, object] = {"time": _moment(at), "level": level, "event": event}
    told |= fields
    if text:
        lines = (
            printable(redact(line), max_chars=MAX_LINE_CHARS)
            for line in text.split("\n")
        )
        told["text"] = "\n".join(lines)
    return json.dumps(told, ensure_ascii=False)


def _moment(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(HarmlessFormatter):
    """
    Every record as one JSON object, of the event `log`.

    Args:
        run_id: Tells the run that is at work.
    """

    def __init__(self, run_id: Callable[[], str | None]) -> None:
        super().__init__()
        self._run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback is part of its text."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        level = record.levelname.lower()
        fields = {"run_id": self._run_id(), "logger": record.name}
        return json_line(record.created, level, "log", text, **fields)


def set_up_logging(
    *,
    verbose: bool,
    stream: TextIO | None = None,
    formatter: logging.Formatter | None = None,
) -> logging.Handler:
    """
    Send this tool's talk to stderr: warnings, and with *verbose* every step.

    Replaces the handler of an earlier call; never touches the root logger's level.

    Args:
        formatter: Lines of text when None.

    Returns:
        The handler, so that a caller can take it off again.
    """
    quiet_libraries()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter or HarmlessFormatter())
    handler.set_name(OWN_LOGGER)
    for logger in (logging.getLogger(OWN_LOGGER), logging.getLogger()):
        for old in [h for h in logger.handlers if h.get_name() == OWN_LOGGER]:
            logger.removeHandler(old)
    logging.getLogger().addHandler(handler)
    logging.getLogger(OWN_LOGGER).setLevel(
        logging.DEBUG if verbose else logging.WARNING
    )
    return handler
