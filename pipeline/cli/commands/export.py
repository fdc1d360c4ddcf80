"""`export`: profiles into a file."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from pipeline import Ending, export_profiles, write_export_report, write_json
from pipeline.cli.exit_codes import INCOMPLETE, OK
from pipeline.cli.options import (
    connector_of,
    found_job,
    job_option,
    json_option,
    remote_options,
    talk_of,
    talk_options,
    values_option,
)
from pipeline.cli.render import (
    closing_lines,
    export_lines,
    export_summary,
    show_json,
    workspace_line,
)
from pipeline.cli.watching import note, watch
from pipeline.config import remote_settings, work_dir


@click.command("export", short_help="Write the CRM's profiles to a file.")
@click.argument("destination", metavar="DEST")
@job_option
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option(
    "--allow-incomplete",
    is_flag=True,
    help="Keep the name, and end with 0, when it is not shown to be complete.",
)
@remote_options
@values_option
@click.option("--summary", metavar="FILE", help="Write the summary there.")
@json_option
@talk_options
def command(destination: str, **flags: Any) -> int:  # noqa: ANN401
    """
    Write what the list endpoint shows to DEST (.csv, .parquet or .jsonl).

    The endpoint shows 10,000 profiles at most; beyond that it is asked window by
    window. A certificate beside the file says what was counted. What is not shown to
    be complete is named NAME.incomplete.EXT, and the command ends with 5.
    """
    began_s = time.monotonic()
    talk = talk_of(
        as_json=flags["as_json"], verbose=flags["verbose"], quiet=flags["quiet"]
    )
    found = found_job(flags["config"])
    job = found.job
    dataset = job.name or str(Path(destination).absolute())
    folder = work_dir(None, found)
    watch("export", dataset, job=job, found=found, work_dir=folder, flags=flags)
    remote = remote_settings(
        job,
        base_url=flags["base_url"],
        ca_bundle=flags["ca_bundle"],
        env_proxy=flags["env_proxy"],
    )
    report = asyncio.run(
        export_profiles(
            connector_of(remote),
            Path(destination),
            overwrite=flags["overwrite"],
            allow_incomplete=flags["allow_incomplete"],
            expected_guid=flags["expect_workspace"] or job.workspace.guid,
        )
    )
    talk.say(workspace_line(report.workspace))
    is_fine = report.certificate.is_complete or flags["allow_incomplete"]
    code = OK if is_fine else INCOMPLETE
    ending = Ending(
        code,
        time.monotonic() - began_s,
        time.time(),
        shows_values=flags["show_values"],
    )
    path = write_export_report(report, ending)
    for line in (*export_lines(report), *closing_lines((), path)):
        talk.say(line)
    summary = export_summary(report, code)
    summary["report"] = str(path)
    note(summary)
    if flags["summary"]:
        write_json(Path(flags["summary"]), summary)
    if talk.as_json:
        show_json(summary)
    return code
