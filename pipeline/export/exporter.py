"""
Profiles into a file: page after page of the list, up to its cap, and no further.

What the cap cut off is said, and shows in the name of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from pipeline.connection import connected, patiently
from pipeline.contract import LIST_CAP, LIST_PAGE_ROWS
from pipeline.errors import CannotWriteError, ContractError, SettingsError
from pipeline.export.pages import Page, frame_of, is_complete, read_page
from pipeline.writer import FileForm, write_frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.client import Client
    from pipeline.connection import Connector, Workspace
    from pipeline.settings import SourceFormat

SUFFIXES: Final[dict[str, SourceFormat]] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_REFUSED: Final = 400
_OK: Final = 200
# API 9, questions 15 and 16: the largest page and the sort syntax are not documented.
_PAGE_ROWS: Final = (LIST_PAGE_ROWS, 100, 25)
_SORTS: Final = ("id:ASC", None)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """
    What an export came to.

    Attributes:
        path: The file that was written; its name says so when it is not complete.
        n_all: Profiles in the workspace, as the service says.
        sort_by: How the list was sorted; None when the service refused to sort.
    """

    path: Path
    n_profiles: int
    n_all: int | None
    is_complete: bool
    n_requests: int
    sort_by: str | None
    workspace: Workspace


async def export_profiles(
    connector: Connector,
    destination: Path,
    *,
    overwrite: bool = False,
    expected_guid: str | None = None,
    on_rows: Callable[[int, int | None], None] = lambda _n, _all: None,
) -> ExportReport:
    """
    Write what the list endpoint shows to a CSV, Parquet or JSONL file.

    Args:
        destination: Its suffix says the format.
        overwrite: Whether an existing file may be replaced.
        on_rows: Told the profiles so far, and in all.

    Effects: the file appears whole or not at all; `NAME.incomplete.EXT` instead when
        the cap (10,000, API 6.1) cut it.

    Raises:
        SettingsError: The suffix is none of ours.
        CannotWriteError: The file exists; nothing was asked of the service.
        ContractError: The list refuses every known form of question.

    Cost: all profiles below the cap in memory, some 30 MB (measured with 10,000).
    """
    form = FileForm(_format_of(destination))
    cut = destination.with_suffix(f".incomplete{destination.suffix}")
    for path in (destination, cut):
        if path.exists() and not overwrite:
            raise CannotWriteError(
                f"{path} exists already; give another name, or --overwrite"
            )
    async with connected(connector, expected_guid) as (client, workspace):
        listing = _Listing(connector, client)
        profiles, n_all = await listing.read(on_rows)
        frame = frame_of(profiles)
        whole = is_complete(frame.height, n_all)
        path = destination if whole else cut
        write_frames(
            path, form, lambda: [frame], dict(frame.schema), overwrite=overwrite
        )
        return ExportReport(
            path,
            frame.height,
            n_all,
            whole,
            client.n_requests,
            listing.sort_by,
            workspace,
        )


def _format_of(destination: Path) -> SourceFormat:
    found = SUFFIXES.get(destination.suffix.lower())
    if found is None:
        raise SettingsError(
            f"{destination.name}: the name must end in {', '.join(SUFFIXES)}, so that "
            "the format is known"
        )
    return found


class _Listing:
    """The list endpoint, asked in the form that this service accepts."""

    def __init__(self, connector: Connector, client: Client) -> None:
        self._connector = connector
        self._client = client
        self._page_rows = LIST_PAGE_ROWS
        self.sort_by: str | None = None

    async def read(
        self, on_rows: Callable[[int, int | None], None]
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Read pages until nothing is left or the cap is reached."""
        page = await self._first_page()
        profiles = list(page.profiles)
        n_all, offset = page.n_all, self._page_rows
        on_rows(len(profiles), n_all)
        while page.profiles and offset < LIST_CAP and (n_all is None or offset < n_all):
            limit = min(self._page_rows, LIST_CAP - offset)
            asked = await self._ask(limit, offset, self.sort_by)
            if asked is None:
                break
            page = asked
            profiles += page.profiles
            n_all = page.n_all if page.n_all is not None else n_all
            offset += limit
            on_rows(len(profiles), n_all)
        return profiles, n_all

    async def _first_page(self) -> Page:
        for sort_by, page_rows in product(_SORTS, _PAGE_ROWS):
            page = await self._ask(page_rows, 0, sort_by)
            if page is not None:
                self.sort_by, self._page_rows = sort_by, page_rows
                return page
        raise ContractError(
            "the list endpoint refuses every question (400), with and without an "
            "order, down to pages of 25; nothing was exported"
        )

    async def _ask(self, limit: int, offset: int, sort_by: str | None) -> Page | None:
        """Return a page, or None when the service refuses the question."""
        reply = await patiently(
            self._connector,
            self._client,
            lambda: self._client.list_profiles(
                limit=limit, offset=offset, sort_by=sort_by
            ),
            what=f"the page of the list from {offset}",
            answers={_OK, _REFUSED},
        )
        return read_page(reply.body) if reply.status == _OK else None
