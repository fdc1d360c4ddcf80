"""What `doctor` found, as lines for people and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.logs import printable

if TYPE_CHECKING:
    from pipeline import Checked, DoctorReport

DOCTOR_VERSION: Final = 1
_NAME_COLUMNS: Final = 14
_MOST_CHARS: Final = 2_000


def check_line(check: Checked) -> str:
    """Return one thing as a line."""
    told = printable(check.told.replace("\n", " "), max_chars=_MOST_CHARS)
    return f"{check.level.value:<8} {check.name:<{_NAME_COLUMNS}} {told}"


def doctor_json(report: DoctorReport, exit_code: int) -> dict[str, Any]:
    """Return everything that was looked at, in its order."""
    return {
        "version": DOCTOR_VERSION,
        "exit_code": exit_code,
        "checks": [
            {"name": one.name, "level": one.level.value, "told": one.told}
            for one in report.checks
        ],
    }
