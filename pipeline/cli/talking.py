"""
What people read goes to stderr: wrapped on a terminal, a line a message elsewhere.

A program or a log that reads it can rely on one line for each message.
"""

from __future__ import annotations

import os
import sys
import textwrap
from typing import Final, TextIO

import click

from pipeline.logs import printable

_STDERR: Final = 2
_USUAL_WIDTH: Final = 80
_LEAST_WIDTH: Final = 20
_MOST_CHARS: Final = 10_000


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


def say(text: str = "") -> None:
    """
    Write to stderr; whatever a file name or a service holds, lines stay lines.

    Where nobody reads it any more, nothing is said: what is done does not depend on it.
    """
    text = "\n".join(
        printable(line, max_chars=_MOST_CHARS) for line in text.split("\n")
    )
    width = _width()
    try:
        click.echo(text if width is None else wrapped(text, width), err=True)
    except OSError:
        to_nowhere(sys.stderr)


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
