"""The list endpoint, asked in the form that this service accepts, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from pipeline.connection import patiently
from pipeline.contract import LIST_PAGE_ROWS
from pipeline.errors import ContractError
from pipeline.export.pages import Page, read_page
from pipeline.export.windows import Window

if TYPE_CHECKING:
    from pipeline.client import Client
    from pipeline.connection import Connector

_REFUSED: Final = 400
_OK: Final = 200
# API 9, questions 15 and 16: the largest page and the sort syntax are not documented.
_PAGE_ROWS: Final = (LIST_PAGE_ROWS, 100, 25)
_SORTS: Final = ("id", None)
# Rows of a page that are asked for once more with the next: they show whether it moved.
OVERLAP_ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class Part:
    """
    The rows of a window.

    Attributes:
        profiles: As the list gives them, repetitions included.
        matching: Rows in it, as the service says.
        is_saturated: The cap ended it, and not the list.
        n_drifts: Pages that did not go on where the one before ended.
    """

    profiles: list[dict[str, Any]]
    matching: int | None
    is_saturated: bool
    n_drifts: int


class Listing:
    """
    Asks the list for windows.

    Attributes:
        sort_field: What it can be sorted by; None when the service refuses to sort.
        n_all: Profiles in the workspace, as it said last; None when it does not say.
        n_requests: Questions asked so far.
    """

    def __init__(self, connector: Connector, client: Client, cap_rows: int) -> None:
        self._connector = connector
        self._client = client
        self._cap_rows = cap_rows
        self._page_rows = min(LIST_PAGE_ROWS, cap_rows)
        self.sort_field: str | None = "id"
        self.n_all: int | None = None
        self.n_requests = 0

    async def open(self) -> None:
        """
        Find out how large a page may be, and whether it can be sorted.

        Raises:
            ContractError: The list refuses every known form of question.
        """
        for sort_field, page_rows in product(_SORTS, _PAGE_ROWS):
            limit = min(page_rows, self._cap_rows)
            page = await self._ask(Window(sort_field=sort_field), limit, 0)
            if page is not None:
                self.sort_field, self._page_rows = sort_field, limit
                return
        raise ContractError(
            "the list endpoint refuses every question (400), with and without an "
            "order, down to pages of 25; nothing was exported"
        )

    async def ask_total(self) -> int | None:
        """Return how many profiles there are now."""
        await self._ask(Window(sort_field=self.sort_field), 1, 0)
        return self.n_all

    async def narrows_to(self, window: Window, profile_id: int) -> bool:
        """Return whether a window holds a profile, and few others."""
        page = await self._ask(window, self._page_rows, 0)
        if page is None or len(page.profiles) >= self._page_rows:
            return False
        return profile_id in {row["id"] for row in page.profiles}

    async def read(self, window: Window) -> Part | None:
        """Read a window to its end, or to the cap; None when the service refuses it."""
        rows: list[dict[str, Any]] = []
        matching: int | None = None
        offset = n_drifts = 0
        before: list[int] = []
        while offset < self._cap_rows:
            limit = min(self._page_rows, self._cap_rows - offset)
            page = await self._ask(window, limit, offset)
            if page is None and not offset:
                return None
            if page is None or not page.profiles:
                break
            ids = [profile["id"] for profile in page.profiles]
            n_drifts += bool(before) and ids[: len(before)] != before
            matching = page.matching if page.matching is not None else matching
            rows += page.profiles
            # A full page may hide more behind it, whatever the service says there is.
            n_seen = offset + len(ids)
            is_short = len(ids) < limit and n_seen >= (matching or 0)
            if is_short or len(ids) <= len(before):
                break
            step = len(ids) - OVERLAP_ROWS if len(ids) > OVERLAP_ROWS else len(ids)
            before = ids[step:]
            offset += step
        n_distinct = len({row["id"] for row in rows})
        at_cap = offset + OVERLAP_ROWS >= self._cap_rows
        is_saturated = at_cap if matching is None else n_distinct < matching
        return Part(rows, matching, is_saturated, n_drifts)

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
        )
        if reply.status != _OK:
            return None
        page = read_page(reply.body)
        self.n_all = page.n_all
        return page
