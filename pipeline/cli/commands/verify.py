"""`verify`: does the CRM hold what an import was told is accepted?"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import click

from pipeline import (
    Ending,
    VerifyRequest,
    list_runs,
    remembered_run_job,
    run_details,
    verify_run,
    write_json,
    write_verify_report,
)
from pipeline.cli.beginning import signals
from pipeline.cli.exit_codes import DIFFERENT, OK, exit_code_of
from pipeline.cli.next_steps import after_verify
from pipeline.cli.options import (
    address_options,
    connector_of,
    found_job,
    job_option,
    json_option,
    talk_of,
    talk_options,
    values_option,
    work_dir_option,
)
from pipeline.cli.render import closing_lines, show_json, workspace_line
from pipeline.cli.render_verify import verify_json, verify_lines
from pipeline.cli.watching import note, watch
from pipeline.config import work_dir
from pipeline.environment import remote_settings
from pipeline.errors import SettingsError
from pipeline.settings import VERIFY_ROWS, VERIFY_SETTLE_S

SUMMARY_NAME: Final = "verify.json"


@click.command("verify", short_help="Read accepted rows back and compare them.")
@click.argument("run_id", required=False, metavar="[RUN]")
@job_option
@work_dir_option
@click.option(
    "--verify-rows",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Rows of the sample. [default: as the job says, {VERIFY_ROWS}]",
)
@click.option("--all", "is_all", is_flag=True, help="Ask for every accepted row.")
@click.option(
    "--settle",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    help="How long after its 202 a row may take to appear. "
    f"[default: as the job says, {VERIFY_SETTLE_S:.0f}]",
)
@address_options
@values_option
@click.option("--summary", metavar="FILE", help="Write the summary there as well.")
@json_option
@talk_options
def command(run_id: str | None, **flags: Any) -> int:  # noqa: ANN401
    """
    Ask the CRM for rows of RUN, or of the newest one, and compare what was sent.

    A sample of 300 rows without a fault shows, at 95 %, that about 1 % at most are
    wrong; the exact bound is told.
    Waits for rows that are not there yet; Ctrl-C ends the wait with what is known. Ends
    with 4 when a row differs, or is absent after its time. Reads only.
    """
    began_s = time.monotonic()
    talk = talk_of(
        as_json=flags["as_json"], verbose=flags["verbose"], quiet=flags["quiet"]
    )
    if flags["is_all"] and flags["verify_rows"]:
        raise click.UsageError("--all and --verify-rows contradict each other")
    found = found_job(flags["config"])
    folder = work_dir(flags["work_dir"], found)
    run_id = talk.voice.run_id = run_id or _newest(folder)
    job = remembered_run_job(folder, run_id)
    dataset = run_details(folder, run_id).run.dataset
    watch("verify", dataset, job=job, found=found, work_dir=folder, flags=flags)
    remote = remote_settings(
        job,
        base_url=flags["base_url"],
        ca_bundle=flags["ca_bundle"],
        env_proxy=flags["env_proxy"],
    )
    request = VerifyRequest(
        folder,
        run_id,
        n_rows=None if flags["is_all"] else flags["verify_rows"] or job.verify_rows,
        settle_s=job.settle if flags["settle"] is None else flags["settle"],
        progress=talk.progress,
        on_workspace=lambda workspace: talk.say(workspace_line(workspace)),
    )
    with signals(request.stop):
        report = asyncio.run(verify_run(request, connector_of(remote)))
    code = DIFFERENT if report.n_wrong else OK
    if report.error is not None:
        code = exit_code_of(report.error)
    steps = after_verify(report, flags["base_url"])
    seconds = time.monotonic() - began_s
    ending = Ending(code, seconds, time.time(), steps, flags["show_values"])
    path = write_verify_report(report, ending)
    summary = verify_json(report, code)
    summary["files"]["report"] = str(path)
    note(summary)
    paths = [report.folder / SUMMARY_NAME]
    paths += [Path(flags["summary"])] if flags["summary"] else []
    for summary_path in paths:
        write_json(summary_path, summary)
    for line in (*verify_lines(report), *closing_lines(steps, path)):
        talk.say(line)
    if talk.as_json:
        show_json(summary)
    if report.error is not None:
        raise report.error
    return code


def _newest(folder: Path) -> str:
    runs = list_runs(folder)
    if not runs:
        raise SettingsError(
            f"there is no run in {folder}; name its --work-dir, or import first"
        )
    return runs[-1].run_id
