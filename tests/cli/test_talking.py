"""Long lines break at the edge of a terminal, and nowhere else."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.talking import say, wrapped

SENTENCE = (
    "crm-pipeline: the service does not answer; check the base URL and the network"
)


@given(st.text(alphabet="ab \n", max_size=200), st.integers(20, 60))
def test_wrapping_loses_no_word_and_keeps_lines_that_fit(text: str, width: int) -> None:
    done = wrapped(text, width)

    assert done.split() == text.split()
    for line in text.split("\n"):
        if len(line) <= width:
            assert line in done
    longest = max(map(len, text.split()), default=0)
    # An indented word may need more than the width.
    assert all(
        len(line) <= max(width, longest + len(line) - len(line.lstrip()))
        for line in done.split("\n")
    )


def test_what_follows_is_indented_and_a_path_stays_whole() -> None:
    text = (
        "short\n  column -> field\nfiles in /a/very/long/path/of-some/folder: two more"
    )

    assert wrapped(text, 24).split("\n") == [
        "short",
        "  column -> field",
        "files in",
        "  /a/very/long/path/of-some/folder:",
        "  two more",
    ]


def said(stderr: int) -> None:
    code = f"from pipeline.cli.talking import say; say({SENTENCE!r})"
    subprocess.run([sys.executable, "-c", code], stderr=stderr, check=True)


def test_a_terminal_gets_lines_of_its_width() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    try:
        said(theirs)
        lines = os.read(ours, 1000).decode().splitlines()
    finally:
        os.close(theirs)
        os.close(ours)

    assert max(map(len, lines)) <= 40
    assert " ".join(line.strip() for line in lines) == SENTENCE


def test_a_pipe_gets_one_line_a_message() -> None:
    ours, theirs = os.pipe()
    try:
        said(theirs)
        assert os.read(ours, 1000).decode() == SENTENCE + "\n"
    finally:
        os.close(theirs)
        os.close(ours)


def test_what_native_code_writes_does_not_reach_stderr() -> None:
    code = (
        "import os, sys\n"
        "from pipeline.cli.talking import keep_stderr_for_us, say\n"
        "keep_stderr_for_us()\n"
        "keep_stderr_for_us()\n"
        "os.write(2, b'panicked')\n"
        "say('ours: \\u0142')\n"
        "print('a log', file=sys.stderr)\n"
        "raise ValueError('even this')\n"
    )
    run = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], capture_output=True, check=False
    )

    told = run.stderr.decode()
    assert told.startswith("ours: \u0142\na log\nTraceback")
    assert told.endswith("ValueError: even this\n")
    assert "panicked" not in told


def test_what_a_name_holds_neither_writes_to_the_terminal_nor_makes_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("one: \x1b]0;title\x07\u202e\rcrm-pipeline: done\ntwo")

    told = capsys.readouterr().err
    assert told == "one: \\x1b]0;title\\x07\\u202e\\rcrm-pipeline: done\ntwo\n"
