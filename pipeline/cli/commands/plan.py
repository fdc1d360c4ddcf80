"""`plan`: what would be sent, and nothing else."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.applying import plan
from pipeline.cli.options import (
    crm_option,
    full_option,
    job_option,
    json_option,
    max_deletes_option,
    remote_options,
    row_options,
    source_options,
    talk_options,
    values_option,
    work_dir_option,
)


@click.command("plan", short_help="Say what differs from what was confirmed.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@job_option
@work_dir_option
@full_option
@crm_option
@max_deletes_option
@source_options
@row_options
@remote_options
@values_option
@click.option("--summary", metavar="FILE", help="Write the summary there as well.")
@json_option
@talk_options
def command(sources: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """
    Compare SOURCE with what the CRM was last told, and write a plan.

    Nothing is sent. The plan is a folder with the exact rows; `apply` sends them. What
    the CRM was told is known from the digests of accepted rows in the work folder.
    Ends with 3 when some rows can never be sent.
    """
    return plan(sources, flags)
