"""`import`: the line."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.clusters import cluster_options
from pipeline.cli.options import (
    empty_options,
    job_option,
    json_option,
    limit_options,
    pace_options,
    remote_options,
    replan_option,
    row_options,
    source_options,
    talk_options,
    values_option,
    verify_options,
    work_dir_option,
)
from pipeline.cli.running import run


@click.command("import", short_help="Send a source to the CRM.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@job_option
@work_dir_option
@click.option("--dry-run", is_flag=True, help="Check only; send nothing.")
@source_options
@row_options
@empty_options
@click.option("--fresh", is_flag=True, help="Begin anew; continue no earlier run.")
@replan_option
@pace_options
@cluster_options
@limit_options
@verify_options
@remote_options
@values_option
@click.option("--summary", metavar="FILE", help="Write the summary there as well.")
@json_option
@talk_options
def command(sources: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """
    Check SOURCE, then send every row that can be sent.

    After an interruption, the same command goes on with the rows that are left.
    A row is accepted when the API has taken its batch into the queue. Rows that are
    blocked or rejected come back in rejected.*; fixed, feed it to the same job.
    At the end a sample is read back, with a wait of a minute at most; ends with 4 when
    a row differs, or is absent after its time.
    """
    return run("import", sources, flags)
