"""Shared options, and how flags and a job file become one job: a flag wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import ValidationError

from pipeline import Connector
from pipeline.cli.talking import SAID, keep_stderr_for_us, surroundings
from pipeline.config import JobFile, beside, no_job, read_job, work_dir
from pipeline.errors import SettingsError
from pipeline.logs import JsonFormatter, set_up_logging
from pipeline.progress import NO_PROGRESS, Bars, Events
from pipeline.settings import Job

if TYPE_CHECKING:
    from pipeline import RemoteSettings
    from pipeline.cli.talking import Voice
    from pipeline.progress import ProgressView
    from pipeline.settings import MappingSettings

F = TypeVar("F", bound=Callable[..., Any])


def stacked(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator for several options, shown in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _budgets(
    _context: click.Context, _option: click.Parameter, told: tuple[str, ...]
) -> dict[str, int]:
    """Read FIELD=N; the name of an attribute may hold the sign, a number cannot."""
    budgets = {}
    for text in told:
        name, _, number = text.rpartition("=")
        if not name or not (number.isascii() and number.isdigit()):
            raise click.BadParameter(f"{text!r} is not FIELD=N, such as city=20")
        budgets[name] = int(number)
    return budgets


job_option = click.option(
    "-c", "--config", "config", metavar="JOB", help="Job file, YAML or TOML."
)
work_dir_option = click.option(
    "--work-dir",
    metavar="DIR",
    help="Journal and run files; beside the job, or here, when not given.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Summary as JSON on stdout."
)
values_option = click.option(
    "--show-values",
    is_flag=True,
    help="Show values of the examples in the report; masked when not given.",
)
talk_options = stacked(
    click.option("-v", "--verbose", is_flag=True, help="Log what happens, on stderr."),
    click.option("--quiet", is_flag=True, help="No progress, no talk."),
)
address_options = stacked(
    click.option("--base-url", metavar="URL", help="[default: $SYNERISE_BASE_URL]"),
    click.option("--ca-bundle", metavar="FILE", help="Trusted authorities, PEM."),
    click.option("--env-proxy", is_flag=True, help="Obey the proxy variables."),
)
remote_options = stacked(
    address_options,
    click.option(
        "--expect-workspace", metavar="GUID", help="Refuse any other workspace."
    ),
)
pace_options = stacked(
    click.option(
        "--concurrency", type=int, help="Requests in flight; found when not given."
    ),
    click.option("--rate", type=float, help="Requests a second at most."),
)
limit_options = stacked(
    click.option(
        "--max-rejects",
        type=int,
        metavar="N",
        help="Rows the API may refuse; one more ends the run with 6. "
        "[default: 100, or 1 % of the rows if that is more]",
    ),
    click.option(
        "--max-wait",
        type=float,
        metavar="SECONDS",
        help="How long the API may be down before the run ends with 75. [default: 900]",
    ),
    click.option(
        "--max-duration",
        type=float,
        metavar="SECONDS",
        help="End after so long with 75, what is left pending.",
    ),
)
verify_options = stacked(
    click.option(
        "--verify",
        type=click.Choice(["sample", "all", "none"]),
        help="What to read back at the end. [default: sample]",
    ),
    click.option(
        "--verify-rows",
        type=click.IntRange(min=1),
        metavar="N",
        help="Rows of the sample. [default: 300]",
    ),
    click.option(
        "--settle",
        type=click.FloatRange(min=0.0),
        metavar="SECONDS",
        help="How long after its 202 a row may take to appear. [default: 600]",
    ),
)
replan_option = click.option(
    "--replan",
    is_flag=True,
    help="Make new batches of what is not proven, if old ones cannot be made again.",
)
full_option = click.option(
    "--full",
    is_flag=True,
    help="Plan every row, also what the CRM has already: that may start automations, "
    "and replaces what people changed there.",
)
crm_option = click.option(
    "--crm",
    metavar="FILE",
    help="An export of the workspace: a first plan takes what it shows for confirmed, "
    "and sync.mode learns from it whom the CRM has.",
)
max_deletes_option = click.option(
    "--max-deletes",
    metavar="N",
    type=click.IntRange(min=0),
    help="Profiles that sync.mode: mirror may delete; one more, and nothing is sent. "
    "[default: 0]",
)
source_options = stacked(
    click.option(
        "--format",
        "format_",
        type=click.Choice(["csv", "parquet", "jsonl"]),
        help="Of the source; its content decides when not given.",
    ),
    click.option("--encoding", help="Of the source; UTF-8 when not given."),
    click.option("--delimiter", help="Of CSV; found when not given."),
)
row_options = stacked(
    click.option(
        "--extra-columns",
        type=click.Choice(["attributes", "ignore", "refuse"]),
        help="What unmapped columns become. [default: refuse]",
    ),
    click.option(
        "--blank",
        type=click.Choice(["omit", "erase", "block"]),
        help="What a blank cell means. [default: omit]",
    ),
    click.option("--null-token", metavar="TEXT", help="A cell that erases its field."),
    click.option(
        "--allow-erase",
        metavar="FIELD=N",
        multiple=True,
        callback=_budgets,
        help="Rows that may erase a field; repeatable. [default: none]",
    ),
    click.option(
        "--duplicates",
        type=click.Choice(["fold", "first", "last", "block"]),
        help="Several rows of one profile. [default: fold]",
    ),
    click.option(
        "--region", metavar="XX", help="Region of national phone numbers, as in PL."
    ),
    click.option(
        "--accept-finding",
        metavar="CODE[:COLUMN]",
        multiple=True,
        help="A finding that is to stop nothing; may be repeated.",
    ),
    click.option("--max-rows", type=int, help="Rows a request. [default: 1000]"),
    click.option("--max-bytes", type=int, help="Bytes a request. [default: 950000]"),
)
empty_options = stacked(
    click.option(
        "--allow-empty", is_flag=True, help="A file of 0 bytes is no error, but 0 rows."
    ),
    click.option("--error-on-empty", is_flag=True, help="End with 9 when no row came."),
)


@dataclass(frozen=True, slots=True)
class Talk:
    """How much is said, and where."""

    as_json: bool
    quiet: bool
    progress: ProgressView
    voice: Voice

    def say(self, text: str = "", *, event: str = SAID, **fields: Any) -> None:  # noqa: ANN401
        """Say something to people, on stderr; event and fields are for programs."""
        if not self.quiet:
            self.voice.say(text, event=event, **fields)


def talk_of(*, verbose: bool, quiet: bool, as_json: bool = False) -> Talk:
    """
    Set up logging and progress as the flags ask.

    With --verbose, native libraries may write to stderr as well.

    Raises:
        UsageError: The flags contradict each other.
    """
    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet contradict each other")
    if not verbose:
        keep_stderr_for_us()
    voice = surroundings().voice
    voice.is_quiet = quiet
    progress: ProgressView = Bars()
    formatter = None
    if voice.is_json:
        formatter = JsonFormatter(lambda: voice.run_id)
        progress = Events(voice.tell)
    set_up_logging(verbose=verbose, formatter=formatter)
    return Talk(as_json, quiet, NO_PROGRESS if quiet else progress, voice)


def connector_of(remote: RemoteSettings) -> Connector:
    """Return the way to the service: sockets, or what was handed to `main`."""
    return (surroundings().connect or Connector)(remote)


def found_job(config: str | None) -> JobFile:
    """Read the job file, if one is named."""
    return no_job() if config is None else read_job(Path(config))


def job_of(
    found: JobFile, sources: tuple[str, ...], flags: dict[str, Any]
) -> tuple[Job, Path]:
    """
    Join a job file and the flags; a flag wins.

    Returns:
        The job, its source as seen from the current folder; and the work folder.

    Raises:
        SettingsError: A flag has a wrong value, or no source is named.
    """
    told = found.job.model_dump(exclude_unset=True)
    mapping = found.job.mapping
    told.pop("mapping", None)
    if sources:
        told.pop("source", None)
        told["source"] = found.job.source.model_dump(
            exclude_unset=True, exclude={"query", "connection"}
        )
    else:
        sources = _own_sources(told["source"], found) if "source" in told else ()
    if not sources and found.job.source.query is None:
        raise SettingsError("name a source: a file, a folder or a glob")
    _put(
        told,
        "source",
        path=sources or None,
        format=flags.get("format_"),
        encoding=flags.get("encoding"),
        delimiter=flags.get("delimiter"),
    )
    _put(
        told,
        "rows",
        extra_columns=flags.get("extra_columns"),
        blank=flags.get("blank"),
        null_token=flags.get("null_token"),
        allow_erase=_budgets_of(found.job, flags),
        duplicates=flags.get("duplicates"),
        region=flags.get("region"),
        accept_findings=(
            *found.job.rows.accept_findings,
            *flags.get("accept_finding", ()),
        ),
    )
    _put_delivery(told, flags)
    _put_verify(told, flags)
    _put(told, "workspace", guid=flags.get("expect_workspace"))
    _put(told, "sync", max_deletes=flags.get("max_deletes"))
    if found.job.metrics is not None:
        # A resumption may start elsewhere, without the job file.
        told["metrics"] = str((found.folder / found.job.metrics).absolute())
    return _job(told, mapping), work_dir(flags.get("work_dir"), found)


def _own_sources(told: dict[str, Any], found: JobFile) -> tuple[str, ...]:
    """Return the paths that a job names, as seen from here; so is its connection."""
    told.pop("path", None)
    if found.job.source.connection is not None:
        connection = found.job.source.connection.get_secret_value()
        told["connection"] = beside(found.folder, connection)
    return tuple(beside(found.folder, path) for path in found.job.source.paths)


def _budgets_of(job: Job, flags: dict[str, Any]) -> dict[str, int] | None:
    """Return the budgets of the job with those of the flags; None without a flag."""
    told: dict[str, int] = flags.get("allow_erase") or {}
    return {**job.rows.allow_erase, **told} if told else None


def job_to_resume(remembered: Job, flags: dict[str, Any]) -> Job:
    """
    Return the job of an interrupted run, at the pace that the flags ask for, and with
    their verification.

    Raises:
        SettingsError: A flag has a wrong value.
    """
    told = remembered.model_dump(exclude_unset=True)
    told.pop("mapping", None)
    _put_delivery(told, flags)
    _put_verify(told, flags)
    return _job(told, remembered.mapping)


def _job(told: dict[str, Any], mapping: MappingSettings | None) -> Job:
    try:
        job = Job.model_validate(told)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
        )
        raise SettingsError(f"a flag has a wrong value: {faults}") from None
    return job if mapping is None else job.model_copy(update={"mapping": mapping})


def _put_delivery(told: dict[str, Any], flags: dict[str, Any]) -> None:
    _put(
        told,
        "delivery",
        concurrency=flags.get("concurrency"),
        rate=flags.get("rate"),
        max_rows=flags.get("max_rows"),
        max_bytes=flags.get("max_bytes"),
        max_rejects=flags.get("max_rejects"),
        max_wait=flags.get("max_wait"),
        max_duration=flags.get("max_duration"),
    )


def _put_verify(told: dict[str, Any], flags: dict[str, Any]) -> None:
    """
    Say what is read back.

    Raises:
        SettingsError: A flag would have no effect; what a job says is not looked at.
    """
    given = {
        name: flags[name]
        for name in ("verify", "verify_rows", "settle")
        if flags.get(name) is not None
    }
    told |= given
    how = told.get("verify", "sample")
    if how == "none" and {"verify_rows", "settle"} & given.keys():
        raise SettingsError(
            "--verify-rows and --settle are for what is read back, and nothing is "
            "under verify: none. Leave them out, or add --verify sample"
        )
    if how == "all" and "verify_rows" in given:
        raise SettingsError(
            "--verify-rows is for a sample, and verify: all asks for every row: leave "
            "one of them out"
        )


def _put(told: dict[str, Any], section: str, **values: object) -> None:
    given = {name: value for name, value in values.items() if value is not None}
    if given:
        told[section] = {**told.get(section, {}), **given}
