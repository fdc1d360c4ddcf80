"""A night: plan, look at the plan, apply it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.delta.applier import ApplyRequest, apply_plan
from pipeline.delta.planner import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.connection import Connector
    from pipeline.delta.applier import ApplyReport
    from pipeline.delta.planner import PlanReport, PlanRequest


@dataclass(frozen=True, slots=True)
class SyncReport:
    """
    What a night came to.

    Attributes:
        applied: None when nothing was begun; the error of *planned* says why.
    """

    planned: PlanReport
    applied: ApplyReport | None = None


async def run_sync(
    request: PlanRequest,
    connector: Connector,
    *,
    on_plan: Callable[[PlanReport], None] = lambda _planned: None,
) -> SyncReport:
    """
    Bring the CRM up to a source: send what differs from what was confirmed.

    What a night before left unproven is planned again, with the values of today.

    Args:
        on_plan: Shown the plan before anything of it is sent.

    Raises:
        As `make_plan` and `apply_plan`.
    """
    planned = await make_plan(request, connector)
    if planned.plan is None:
        return SyncReport(planned)
    on_plan(planned)
    line = request.line
    applying = ApplyRequest(
        line.work_dir,
        planned.plan.plan_id,
        lock_dir=line.lock_dir,
        command="sync",
        progress=line.progress,
        stop=line.stop,
        exit_code=line.exit_code,
        now=request.now,
    )
    return SyncReport(planned, await apply_plan(applying, connector))
