"""
What people read goes to stderr: wrapped on a terminal, a line a message elsewhere.

A program or a log that reads it can rely on one line for each message, or one JSON
object, if the environment asks for that.
"""

from __future__ import annotations

import os
import sys
import textwrap
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from pipeline.logs import MAX_LINE_CHARS, json_line, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline import Connector, RemoteSettings

    Connect = Callable[[RemoteSettings], Connector]

SAID: Final = "said"
INFO: Final = "info"
_STDERR: Final = 2
_USUAL_WIDTH: Final = 80
_LEAST_WIDTH: Final = 20


def keep_stderr_for_us() -> None:
    """
    Let nothing but Python code write to stderr from now on.

    polars prints pages of its own when it meets some damaged Parquet files, and raises
    as well; the sentence about the error is ours to say. Has no effect where stderr is
    not the one of the process.
    """
    try:
        if sys.stderr.fileno() != _STDERR:
            return
    except (OSError, ValueError):
        return
    old = sys.stderr
    ours = os.fdopen(os.dup(_STDERR), "w", 1, old.encoding, old.errors)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)
    sys.stderr = ours


@dataclass(slots=True)
class Voice:
    """
    How things are said on stderr: as text, or as JSON objects, one a line.

    Attributes:
        run_id: Of the run at work, once it has a name.
        is_quiet: Whether only warnings and errors are said.
    """

    is_json: bool = False
    run_id: str | None = None
    is_quiet: bool = False

    def say(
        self,
        text: str = "",
        *,
        event: str = SAID,
        level: str = INFO,
        **fields: Any,  # noqa: ANN401
    ) -> None:
        """
        Write to stderr; whatever a file name or a service holds, lines stay lines.

        Where nobody reads it any more, nothing is said: what is done does not depend
        on it.

        Args:
            event: What it is about, as the rest for programs alone.
        """
        if self.is_json:
            told = {"run_id": self.run_id, **fields}
            shown = json_line(time.time(), level, event, text, **told)
        else:
            shown = _for_people(text)
        try:
            click.echo(shown, err=True)
        except OSError:
            to_nowhere(sys.stderr)

    def tell(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        """Say something that only programs read; as text, nothing is said."""
        if self.is_json and not self.is_quiet:
            self.say(event=event, **fields)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What a command finds in its context.

    Attributes:
        connect: Makes the way to the service; None for sockets.
    """

    voice: Voice
    connect: Connect | None = None


def surroundings() -> Surroundings:
    """Return those of the command at work; plain ones where there is none."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Surroundings) if context is not None else None
    return found or Surroundings(Voice())


def say(
    text: str = "",
    *,
    event: str = SAID,
    level: str = INFO,
    **fields: Any,  # noqa: ANN401
) -> None:
    """Say it as the command at work does; see `Voice.say`."""
    surroundings().voice.say(text, event=event, level=level, **fields)


def _for_people(text: str) -> str:
    text = "\n".join(
        printable(line, max_chars=MAX_LINE_CHARS) for line in text.split("\n")
    )
    width = _width()
    return text if width is None else wrapped(text, width)


def to_nowhere(stream: TextIO) -> None:
    """Let *stream* be written to without an error from now on, and drop it all."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def wrapped(text: str, width: int) -> str:
    """
    Break the long lines of *text* between words; what follows is indented.

    A word that is longer than a line, such as a path, stays whole.
    """
    return "\n".join(
        textwrap.fill(
            line,
            max(width, _LEAST_WIDTH),
            subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2),
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
            expand_tabs=False,
            drop_whitespace=True,
        )
        if len(line) > width
        else line
        for line in text.split("\n")
    )


def _width() -> int | None:
    """Return the columns of the terminal; None where stderr is none."""
    if not sys.stderr.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_WIDTH
    except (OSError, ValueError):
        return _USUAL_WIDTH
