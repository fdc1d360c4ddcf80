"""What to plan, and what it came to."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.delta.examples import PlannedRow
    from pipeline.delta.plan import Plan
    from pipeline.importer import RunReport
    from pipeline.line import ImportRequest
    from pipeline.settings import Job


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """
    What to plan.

    Attributes:
        line: As for an import; nothing of it is sent.
        key: Secret text of the work folder, for the digests.
        job_file: Where the job was read, for `apply` to look at again, and *filed* what
            was read there; the job of *line* has the flags in it as well.
        is_full: Every row is planned, whatever is known.
        crm: An export of the workspace: what a first plan takes for confirmed, and
            whom the CRM has.
        on_look_up: Told how many persons the CRM will be asked for.
        now: Seconds since 1970.
    """

    line: ImportRequest
    key: str
    job_file: Path | None = None
    filed: Job | None = None
    is_full: bool = False
    crm: Path | None = None
    on_look_up: Callable[[int], None] = lambda _n_persons: None
    now: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class PlanReport:
    """
    What a plan came to.

    Attributes:
        run: The rows of the source, as of a check: those that are planned, and those
            that are not sent.
        plan: None when the source stopped it; the error of *run* says why.
        examples: Some of the rows that would be sent.
    """

    run: RunReport
    plan: Plan | None = None
    examples: tuple[PlannedRow, ...] = ()
