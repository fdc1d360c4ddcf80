"""`apply`: the rows of a plan."""

from __future__ import annotations

import time
from typing import Any

import click

from pipeline.cli.applying import apply, placed
from pipeline.cli.clusters import cluster_options
from pipeline.cli.options import (
    address_options,
    job_option,
    json_option,
    limit_options,
    max_deletes_option,
    pace_options,
    replan_option,
    talk_options,
    values_option,
    verify_options,
    work_dir_option,
)


@click.command("apply", short_help="Send exactly the rows of a plan.")
@click.argument("plan_", metavar="PLAN")
@job_option
@work_dir_option
@replan_option
@max_deletes_option
@pace_options
@cluster_options
@limit_options
@verify_options
@address_options
@values_option
@click.option("--summary", metavar="FILE", help="Write the summary there as well.")
@json_option
@talk_options
def command(plan_: str, **flags: Any) -> int:  # noqa: ANN401
    """
    Send the rows of PLAN, a folder that `plan` wrote, and nothing else.

    The source is not read again. A plan is refused when the job, the workspace or what
    was confirmed is not what it was, when a file of it was altered, or when it is too
    old. After an interruption, the same command goes on.
    """
    began_s = time.monotonic()
    folder, plan_id = placed(plan_, flags)
    return apply(folder, plan_id, flags, began_s)
