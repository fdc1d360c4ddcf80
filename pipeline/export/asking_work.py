"""
What a worker does with a unit of questions: ask them as one process would.

Only the places come from the scheduler. Reading twice does no harm, so whoever gets a
unit second asks all of it again, and needs neither a lock nor a journal. Identifiers
and profiles are in files of the work folder; what travels is their names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from pipeline.connection import connected, unless_stopped
from pipeline.distributed.limiting import taken_on
from pipeline.distributed.work import prepared
from pipeline.errors import StoppedError
from pipeline.export.asking import ANSWERING, ASKED_WORDS, Answers, ask_unit
from pipeline.files import replacing, using
from pipeline.verify.paced_reads import PacedReads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.client import Client
    from pipeline.connection import Connector
    from pipeline.distributed.limiting import Link
    from pipeline.export.asking import Question
    from pipeline.records import Reply
    from pipeline.stopping import StopSignal


@dataclass(frozen=True, slots=True)
class UnitTask:
    """
    All that travels to a worker, a `distributed.work.Task`: no identifier, no secret.

    Attributes:
        number: Of the partition, from 1; a unit is one.
        questions: File as `write_questions` leaves it; the answers go beside it.
        guid: Of the workspace that the driver found; the worker's key must open it.
    """

    number: int
    questions: Path
    settings: str
    base_url: str
    ca_bundle: str | None
    env_proxy: bool
    guid: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UnitReport:
    """
    What comes back of a unit.

    Attributes:
        profiles: File with them, as `read_answers` takes it.
        absent: As in `asking.Answers`.
        n_requests: Those of the login included.
    """

    profiles: Path
    absent: tuple[int, ...]
    n_requests: int


async def ask_partition(
    task: UnitTask, link: Link, connector: Connector | None = None
) -> UnitReport:
    """
    Ask the questions of a unit.

    Args:
        connector: The service; as the environment of the worker says, if not given.

    Effects: a file beside the questions (0600), whole or absent.

    Raises:
        SettingsError, TokenRefusedError: This worker is not set up as it has to be.
        WrongWorkspaceError: Its key opens another workspace.
        StoppedError: Somebody asked the driver to stop.
        PatienceEndedError: The scheduler is silent, or another worker has the unit.
        AccessError, RemoteError, ContractError: As the service answers.
    """
    job, connector = prepared(task, task.questions.parent, connector)
    with using(task.questions):
        questions = json.loads(task.questions.read_bytes())
    now = connector.clock.now
    async with taken_on(link, task.number, now) as (limiter, stop):
        reads = PacedReads(job.delivery, connector.clock, shared=limiter)
        try:
            async with connected(connector, task.guid, stop=stop) as (client, _):
                reply_to = partial(_reply, reads, client, stop)
                asked = ask_unit(questions, reply_to, reads.most_in_flight)
                answers = await unless_stopped(asked, stop)
        except StoppedError as stopped:
            raise limiter.lost or stopped from None
    profiles = task.questions.with_name(f"{task.number:06}-{limiter.turn.n}.ipc")
    with replacing(profiles) as draft:
        answers.frame.write_ipc(draft)
    return UnitReport(profiles, answers.absent, client.n_requests)


async def _reply(
    reads: PacedReads, client: Client, stop: StopSignal, field: str, value: str
) -> Reply:
    reply = await reads.ask(
        partial(client.get_profile, field, value), what=ASKED_WORDS, answers=ANSWERING
    )
    if reply is None:
        raise stop.error()
    return reply


def write_questions(path: Path, questions: Sequence[Question]) -> None:
    """Write a file for a worker (0600)."""
    with using(path):
        path.touch(mode=0o600)
        path.write_text(json.dumps(questions), encoding="utf-8")


def read_answers(report: UnitReport) -> Answers:
    """Read what a worker wrote."""
    with using(report.profiles):
        # Not by its path: a mapped file counts as memory until it is unmapped.
        frame = pl.read_ipc(report.profiles.read_bytes())
    return Answers(frame, report.absent)
