"""What `check` and `import` share: one call of the library, then words and a number."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import Connector, ImportRequest, run_import, write_json
from pipeline.cli.exit_codes import NOTHING_TO_DO, OK, exit_code_of_rows
from pipeline.cli.options import found_job, job_of, talk_of
from pipeline.cli.render import (
    mapping_lines,
    run_lines,
    run_summary,
    show_json,
    workspace_line,
)
from pipeline.config import remote_settings

if TYPE_CHECKING:
    from pipeline import RunReport
    from pipeline.cli.options import Talk
    from pipeline.errors import PipelineError
    from pipeline.settings import Job


def run(name: str, sources: tuple[str, ...], flags: dict[str, Any]) -> int:
    """Run pass 1, and pass 2 unless it is a dry run; return the exit code."""
    began_s = time.monotonic()
    talk = talk_of(
        as_json=flags["as_json"], verbose=flags["verbose"], quiet=flags["quiet"]
    )
    found = found_job(flags["config"])
    job, folder = job_of(found, sources, flags)
    if flags["allow_empty"] and _is_nothing(job):
        talk.say("the source has 0 bytes; nothing to do")
        return NOTHING_TO_DO if flags["error_on_empty"] else OK
    connector = None if flags["dry_run"] else _connector(job, flags)
    talk.say(f"work folder: {folder}")
    request = ImportRequest(
        job,
        folder,
        is_dry_run=connector is None,
        command=name,
        progress=talk.progress,
        on_mapping=lambda _, mapping: talk.say("\n".join(mapping_lines(mapping))),
        on_workspace=lambda workspace: talk.say(workspace_line(workspace)),
        exit_code=lambda counts, error: exit_code_of_rows(
            counts.blocked + counts.rejected, error
        ),
    )
    report = asyncio.run(run_import(request, connector))
    return _finish(report, talk, flags, time.monotonic() - began_s)


def _connector(job: Job, flags: dict[str, Any]) -> Connector:
    remote = remote_settings(
        job,
        base_url=flags["base_url"],
        ca_bundle=flags["ca_bundle"],
        env_proxy=flags["env_proxy"],
    )
    return Connector(remote)


def _finish(
    report: RunReport, talk: Talk, flags: dict[str, Any], seconds: float
) -> int:
    counts = report.counts
    code = exit_code_of_rows(counts.blocked + counts.rejected, report.error)
    if not counts.read:
        talk.say("the source has a header and no rows; nothing was sent")
        code = NOTHING_TO_DO if flags["error_on_empty"] else code
    summary = run_summary(report, code, seconds)
    _write_summaries(report, flags, summary)
    for line in run_lines(report, seconds):
        talk.say(line)
    if talk.as_json:
        show_json(summary)
    if report.error is not None:
        raise _with_advice(report, report.error)
    return code


def _write_summaries(
    report: RunReport, flags: dict[str, Any], summary: dict[str, Any]
) -> None:
    paths = [report.folder / "summary.json"]
    if flags["summary"]:
        paths.append(Path(flags["summary"]))
    for path in paths:
        write_json(path, summary)


def _with_advice(report: RunReport, error: PipelineError) -> PipelineError:
    """Return the error with what to do about the rows that are pending."""
    if not report.counts.pending:
        return error
    return type(error)(
        f"{error} {report.counts.pending:,} rows are pending; the same command sends "
        "them again (a row that arrived already is only repeated)."
    )


def _is_nothing(job: Job) -> bool:
    paths = [Path(path) for path in job.source.paths]
    return all(path.is_file() and path.stat().st_size == 0 for path in paths)
