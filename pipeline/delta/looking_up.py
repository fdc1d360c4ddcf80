"""Asking whether persons are in the CRM, by each identifier that could find them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.connection import unless_stopped
from pipeline.identity import LINKING
from pipeline.verify.paced_reads import PacedReads
from pipeline.verify.settling import profile_in
from pipeline.workers import work_through

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.client import Client
    from pipeline.retrying import Clock
    from pipeline.settings import DeliverySettings
    from pipeline.stopping import StopSignal

_OK: Final = 200
_NOBODY: Final = 404


@dataclass(frozen=True, slots=True)
class Person:
    """
    Somebody to ask for.

    Attributes:
        row: As `identity.packed_row`.
        finders: Field and value of every identifier that could find a profile.
    """

    row: int
    finders: tuple[tuple[str, str], ...]


def person_of(row: int, text: str, identifiers: Sequence[str]) -> Person:
    """
    Return whom a row is about.

    Args:
        text: The JSON object that would be sent.
        identifiers: Fields that can find a profile in this workspace.
    """
    content = json.loads(text)
    names = [name for name in LINKING if name in identifiers and name in content]
    # A phone finds a profile only where there is nothing else (API 3.2).
    names = names or [name for name in ("phone",) if name in content]
    return Person(row, tuple((name, str(content[name])) for name in names))


@dataclass(frozen=True, slots=True)
class LookUp:
    """
    How to ask: several at a time, at the pace that the service bears.

    Attributes:
        on_persons: Told how many will be asked for, before that begins.
    """

    client: Client
    clock: Clock
    delivery: DeliverySettings
    stop: StopSignal
    on_persons: Callable[[int], None]

    async def found(self, persons: Sequence[Person]) -> frozenset[int]:
        """
        Return the rows of those who have a profile; the others have none.

        Who has no profile was asked for by each of his identifiers.

        Raises:
            StoppedError: Somebody asked to stop.
            AccessError, RemoteError, ContractError: As the service answers.
        """
        if not persons:
            return frozenset()
        self.on_persons(len(persons))
        return await unless_stopped(self._found(persons), self.stop)

    async def _found(self, persons: Sequence[Person]) -> frozenset[int]:
        reads = PacedReads(self.delivery, self.clock)
        found: set[int] = set()

        async def ask(person: Person) -> None:
            if await self._exists(person, reads):
                found.add(person.row)

        await work_through(persons, ask, min(reads.most_in_flight, len(persons)))
        return frozenset(found)

    async def _exists(self, person: Person, reads: PacedReads) -> bool:
        for field, value in person.finders:
            reply = await reads.ask(
                partial(self.client.get_profile, field, value),
                what="the question for a profile",
                answers={_OK, _NOBODY},
            )
            if reply is None:
                raise self.stop.error()
            if reply.status == _OK:
                profile_in(reply.body)
                return True
        return False
