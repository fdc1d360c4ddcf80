"""`export`: profiles into a file."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import (
    Ending,
    ExportRequest,
    destination_of,
    export_profiles,
    export_report_path,
    write_export_report,
    write_json,
)
from pipeline.cli.beginning import signals
from pipeline.cli.clusters import cluster_for, cluster_options
from pipeline.cli.exit_codes import INCOMPLETE, OK
from pipeline.cli.options import (
    connector_of,
    found_job,
    job_option,
    json_option,
    pace_options,
    remote_options,
    talk_of,
    talk_options,
    values_option,
    work_dir_option,
)
from pipeline.cli.render import closing_lines, show_json, workspace_line
from pipeline.cli.render_export import continued_line, export_lines, export_summary
from pipeline.cli.watching import note, watch
from pipeline.config import work_dir
from pipeline.environment import remote_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline import ExportReport
    from pipeline.cli.options import Talk
    from pipeline.settings import Job

_RECOGNIZED = {"yes": True, "no": False, None: None}


@click.command("export", short_help="Write the CRM's profiles to a file.")
@click.argument("destination", metavar="DEST")
@job_option
@work_dir_option
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option(
    "--allow-incomplete",
    is_flag=True,
    help="Keep the name, and end with 0, when it is not shown to be complete.",
)
@click.option(
    "--road",
    type=click.Choice(["auto", "pages", "windows"]),
    default="auto",
    show_default=True,
    help="How to go beyond what the list shows.",
)
@click.option(
    "--detail",
    type=click.Choice(["list", "full"]),
    default="list",
    show_default=True,
    help="What the list holds, or attributes and agreements too.",
)
@click.option(
    "--by-identifiers",
    metavar="FILE",
    help="Export, in full, the profiles that the file names.",
)
@click.option(
    "--recognized",
    type=click.Choice(["yes", "no"]),
    help="Only recognised profiles, or only anonymous ones.",
)
@click.option("--search", metavar="TEXT", help="Only what the list finds for it.")
@click.option(
    "--fields", metavar="LIST", help="Columns, with commas, as in email,attributes."
)
@click.option(
    "--spreadsheet-safe",
    is_flag=True,
    help="CSV for people: no formulas, numbers of phones stay text.",
)
@click.option("--fresh", is_flag=True, help="Begin anew, not where one was cut off.")
@pace_options
@cluster_options
@remote_options
@values_option
@click.option("--summary", metavar="FILE", help="Write the summary there.")
@json_option
@talk_options
def command(destination: str, **flags: Any) -> int:  # noqa: ANN401
    """
    Write the profiles of the CRM to DEST (.csv, .parquet or .jsonl), a file or an
    object: s3://BUCKET/NAME, gs:// or az://.

    The list shows 10,000 profiles at most; beyond that the pages of GET /v4/clients
    are read, or the list is asked window by window. A certificate beside the file says
    what was counted. What is not shown to be complete is named NAME.incomplete.EXT,
    and the command ends with 5. An export that was cut off goes on when it is
    started again within 24 hours.
    """
    began_s = time.monotonic()
    talk = talk_of(
        as_json=flags["as_json"], verbose=flags["verbose"], quiet=flags["quiet"]
    )
    found = found_job(flags["config"])
    job = found.job
    folder = work_dir(flags["work_dir"], found)
    path, objects = destination_of(destination)
    dataset = job.name or (destination if objects else str(path.absolute()))
    watch("export", dataset, job=job, found=found, work_dir=folder, flags=flags)
    remote = remote_settings(
        job,
        base_url=flags["base_url"],
        ca_bundle=flags["ca_bundle"],
        env_proxy=flags["env_proxy"],
    )

    def page(report: ExportReport) -> tuple[Path]:
        ending = Ending(
            _exit_code(report, flags),
            time.monotonic() - began_s,
            time.time(),
            shows_values=flags["show_values"],
        )
        return (write_export_report(report, ending),)

    with talk.progress.exporting() as on_rows:
        request = _request(path, folder, job, flags, talk, on_rows)
        request = replace(request, objects=objects, on_written=page)
        with signals(request.stop):
            report = asyncio.run(export_profiles(request, connector_of(remote)))
    code = _exit_code(report, flags)
    report_place = report.place_of(export_report_path(report))
    for line in (*export_lines(report), *closing_lines((), report_place)):
        talk.say(line)
    summary = export_summary(report, code)
    summary["report"] = report_place
    note(summary)
    if flags["summary"]:
        write_json(Path(flags["summary"]), summary)
    if talk.as_json:
        show_json(summary)
    return code


def _exit_code(report: ExportReport, flags: dict[str, Any]) -> int:
    is_fine = report.certificate.is_complete or flags["allow_incomplete"]
    return OK if is_fine else INCOMPLETE


def _request(  # noqa: PLR0917 - everything that the flags and the job say
    destination: Path,
    folder: Path,
    job: Job,
    flags: dict[str, Any],
    talk: Talk,
    on_rows: Callable[[int, int | None], None],
) -> ExportRequest:
    names = flags["by_identifiers"]
    fields = (flags["fields"] or "").split(",")

    def told(name: str) -> Any:  # noqa: ANN401 - as the job has it
        return getattr(job.delivery, name) if flags[name] is None else flags[name]

    return ExportRequest(
        destination,
        folder,
        road=flags["road"],
        detail=flags["detail"],
        recognized=_RECOGNIZED[flags["recognized"]],
        search=flags["search"],
        fields=tuple(name.strip() for name in fields if name.strip()),
        names_path=None if names is None else Path(names),
        spreadsheet_safe=flags["spreadsheet_safe"],
        overwrite=flags["overwrite"],
        allow_incomplete=flags["allow_incomplete"],
        is_fresh=flags["fresh"],
        expected_guid=flags["expect_workspace"] or job.workspace.guid,
        concurrency=told("concurrency"),
        rate=told("rate"),
        cluster=cluster_for(flags),
        on_rows=on_rows,
        on_workspace=lambda workspace: talk.say(workspace_line(workspace)),
        on_continued=lambda n_rows: talk.say(continued_line(n_rows)),
    )
