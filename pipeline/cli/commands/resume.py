"""`resume`: what an interrupted import left."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.clusters import cluster_options
from pipeline.cli.options import (
    address_options,
    job_option,
    json_option,
    limit_options,
    pace_options,
    replan_option,
    talk_options,
    values_option,
    verify_options,
    work_dir_option,
)
from pipeline.cli.running import resume


@click.command("resume", short_help="Go on with an interrupted import.")
@click.argument("run_id", required=False, metavar="[RUN]")
@job_option
@work_dir_option
@replan_option
@pace_options
@cluster_options
@limit_options
@verify_options
@address_options
@values_option
@click.option("--summary", metavar="FILE", help="Write the summary there as well.")
@json_option
@talk_options
def command(run_id: str | None, **flags: Any) -> int:  # noqa: ANN401
    """
    Go on with RUN, or with the only one that was interrupted.

    It sends the rows that are not proven, of the files and under the settings that RUN
    began with; JOB only says where the work folder is. What was answered with 202 is
    not sent again.
    """
    return resume(run_id, flags)
