"""What a machine of proof hands over: figures, and whether each is what was asked."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number, as it is shown, beside what was asked for."""

    name: str
    measured: str
    wanted: str
    is_met: bool


@dataclass(frozen=True)
class Chapter:
    """
    What one machine showed.

    `words` say what was done and how a defect would have shown; `table` are further
    rows, the first one its head, for machines that list cases.
    """

    title: str
    words: str
    figures: tuple[Figure, ...]
    table: tuple[tuple[str, ...], ...] = ()

    @property
    def is_met(self) -> bool:
        return all(figure.is_met for figure in self.figures)


# Given a number of cases, or None for the number that docs/proof.md asks for.
Machine = Callable[[int | None], Chapter]
