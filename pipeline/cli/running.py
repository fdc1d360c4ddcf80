"""What `check` and `import` share: one call of the library, then words and a number."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import Connector, ImportRequest, run_import, write_json
from pipeline.cli.exit_codes import NOTHING_TO_DO, OK, exit_code_of_rows
from pipeline.cli.options import found_job, job_of, talk_of
from pipeline.cli.render import (
    mapping_lines,
    nothing_summary,
    run_lines,
    run_summary,
    show_json,
    workspace_line,
)
from pipeline.config import refuse_idle_options, remote_settings
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline import RunReport, StopSignal
    from pipeline.cli.options import Talk
    from pipeline.errors import PipelineError
    from pipeline.settings import Job, Mapping


def run(name: str, sources: tuple[str, ...], flags: dict[str, Any]) -> int:
    """Run pass 1, and pass 2 unless it is a dry run; return the exit code."""
    began_s = time.monotonic()
    talk = talk_of(
        as_json=flags["as_json"], verbose=flags["verbose"], quiet=flags["quiet"]
    )
    found = found_job(flags["config"])
    job, folder = job_of(found, sources, flags)
    if flags["allow_empty"] and _is_nothing(job):
        return _nothing(name, job, talk, flags, time.monotonic() - began_s)
    connector = None if flags["dry_run"] else _connector(job, flags)
    talk.say(f"work folder: {folder}")
    request = ImportRequest(
        job,
        folder,
        is_dry_run=connector is None,
        command=name,
        progress=talk.progress,
        on_mapping=lambda source, mapping: _show_mapping(
            talk, flags, source.kind, mapping
        ),
        on_workspace=lambda workspace: talk.say(workspace_line(workspace)),
        exit_code=lambda counts, error: exit_code_of_rows(
            counts.blocked + counts.rejected, error
        ),
    )
    with _signals(request.stop):
        report = asyncio.run(run_import(request, connector))
    return _finish(report, talk, flags, time.monotonic() - began_s)


@contextmanager
def _signals(stop: StopSignal) -> Iterator[None]:
    """Let SIGINT and SIGTERM ask the run to stop, instead of tearing it down."""
    caught = (signal.SIGINT, signal.SIGTERM)
    before = [
        signal.signal(number, lambda number, _frame: stop.request(number))
        for number in caught
    ]
    try:
        yield
    finally:
        for number, handler in zip(caught, before, strict=True):
            signal.signal(number, handler)


def _nothing(
    name: str, job: Job, talk: Talk, flags: dict[str, Any], seconds: float
) -> int:
    """End a run whose files have 0 bytes; no run is recorded."""
    code = NOTHING_TO_DO if flags["error_on_empty"] else OK
    summary = nothing_summary(name, job.source.paths, code, seconds)
    if flags["summary"]:
        write_json(Path(flags["summary"]), summary)
    talk.say("the source has 0 bytes; nothing to do")
    if talk.as_json:
        show_json(summary)
    return code


def _show_mapping(
    talk: Talk, flags: dict[str, Any], kind: str, mapping: Mapping
) -> None:
    """
    Show the mapping, before anything is read to its end.

    Raises:
        SettingsError: A flag would have no effect on this source or mapping. What a
            job says is not looked at: it may serve files of several kinds.
    """
    refuse_idle_options(kind, flags["delimiter"], flags["encoding"])
    phone = mapping.rule("phone")
    if flags["region"] and phone is None:
        raise SettingsError(
            "--region is for phone numbers, and no column is mapped to phone: leave it "
            "out, or map one"
        )
    if flags["region"] and phone and phone.options.region != flags["region"]:
        raise SettingsError(
            f"the mapping says that phones are of the region {phone.options.region}, "
            "and --region another one: correct the job, or leave the flag out"
        )
    talk.say("\n".join(mapping_lines(mapping)))


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
