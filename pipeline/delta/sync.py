"""A night: plan, look at the plan, apply it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.delta.application import ApplyRequest
from pipeline.delta.applier import apply_plan
from pipeline.delta.planner import make_plan
from pipeline.distributed.cluster import reach
from pipeline.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.connection import Connector
    from pipeline.delta.application import ApplyReport
    from pipeline.delta.plan_request import PlanReport, PlanRequest
    from pipeline.errors import PipelineError


@dataclass(frozen=True, slots=True)
class SyncReport:
    """
    What a night came to.

    Attributes:
        applied: None when nothing was begun; *error* says why.
    """

    planned: PlanReport
    applied: ApplyReport | None = None
    error: PipelineError | None = None


async def run_sync(
    request: PlanRequest,
    connector: Connector,
    *,
    on_plan: Callable[[PlanReport], None] = lambda _planned: None,
) -> SyncReport:
    """
    Bring the CRM up to a source: send what differs from what was confirmed.

    What a night before left unproven is planned again, with the values of today. A
    plan that the guards do not know as a usual night is not applied.

    Args:
        on_plan: Shown the plan before anything of it is sent.

    Raises:
        As `make_plan` and `apply_plan`.
    """
    if request.line.cluster is not None:
        await reach(request.line.cluster)
    planned = await make_plan(request, connector)
    if planned.plan is None:
        return SyncReport(planned, error=planned.run.error)
    on_plan(planned)
    if planned.plan.trips:
        return SyncReport(planned, error=_tripped(planned.plan.trips))
    line = request.line
    applying = ApplyRequest(
        line.work_dir,
        planned.plan.plan_id,
        lock_dir=line.lock_dir,
        command="sync",
        cluster=line.cluster,
        progress=line.progress,
        on_verify=line.on_verify,
        stop=line.stop,
        exit_code=line.exit_code,
        now=request.now,
    )
    return SyncReport(planned, await apply_plan(applying, connector))


def _tripped(trips: Sequence[str]) -> LimitError:
    return LimitError(
        f"the guards stopped this night: {'; '.join(trips)}. Nothing was sent. If the "
        "source is right, apply the plan, or change sync.guards of the job"
    )
