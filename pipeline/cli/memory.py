"""How much memory this process took, whoever started it."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
_PEAK: Final = re.compile(r"^VmHWM:\s+([0-9]+) kB$", re.MULTILINE)
_KIB: Final = 1024


def peak_rss_bytes() -> int:
    """
    Return the largest memory this process ever had.

    On Linux `ru_maxrss` also has the peak of the process that started this one
    (getrusage(2): it lives on across execve), so the kernel's own mark is read there.
    """
    if _STATUS.exists():
        peak = _PEAK.search(_STATUS.read_text(encoding="ascii", errors="replace"))
        if peak is not None:
            return int(peak[1]) * _KIB
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * _KIB
