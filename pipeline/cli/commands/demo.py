"""`demo`: five thousand messy customers through the whole line, in a minute."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline import (
    Connector,
    Credentials,
    Ending,
    ExportRequest,
    ImportRequest,
    ReconcileRequest,
    RemoteSettings,
    Secret,
    export_profiles,
    reconcile_source,
    run_import,
    write_export_report,
    write_json,
    write_reconcile_report,
    write_run_report,
)
from pipeline.cli.exit_codes import INCOMPLETE, OK, PARTIAL, exit_code_of_run
from pipeline.cli.options import found_job, job_of, talk_of, talk_options
from pipeline.cli.render import (
    mapping_lines,
    run_lines,
    run_summary,
    workspace_line,
)
from pipeline.cli.render_export import export_lines
from pipeline.cli.render_reconcile import (
    exit_code_of_reconcile,
    reconcile_json,
    reconcile_lines,
)
from pipeline.cli.render_verify import verify_lines
from pipeline.errors import SourceMissingError
from pipeline.records import RowClass, VerifyState
from pipeline.sandbox.server import SandboxOptions, running_sandbox

if TYPE_CHECKING:
    from pipeline import ExportReport, ReconcileReport, RunReport
    from pipeline.cli.options import Talk

JOB: Final = "configs/migrate-customers.yaml"
# What the sample is made to give, see sample_data/README.md.
EXPECTED_CODE: Final = PARTIAL


@click.command("demo", short_help="Show the tool at work against a sandbox.")
@click.option("--work-dir", default=".crm-pipeline/demo", show_default=True)
@talk_options
def command(work_dir: str, **flags: Any) -> int:  # noqa: ANN401
    """
    Run check, import, verify, export and reconcile on sample_data/.

    Against a sandbox on this machine: needs neither network nor credentials. Run it in
    the project's folder.
    """
    talk = talk_of(verbose=flags["verbose"], quiet=flags["quiet"])
    if not Path(JOB).is_file():
        raise SourceMissingError(
            f"the demo needs {JOB} and sample_data/; run it in the project's folder"
        )
    options = SandboxOptions(settle_s=0.1)
    with running_sandbox(options) as sandbox:
        talk.say(f"A sandbox of the API listens at {sandbox.base_url}.")
        remote = RemoteSettings(
            sandbox.base_url, Credentials(api_key=Secret(sandbox.api_key))
        )
        return _show(talk, Connector(remote), work_dir)


def _show(talk: Talk, connector: Connector, work_dir: str) -> int:
    talk.say("\n1. check: read everything, send nothing")
    checked, _, _ = _run(talk, None, work_dir)
    talk.say("\n2. import: send what can be sent")
    report, code, page = _run(talk, connector, work_dir)
    talk.say("\n3. verify: ask the API for what is there now, and compare")
    seen = report.verification  # the import did it, as its job says
    for line in [] if seen is None else verify_lines(seen):
        talk.say(line)
    talk.say("\n4. export: the CRM's profiles into a file")
    exported, beside = _export(talk, connector, Path(work_dir))
    talk.say("\n5. reconcile: the list against that file, field by field")
    compared, comparison = _reconcile(talk, exported.path, work_dir)
    done = (
        code == EXPECTED_CODE
        and checked.counts.planned == report.counts.accepted
        and seen is not None
        and seen.counts[VerifyState.SETTLED] == seen.n_asked > 0
        and exported.certificate.is_complete
        and compared.rows[RowClass.MATCHED] > 0
        and not compared.n_differing
        and not compared.rows[RowClass.ONLY_IN_SOURCE]
    )
    talk.say(
        "\nAll of it went as the sample is made to go. Nothing left this machine."
        if done
        else "\nThis is not what the sample should give: please report it."
    )
    for what, path in (
        ("export", beside), ("reconcile", comparison), ("import and verify", page),
    ):  # fmt: skip
        talk.say(f"report of {what}: {path}")
    return OK if done else INCOMPLETE


def _export(
    talk: Talk, connector: Connector, folder: Path
) -> tuple[ExportReport, Path]:
    began_s = time.monotonic()
    place = folder / "profiles.parquet"
    request = ExportRequest(place, folder, detail="full", overwrite=True)
    report = asyncio.run(export_profiles(request, connector))
    for line in export_lines(report):
        talk.say(line)
    return report, write_export_report(report, _ending(OK, began_s))


def _reconcile(
    talk: Talk, against: Path, work_dir: str
) -> tuple[ReconcileReport, Path]:
    began_s = time.monotonic()
    job, folder = job_of(found_job(JOB), (), {"work_dir": work_dir})
    request = ReconcileRequest(job, folder, against=against, progress=talk.progress)
    report = asyncio.run(reconcile_source(request, None))
    code = exit_code_of_reconcile(report, 0.0)
    write_json(Path(report.folder, "summary.json"), reconcile_json(report, code))
    for line in reconcile_lines(report, config=JOB):
        talk.say(line)
    return report, write_reconcile_report(report, 0.0, _ending(code, began_s))


def _ending(code: int, began_s: float) -> Ending:
    return Ending(code, time.monotonic() - began_s, time.time())


def _run(
    talk: Talk, connector: Connector | None, work_dir: str
) -> tuple[RunReport, int, Path]:
    began_s = time.monotonic()
    job, folder = job_of(found_job(JOB), (), {"work_dir": work_dir})
    request = ImportRequest(
        job,
        folder,
        is_dry_run=connector is None,
        command="check" if connector is None else "import",
        progress=talk.progress,
        on_workspace=lambda workspace: talk.say(workspace_line(workspace)),
        exit_code=exit_code_of_run,
    )
    report = asyncio.run(run_import(request, connector))
    seconds = time.monotonic() - began_s
    if connector is None:
        for line in mapping_lines(report.mapping):
            talk.say(line)
    for line in run_lines(report, seconds):
        talk.say(line)
    code = exit_code_of_run(report.counts, report.error, report.n_wrong)
    write_json(report.folder / "summary.json", run_summary(report, code, seconds))
    page = write_run_report(report, Ending(code, seconds, time.time()))
    return report, code, page
