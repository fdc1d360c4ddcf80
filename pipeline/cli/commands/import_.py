"""`import`: the line."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.options import (
    job_option,
    json_option,
    remote_options,
    row_options,
    source_options,
    talk_options,
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
@click.option(
    "--concurrency", type=int, help="Requests in flight; found when not given."
)
@click.option("--rate", type=float, help="Requests a second at most.")
@remote_options
@click.option("--summary", metavar="FILE", help="Write the summary there as well.")
@json_option
@talk_options
def command(sources: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """
    Check SOURCE, then send every row that can be sent.

    A row is accepted when the API has taken its batch into the queue. Rows that are
    blocked or rejected come back in rejected.*; fixed, feed it to the same job.
    """
    return run("import", sources, flags)
