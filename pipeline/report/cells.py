"""What became of the cells of a source, field by field, in a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.report.document import FieldBar, FieldBars, Section
from pipeline.report.parts import fill_bars

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Cells:
    """
    What became of the cells, by field, each in the order of the mapping.

    Attributes:
        n_clean: Rows without a fault.
        filled: Cells with a value in these.
        repaired: Cells that a declared rule changed.
        omitted: Invalid cells that were left out.
        faulty: Cells that block their row.
        erased: Cells that erase their field.
    """

    n_clean: int
    filled: Mapping[str, int]
    repaired: Mapping[str, int]
    omitted: Mapping[str, int]
    faulty: Mapping[str, int]
    erased: Mapping[str, int]


def fields_section(cells: Cells) -> tuple[Section, ...]:
    """Return fill rates and what else happened to the cells, or nothing."""
    if not cells.filled or not cells.n_clean:
        return ()
    bars = fill_bars(cells.filled, cells.n_clean, "rows without a fault")
    columns = {
        "Repaired": cells.repaired,
        "Left out": cells.omitted,
        "Faulty": cells.faulty,
        "Erased": cells.erased,
    }
    used = {name: by_field for name, by_field in columns.items() if by_field}
    lines = tuple(
        FieldBar(
            line.name,
            line.n_whole,
            line.parts,
            (*line.cells, *(_number(by.get(line.name, 0)) for by in used.values())),
        )
        for line in bars.lines
    )
    meanings = [_MEANINGS[name] for name in used]
    table = FieldBars(
        " ".join((bars.caption, *meanings)),
        bars.subject,
        bars.bar,
        (*bars.columns, *used),
        lines,
        bars.n_more,
    )
    return (Section("Fields", (table,)),)


_MEANINGS: Final = {
    "Repaired": "Repaired: cells changed by a declared rule (white space, case, form).",
    "Left out": "Left out: invalid cells under `on_invalid: omit`.",
    "Faulty": "Faulty: cells that block their row.",
    "Erased": "Erased: cells that delete the value in the profile.",
}


def _number(n: int) -> str:
    return f"{n:,}" if n else "–"
