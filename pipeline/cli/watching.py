"""How a command tells the end of its run: health, metrics, an alert."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline import Channels, Ended, Postbox, tell_end
from pipeline.cli.exit_codes import (
    DIFFERENT,
    INCOMPLETE,
    NOTHING_TO_DO,
    PARTIAL,
    STOPPED,
    exit_code_of,
)
from pipeline.cli.talking import say, surroundings
from pipeline.environment import alert_address, metrics_path
from pipeline.errors import LockedError, PipelineError
from pipeline.logs import printable, redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from pipeline.config import JobFile
    from pipeline.settings import Job

MOST_CHARS: Final = 300
_KEY: Final = "pipeline.watch"  # in the context of the command
_IN_WORDS: Final = {
    DIFFERENT: "rows differ from what was sent, or are absent",
    INCOMPLETE: "it is not shown to be complete",
    NOTHING_TO_DO: "no row came",
}
_OF_THE_END: Final = (
    *("command", "exit_code", "resumable", "rows", "profiles", "requests"),
    *("bytes_sent", "seconds", "files", "file"),
)
# Another run is at work and tells its own end; a wrong flag is no run.
_UNTOLD: Final = (LockedError, click.ClickException, click.exceptions.Exit)


@dataclass(slots=True)
class Watch:
    """
    A context manager around a run; when the block ends, its end is told.

    Attributes:
        summary: Of the run, as it is shown; empty until `note`.
    """

    channels: Channels
    activity: str
    dataset: str
    began_s: float = field(default_factory=time.monotonic)
    summary: Mapping[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, _UNTOLD):
            return
        has_home = self.channels.work_dir.is_dir()
        is_asked = self.channels.metrics or self.channels.postbox
        if (error is None and not self.summary) or not (has_home or is_asked):
            return
        for warning in asyncio.run(tell_end(self._ended(error), self.channels)):
            say(f"warning: {warning}", event="warning", level="warning")

    def _ended(self, error: BaseException | None) -> Ended:
        told = self.summary
        code = told["exit_code"] if error is None else exit_code_of(error)
        exported = {"exported": told["profiles"]} if "profiles" in told else {}
        requests = told.get("requests", 0)
        return Ended(
            dataset=printable(self.dataset),
            activity=self.activity,
            exit_code=code,
            at=time.time(),
            seconds=round(time.monotonic() - self.began_s, 3),
            what=_in_words(code, error, told.get("rows", {})),
            says_nothing=code in STOPPED,
            run_id=told.get("run_id"),
            rows=told.get("rows", exported),
            n_requests=requests if isinstance(requests, int) else requests["sent"],
            bytes_sent=told.get("bytes_sent", 0),
        )


def _in_words(code: int, error: BaseException | None, rows: Mapping[str, int]) -> str:
    if isinstance(error, PipelineError):
        return printable(redact(str(error)), max_chars=MOST_CHARS)
    if error is not None:
        return type(error).__name__  # its text may hold a cell
    if code == PARTIAL:
        n_failed = rows["blocked"] + rows["rejected"]
        return f"{n_failed:,} of {rows['read']:,} rows are blocked or rejected"
    return _IN_WORDS.get(code, "")


def watch(
    activity: str,
    dataset: str,
    *,
    job: Job,
    found: JobFile,
    work_dir: Path,
    flags: Mapping[str, Any],
) -> None:
    """
    Watch the command that is at work; when it ends, that is told.

    Whatever `note` was given is told, or else the error that ended it.

    Args:
        activity: `import`, `verify` or `export`.
        dataset: What the run is about, by the name that the journal has for it.
        job: Of the run; it says where its end is told, unless there is a job file.
        found: The job file.
        flags: Of the command; how the network is reached.

    Raises:
        SettingsError: The address for alerts is missing or wrong; nothing was done.
    """
    said = job if found.path is None else found.job
    address = alert_address(said.notify)
    postbox = None
    if address is not None:
        postbox = Postbox(address, flags["ca_bundle"], flags["env_proxy"])
    channels = Channels(
        work_dir,
        metrics=metrics_path(said, Path() if found.path is None else found.folder),
        postbox=postbox,
        is_slack=said.notify is not None and said.notify.form == "slack",
    )
    context = click.get_current_context()
    context.meta[_KEY] = context.with_resource(Watch(channels, activity, dataset))


def note(summary: Mapping[str, Any]) -> None:
    """Take what the run came to, as it is shown, and tell it to programs."""
    told = {key: summary[key] for key in _OF_THE_END if key in summary}
    surroundings().voice.tell("ended", **told)
    watched: Watch | None = click.get_current_context().meta.get(_KEY)
    if watched is not None:
        watched.summary = summary
