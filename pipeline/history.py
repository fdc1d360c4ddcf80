"""One run of a work folder in full: what the journal proves, and what it left."""

from __future__ import annotations

import json
import stat
from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import SettingsError
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import RunState
from pipeline.logs import printable
from pipeline.resuming import newest_of, plan_resume, unfinished_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Never

    from pipeline.journal_tables import Run, StoredBatch

SUMMARY_NAME: Final = "summary.json"
SPLIT: Final = "split"
SHOWN_NAMES: Final = 5
ALIKE: Final = 0.5


@dataclass(frozen=True, slots=True)
class RunDetails:
    """
    A run, as the journal and its folder tell it.

    Attributes:
        folder: Of its files; it may be gone.
        batches: State → batches recorded; one that was cut counts as `split`, and its
            parts beside it.
        n_attempts: Begun, of all batches.
        n_unanswered: Of these, cut off before an answer.
        n_accepted: Rows, as the next two; of rows in no batch nothing is known here.
        n_rejected: Refused by the service.
        n_unproven: In a batch, and neither accepted nor rejected.
        obstacle: Why it cannot be resumed; None when it can.
        summary: What its last process told at its end; None when it told nothing, or
            the run has gone on since.
        files: Name in the folder → bytes.
    """

    run: Run
    folder: Path
    batches: Mapping[str, int] = field(default_factory=dict)
    n_attempts: int = 0
    n_unanswered: int = 0
    n_accepted: int = 0
    n_rejected: int = 0
    n_unproven: int = 0
    obstacle: str | None = None
    summary: Mapping[str, Any] | None = None
    files: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_retried(self) -> int:
        """Attempts after the first of a batch."""
        return self.n_attempts - sum(self.batches.values())

    @property
    def is_forgotten(self) -> bool:
        """Whether its batches were removed from the journal."""
        return self.run.purged_at is not None and not self.batches


def run_details(work_dir: Path, wanted: str) -> RunDetails:
    """
    Return everything that is known of a run.

    Args:
        work_dir: Journal and run folders; only read.
        wanted: The name of the run, or how it begins if no other begins so.

    Raises:
        SettingsError: There is no such run, or several; or a newer version of the tool
            wrote the journal.
        JournalDamagedError: The journal cannot be trusted.
    """
    path = work_dir / JOURNAL_NAME
    if not path.exists():
        _refuse(work_dir, [], wanted)
    with Journal.open(path) as journal:
        runs = journal.runs()
        run = find_run(work_dir, runs, wanted)
        batches = journal.batches(run.run_id)
    plan = plan_resume(run, batches, now=run.versions)
    folder = work_dir / "runs" / run.run_id
    return RunDetails(
        run=run,
        folder=folder,
        batches=_by_state(batches),
        n_attempts=sum(batch.n_attempts for batch in batches),
        n_unanswered=sum(batch.n_crashes for batch in batches),
        n_accepted=plan.n_accepted,
        n_rejected=plan.n_rejected,
        n_unproven=plan.n_again,
        obstacle=_obstacle(runs, run),
        summary=None if run.ended_at is None else _summary(folder, run.run_id),
        files=_files(folder),
    )


def run_summaries(work_dir: Path, runs: Sequence[Run]) -> dict[str, Mapping[str, Any]]:
    """
    Return run_id → what its last process told at its end, as far as it is still there.

    Cost: one small file a run.
    """
    folder = work_dir / "runs"
    told = {
        run.run_id: _summary(folder / run.run_id, run.run_id)
        for run in runs
        if run.ended_at is not None
    }
    return {run_id: summary for run_id, summary in told.items() if summary is not None}


def find_run(work_dir: Path, runs: Sequence[Run], wanted: str) -> Run:
    """
    Return the run of this name, or the only one whose name begins so.

    Raises:
        SettingsError: There is none, or there are several.
    """
    begun = [run for run in runs if run.run_id.startswith(wanted)]
    exact = [run for run in begun if run.run_id == wanted]
    if len(exact or begun) != 1:
        _refuse(work_dir, runs, wanted)
    return (exact or begun)[0]


def _refuse(work_dir: Path, runs: Sequence[Run], wanted: str) -> Never:
    name = printable(wanted)
    # The newest first: they are asked for most.
    names = [run.run_id for run in reversed(runs)]
    begun = [known for known in names if known.startswith(wanted)]
    if begun:
        raise SettingsError(
            f"{len(begun)} runs begin with {name!r}: {_listed(begun)}; write more of "
            "the name"
        )
    if any(path.name == wanted for path in (work_dir / "runs").glob("*")):
        raise SettingsError(
            f"{name} sent nothing, so the journal does not know it: it was a check, or "
            f"ended before it began to send. What it wrote is in {work_dir}/runs/{name}"
        )
    near = get_close_matches(wanted, names, n=SHOWN_NAMES, cutoff=ALIKE)
    advice = (
        f"the nearest names are {_listed(near)}"
        if near
        else "`crm-pipeline runs` lists those that there are"
    )
    raise SettingsError(f"there is no run {name} in {work_dir}; {advice}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _by_state(batches: Sequence[StoredBatch]) -> dict[str, int]:
    cut = {batch.parent_no for batch in batches}
    found = Counter(
        SPLIT if batch.batch_no in cut else batch.state.value for batch in batches
    )
    return dict(sorted(found.items()))


def _obstacle(runs: Sequence[Run], run: Run) -> str | None:
    """Say why a run cannot go on; contents are compared by `resume`, not here."""
    if run.state is RunState.DONE:
        return "nothing of it is left to send"
    if run not in unfinished_runs(runs):
        newest = newest_of(runs, run)
        return f"run {newest.run_id} of the same dataset has begun since"
    return source_obstacle(run)


def source_obstacle(run: Run) -> str | None:
    """Say what is wrong with the files of a run, without reading them."""
    for known in run.fingerprints:
        path = Path(known.path)
        if not path.is_file():
            return f"its source is gone: {path}"
        if path.stat().st_size != known.size_bytes:
            return f"its source has changed: {path}"
    return None


def _summary(folder: Path, run_id: str) -> dict[str, Any] | None:
    try:
        told = json.loads((folder / SUMMARY_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    is_its_own = isinstance(told, dict) and told.get("run_id") == run_id
    return told if is_its_own else None


def _files(folder: Path) -> dict[str, int]:
    if not folder.is_dir():
        return {}
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            found[str(path.relative_to(folder))] = status.st_size
    return found
