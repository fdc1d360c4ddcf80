"""
Deleting the profiles of a plan, one after the other is sure of whom it deletes.

A profile is read again by its clientId, and deleted by it only if its identifiers are
those of the plan. The journal knows what was begun and what is done, so an interrupted
deletion goes on, and reads and compares again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.connection import unless_stopped
from pipeline.delta.mirroring import PROVING
from pipeline.delta.plan_files import planned_deletes
from pipeline.journal_tables import ActionState
from pipeline.verify.paced_reads import PacedReads
from pipeline.verify.settling import profile_in
from pipeline.workers import work_through

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    import polars as pl

    from pipeline.client import Client
    from pipeline.journal import Journal
    from pipeline.records import Reply
    from pipeline.retrying import Clock
    from pipeline.settings import DeliverySettings
    from pipeline.stopping import StopSignal

_OK: Final = 200
_QUEUED: Final = 202
_NOBODY: Final = 404


@dataclass(frozen=True, slots=True)
class ActionCounts:
    """
    The actions of a run: all that were planned are one of these.

    Attributes:
        refused: Profiles that are no longer whom the plan meant; they were kept.
    """

    done: int = 0
    refused: int = 0
    pending: int = 0


NO_ACTIONS: Final = ActionCounts()


@dataclass(frozen=True, slots=True)
class Deletion:
    """
    A profile to delete.

    Attributes:
        action_no: Its place in the plan, from 1.
        identifiers: As the plan knows them; None where there is none.
    """

    action_no: int
    client_id: str
    identifiers: Mapping[str, str | None]

    def is_meant(self, profile: Mapping[str, object]) -> bool:
        """Return whether a profile is the one that the plan meant."""
        return str(profile.get("clientId")) == self.client_id and all(
            (profile.get(name) or None) == value
            for name, value in self.identifiers.items()
        )


def counted_actions(journal: Journal, run_id: str, n_planned: int) -> ActionCounts:
    """Return what the journal proves of the deletions of a run."""
    states = list(journal.actions(run_id).values())
    n_done = states.count(ActionState.DONE)
    n_refused = states.count(ActionState.REFUSED)
    return ActionCounts(n_done, n_refused, n_planned - n_done - n_refused)


def deletions_in(folder: Path) -> list[Deletion]:
    """Return the deletions of a plan."""
    return [
        Deletion(number, row["clientId"], {name: row[name] for name in PROVING})
        for number, row in enumerate(
            planned_deletes(folder).iter_rows(named=True), start=1
        )
    ]


@dataclass(frozen=True, slots=True)
class Deleting:
    """How to delete: several at a time, at the pace that the service bears."""

    run_id: str
    journal: Journal
    client: Client
    clock: Clock
    delivery: DeliverySettings
    stop: StopSignal

    async def run(self, deletions: Iterable[Deletion]) -> None:
        """
        Delete what is left of *deletions*.

        Raises:
            StoppedError: Somebody asked to stop.
            AccessError, RemoteError, ContractError: As the service answers.
        """
        known = self.journal.actions(self.run_id)
        final = (ActionState.DONE, ActionState.REFUSED)
        left = [one for one in deletions if known.get(one.action_no) not in final]
        begun = {number for number in known if known[number] is ActionState.BEGUN}
        await unless_stopped(self._delete(left, begun), self.stop)

    async def _delete(self, deletions: list[Deletion], begun: AbstractSet[int]) -> None:
        reads = PacedReads(self.delivery, self.clock)
        ask = partial(self._delete_one, reads, begun)
        await work_through(deletions, ask, min(reads.most_in_flight, len(deletions)))

    async def _delete_one(
        self, reads: PacedReads, begun: AbstractSet[int], one: Deletion
    ) -> None:
        client, number = self.client, one.action_no
        reply = await self._ask(
            reads,
            partial(client.get_profile, "clientId", one.client_id),
            "the question for a profile to delete",
            _OK,
        )
        if reply.status == _NOBODY:
            await self._note(number, ActionState.DONE)
        elif not one.is_meant(profile_in(reply.body)):
            await self._note(number, ActionState.REFUSED)
        else:
            if number not in begun:
                await self._note(number, ActionState.BEGUN)
            await self._ask(
                reads,
                partial(client.delete_profile, "clientId", one.client_id),
                "the deletion of a profile",
                _QUEUED,
            )
            await self._note(number, ActionState.DONE)

    async def _ask(
        self,
        reads: PacedReads,
        call: Callable[[], Awaitable[Reply]],
        what: str,
        status: int,
    ) -> Reply:
        """Ask until there is an answer; who is not there is one as well."""
        reply = await reads.ask(call, what=what, answers={status, _NOBODY})
        if reply is None:
            raise self.stop.error()
        return reply

    async def _note(self, number: int, state: ActionState) -> None:
        await self.journal.note_action(self.run_id, number, state)


def begun_persons(folder: Path, journal: Journal, run_id: str) -> pl.DataFrame:
    """Return `KEY_COLUMNS` of persons whose deletion was begun, or is done."""
    touched = [
        number - 1
        for number, state in journal.actions(run_id).items()
        if state is not ActionState.REFUSED
    ]
    return planned_deletes(folder)[sorted(touched)].select("key_hi", "key_lo")
