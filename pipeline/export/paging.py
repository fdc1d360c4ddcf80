"""
Road 1: `GET /v4/clients` from its first page to an empty one (API 6.2).

It shows full profiles and states no cap, but no total either, and nobody promises an
order; so it proves nothing by itself. Where it is not permitted or does not behave, it
says why, and other roads are left.
"""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.connection import patiently
from pipeline.contract import LIST_PAGE_ROWS
from pipeline.errors import ContractError, TokenRefusedError
from pipeline.export.certificate import PagesRead
from pipeline.export.pages import PageReader
from pipeline.export.plain import ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.client import Client
    from pipeline.connection import Connector
    from pipeline.export.vault import Unit, Vault
    from pipeline.stopping import StopSignal

FULL: Final = "full"  # the kind of profile that has all it has
_OK: Final = 200
_REFUSED: Final = (400, 404)
# API 9, question 15: the largest page is not documented.
_PAGE_ROWS: Final = (LIST_PAGE_ROWS, 100, 25)
_MOST_PASSES: Final = 4


class _LeftError(Exception):
    """The road is left; the text says why."""


class Paging:
    """
    Walks road 1 into the vault.

    Attributes:
        reads: Its passes.
        n_known: Profiles seen on it.
    """

    def __init__(
        self,
        connector: Connector,
        client: Client,
        vault: Vault,
        stop: StopSignal,
        on_rows: Callable[[int, int | None], None],
    ) -> None:
        self._connector = connector
        self._client = client
        self._vault = vault
        self._stop = stop
        self._on_rows = on_rows
        self._reader = PageReader()
        self._page_rows = 0
        self.reads: list[PagesRead] = []

    @property
    def n_known(self) -> int:
        """Profiles seen on this road."""
        return len(self._vault.ids_of(FULL))

    async def run(self, total: int | None, *, recognized: str | None) -> bool:
        """
        Walk until as many profiles are known as there are, or a pass adds nothing.

        Args:
            total: Profiles that there should be; None when nobody says.
            recognized: `RECOGNIZED` or `ANONYMOUS`: only these are kept.

        Returns:
            Whether the road went to its end every time.

        Raises:
            RemoteError: The service answers nothing more.
        """
        for number in range(1, _MOST_PASSES + 1):
            n_known = self.n_known
            refusal = await self._pass(number, total, recognized)
            if refusal:
                return False
            if self.n_known in (n_known, total):
                break
        return True

    async def _pass(
        self, number: int, total: int | None, recognized: str | None
    ) -> str:
        n_before, n_rows, page_no, refusal = self.n_known, 0, 0, ""
        last: list[int] = []
        try:
            while True:
                page_no += 1
                unit = await self._page(number, page_no, total, recognized)
                n_rows += unit.told["rows"]
                if not unit.told["rows"]:
                    break
                self._on_rows(len(self._vault.seen), total)
                ids = [unit.told[name] for name in ("first", "last", "rows")]
                _check_it_goes_on(ids, last)
                last = ids
                _check_length(page_no, n_rows, total)
        except _LeftError as left:
            refusal = str(left)
        read = PagesRead(page_no, n_rows, self.n_known - n_before, refusal)
        self.reads.append(read)
        return refusal

    async def _page(
        self, number: int, page_no: int, total: int | None, recognized: str | None
    ) -> Unit:
        key = f"page|{number}|{page_no}"
        unit = self._vault.recorded(FULL, key)
        if unit is not None:
            self._page_rows = unit.told["page_rows"]
            return unit
        frame = await self._asked(page_no)
        if frame.is_empty() and total is not None and self.n_known < total:
            frame = await self._asked(page_no)  # an empty page may be a slip
        ids = frame[ID]
        told = {
            "rows": frame.height,
            "page_rows": self._page_rows,
            "first": ids[0] if frame.height else None,
            "last": ids[-1] if frame.height else None,
        }
        return self._vault.keep(FULL, key, _only(frame, recognized), told)

    async def _asked(self, page_no: int) -> pl.DataFrame:
        sizes = (self._page_rows,) if self._page_rows else _PAGE_ROWS
        status = _OK
        for page_rows in sizes:
            try:
                reply = await patiently(
                    self._connector,
                    self._client,
                    partial(
                        self._client.list_full_profiles,
                        page_no=page_no,
                        page_rows=page_rows,
                    ),
                    what=f"page {page_no} of the profiles",
                    answers={_OK, *_REFUSED},
                    stop=self._stop,
                )
                status = reply.status
                if status == _OK:
                    self._page_rows = page_rows
                    return self._reader.read(reply.body).frame
            except TokenRefusedError:
                raise _LeftError("the key may not read it") from None
            except ContractError as error:
                raise _LeftError(str(error)) from None
        raise _LeftError(f"page {page_no:,} is refused ({status})")


def _check_it_goes_on(ids: list[int], last: list[int]) -> None:
    if ids == last:
        raise _LeftError("it gives one page again and again")


def _check_length(page_no: int, n_rows: int, total: int | None) -> None:
    if total is not None and n_rows > 2 * total + LIST_PAGE_ROWS:
        pages = ceil(total / max(1, n_rows // page_no))
        raise _LeftError(f"it goes on behind {pages:,} pages, which hold them all")


def _only(frame: pl.DataFrame, recognized: str | None) -> pl.DataFrame:
    if recognized is None:
        return frame
    wanted = "true" if recognized == "ANONYMOUS" else "false"
    if "anonymous" not in frame.columns:
        return frame.clear()
    return frame.filter(pl.col("anonymous") == wanted)
