"""Nights that were cut off: the same plan goes on, or the next night sends the rest."""

from pathlib import Path

import pytest

from flows.delta_town import N_PEOPLE, Stopping, guid, town
from pipeline import StopSignal, plan_to_resume
from pipeline.delta.state import StateStore
from pipeline.errors import InterruptedRunError, StaleRunError


@pytest.mark.anyio
async def test_an_interrupted_plan_goes_on_where_it_was(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        wire = at.through(lambda sandbox: Stopping(sandbox, at.stop, 2))
        cut = await at.apply(plan, wire)
        assert isinstance(cut.error, InterruptedRunError)
        assert cut.is_resumable
        assert 0 < cut.counts.accepted < N_PEOPLE
        assert plan_to_resume(at.work_dir, cut.run_id) == cut.run_id

        seen = []
        done = await at.apply_id(
            cut.run_id,
            stop=StopSignal(),
            on_resume=lambda run, plan: seen.append((run.run_id, plan.n_accepted)),
        )

        assert seen == [(cut.run_id, cut.counts.accepted)]
        assert done.counts.accepted == N_PEOPLE
        assert done.delivery.rows_accepted == N_PEOPLE - cut.counts.accepted
        at.sandbox.settle()
        at.assert_equal()
        at.stop = StopSignal()
        assert (await at.plan()).plan.figures.n_planned == 0  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_a_night_after_an_interrupted_one_sends_the_rest(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        wire = at.through(lambda sandbox: Stopping(sandbox, at.stop, 2))
        cut = await at.night(wire)
        assert cut.applied is not None
        at.stop = StopSignal()
        at.rows["C59"][1] = "Last"
        more = await at.night()

        assert more.applied is not None
        assert more.applied.error is None
        assert more.applied.counts.unchanged == cut.applied.counts.accepted
        at.assert_equal()
        with pytest.raises(StaleRunError):
            await at.apply_id(cut.applied.run_id)


@pytest.mark.anyio
async def test_a_state_that_is_behind_catches_up(tmp_path: Path) -> None:
    """As after a kill between the last verdict and the state."""
    async with town(tmp_path) as at:
        await at.night()
        folder = StateStore(at.work_dir, guid(at), "people").folder
        before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        at.rows["C1"][1] = "Eva"
        await at.night()
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        for path, content in before.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        again = await at.plan()

        assert again.plan is not None
        assert again.plan.figures.n_unchanged == N_PEOPLE


@pytest.mark.anyio
async def test_planning_over_an_interrupted_run_changes_no_generation_twice(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        wire = at.through(lambda sandbox: Stopping(sandbox, at.stop, 2))
        await at.night(wire)
        at.stop = StopSignal()
        plans = [await at.plan(), await at.plan()]

        generations = [plan.plan.state_generation for plan in plans if plan.plan]
        assert len(set(generations)) == 1
