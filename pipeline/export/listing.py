"""The list endpoint, asked in the form that this service accepts, window by window."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from math import ceil
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.connection import patiently
from pipeline.contract import LIST_PAGE_ROWS
from pipeline.errors import ContractError
from pipeline.export.pages import PageReader
from pipeline.export.plain import FIXED, ID
from pipeline.export.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.client import Client
    from pipeline.connection import Connector
    from pipeline.export.plain import Page
    from pipeline.stopping import StopSignal

_REFUSED: Final = 400
_OK: Final = 200
# API 9, questions 15 and 16: the largest page and the sort syntax are not documented.
_PAGE_ROWS: Final = (LIST_PAGE_ROWS, 100, 25)
_SORTS: Final = ("id", None)
# Rows of a page that are asked for once more with the next: they show whether it moved.
OVERLAP_ROWS: Final = 5
_SPARE_PAGES: Final = 5
_ENTRIES: Final = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """
    The rows of a window.

    Attributes:
        frame: Plain, as the list gives them, repetitions included.
        matching: Rows in it, as the service said last.
        n_distinct: Of them, seen.
        is_saturated: The cap ended it, and not the list.
        is_whole: Every page told the same number, as many were seen, and no page had
            moved.
        n_drifts: Pages that did not go on where the one before ended.
        n_repeated: Pages that were the one before once more.
    """

    frame: pl.DataFrame
    matching: int | None
    n_distinct: int
    is_saturated: bool
    is_whole: bool
    n_drifts: int
    n_repeated: int


@dataclass(slots=True)
class _Reading:
    """A window while it is read, page by page."""

    pages: list[pl.DataFrame] = field(default_factory=list)
    told: list[int | None] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    overlap: list[int] = field(default_factory=list)
    offset: int = 0
    n_drifts: int = 0
    n_repeated: int = 0

    def take(self, page: Page, limit: int) -> bool:
        """Take the next page; return whether another one may follow."""
        ids = page.frame[ID].to_list()
        self.told.append(page.matching)
        self.pages.append(page.frame)
        is_long = len(ids) > OVERLAP_ROWS
        is_repeated = is_long and ids == self.last[: len(ids)]
        self.n_repeated += is_repeated
        n_before = len(self.overlap)
        self.n_drifts += bool(n_before) and ids[:n_before] != self.overlap
        # A full page may hide more behind it, whatever the service says there is.
        n_seen = self.offset + len(ids)
        is_short = len(ids) < limit and n_seen >= (page.matching or 0)
        if is_short or is_repeated or len(ids) <= n_before:
            return False
        step = len(ids) - OVERLAP_ROWS if len(ids) > OVERLAP_ROWS else len(ids)
        self.last, self.overlap = ids, ids[step:]
        self.offset += step
        return True


class Listing:
    """
    Asks the list for windows.

    Attributes:
        sort_field: What it can be sorted by; None when the service refuses to sort.
        page_rows: Rows of a page.
        n_all: Profiles in the workspace, as it said last; None when it does not say.
        variation: By how much that number went up and down so far.
        contradictions: Of the service with itself.
        n_requests: Questions asked so far.
    """

    def __init__(
        self, connector: Connector, client: Client, cap_rows: int, stop: StopSignal
    ) -> None:
        self._connector = connector
        self._client = client
        self._cap_rows = cap_rows
        self._stop = stop
        self._reader = PageReader()
        self.page_rows = min(LIST_PAGE_ROWS, cap_rows)
        self.sort_field: str | None = "id"
        self.n_all: int | None = None
        self.variation = 0
        self.contradictions: dict[str, None] = {}
        self.n_requests = 0

    async def open(self, base: Window) -> Page:
        """
        Find out how large a page may be, and whether it can be sorted.

        Returns:
            The first page of *base*.

        Raises:
            ContractError: The list refuses every known form of question.
        """
        for sort_field, page_rows in product(_SORTS, _PAGE_ROWS):
            limit = min(page_rows, self._cap_rows)
            window = Window(base.recognized, base.search, sort_field)
            page = await self._ask(window, limit, 0)
            if page is not None:
                self.sort_field, self.page_rows = sort_field, limit
                return page
        raise ContractError(
            "the list endpoint refuses every question (400), with and without an "
            "order, down to pages of 25; nothing was exported"
        )

    async def count(self, base: Window) -> int | None:
        """Return how many profiles a question is about, now."""
        page = await self._ask(base, 1, 0)
        return None if page is None else total_of(page, base)

    async def narrows_to(self, window: Window, profile_id: int) -> bool:
        """Return whether a window holds a profile, and few others."""
        page = await self._ask(window, self.page_rows, 0)
        if page is None or page.frame.height >= self.page_rows:
            return False
        return profile_id in page.frame[ID]

    async def entries(self, name: str) -> Sequence[str]:
        """Return values of a field, as many as the service tells (API 4.13)."""
        self.n_requests += 1
        reply = await patiently(
            self._connector,
            self._client,
            partial(self._client.autocomplete, field=name, prefix="", limit=_ENTRIES),
            what="the question for values of a field",
            answers={_OK, _REFUSED, 404},
            stop=self._stop,
        )
        try:
            told = json.loads(reply.body).get("entries")
        except (ValueError, AttributeError, RecursionError):
            return ()
        if reply.status != _OK or not isinstance(told, list):
            return ()
        return [entry for entry in told if isinstance(entry, str) and entry]

    async def read(self, window: Window) -> Part | None:
        """Read a window to its end, or to the cap; None when the service refuses it."""
        reading = _Reading()
        most_pages = ceil(self._cap_rows / max(1, self.page_rows - OVERLAP_ROWS))
        while reading.offset < self._cap_rows:
            if len(reading.told) >= most_pages + _SPARE_PAGES:
                break
            limit = min(self.page_rows, self._cap_rows - reading.offset)
            page = await self._ask(window, limit, reading.offset)
            if page is None and not reading.told:
                return None
            if page is not None and self._ends_early(page, reading):
                page = await self._ask(window, limit, reading.offset)
            if page is None or not reading.take(page, limit):
                break
        return self._part(reading)

    @staticmethod
    def _ends_early(page: Page, reading: _Reading) -> bool:
        """Return whether an empty page has no reason to be empty: asked once more."""
        return page.frame.is_empty() and reading.offset < (page.matching or 0)

    def _part(self, reading: _Reading) -> Part:
        frame = pl.concat(reading.pages, how="diagonal") if reading.pages else NO_ROWS
        matching = next((n for n in reversed(reading.told) if n is not None), None)
        n_distinct = frame[ID].n_unique()
        if len(reading.told) == 1 and matching is not None and n_distinct > matching:
            self.contradictions["a page shows more rows than the service counts"] = None
        if reading.n_repeated:
            self.contradictions["the list gives one page again and again"] = None
        at_cap = reading.offset + OVERLAP_ROWS >= self._cap_rows
        is_known = matching is not None and matching != self._cap_rows
        is_saturated = n_distinct < (matching or 0) if is_known else at_cap
        is_whole = (
            is_known
            and set(reading.told) == {n_distinct}
            and not reading.n_drifts
            and not reading.n_repeated
        )
        return Part(
            frame,
            matching,
            n_distinct,
            is_saturated,
            is_whole,
            reading.n_drifts,
            reading.n_repeated,
        )

    async def _ask(self, window: Window, limit: int, offset: int) -> Page | None:
        """Return a page, or None when the service refuses the question."""
        self.n_requests += 1
        order = "DESC" if window.is_descending else "ASC"
        sort_by = None if window.sort_field is None else f"{window.sort_field}:{order}"
        reply = await patiently(
            self._connector,
            self._client,
            partial(
                self._client.list_profiles,
                limit=limit,
                offset=offset,
                recognized=window.recognized,
                search=window.search or None,
                sort_by=sort_by,
            ),
            what=f"the page of the list from {offset}",
            answers={_OK, _REFUSED},
            stop=self._stop,
        )
        if reply.status != _OK:
            return None
        page = self._reader.read(reply.body)
        self._compare(page, window)
        return page

    def _compare(self, page: Page, window: Window) -> None:
        """Note what a page says of the whole, and where it contradicts itself."""
        if page.frame[ID].n_unique() < page.frame.height:
            self.contradictions["a page shows one profile several times"] = None
        before, self.n_all = self.n_all, page.n_all
        if before is not None and page.n_all is not None:
            self.variation += abs(before - page.n_all)
        if page.n_all is None or not page.matching or page.n_all == self._cap_rows:
            return
        is_plain = window.recognized is None and not window.search
        is_capped = page.matching == self._cap_rows
        if page.matching > page.n_all or (
            is_plain and page.matching < page.n_all and not is_capped
        ):
            self.contradictions[
                f"the service says {page.n_all:,} in all, and {page.matching:,} in "
                f"{'the whole' if is_plain else 'a part'} of them"
            ] = None


NO_ROWS: Final = pl.DataFrame(schema=FIXED)


def total_of(page: Page, base: Window) -> int | None:
    """Return how many profiles a question without a split is about."""
    is_filtered = base.recognized is not None or bool(base.search)
    return page.matching if is_filtered else page.n_all
