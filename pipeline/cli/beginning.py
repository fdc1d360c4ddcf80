"""What commands that read a source or write to the CRM begin with."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.cli.options import connector_of, talk_of
from pipeline.cli.render import mapping_lines
from pipeline.config import refuse_idle_options
from pipeline.environment import remote_settings
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline import Connector, StopSignal
    from pipeline.cli.options import Talk
    from pipeline.settings import Job, Mapping


def connector_for(job: Job, flags: dict[str, Any]) -> Connector:
    """Return the way to the service, by the environment, the job and the flags."""
    remote = remote_settings(
        job,
        base_url=flags["base_url"],
        ca_bundle=flags["ca_bundle"],
        env_proxy=flags["env_proxy"],
    )
    return connector_of(remote)


@contextmanager
def signals(stop: StopSignal) -> Iterator[None]:
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


def talk_for(flags: dict[str, Any]) -> Talk:
    """Set up logging and progress as the flags ask."""
    return talk_of(
        as_json=flags["as_json"], verbose=flags["verbose"], quiet=flags["quiet"]
    )


def show_mapping(
    talk: Talk, flags: dict[str, Any], kind: str, mapping: Mapping
) -> None:
    """
    Show the mapping, before anything is read to its end.

    Raises:
        SettingsError: A flag would have no effect on this source or mapping. What a
            job says is not looked at: it may serve files of several kinds.
    """
    refuse_idle_options(kind, flags.get("delimiter"), flags.get("encoding"))
    phone = mapping.rule("phone")
    region = flags.get("region")
    if region and phone is None:
        raise SettingsError(
            "--region is for phone numbers, and no column is mapped to phone: leave it "
            "out, or map one"
        )
    if region and phone and phone.options.region != region:
        raise SettingsError(
            f"the mapping says that phones are of the region {phone.options.region}, "
            "and --region another one: correct the job, or leave the flag out"
        )
    talk.say("\n".join(mapping_lines(mapping)), event="mapping")


def refuse_idle_budgets(job: Job, flags: dict[str, Any]) -> None:
    """
    Refuse a budget for what nothing does.

    Raises:
        SettingsError: No cell can erase.
    """
    rows = job.rows
    if flags["allow_erase"] and rows.blank != "erase" and rows.null_token is None:
        raise SettingsError(
            "--allow-erase allows what nothing does: a cell erases its field under "
            "--blank erase, or when it is the --null-token"
        )
