"""`doctor`: can a run begin here, and what would stop it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from pipeline import Checked, DoctorRequest, Level, examine
from pipeline.cli.exit_codes import OK, exit_code_of
from pipeline.cli.options import (
    connector_of,
    found_job,
    job_option,
    remote_options,
    talk_of,
    talk_options,
    work_dir_option,
)
from pipeline.cli.render import show_json
from pipeline.cli.render_doctor import check_line, doctor_json
from pipeline.config import no_job, work_dir
from pipeline.environment import (
    alert_address,
    metrics_path,
    remote_settings,
    service_url,
)
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline import Connector
    from pipeline.config import JobFile


@click.command("doctor", short_help="Look at all that a run needs.")
@job_option
@work_dir_option
@remote_options
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@talk_options
def command(**flags: Any) -> int:  # noqa: ANN401
    """
    Look at the job, the network, the service, the key, the clock and the disk.

    One line each: ok, warning or fails, and what to do. Nothing is written to the CRM;
    what updates or deletes is not tried. Ends with what a run would end with, or 0.
    """
    talk = talk_of(
        as_json=flags["as_json"], verbose=flags["verbose"], quiet=flags["quiet"]
    )
    checks: list[Checked] = []
    found = _job(flags["config"], checks)
    connector = _connector(found, flags, checks)
    folder = work_dir(flags["work_dir"], found)
    request = DoctorRequest(
        folder,
        service_url(flags["base_url"]),
        connector,
        pin=flags["expect_workspace"] or found.job.workspace.guid,
        before=(*checks, *_channels(found)),
    )

    def show(check: Checked) -> None:
        if not (talk.as_json or talk.quiet):
            click.echo(check_line(check))

    report = asyncio.run(examine(request, on_check=show))
    code = OK if report.gravest is None else exit_code_of(report.gravest)
    if talk.as_json:
        show_json(doctor_json(report, code))
    return code


def _job(config: str | None, checks: list[Checked]) -> JobFile:
    try:
        found = found_job(config)
    except PipelineError as error:
        checks.append(Checked("job", Level.FAILS, str(error), error))
        return no_job()
    if found.path is not None:
        checks.append(Checked("job", Level.OK, f"{found.path} can be read"))
    return found


def _connector(
    found: JobFile, flags: dict[str, Any], checks: list[Checked]
) -> Connector | None:
    try:
        remote = remote_settings(
            found.job,
            base_url=flags["base_url"],
            ca_bundle=flags["ca_bundle"],
            env_proxy=flags["env_proxy"],
        )
    except PipelineError as error:
        checks.append(Checked("credentials", Level.FAILS, str(error), error))
        return None
    return connector_of(remote)


def _channels(found: JobFile) -> list[Checked]:
    """Look at where the end of a run is told; nothing is sent there."""
    checks = []
    try:
        if alert_address(found.job.notify) is not None:
            told = "an address is set; nothing was sent there"
            checks.append(Checked("alerts", Level.OK, told))
    except PipelineError as error:
        checks.append(Checked("alerts", Level.FAILS, str(error), error))
    path = metrics_path(found.job, found.folder)
    if path is not None:
        checks.append(_metrics(path))
    return checks


def _metrics(path: Path) -> Checked:
    if not os.access(path.parent, os.W_OK):
        told = f"{path.parent} is no folder that can be written; make it"
        return Checked("metrics", Level.WARNING, told)
    if path.suffix != ".prom":
        told = f"the node exporter reads *.prom only, and this is {path.name}"
        return Checked("metrics", Level.WARNING, told)
    return Checked("metrics", Level.OK, str(path))
