"""`runs`: what was run in a work folder, one run in full, the files of old ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pipeline import (
    known_health,
    list_runs,
    purge_runs,
    run_details,
    run_summaries,
)
from pipeline.cli.exit_codes import OK
from pipeline.cli.options import found_job, job_option, work_dir_option
from pipeline.cli.render import show_json
from pipeline.cli.render_runs import (
    details_json,
    details_lines,
    health_lines,
    list_line,
    purged_lines,
    purged_warnings,
    run_json,
)
from pipeline.cli.talking import say
from pipeline.config import work_dir

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config import JobFile

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")


@click.group(
    "runs", short_help="List runs, show one, remove old.", invoke_without_command=True
)
@job_option
@work_dir_option
@json_option
@click.pass_context
def command(context: click.Context, /, **flags: Any) -> int:  # noqa: ANN401
    """
    List the runs of a work folder, the oldest first, and the health of its datasets.

    A run shows its exit code, how long its last process took, and its rows.
    """
    if context.invoked_subcommand is not None:
        context.obj = flags
        return OK
    _, folder = _place(flags)
    runs = list_runs(folder)
    told = run_summaries(folder, runs)
    if flags["as_json"]:
        show_json([run_json(run, told.get(run.run_id)) for run in runs])
        return OK
    if not runs:
        say(f"no runs in {folder}")
    lines = [list_line(run, told.get(run.run_id)) for run in runs]
    for line in (*lines, *health_lines(known_health(folder))):
        click.echo(line)
    return OK


@command.command("show")
@click.argument("run_id", metavar="RUN")
@job_option
@work_dir_option
@json_option
@click.pass_context
def show(context: click.Context, /, run_id: str, **flags: Any) -> int:  # noqa: ANN401
    """
    Show what the journal and the run folder tell of RUN.

    RUN is its name, or as much of its beginning as no other run shares.
    """
    flags = _joined(context, flags)
    _, folder = _place(flags)
    details = run_details(folder, run_id)
    if flags["as_json"]:
        show_json(details_json(details, folder))
        return OK
    for line in details_lines(details, folder):
        click.echo(line)
    return OK


@command.command("purge")
@click.option(
    "--keep-days",
    type=click.IntRange(min=0),
    metavar="N",
    help="Leave runs alone that were at work in the last N days. "
    "[default: keep_runs_days of the job, 30]",
)
@job_option
@work_dir_option
@json_option
@click.pass_context
def purge(context: click.Context, /, keep_days: int | None, **flags: Any) -> int:  # noqa: ANN401
    """
    Remove the personal data that old runs left in their folders.

    Of a run stay its line in the list, outcomes.parquet, summary.json and job.json,
    which hold numbers and settings. What can still be resumed is named; it stays
    resumable as long as its source is where it was. A copy of the source (the spool)
    stays as long, and goes at any age once everything was sent and verified.
    """
    flags = _joined(context, flags)
    found, folder = _place(flags)
    days = found.job.keep_runs_days if keep_days is None else keep_days
    purged = purge_runs(folder, keep_days=days)
    if flags["as_json"]:
        show_json({"folder": str(folder), "keep_days": days, **asdict(purged)})
    else:
        for line in purged_lines(purged, folder, days):
            click.echo(line)
    for line in purged_warnings(purged):
        say(line)
    return OK


def _joined(context: click.Context, flags: dict[str, Any]) -> dict[str, Any]:
    """Return the flags, those before the subcommand included; the later one wins."""
    return {name: value or context.obj[name] for name, value in flags.items()}


def _place(flags: dict[str, Any]) -> tuple[JobFile, Path]:
    found = found_job(flags["config"])
    return found, work_dir(flags["work_dir"], found)
