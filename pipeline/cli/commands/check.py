"""`check`: pass 1 alone."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.options import (
    empty_options,
    job_option,
    json_option,
    row_options,
    source_options,
    talk_options,
    values_option,
    work_dir_option,
)
from pipeline.cli.running import run


@click.command("check", short_help="Read a source and say what would be sent.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@job_option
@work_dir_option
@source_options
@row_options
@empty_options
@values_option
@click.option("--summary", metavar="FILE", help="Write the summary there as well.")
@json_option
@talk_options
def command(sources: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """
    Read SOURCE to its end, send nothing, and say what would be sent.

    Ends with 0 when every row can be sent, else with 3.
    """
    return run("check", sources, {**flags, "dry_run": True})
