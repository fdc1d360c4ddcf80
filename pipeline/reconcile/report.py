"""What a reconciliation came to: frozen records for people, programs and pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.records import FieldClass, RowClass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class FieldReport:
    """
    One field of all matched rows.

    Attributes:
        field: Its dotted path.
        counts: Every class → rows; they add up to the rows that give or erase it.
        n_matched: Rows that met a profile.
        n_in_source: Of them, rows with a value.
        n_in_crm: Of their profiles, those with a value.
    """

    field: str
    counts: Mapping[FieldClass, int]
    n_matched: int
    n_in_source: int
    n_in_crm: int

    @property
    def n_compared(self) -> int:
        """Rows that give or erase the field."""
        return sum(self.counts.values())

    @property
    def n_different(self) -> int:
        """Rows in any class but `equal`."""
        return self.n_compared - self.counts[FieldClass.EQUAL]


@dataclass(frozen=True, slots=True)
class Example:
    """
    One line of the differences; it holds values.

    Attributes:
        row_no: Of *source*; None for a profile that no row met.
        profile_no: Of the file of profiles, from 1; None for a row without a profile.
        profile: Its surest identifier, as `customId=C1`.
        field: None where the whole row is meant.
        found: A `FieldClass`, or a `RowClass` without a field.
        source_value, crm_value, baseline_value: JSON texts.
    """

    source: str | None
    row_no: int | None
    profile_no: int | None
    profile: str | None
    field: str | None
    found: str
    source_value: str | None
    crm_value: str | None
    baseline_value: str | None


@dataclass(frozen=True, slots=True)
class CrmSide:
    """
    What the source was compared with.

    Attributes:
        name: A path, or the workspace in words.
        n_profiles: Those in it.
        n_shared: Of them, profiles that share an identifier with another one.
        reasons: Why it is not shown to be complete; empty when nothing speaks
            against it. A file is taken for complete: nobody can see what it lacks.
        lacking: Fields of the source that it does not have; not compared.
        unknown: Columns that are no field, as far as can be told.
        guid: Of the workspace; None for a file.
    """

    name: str
    n_profiles: int
    n_shared: int
    reasons: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    guid: str | None = None


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """
    What a reconciliation came to.

    Attributes:
        folder: Of the files of this comparison.
        sources: Paths of the files of the source.
        baseline: Its path or run; None without one.
        n_read: Records of the source; of them, rows that were `n_blocked` (not
            compared), `n_folded` into others and `n_empty`.
        rows: Every class → rows; `only_in_crm` counts profiles. All but that add up
            to the rows that an import would send.
        n_differing: Matched rows with a field that is not equal.
        fields: In the order of the mapping.
        ignored: Fields that were left out on purpose.
        examples: The first lines of each field and class.
        n_repairable: Rows of the source in the repair file.
        files: Name → path; a file without content is left out.
    """

    run_id: str
    folder: str
    sources: tuple[str, ...]
    crm: CrmSide
    baseline: str | None
    n_read: int
    n_blocked: int
    n_folded: int
    n_empty: int
    rows: Mapping[RowClass, int]
    n_differing: int
    fields: tuple[FieldReport, ...]
    ignored: tuple[str, ...]
    examples: tuple[Example, ...]
    n_repairable: int
    files: Mapping[str, str]

    @property
    def n_compared(self) -> int:
        """Rows of the source that were looked for."""
        return sum(self.rows.values()) - self.rows[RowClass.ONLY_IN_CRM]

    @property
    def n_disagreeing(self) -> int:
        """Rows that differ, are missing, or contradict a profile; not the unknown."""
        return self.n_differing + sum(
            self.rows[found]
            for found in (
                RowClass.ONLY_IN_SOURCE,
                RowClass.SEVERAL_PROFILES,
                RowClass.SEVERAL_ROWS,
            )
        )

    @property
    def share(self) -> float:
        """The rows that disagree, of those that were looked for; 0 without any."""
        return self.n_disagreeing / self.n_compared if self.n_compared else 0.0

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the other side was out of sight."""
        return not (self.crm.reasons or self.crm.lacking)
