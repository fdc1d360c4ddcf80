"""
All profiles of a list that shows only so many at once: window after window.

The plain list comes first, always. Only when it is full, windows follow: searches for
parts of UUIDs, that together show everything; where searches are of no use, halves,
other orders, and values that were seen. Passes are repeated until one adds nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, Final

from pipeline.export.certificate import WindowRead
from pipeline.export.ids import DistinctIds
from pipeline.export.plain import ID, native_name
from pipeline.export.windows import (
    PROBED,
    RECOGNIZED,
    VALUE_FIELDS,
    Searching,
    Window,
    digits_of,
    first_texts,
    orders,
    parts_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl

    from pipeline.export.listing import Listing
    from pipeline.export.vault import Vault

LISTED: Final = "list"  # the kind of profile that a list shows
MOST_PASSES: Final = 4
# Requests: a hundred times what a list without a cap would take, and a few.
_BUDGET_PAGES: Final = 100
_BUDGET_LEAST: Final = 600
_PROBES: Final = 3
# Windows that must add nothing to a count that seems complete: a total may be a lie.
CONFIRMING: Final = 24
_VALUES_OF_A_FIELD: Final = 50
_USUAL_UUID: Final = "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"


@dataclass(frozen=True, slots=True)
class Seen:
    """A window that was read, now or by an earlier process."""

    ids: pl.Series
    matching: int | None
    is_saturated: bool
    is_whole: bool
    n_new: int


@dataclass(slots=True)
class _Partition:
    """
    The leaves of one pass.

    Attributes:
        is_whole: Whether every leaf showed all that it holds.
        seen: Profiles in leaves.
        variation: Of the total, when the first leaf was read.
    """

    variation: int
    is_whole: bool = True
    n_leaves: int = 0
    seen: DistinctIds = field(default_factory=DistinctIds)


class Gathering:
    """
    Gathers profiles into the vault.

    Attributes:
        reads: Windows in the order in which they were read.
        searching: What a search was found to mean; None before it was needed.
        partition: Leaves of a partition that showed everything; None without one.
        estimate: Of all profiles, by two orders; None without an overlap.
        n_passes: Through all windows.
        is_cut_short: The budget of requests was spent.
    """

    def __init__(
        self,
        listing: Listing,
        vault: Vault,
        base: Window,
        cap_rows: int,
        on_rows: Callable[[int, int | None], None],
    ) -> None:
        self._listing = listing
        self._vault = vault
        self._base = base
        self._cap_rows = cap_rows
        self._on_rows = on_rows
        self._n_idle = 0
        self._has_odd_uuids = False
        self._halves_were_whole = False
        self.total: int | None = None
        self.reads: list[WindowRead] = []
        self.searching: Searching | None = None
        self.partition: int | None = None
        self.estimate: int | None = None
        self.n_passes = 0
        self.is_cut_short = False

    @property
    def n_known(self) -> int:
        """Profiles seen so far."""
        return len(self._vault.seen)

    def sort_by(self, sort_field: str | None) -> None:
        """Sort by what the service was found to allow."""
        self._base = replace(self._base, sort_field=sort_field)

    async def read_plainly(self) -> bool:
        """Read the list without any split; return whether that was all of it."""
        part = await self._read(self._base, "plain")
        return part is None or not part.is_saturated

    async def run(self) -> None:
        """
        Read windows until everything is known, or a pass adds nothing any more.

        Raises:
            RemoteError, AccessError, ContractError: As the service answers.
        """
        while self.n_passes < MOST_PASSES and not self.is_cut_short:
            n_known = self.n_known
            self.n_passes += 1
            await self._pass()
            is_counted = self._is_counted() and not self._listing.variation
            # Who contradicts himself is not believed, however often he is asked.
            is_settled = bool(
                is_counted or self.partition is not None or self._listing.contradictions
            )
            if is_settled or (self.n_known == n_known and not self._listing.variation):
                break

    # -- one pass --------------------------------------------------------------------

    async def _pass(self) -> None:
        first = await self._from_both_ends(self._base, "first")
        if self.searching is None:
            self.searching = await self._probed()
        if self.searching.is_of_use:
            partition = await self._leaves(self.searching)
            if self._is_counted() and not self._listing.variation:
                return
            last = await self._from_both_ends(self._base, "last")
            total = await self._listing.count(self._base)
            if self._holds(partition, first, last, total):
                self.partition = partition.n_leaves
            return
        halves = [
            replace(self._base, recognized=word)
            for word in RECOGNIZED
            if self._base.recognized is None
        ]
        await self._halves(halves)
        for base in (self._base, *halves):
            if self._base.sort_field is not None:
                await self._orders(base)
        if not self._base.search and not self._is_over():
            await self._values(halves)

    async def _from_both_ends(self, window: Window, purpose: str) -> Seen | None:
        """Return what both ends of a window show together."""
        part = await self._read(window, purpose)
        if part is None or not part.is_saturated or window.sort_field is None:
            return part
        turned = await self._read(window.turned(), purpose)
        if turned is None:
            return part
        both = DistinctIds()
        both.add(part.ids)
        both.add(turned.ids)
        is_whole = len(both) == part.matching == turned.matching
        return replace(part, ids=both.sorted(), is_whole=is_whole)

    async def _leaves(self, searching: Searching) -> _Partition:
        """Read the parts of the list, and parts of those that are full, in breadth."""
        n_rows = self.total or self._listing.n_all or 2 * self._cap_rows
        partition = _Partition(self._listing.variation)
        meaning = searching.meaning
        texts = first_texts(meaning, max(n_rows, self.n_known), self._cap_rows)
        waiting: deque[Iterator[str]] = deque([texts])
        while waiting:
            for text in waiting.popleft():
                if self._is_over():
                    partition.is_whole = False
                    return partition
                window = searching.window(self._base, text)
                part = await self._read(window, "leaf")
                if part is not None and part.is_whole:
                    partition.n_leaves += 1
                    partition.seen.add(part.ids)
                    continue
                parts = list(parts_of(meaning, text))
                partition.is_whole &= bool(parts)
                waiting.append(iter(parts))
        return partition

    def _holds(
        self,
        partition: _Partition,
        first: Seen | None,
        last: Seen | None,
        total: int | None,
    ) -> bool:
        """
        Return whether the leaves showed every profile that was there all the time.

        What the list itself shows before and after must have been in a leaf, and the
        leaves may differ from the total by no more than the total moved meanwhile.

        Args:
            total: Afterwards.
        """
        is_whole = partition.is_whole and not self._has_odd_uuids
        if not is_whole or first is None or last is None:
            return False
        stayed = first.ids.filter(first.ids.is_in(last.ids.implode()))
        if not partition.seen.holds(stayed).all():
            return False
        if total is None or total == self._cap_rows:
            return True
        moved = self._listing.variation - partition.variation
        return abs(len(partition.seen) - total) <= moved

    async def _halves(self, halves: list[Window]) -> None:
        """Read the two halves; a second time, when nothing new came with the first."""
        n_known = self.n_known
        parts = [await self._from_both_ends(half, "half") for half in halves]
        is_whole = bool(parts) and all(part and part.is_whole for part in parts)
        if is_whole and self._halves_were_whole and self.n_known == n_known:
            self.partition = len(parts)
        self._halves_were_whole = is_whole

    async def _orders(self, base: Window) -> None:
        """Read the same part in other orders, and estimate from two of them."""
        by_id = await self._read(base, "order")
        for window in orders(base):
            if self._is_over():
                return
            part = await self._read(window, "order")
            if part is None or by_id is None or base != self._base:
                continue
            n_both = int(part.ids.is_in(by_id.ids.implode()).sum())
            if n_both and self.estimate is None:
                self.estimate = len(part.ids) * len(by_id.ids) // n_both

    async def _values(self, halves: Sequence[Window]) -> None:
        """Read windows of single values: of profiles seen, and that the service has."""
        n_whole = 0
        for name in VALUE_FIELDS:
            told = await self._listing.entries(name)
            values = list(dict.fromkeys([*self._seen_values(name), *told]))
            for value in values[:_VALUES_OF_A_FIELD]:
                waiting = [self._base]
                while waiting:
                    if self._is_over():
                        return
                    base = waiting.pop()
                    window = replace(base, search=f"{name}:{value}")
                    part = await self._from_both_ends(window, "value")
                    if part is not None and part.matching == self.total:
                        n_whole += 1
                    if n_whole >= _PROBES:
                        return  # the search is not heard
                    if base is self._base and part is not None and part.is_saturated:
                        waiting += halves

    def _seen_values(self, name: str) -> list[str]:
        """Return values of a field in profiles that were seen, frequent ones first."""
        counts: Counter[str] = Counter()
        for frame in self._vault.frames(LISTED):
            counts.update(frame[native_name(name)].drop_nulls().to_list())
        return [value for value, _ in counts.most_common()]

    # -- one window ------------------------------------------------------------------

    async def _read(self, window: Window, purpose: str) -> Seen | None:
        key = f"{self.n_passes}|{purpose}|{window.name}"
        unit = self._vault.recorded(LISTED, key)
        if unit is None:
            part = await self._listing.read(window)
            if part is None:
                return None
            found = {
                "matching": part.matching,
                "rows": part.frame.height,
                "saturated": part.is_saturated,
                "whole": part.is_whole,
                "drifts": part.n_drifts,
                "repeated": part.n_repeated,
                "odd": has_odd_uuids(part.frame),
            }
            unit = self._vault.keep(LISTED, key, part.frame, found)
        told = unit.told
        self._has_odd_uuids |= told["odd"]
        self._n_idle = 0 if unit.n_new else self._n_idle + 1
        self.reads.append(
            WindowRead(
                window,
                told["matching"],
                told["rows"],
                unit.n_new,
                told["saturated"],
                told["drifts"],
                told["repeated"],
                is_leaf=purpose == "leaf",
            )
        )
        self._on_rows(self.n_known, self.total)
        return Seen(
            unit.ids, told["matching"], told["saturated"], told["whole"], unit.n_new
        )

    async def _probed(self) -> Searching:
        """Find out what a search means, by parts of UUIDs that are there."""
        if self._base.search:
            return Searching()
        known = self._known_uuids()
        for way in PROBED:
            found = [
                await self._listing.narrows_to(
                    way.window(self._base, way.probes(run)), profile_id
                )
                for profile_id, run in known
            ]
            if found and all(found):
                return way
        return Searching()

    def _known_uuids(self) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        for frame in self._vault.frames(LISTED):
            for profile_id, uuid in frame.select(ID, "uuid").iter_rows():
                run = digits_of(uuid or "")
                if run is not None:
                    found.append((profile_id, run))
                if len(found) == _PROBES:
                    return found
        return found

    # -- enough? ---------------------------------------------------------------------

    def _is_counted(self) -> bool:
        return self.total not in (None, self._cap_rows) and self.n_known == self.total

    def _is_over(self) -> bool:
        n_rows = max(self._listing.n_all or 0, self.n_known)
        pages = ceil(n_rows / self._listing.page_rows)
        most = _BUDGET_LEAST + _BUDGET_PAGES * pages
        is_still = not self._listing.variation
        if is_still and self._is_counted() and self._n_idle >= CONFIRMING:
            return True
        self.is_cut_short = self._listing.n_requests >= most
        return self.is_cut_short


def has_odd_uuids(frame: pl.DataFrame) -> bool:
    """Return whether a profile has a UUID that no search for digits is sure to find."""
    return not bool(
        frame["uuid"].str.contains(_USUAL_UUID).fill_null(value=False).all()
    )
