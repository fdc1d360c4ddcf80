"""
What a plan is compared with: the state, and on a first night what an export shows.

The state may never say more than is known. So an export is adopted only where nothing
of the dataset was ever sent: whatever was sent since may not be in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from pipeline.delta.digest_set import DigestSet, spans
from pipeline.delta.digests import KEY_COLUMNS, key_id
from pipeline.delta.plan import mapping_words
from pipeline.delta.snapshot import adopt
from pipeline.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.delta.confirming import CaughtUp
    from pipeline.delta.snapshot import Snapshot
    from pipeline.delta.state import StateRecord, StateStore
    from pipeline.records import Encoded


@dataclass(frozen=True, slots=True)
class Known:
    """
    What is known before a plan is made.

    Attributes:
        record: Of the state; None where there is none.
        persons: Rows are compared with these.
        heard_of: All persons that the state ever knew, those who are gone too.
        n_known: Persons that the state trusts.
        is_readable: Whether the state was made with the key of today.
        notes: Why nothing of what was known can be trusted, in words.
        crm: The export that was named.
        snapshot: What it shows; None where that is of no use.
        n_adopted: Persons of it that *persons* is made of; 0 where it is the state.
    """

    record: StateRecord | None
    persons: DigestSet
    heard_of: DigestSet
    n_known: int = 0
    is_readable: bool = False
    notes: tuple[str, ...] = ()
    crm: Path | None = None
    snapshot: Snapshot | None = None
    n_adopted: int = 0

    def seen(
        self, found: pl.DataFrame, fields: Sequence[str]
    ) -> Iterator[pl.DataFrame]:
        """
        Give what the state is to learn beside the rows of the plan.

        Args:
            found: `KEY_COLUMNS` of persons that there are, and no more is known of.
        """
        found_in = spans(self.persons.n_rows()) if self.n_adopted else ()
        for buckets in found_in:
            frame = self.persons.read(buckets, [*KEY_COLUMNS, *fields])
            if frame is not None:
                yield frame
        if found.height:
            nothing = pl.lit(None, dtype=pl.UInt64)
            yield found.with_columns(nothing.alias(name) for name in fields)

    def words(self, rules: Mapping[str, str], *, is_full: bool) -> tuple[str, ...]:
        """
        Say why rows are planned that may be what the CRM holds already.

        Args:
            rules: Field → digest of how it is read today.
        """
        said = list(self.notes)
        if is_full:
            said.append(
                "--full was asked for: every row is sent, also what the CRM has "
                "already. That may start automations, and replaces what people "
                "changed in the CRM"
            )
        if self.crm is not None:
            said.append(self._of_export(self.crm))
        if self.record is None:
            rest = "every other row" if self.n_adopted else "every row"
            said.append(f"nothing was confirmed yet, so {rest} is new")
        elif not self.is_readable:
            said.append(
                "the key of the digests is not the one that the state was made with: "
                "nothing can be compared, so every row is new. Bring the old key back "
                "(CRM_PIPELINE_KEY, or the file `key` of the work folder that it was "
                "in), or apply this plan to begin with a new one"
            )
        else:
            said += mapping_words(dict(self.record.rules or {}), dict(rules))
        return tuple(said)

    def _of_export(self, path: Path) -> str:
        if self.n_adopted:
            return (
                f"{path} shows {counted(self.n_adopted, 'person')} of the source: what "
                "it shows of them counts as confirmed when this plan is applied"
            )
        if self.snapshot is None:
            return f"rows of this dataset were sent before, so {path} was not read"
        if self.record is None:
            return f"{path} shows nobody of the source"
        return (
            f"rows of this dataset were sent before, so {path} is not taken for what "
            "the CRM holds; it only tells whom the CRM has"
        )


def known_persons(
    states: StateStore, caught: CaughtUp, key: str, nobody: Path
) -> Known:
    """
    Return what the state knows.

    Args:
        key: Of the digests of today.
        nobody: A folder that does not exist.
    """
    record = caught.record
    if record is None or record.key_id != key_id(key):
        nothing = DigestSet(nobody)
        return Known(record, nothing, nothing, notes=caught.reasons)
    persons = states.digests(record)
    return Known(
        record,
        persons,
        persons,
        record.n_persons,
        is_readable=True,
        notes=caught.reasons,
    )


def with_export(
    known: Known, path: Path, snapshot: Snapshot | None, *, is_first: bool
) -> Known:
    """
    Add an export to what is known.

    Args:
        snapshot: What it shows; None where it was not read.
        is_first: Whether no run of the dataset ever began.
    """
    knows_who_was_sent = is_first or (known.is_readable and not known.notes)
    if snapshot is not None and not knows_who_was_sent:
        # Who was sent meanwhile may be missing in an older export.
        snapshot = replace(snapshot, shows_absence=False)
    return replace(known, crm=path, snapshot=snapshot)


def adopted(known: Known, encoded: Iterable[Encoded], folder: Path) -> Known:
    """
    Take what the export shows for what is known.

    Args:
        encoded: The rows of the source, with their digests.
        folder: Does not exist; for what is adopted.

    Raises:
        CannotWriteError: The disk refuses.
    """
    if known.snapshot is None:
        return known
    persons = DigestSet(folder)
    n_adopted = adopt(known.snapshot, encoded, persons)
    return replace(known, persons=persons, n_adopted=n_adopted)
