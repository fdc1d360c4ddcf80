"""`runs`: what was run in a work folder."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pipeline import list_runs
from pipeline.cli.options import found_job, job_option, work_dir_option
from pipeline.cli.render import show_json
from pipeline.config import work_dir

if TYPE_CHECKING:
    from pathlib import Path


@click.command("runs", short_help="List what was run here.")
@job_option
@work_dir_option
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(config: str | None, work_dir: str | None, *, as_json: bool) -> int:
    """List the runs of a work folder, the oldest first."""
    folder = _folder(config, work_dir)
    runs = list_runs(folder)
    if as_json:
        show_json([asdict(run) for run in runs])
        return 0
    if not runs:
        click.echo(f"no runs in {folder}", err=True)
    for run in runs:
        began = datetime.fromtimestamp(run.began_at, UTC)
        ended = "interrupted" if run.exit_code is None else f"exit {run.exit_code}"
        click.echo(
            f"{run.run_id}  {began:%Y-%m-%d %H:%M:%S}Z  {run.command:<8} "
            f"{ended:<12} {run.dataset}"
        )
    return 0


def _folder(config: str | None, flag: str | None) -> Path:
    return work_dir(flag, found_job(config))
