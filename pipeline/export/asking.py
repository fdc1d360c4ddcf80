"""Questions for single profiles, in units, and who asks them: here, this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from pipeline.connection import patiently
from pipeline.errors import ContractError
from pipeline.export.plain import frame_of_profiles
from pipeline.rates import RateBucket
from pipeline.workers import work_through

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    import polars as pl

    from pipeline.client import Client
    from pipeline.connection import Connector
    from pipeline.records import Reply
    from pipeline.stopping import StopSignal

CONCURRENCY: Final = 4
ASKED_WORDS: Final = "the question for a profile"
_OK: Final = 200
_NOBODY: Final = 404
ANSWERING: Final = frozenset({_OK, _NOBODY})

# An identifier in the name of the API, and its value.
Question = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answers:
    """
    What came of the questions of a unit.

    Attributes:
        frame: The profiles, plain, in the order of the questions.
        absent: Places of the questions for which there is no profile.
    """

    frame: pl.DataFrame
    absent: tuple[int, ...]


class Asks(Protocol):
    """Who asks: this process, or the workers of a cluster."""

    @property
    def n_requests(self) -> int:
        """Requests of other processes than this one."""

    async def ask(
        self,
        units: Iterable[Sequence[Question]],
        keep: Callable[[int, Answers], None],
    ) -> None:
        """
        Ask everything, and hand the answers over in the order of the units.

        Args:
            keep: Told the place of each unit, from 0, and what came of it.

        Raises:
            StoppedError: Somebody asked to stop.
            AccessError, RemoteError, ContractError: As the service answers.
        """


class Asking:
    """Asks from this process, one unit after the other; an `Asks`."""

    n_requests = 0

    def __init__(
        self,
        connector: Connector,
        client: Client,
        *,
        stop: StopSignal,
        concurrency: int | None = None,
        rate: float | None = None,
    ) -> None:
        self._connector = connector
        self._client = client
        self._stop = stop
        self._n_places = concurrency or CONCURRENCY
        self._bucket = RateBucket(asked=rate)

    async def ask(
        self,
        units: Iterable[Sequence[Question]],
        keep: Callable[[int, Answers], None],
    ) -> None:
        """Ask; see `Asks`."""
        for n, questions in enumerate(units):
            keep(n, await ask_unit(questions, self._reply, self._n_places))

    async def _reply(self, field: str, value: str) -> Reply:
        clock = self._connector.clock
        wait_s = self._bucket.wait_s(clock.now())
        self._bucket.take(clock.now())
        if wait_s:
            await clock.sleep(wait_s)
        return await patiently(
            self._connector,
            self._client,
            partial(self._client.get_profile, field, value),
            what=ASKED_WORDS,
            answers=ANSWERING,
            stop=self._stop,
        )


async def ask_unit(
    questions: Sequence[Question],
    reply_to: Callable[[str, str], Awaitable[Reply]],
    n_places: int,
) -> Answers:
    """
    Ask all questions of a unit, *n_places* at a time; the first error ends them all.

    Args:
        reply_to: Asks one, as often as it takes.

    Raises:
        ContractError: An answer is no profile.
    """
    found: list[dict[str, Any] | None] = [None] * len(questions)

    async def answer(question: tuple[int, Question]) -> None:
        place, (field, value) = question
        reply = await reply_to(field, value)
        found[place] = None if reply.status == _NOBODY else _profile(reply.body)

    await work_through(enumerate(questions), answer, min(n_places, len(questions)))
    absent = tuple(place for place, profile in enumerate(found) if profile is None)
    frame = frame_of_profiles([profile for profile in found if profile is not None])
    return Answers(frame, absent)


def _profile(body: bytes) -> dict[str, Any]:
    try:
        profile = json.loads(body)
    except (ValueError, RecursionError):
        profile = None
    if not isinstance(profile, dict) or not isinstance(profile.get("clientId"), int):
        raise ContractError(
            "the question for a profile was answered with something that is no "
            "profile; check the base URL and proxies on the way"
        )
    return profile
