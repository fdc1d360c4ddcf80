"""Profiles in full, one by one: by the id that a list showed, or as a file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.export.paging import FULL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from pipeline.export.asking import Answers, Asks
    from pipeline.export.names import Name
    from pipeline.export.vault import Vault

UNIT_ROWS: Final = 100


class Details:
    """
    Has single profiles read into the vault, unit after unit.

    Attributes:
        absent: Row of the file of names → no such profile.
    """

    def __init__(self, asks: Asks, vault: Vault) -> None:
        self._asks = asks
        self._vault = vault
        self.absent: list[int] = []

    async def run(
        self, ids: pl.Series, on_rows: Callable[[int, int | None], None]
    ) -> None:
        """
        Read all of these that are not known in full yet.

        Raises:
            As `Asks.ask`.
        """
        known = self._vault.ids_of(FULL)
        left = ids.filter(~known.holds(ids)).to_list()
        starts = range(0, len(left), UNIT_ROWS)

        def keep(n: int, answers: Answers) -> None:
            some = left[starts[n] : starts[n] + UNIT_ROWS]
            key = f"details|{some[0]}|{some[-1]}"
            self._vault.keep(FULL, key, answers.frame, {})
            on_rows(len(known), len(ids))

        units = (
            [("clientId", str(number)) for number in left[start : start + UNIT_ROWS]]
            for start in starts
        )
        await self._asks.ask(units, keep)

    async def named(
        self, names: Sequence[Name], on_rows: Callable[[int, int | None], None]
    ) -> None:
        """
        Read the profiles that a file names; what is not there is noted.

        Raises:
            As `Asks.ask`.
        """
        starts = []
        for start in range(0, len(names), UNIT_ROWS):
            unit = self._vault.recorded(FULL, f"named|{start}")
            if unit is None:
                starts.append(start)
                continue
            self.absent += unit.told["absent"]
            on_rows(min(start + UNIT_ROWS, len(names)), len(names))

        def keep(n: int, answers: Answers) -> None:
            some = names[starts[n] : starts[n] + UNIT_ROWS]
            absent = [some[place].row_no for place in answers.absent]
            told = {"absent": absent}
            self._vault.keep(FULL, f"named|{starts[n]}", answers.frame, told)
            self.absent += absent
            on_rows(starts[n] + len(some), len(names))

        units = (
            [(name.field, name.value) for name in names[start : start + UNIT_ROWS]]
            for start in starts
        )
        await self._asks.ask(units, keep)
