"""
All profiles of a list that shows only so many at once: window after window.

The plain list comes first, always. Only when it is full, windows follow, until as many
profiles are known as the service says there are, or a pass adds nothing any more.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from pipeline.contract import LIST_PAGE_ROWS
from pipeline.export.certificate import Certificate, WindowRead
from pipeline.export.windows import (
    RECOGNIZED,
    Meaning,
    Window,
    digits_of,
    orders,
    searches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.export.listing import Listing, Part

MOST_PASSES: Final = 4
# Requests: a hundred times what a list without a cap would take, and a few.
_BUDGET_PAGES: Final = 100
_BUDGET_LEAST: Final = 300
_PROBES: Final = 3
# Windows that must add nothing to a count that seems complete: a total may be a lie.
CONFIRMING: Final = 24
_PROBE_DIGITS: Final = 6


class Gathering:
    """
    Gathers profiles.

    Attributes:
        profiles: Id → profile as the list gives it, as it was seen first.
    """

    def __init__(
        self,
        listing: Listing,
        cap_rows: int,
        on_rows: Callable[[int, int | None], None],
    ) -> None:
        self._listing = listing
        self._cap_rows = cap_rows
        self._on_rows = on_rows
        self._reads: list[WindowRead] = []
        self._meaning: Meaning | None = None
        self._is_cut_short = False
        self._n_idle = 0
        self.profiles: dict[int, dict[str, Any]] = {}

    async def run(self) -> Certificate:
        """
        Read what can be read, and tell what it proves.

        Raises:
            ContractError: The list refuses every known form of question.
            RemoteError, AccessError: As the service answers.
        """
        await self._listing.open()
        n_before = self._listing.n_all
        whole = Window(sort_field=self._listing.sort_field)
        part = await self._read(whole)
        for _ in range(MOST_PASSES):
            if part is None or not part.is_saturated or self._is_done():
                break
            n_known = len(self.profiles)
            await self._pass(whole)
            if len(self.profiles) == n_known or self._is_cut_short:
                break
        n_after = await self._listing.ask_total()
        return Certificate(
            len(self.profiles),
            n_before,
            n_after,
            self._cap_rows,
            self._meaning,
            self._is_cut_short,
            tuple(self._reads),
        )

    async def _pass(self, whole: Window) -> None:
        """Go through the windows once, until everything is known."""
        if self._meaning is None:
            self._meaning = await self._probed()
        halves = [
            Window(recognized=word, sort_field=whole.sort_field) for word in RECOGNIZED
        ]
        await self._cover(halves)
        if self._meaning is not Meaning.NOTHING or whole.sort_field is None:
            return
        for half in halves:
            for window in orders(half):
                if self._is_over():
                    return
                await self._read(window)

    async def _cover(self, windows: Sequence[Window]) -> None:
        """
        Read windows, and the parts of those that are full, the large ones first.

        Breadth first: what a full part hides is often shown by one beside it.
        """
        waiting: deque[Iterator[Window]] = deque([iter(windows)])
        while waiting:
            for window in waiting.popleft():
                if self._is_over():
                    return
                n_hidden = await self._read_from_both_ends(window)
                if n_hidden:
                    meaning = self._meaning or Meaning.NOTHING
                    parts = searches(window, meaning, n_hidden, self._cap_rows)
                    waiting.append(parts)

    async def _read_from_both_ends(self, window: Window) -> int:
        """Return how many rows it has when not all of them were seen, else 0."""
        part = await self._read(window)
        if part is None or not part.is_saturated:
            return 0
        seen = {row["id"] for row in part.profiles}
        if window.sort_field is not None and not self._is_over():
            turned = await self._read(window.turned())
            seen |= {row["id"] for row in turned.profiles} if turned else set()
        n_rows = part.matching or self._listing.n_all or 2 * self._cap_rows
        return 0 if len(seen) == part.matching else n_rows

    async def _read(self, window: Window) -> Part | None:
        n_known = len(self.profiles)
        part = await self._listing.read(window)
        if part is None:
            return None
        for row in part.profiles:
            self.profiles.setdefault(row["id"], row)
        n_new = len(self.profiles) - n_known
        self._n_idle = 0 if n_new else self._n_idle + 1
        self._reads.append(
            WindowRead(
                window,
                part.matching,
                len(part.profiles),
                n_new,
                part.is_saturated,
                part.n_drifts,
            )
        )
        self._on_rows(len(self.profiles), self._listing.n_all)
        return part

    async def _probed(self) -> Meaning:
        """Find out what a search means, by parts of UUIDs that are there."""
        known = (
            (profile_id, digits)
            for profile_id, row in self.profiles.items()
            if (digits := digits_of(str(row.get("uuid") or ""))) is not None
        )
        found = [Meaning.NOTHING]
        for profile_id, digits in islice(known, _PROBES):
            for meaning, text in (
                (Meaning.CONTAINS, digits[1 : 1 + _PROBE_DIGITS]),
                (Meaning.PREFIX, digits[:_PROBE_DIGITS]),
            ):
                window = Window(search=text, sort_field=self._listing.sort_field)
                if await self._listing.narrows_to(window, profile_id):
                    found.append(meaning)
                    break
        return found[-1]

    def _is_done(self) -> bool:
        n_all = self._listing.n_all
        return n_all not in (None, self._cap_rows) and len(self.profiles) == n_all

    def _is_over(self) -> bool:
        pages = ceil((self._listing.n_all or 0) / min(LIST_PAGE_ROWS, self._cap_rows))
        most = _BUDGET_LEAST + _BUDGET_PAGES * pages
        if self._is_done() and self._n_idle >= CONFIRMING:
            return True
        self._is_cut_short = self._listing.n_requests >= most
        return self._is_cut_short
