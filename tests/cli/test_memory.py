"""The memory that a summary tells is that of the tool alone."""

import re
import subprocess
import sys
import textwrap

import pytest

from pipeline.cli.memory import peak_rss_bytes

HELD_MB = 600


def test_what_was_held_once_stays_the_peak() -> None:
    before = peak_rss_bytes()

    held = bytearray(b"x") * (before + 50_000_000)
    n_held = len(held)
    del held

    assert peak_rss_bytes() > n_held


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands a peak down")
def test_what_starts_the_tool_may_be_large() -> None:
    script = rf"""
        import os, resource, sys
        held = bytearray(b"x") * {HELD_MB * 1_000_000}
        told = (
            "import resource\n"
            "from pipeline.cli.memory import peak_rss_bytes\n"
            "used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "print(used * 1024, peak_rss_bytes())"
        )
        os.execv(sys.executable, [sys.executable, "-c", told])
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    handed_down, own = map(int, re.findall(r"\d+", done.stdout))

    assert handed_down > HELD_MB * 1_000_000
    assert own < HELD_MB * 1_000_000 / 2
