"""What `check` and `import` share: one call of the library, then words and a number."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import (
    Continuation,
    Ending,
    ImportRequest,
    dataset_of,
    plan_to_resume,
    remembered_job,
    resumable_runs,
    run_import,
    write_json,
    write_run_report,
)
from pipeline.cli.applying import apply
from pipeline.cli.beginning import (
    connector_for,
    refuse_idle_budgets,
    show_mapping,
    signals,
    talk_for,
)
from pipeline.cli.clusters import cluster_for
from pipeline.cli.exit_codes import NOTHING_TO_DO, OK, exit_code_of_run
from pipeline.cli.finishing import with_advice, write_summaries
from pipeline.cli.next_steps import after_run
from pipeline.cli.options import found_job, job_of, job_to_resume
from pipeline.cli.render import (
    closing_lines,
    nothing_summary,
    resume_line,
    run_lines,
    run_summary,
    show_json,
    workspace_line,
)
from pipeline.cli.render_verify import inline_lines, reading_line
from pipeline.cli.watching import note, watch
from pipeline.config import lock_dir, work_dir

if TYPE_CHECKING:
    from pipeline import Connector, RunReport
    from pipeline.cli.options import Talk
    from pipeline.config import JobFile
    from pipeline.settings import Job


def run(name: str, sources: tuple[str, ...], flags: dict[str, Any]) -> int:
    """Run pass 1, and pass 2 unless it is a dry run; return the exit code."""
    began_s = time.monotonic()
    talk = talk_for(flags)
    cluster = cluster_for(flags) if name == "import" else None
    found = found_job(flags["config"])
    job, folder = job_of(found, sources, flags)
    if not flags["dry_run"]:
        _watch(job, found, folder, flags)
    refuse_idle_budgets(job, flags)
    if flags["allow_empty"] and _is_nothing(job):
        return _nothing(name, job.source.paths, talk, flags, began_s)
    connector = None if flags["dry_run"] else connector_for(job, flags)
    request = ImportRequest(
        job,
        folder,
        lock_dir=lock_dir(),
        is_dry_run=connector is None,
        continuation=Continuation(
            is_fresh=flags.get("fresh", False),
            is_replanned=flags.get("replan", False),
        ),
        command=name,
        cluster=cluster,
    )
    return _run(request, connector, talk, flags, began_s)


def resume(run_id: str | None, flags: dict[str, Any]) -> int:
    """Go on with an interrupted run; return the exit code."""
    began_s = time.monotonic()
    talk = talk_for(flags)
    cluster = cluster_for(flags)
    found = found_job(flags["config"])
    folder = work_dir(flags["work_dir"], found)
    if run_id is None:
        runs = resumable_runs(folder)
        if not runs:
            talk.say(f"nothing is left to resume in {folder}")
            return _nothing("resume", (), talk, flags, began_s)
        if len(runs) > 1:
            told = "; ".join(f"{run.run_id} ({run.dataset})" for run in runs)
            raise click.UsageError(f"{len(runs)} runs can be resumed, name one: {told}")
        run_id = runs[0].run_id
    plan_id = plan_to_resume(folder, run_id)
    if plan_id is not None:
        return apply(folder, plan_id, flags, began_s)
    job = job_to_resume(remembered_job(folder, run_id), flags)
    _watch(job, found, folder, flags)
    request = ImportRequest(
        job,
        folder,
        lock_dir=lock_dir(),
        continuation=Continuation(run_id, is_replanned=flags["replan"]),
        command="resume",
        cluster=cluster,
    )
    return _run(request, connector_for(job, flags), talk, flags, began_s)


def _watch(job: Job, found: JobFile, folder: Path, flags: dict[str, Any]) -> None:
    dataset = dataset_of(job)
    watch("import", dataset, job=job, found=found, work_dir=folder, flags=flags)


def _run(
    request: ImportRequest,
    connector: Connector | None,
    talk: Talk,
    flags: dict[str, Any],
    began_s: float,
) -> int:
    place = str(request.work_dir)
    talk.say(f"work folder: {place}", event="begun", work_dir=place)
    request = replace(
        request,
        progress=talk.progress,
        on_mapping=lambda source, mapping: show_mapping(
            talk, flags, source.kind, mapping
        ),
        on_verify=lambda n_rows: talk.say(reading_line(n_rows)),
        exit_code=lambda counts, error, n_wrong: exit_code_of_run(
            counts,
            error,
            n_wrong,
            error_on_empty=flags.get("error_on_empty", False),
        ),
        on_run=lambda run_id: setattr(talk.voice, "run_id", run_id),
        on_workspace=lambda workspace: talk.say(
            workspace_line(workspace), event="workspace", guid=workspace.guid
        ),
        on_resume=lambda run, plan: talk.say(resume_line(run, plan), event="resumed"),
    )
    with signals(request.stop):
        report = asyncio.run(run_import(request, connector))
    return _finish(report, talk, flags, time.monotonic() - began_s)


def _nothing(
    name: str,
    paths: tuple[str, ...],
    talk: Talk,
    flags: dict[str, Any],
    began_s: float,
) -> int:
    """End a run that has no row to look at; none is recorded."""
    code = NOTHING_TO_DO if flags.get("error_on_empty") else OK
    summary = nothing_summary(name, paths, code, time.monotonic() - began_s)
    note(summary)
    if flags["summary"]:
        write_json(Path(flags["summary"]), summary)
    if paths:
        talk.say("the source has 0 bytes; nothing to do")
    if talk.as_json:
        show_json(summary)
    return code


def _finish(
    report: RunReport, talk: Talk, flags: dict[str, Any], seconds: float
) -> int:
    code = exit_code_of_run(
        report.counts,
        report.error,
        report.n_wrong,
        error_on_empty=flags.get("error_on_empty", False),
    )
    steps = after_run(report, flags)
    ending = Ending(code, seconds, time.time(), steps, flags["show_values"])
    path = write_run_report(report, ending)
    summary = run_summary(report, code, seconds)
    summary["files"]["report"] = str(path)
    note(summary)
    write_summaries(summary, report.folder, flags)
    # An error brings its own advice, after this.
    told = steps if report.error is None else ()
    seen = report.verification
    read_back = [] if seen is None else inline_lines(seen)
    closing = closing_lines(told, path)
    for line in (*run_lines(report, seconds), *read_back, *closing):
        talk.say(line)
    if talk.as_json:
        show_json(summary)
    if report.error is not None:
        raise with_advice(report, report.error, flags)
    return code


def _is_nothing(job: Job) -> bool:
    paths = [Path(path) for path in job.source.paths]
    return bool(paths) and all(
        path.is_file() and path.stat().st_size == 0 for path in paths
    )
