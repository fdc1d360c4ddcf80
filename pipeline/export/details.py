"""Profiles in full, one by one: by the id that a list showed, or as a file says."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pipeline.connection import patiently
from pipeline.errors import ContractError
from pipeline.export.paging import FULL
from pipeline.export.plain import frame_of_profiles
from pipeline.rates import RateBucket
from pipeline.workers import work_through

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from pipeline.client import Client
    from pipeline.connection import Connector
    from pipeline.export.names import Name
    from pipeline.export.vault import Vault
    from pipeline.stopping import StopSignal

CONCURRENCY: Final = 4
_ROWS: Final = 100  # of a unit
_OK: Final = 200
_NOBODY: Final = 404


class Details:
    """
    Reads single profiles into the vault, several at a time.

    Attributes:
        absent: Row of the file of names → no such profile.
    """

    def __init__(
        self,
        connector: Connector,
        client: Client,
        vault: Vault,
        *,
        stop: StopSignal,
        concurrency: int | None = None,
        rate: float | None = None,
    ) -> None:
        self._connector = connector
        self._client = client
        self._vault = vault
        self._stop = stop
        self._n_workers = concurrency or CONCURRENCY
        self._bucket = RateBucket(asked=rate)
        self.absent: list[int] = []

    async def run(
        self, ids: pl.Series, on_rows: Callable[[int, int | None], None]
    ) -> None:
        """
        Read all of these that are not known in full yet.

        Raises:
            AccessError, RemoteError, ContractError: As the service answers.
        """
        known = self._vault.ids_of(FULL)
        left = ids.filter(~known.holds(ids)).to_list()
        for start in range(0, len(left), _ROWS):
            some = left[start : start + _ROWS]
            found = await self._all([("clientId", str(number)) for number in some])
            frame = frame_of_profiles([one for one in found if one is not None])
            self._vault.keep(FULL, f"details|{some[0]}|{some[-1]}", frame, {})
            on_rows(len(known), len(ids))

    async def named(
        self, names: Sequence[Name], on_rows: Callable[[int, int | None], None]
    ) -> None:
        """
        Read the profiles that a file names; what is not there is noted.

        Raises:
            AccessError, RemoteError, ContractError: As the service answers.
        """
        for start in range(0, len(names), _ROWS):
            some = names[start : start + _ROWS]
            key = f"named|{start}"
            unit = self._vault.recorded(FULL, key)
            if unit is None:
                found = await self._all([(name.field, name.value) for name in some])
                pairs = zip(some, found, strict=True)
                absent = [name.row_no for name, profile in pairs if profile is None]
                frame = frame_of_profiles([one for one in found if one is not None])
                unit = self._vault.keep(FULL, key, frame, {"absent": absent})
            self.absent += unit.told["absent"]
            on_rows(start + len(some), len(names))

    async def _all(
        self, questions: Sequence[tuple[str, str]]
    ) -> list[dict[str, Any] | None]:
        """Ask with several workers; the first error ends them all."""
        found: list[dict[str, Any] | None] = [None] * len(questions)

        async def answer(question: tuple[int, tuple[str, str]]) -> None:
            place, (field, value) = question
            found[place] = await self._one(field, value)

        n_workers = min(self._n_workers, len(questions))
        await work_through(enumerate(questions), answer, n_workers)
        return found

    async def _one(self, field: str, value: str) -> dict[str, Any] | None:
        clock = self._connector.clock
        wait_s = self._bucket.wait_s(clock.now())
        self._bucket.take(clock.now())
        if wait_s:
            await clock.sleep(wait_s)
        reply = await patiently(
            self._connector,
            self._client,
            partial(self._client.get_profile, field, value),
            what="the question for a profile",
            answers={_OK, _NOBODY},
            stop=self._stop,
        )
        return None if reply.status == _NOBODY else _profile(reply.body)


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
