"""`sync`: a night."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.applying import sync
from pipeline.cli.clusters import cluster_options
from pipeline.cli.options import (
    crm_option,
    full_option,
    job_option,
    json_option,
    limit_options,
    max_deletes_option,
    pace_options,
    remote_options,
    row_options,
    source_options,
    talk_options,
    values_option,
    verify_options,
    work_dir_option,
)


@click.command("sync", short_help="Send what changed: plan and apply, for cron.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@job_option
@work_dir_option
@full_option
@crm_option
@max_deletes_option
@source_options
@row_options
@click.option("--error-on-empty", is_flag=True, help="End with 9 when no row came.")
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
    Send the rows of SOURCE that differ from what the CRM was last told.

    What an interrupted night left is planned anew, with the values of today. Ends with
    0 when all of it is true in the end, with 3 when rows were blocked or refused, with
    75 when patience ended, with 80 while another run is at work.
    """
    return sync(sources, flags)
