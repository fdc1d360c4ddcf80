"""What to type next: the command that the end of this one makes sense of."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from pipeline.cli.render_runs import resume_command
from pipeline.records import VerifyState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline import ApplyReport, PlanReport, RunReport, VerifyReport

Steps = tuple[tuple[str, str], ...]
# They say how to talk, or that nothing is to be sent; the next command has its own.
_NOT_REPEATED: Final = frozenset(
    {"as_json", "verbose", "quiet", "summary", "dry_run", "fresh", "replan"}
)


def after_run(report: RunReport, flags: dict[str, Any]) -> Steps:
    """Return (purpose, command line) for what a check or an import calls for."""
    base_url = flags.get("base_url")
    work_dir = report.folder.parents[1]
    steps = []
    if report.is_resumable:
        line = resume_command(report.run_id, work_dir, base_url)
        steps.append(("To send the rows that are pending", line))
    elif report.counts.planned and report.error is None:
        steps.append(("To send what can be sent", _import()))
    steps += _after_reading_back(report, base_url)
    rejected = report.files.paths.get("rejected")
    if rejected is not None and report.command != "resume":
        purpose = f"To send the rows of {rejected.name}, once they are repaired"
        steps.append((purpose, _import(str(rejected))))
    return tuple(steps)


def after_plan(report: PlanReport, flags: dict[str, Any]) -> Steps:
    """Return (purpose, command line) for what a plan calls for."""
    if report.plan is None:
        return ()
    line = apply_command(report.run.folder, flags["base_url"])
    is_odd = bool(report.plan.trips)
    return (("To apply it all the same" if is_odd else "To apply it", line),)


def after_night(report: ApplyReport, flags: dict[str, Any]) -> Steps:
    """Return (purpose, command line) for what an applied plan calls for."""
    base_url = flags["base_url"]
    steps: Steps = ()
    if report.is_resumable:
        line = resume_command(report.run_id, report.folder.parents[1], base_url)
        steps = (("To send the rows that are pending", line),)
    return (*steps, *_after_reading_back(report, base_url))


def _after_reading_back(report: RunReport | ApplyReport, base_url: str | None) -> Steps:
    seen = report.verification
    if seen is not None and seen.refusal is None:
        return after_verify(seen, base_url)
    if not report.counts.accepted:
        return ()
    line = verify_command(report.run_id, report.folder.parents[1], base_url)
    return (("To read a sample of the accepted rows back", line),)


def after_verify(report: VerifyReport, base_url: str | None) -> Steps:
    """Return (purpose, command line) for what a verification calls for."""
    work_dir = report.folder.parents[1]
    if report.refusal is not None or not report.n_accepted:
        return ()
    line = verify_command(report.run_id, work_dir, base_url)
    steps = []
    if report.counts[VerifyState.NOT_YET]:
        steps.append(("To look again later", line))
    if report.n_asked < report.n_accepted - report.n_ambiguous:
        steps.append(("To ask for every accepted row", f"{line} --all"))
    return tuple(steps)


def verify_command(run_id: str, work_dir: Path, base_url: str | None = None) -> str:
    """Return what to type to read a run back, from the same folder."""
    words = ["crm-pipeline", "verify", run_id, "--work-dir", str(work_dir)]
    words += ["--base-url", base_url] if base_url else []
    return shlex.join(words)


def apply_command(folder: Path, base_url: str | None) -> str:
    """Return what to type to apply a plan, from any folder."""
    words = ["crm-pipeline", "apply", str(folder.absolute())]
    words += ["--base-url", base_url] if base_url else []
    return shlex.join(words)


def _import(source: str | None = None) -> str:
    """Return an import with the flags of this command, of *source* or the same one."""
    context = click.get_current_context()
    words = ["crm-pipeline", "import"]
    for parameter in context.command.params:
        name = parameter.name or ""
        told = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if isinstance(parameter, click.Argument):
            words += context.params[name] if source is None else [source]
        elif told and name not in _NOT_REPEATED:
            words += _words(parameter, context.params[name])
    return shlex.join(map(str, words))


def _words(option: click.Parameter, value: Any) -> Iterator[str]:  # noqa: ANN401 - any
    name = max(option.opts, key=len)
    if value is True:
        yield name
    elif isinstance(value, dict):
        for key, number in value.items():
            yield from (name, f"{key}={number}")
    elif isinstance(value, tuple):
        for each in value:
            yield from (name, str(each))
    else:
        yield from (name, str(value))
