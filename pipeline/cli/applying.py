"""What `plan`, `apply`, `sync` and the resumption of a plan share."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import (
    ApplyRequest,
    Ending,
    ImportRequest,
    PlanRequest,
    apply_plan,
    dataset_of,
    job_of_run,
    make_plan,
    read_plan,
    run_sync,
    write_night_report,
    write_plan_report,
    write_run_report,
)
from pipeline.cli.beginning import (
    connector_for,
    refuse_idle_budgets,
    show_mapping,
    signals,
    talk_for,
)
from pipeline.cli.clusters import cluster_for
from pipeline.cli.exit_codes import exit_code_of_run
from pipeline.cli.finishing import with_advice, write_summaries
from pipeline.cli.next_steps import after_night, after_plan, apply_command
from pipeline.cli.options import found_job, job_of, job_to_resume
from pipeline.cli.render import (
    closing_lines,
    resume_line,
    show_json,
    workspace_line,
)
from pipeline.cli.render_plan import (
    apply_lines,
    apply_summary,
    plan_lines,
    plan_report_lines,
    plan_summary,
)
from pipeline.cli.render_verify import inline_lines, reading_line
from pipeline.cli.watching import note, watch
from pipeline.config import lock_dir, read_job, work_dir
from pipeline.environment import digest_key
from pipeline.errors import SettingsError
from pipeline.plain_text import counted

if TYPE_CHECKING:
    from pipeline import ApplyReport, Connector, PlanReport, Workspace
    from pipeline.cli.options import Talk
    from pipeline.config import JobFile
    from pipeline.settings import Job


def plan(sources: tuple[str, ...], flags: dict[str, Any]) -> int:
    """Make a plan and say what it would do; return the exit code."""
    began_s = time.monotonic()
    talk = talk_for(flags)
    request, connector = _planning("plan", sources, talk, flags)
    with signals(request.line.stop):
        report = asyncio.run(make_plan(request, connector))
    return _finish_plan(report, talk, flags, time.monotonic() - began_s)


def sync(sources: tuple[str, ...], flags: dict[str, Any]) -> int:
    """Plan and apply; return the exit code."""
    began_s = time.monotonic()
    talk = talk_for(flags)
    request, connector = _planning("sync", sources, talk, flags)

    def show(planned: PlanReport) -> None:
        seconds = time.monotonic() - began_s
        path = _report_plan(planned, _code_of_plan(planned, flags), seconds, flags)
        told = plan_report_lines(planned, seconds)
        talk.say("\n".join((*told, *closing_lines((), path))))

    with signals(request.line.stop):
        report = asyncio.run(run_sync(request, connector, on_plan=show))
    seconds = time.monotonic() - began_s
    if report.applied is None:
        planned = replace(report.planned.run, error=report.error)
        unsent = replace(report.planned, run=planned)
        is_shown = unsent.plan is not None
        return _finish_plan(unsent, talk, flags, seconds, is_shown=is_shown)
    return _finish(report.applied, talk, flags, seconds, report.planned)


def apply(folder: Path, plan_id: str, flags: dict[str, Any], began_s: float) -> int:
    """
    Apply a plan of a work folder, or go on with it; return the exit code.

    Args:
        folder: The work folder.
        began_s: When the command began.
    """
    talk = talk_for(flags)
    cluster = cluster_for(flags)
    talk.say(f"work folder: {folder}", event="begun", work_dir=str(folder))
    talk.voice.run_id = plan_id
    planned = read_plan(folder / "runs" / plan_id)
    _refuse_idle_deletes(planned.mode, flags)
    job = job_to_resume(job_of_run(folder, plan_id), flags)
    _watch(job, found_job(flags["config"]), folder, flags)
    request = ApplyRequest(
        folder,
        plan_id,
        filed=_filed(planned.job_file, flags),
        told=job,
        lock_dir=lock_dir(),
        is_replanned=flags.get("replan", False),
        max_deletes=flags.get("max_deletes"),
        cluster=cluster,
        progress=talk.progress,
        on_workspace=lambda workspace: _say_workspace(talk, workspace),
        on_resume=lambda run, resumed: talk.say(
            resume_line(run, resumed), event="resumed"
        ),
        on_verify=lambda n_rows: talk.say(reading_line(n_rows)),
        exit_code=exit_code_of_run,
    )
    talk.say("\n".join(plan_lines(planned)))
    with signals(request.stop):
        report = asyncio.run(apply_plan(request, connector_for(job, flags)))
    return _finish(report, talk, flags, time.monotonic() - began_s)


def placed(told: str, flags: dict[str, Any]) -> tuple[Path, str]:
    """
    Return the work folder and the name of a plan.

    Args:
        told: The folder of a plan, or its name.

    Raises:
        SettingsError: The folder lies in no work folder.
    """
    path = Path(told)
    if not path.is_dir():
        return work_dir(flags["work_dir"], found_job(flags["config"])), told
    path = path.absolute()
    if path.parent.name != "runs":
        raise SettingsError(
            f"{path} is not in the folder `runs` of a work folder; a plan is applied "
            "where it was made, beside its journal"
        )
    return path.parents[1], path.name


def _planning(
    name: str, sources: tuple[str, ...], talk: Talk, flags: dict[str, Any]
) -> tuple[PlanRequest, Connector]:
    cluster = cluster_for(flags) if name == "sync" else None
    found = found_job(flags["config"])
    job, folder = job_of(found, sources, flags)
    refuse_idle_budgets(job, flags)
    _refuse_idle_deletes(job.sync.mode, flags)
    _watch(job, found, folder, flags)
    talk.say(f"work folder: {folder}", event="begun", work_dir=str(folder))
    line = ImportRequest(
        job,
        folder,
        lock_dir=lock_dir(),
        command=name,
        cluster=cluster,
        progress=talk.progress,
        on_mapping=lambda source, mapping: show_mapping(
            talk, flags, source.kind, mapping
        ),
        on_run=lambda run_id: setattr(talk.voice, "run_id", run_id),
        on_verify=lambda n_rows: talk.say(reading_line(n_rows)),
        on_workspace=lambda workspace: _say_workspace(talk, workspace),
        exit_code=lambda counts, error, n_wrong: exit_code_of_run(
            counts,
            error,
            n_wrong,
            error_on_empty=flags.get("error_on_empty", False),
        ),
    )
    request = PlanRequest(
        line,
        digest_key(folder),
        job_file=found.path,
        filed=None if found.path is None else found.job,
        is_full=flags["full"],
        crm=None if flags["crm"] is None else Path(flags["crm"]),
        on_look_up=lambda n_persons: talk.say(
            f"asking the CRM for {counted(n_persons, 'person')}", event="look-ups"
        ),
    )
    return request, connector_for(job, flags)


def _refuse_idle_deletes(mode: str, flags: dict[str, Any]) -> None:
    """
    Refuse a budget for what nothing does.

    Raises:
        SettingsError: The mode deletes nobody.
    """
    if flags.get("max_deletes") is not None and mode != "mirror":
        raise SettingsError(
            "--max-deletes allows what nothing does: only sync.mode: mirror deletes, "
            f"and the mode is {mode}"
        )


def _watch(job: Job, found: JobFile, folder: Path, flags: dict[str, Any]) -> None:
    dataset = dataset_of(job)
    watch("sync", dataset, job=job, found=found, work_dir=folder, flags=flags)


def _say_workspace(talk: Talk, workspace: Workspace) -> None:
    talk.say(workspace_line(workspace), event="workspace", guid=workspace.guid)


def _filed(recorded: str | None, flags: dict[str, Any]) -> Job | None:
    """Return the job file as it is now: the one named, or the one of the plan."""
    named = flags.get("config") or recorded
    return None if named is None else read_job(Path(named)).job


def _code_of_plan(report: PlanReport, flags: dict[str, Any]) -> int:
    return exit_code_of_run(
        report.run.counts,
        report.run.error,
        error_on_empty=flags.get("error_on_empty", False),
    )


def _report_plan(
    report: PlanReport, code: int, seconds: float, flags: dict[str, Any]
) -> Path:
    """Write the page of a plan, or of the check that stopped it."""
    steps = after_plan(report, flags)
    ending = Ending(code, seconds, time.time(), steps, flags["show_values"])
    if report.plan is None:
        return write_run_report(report.run, ending)
    return write_plan_report(report, ending)


def _finish_plan(
    report: PlanReport,
    talk: Talk,
    flags: dict[str, Any],
    seconds: float,
    *,
    is_shown: bool = False,
) -> int:
    """
    End a plan that is not applied.

    Args:
        is_shown: What the plan would do was said already.
    """
    run = report.run
    code = _code_of_plan(report, flags)
    path = _report_plan(report, code, seconds, flags)
    summary = plan_summary(report, code, seconds)
    summary["files"]["report"] = str(path)
    _tell(summary, run.folder, talk, flags)
    lines = [] if is_shown else plan_report_lines(report, seconds)
    if report.plan is not None:
        lines.append(f"to apply it: {apply_command(run.folder, flags['base_url'])}")
    for line in (*lines, *([] if is_shown else closing_lines((), path))):
        talk.say(line)
    if run.error is not None:
        raise run.error
    return code


def _finish(
    report: ApplyReport,
    talk: Talk,
    flags: dict[str, Any],
    seconds: float,
    planned: PlanReport | None = None,
) -> int:
    code = exit_code_of_run(
        report.counts,
        report.error,
        report.n_at_odds,
        error_on_empty=flags.get("error_on_empty", False),
    )
    steps = after_night(report, flags)
    ending = Ending(code, seconds, time.time(), steps, flags["show_values"])
    path = write_night_report(report, ending)
    summary = apply_summary(report, code, seconds, planned)
    summary["files"]["report"] = str(path)
    # An error brings its own advice, after this.
    told = steps if report.error is None else ()
    seen = report.verification
    read_back = [] if seen is None else inline_lines(seen)
    closing = closing_lines(told, path)
    for line in (*apply_lines(report, seconds), *read_back, *closing):
        talk.say(line)
    _tell(summary, report.folder, talk, flags)
    if report.error is not None:
        raise with_advice(report, report.error, flags)
    return code


def _tell(
    summary: dict[str, Any], folder: Path, talk: Talk, flags: dict[str, Any]
) -> None:
    note(summary)
    write_summaries(summary, folder, flags)
    if talk.as_json:
        show_json(summary)
