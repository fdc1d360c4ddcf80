"""
Which run an import is: a new one, or one that was interrupted and goes on.

A run that began leaves its job in its folder, so that `resume` needs nothing but its
name; an import of the same rows under the same settings finds it by itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from pipeline.encoder import ENCODER_VERSION
from pipeline.errors import SettingsError
from pipeline.files import make_private_dir
from pipeline.history import find_run
from pipeline.journal import list_runs
from pipeline.journal_tables import RunState
from pipeline.resuming import (
    check_newest,
    check_resumable,
    continued_run,
    newest_of,
    plan_resume,
    unfinished_runs,
)
from pipeline.settings import Job
from pipeline.writer import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.journal import Journal
    from pipeline.journal_tables import Run
    from pipeline.resuming import ResumePlan
    from pipeline.settings import Mapping

JOB_NAME: Final = "job.json"
# Rows that may go, and how; they shape no body.
_GUARDS: Final = {"accept_findings", "allow_erase", "extra_columns"}
_PACKAGES: Final = ("crm-pipeline", "polars")


@dataclass(frozen=True, slots=True)
class Continuation:
    """
    Whether an import may be the rest of an interrupted run.

    Attributes:
        run_id: It must be the rest of this one; the beginning of its name is enough.
        is_fresh: It must not be the rest of any.
        is_replanned: What is not proven may be sent in new bodies.
    """

    run_id: str | None = None
    is_fresh: bool = False
    is_replanned: bool = False


NOTHING_SAID: Final = Continuation()


def versions_at_work() -> dict[str, str]:
    """Return what shapes bodies, besides the settings: name → version."""
    found = {package: version(package) for package in _PACKAGES}
    return found | {"encoder": str(ENCODER_VERSION)}


def settings_digest(job: Job, mapping: Mapping) -> str:
    """Return a digest of everything in a job that shapes bodies, or chooses rows."""
    shape = {
        "fields": [
            (rule.name, rule.column, rule.options.model_dump(mode="json"))
            for rule in mapping.rules
        ],
        "rows": job.rows.model_dump(mode="json", exclude=_GUARDS),
        "source": job.source.model_dump(mode="json", exclude={"path"}),
        "workspace": job.workspace.model_dump(mode="json", exclude={"guid", "auth"}),
        "max_bytes": job.delivery.max_bytes,
    }
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()


def dataset_of(job: Job) -> str:
    """Return what a run of a job is about: its name, or the absolute source paths."""
    return job.name or ", ".join(str(Path(p).absolute()) for p in job.source.paths)


# -- the job of a run --------------------------------------------------------------


def remember_job(folder: Path, job: Job, files: tuple[Path, ...]) -> None:
    """
    Leave the job in the folder of its run, with the files it found.

    Effects: `job.json`, readable by its owner only; it holds no credentials.
    """
    source = job.source.model_copy(update={"path": tuple(map(str, files))})
    told: dict[str, Any] = job.model_dump(mode="json", exclude_unset=True)
    told["source"] = source.model_dump(mode="json", exclude_unset=True)
    if job.mapping is not None:
        fields = told["mapping"]
        told["mapping"] = {name: fields[name] for name in job.mapping.order}
    write_json(make_private_dir(folder) / JOB_NAME, told)


def remembered_job(work_dir: Path, wanted: str) -> Job:
    """
    Return the job that a run began with; its source names the files it found.

    Args:
        wanted: As in `run_to_resume`.

    Raises:
        SettingsError: Its job was removed, or was written by another version of the
            tool.
        SettingsError, StaleRunError: As `run_to_resume`.
    """
    return job_of_run(work_dir, run_to_resume(work_dir, wanted).run_id)


def remembered_run_job(work_dir: Path, wanted: str) -> Job:
    """
    Return the job that any run began with, finished or not.

    Raises:
        SettingsError: As `find_run` and `job_of_run`.
    """
    run = find_run(work_dir, list_runs(work_dir), wanted)
    return job_of_run(work_dir, run.run_id)


def job_of_run(work_dir: Path, run_id: str) -> Job:
    """
    Return the job that a run of this name began with.

    Raises:
        SettingsError: It was removed, or was written by another version of the tool.
    """
    path = work_dir / "runs" / run_id / JOB_NAME
    again = (
        "Import the source again with its job file and flags; that continues the run"
    )
    try:
        return Job.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise SettingsError(
            f"the job of run {run_id} cannot be read ({path}: {error.strerror}). "
            f"{again}"
        ) from None
    except (ValidationError, ValueError):
        raise SettingsError(
            f"the job of run {run_id} was written by another version of crm-pipeline "
            f"({path}). {again}"
        ) from None


# -- which run ---------------------------------------------------------------------


def resumable_runs(work_dir: Path) -> list[Run]:
    """
    Return the runs of a work folder that can be resumed, the oldest first.

    Raises:
        JournalDamagedError, SettingsError: As `list_runs`.
    """
    return unfinished_runs(list_runs(work_dir))


def run_to_resume(work_dir: Path, wanted: str) -> Run:
    """
    Return the run that is to go on.

    Args:
        wanted: Its name, or how it begins if no other begins so.

    Raises:
        SettingsError: There is no such run, or several, or nothing of it is left to
            send.
        StaleRunError: A newer run of its dataset has begun.
    """
    runs = list_runs(work_dir)
    known = find_run(work_dir, runs, wanted)
    if known.state is RunState.DONE:
        raise SettingsError(
            f"run {known.run_id} is complete (exit {known.exit_code}): nothing of it "
            "is left to send. To send its source once more, import it anew"
        )
    newest = newest_of(runs, known)
    check_newest(known.run_id, None if newest is known else newest.run_id)
    return known


def begin_or_continue(
    journal: Journal,
    run: Run,
    continuation: Continuation,
    remember: Callable[[], None],
) -> tuple[Run, ResumePlan | None]:
    """
    Record that a run begins, or that an interrupted one goes on.

    Args:
        run: As it would begin now.
        remember: Leaves the job for a resumption; called before a new run is recorded.

    Returns:
        The run at work, and what of it was recorded before; None for a new one.

    Raises:
        StaleRunError: A newer run of its dataset has begun.
        SourceChangedError, SettingsError: It began with other rows, or other settings.
        JournalDamagedError: Its records contradict each other.
    """
    known = _known(journal.runs(), run, continuation)
    if known is None:
        remember()
        journal.begin_run(run)
        return run, None
    plan = plan_resume(
        known,
        journal.batches(known.run_id),
        now=run.versions,
        replan=continuation.is_replanned,
    )
    versions = run.versions if plan.is_replanned else None
    return journal.resume_run(known.run_id, versions=versions), plan


def _known(runs: Sequence[Run], run: Run, continuation: Continuation) -> Run | None:
    """Return the run that *run* is the rest of."""
    if continuation.run_id is not None:
        known = next(known for known in runs if known.run_id == run.run_id)
        check_resumable(
            known, settings_digest=run.settings_digest, fingerprints=run.fingerprints
        )
        return known
    if continuation.is_fresh:
        return None
    return continued_run(
        runs,
        workspace=run.workspace,
        dataset=run.dataset,
        settings_digest=run.settings_digest,
        fingerprints=run.fingerprints,
    )
