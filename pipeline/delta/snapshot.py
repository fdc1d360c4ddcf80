"""
An export as a witness: which rows have a profile, and what it shows of them.

It shows the CRM as it was when it was made. What it does not hold is not known, and
only an export that is shown to be complete tells that somebody is not there; a file of
the platform's portal is taken for complete, because nobody can see what it lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.changes import GONE, named_fields, whole_digest
from pipeline.delta.digests import FIELD_PREFIX, KEY_COLUMNS, field_columns
from pipeline.delta.selecting import CODE, codes_of
from pipeline.delta.shown import CRM_PREFIX, shown_fields
from pipeline.errors import SourceChangedError, WrongWorkspaceError
from pipeline.export.returning import has_certificate, returned_file
from pipeline.files import make_private_dir, sha256_of
from pipeline.reader import open_source
from pipeline.reconcile.array_file import is_array
from pipeline.reconcile.bucket import CRM, SOURCE
from pipeline.reconcile.meeting import HELD_ROWS, Meeting
from pipeline.reconcile.sides import SourceRows, open_profiles
from pipeline.settings import SourceSettings
from pipeline.spill import Spill

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from pipeline.checker import CheckResult
    from pipeline.connection import Workspace
    from pipeline.delta.digest_set import DigestSet
    from pipeline.export.returning import Returned
    from pipeline.line import Line
    from pipeline.reconcile.meeting import Met
    from pipeline.reconcile.sides import ProfileFile
    from pipeline.records import Encoded

# What a row met; from the last on, one profile, by the set of fields that it shows.
NOT_MET: Final = 0
MET_SEVERAL: Final = 1
FIRST_SHOWN: Final = 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    What an export shows of the rows of a source.

    Attributes:
        path: Of the file, and *sha256* of its content.
        shows_absence: Whether a row that met nobody had no profile then.
        codes: For each file, a UInt32 for each of its rows.
        shown: The digest columns of the fields that are shown, in the order of the
            codes from `FIRST_SHOWN` on.
        met_profiles: UInt32, the profiles that met a row, counted from 0.
    """

    path: Path
    sha256: str
    shows_absence: bool
    codes: tuple[pl.Series, ...]
    shown: tuple[frozenset[str], ...]
    met_profiles: pl.Series

    def check_unchanged(self) -> None:
        """
        Make sure that the file is the one that was read, to its end.

        Raises:
            SourceChangedError: It is not; profiles are known by their places in it.
        """
        if sha256_of(self.path) != self.sha256:
            raise SourceChangedError(
                f"{self.path} changed while it was read, so nobody knows what it "
                "shows. Nothing was sent: run the command again"
            )


def check_export(path: Path) -> None:
    """
    Refuse what cannot be an export, before the source is read.

    Raises:
        SourceError: It is missing, empty, or no table.
    """
    if not is_array(path):
        open_source(SourceSettings(path=str(path)))


def read_snapshot(
    path: Path, line: Line, check: CheckResult, workspace: Workspace
) -> Snapshot:
    """
    Let the rows of a source meet the profiles of an export.

    Raises:
        WrongWorkspaceError: Its certificate names another workspace.
        SettingsError: It was written for spreadsheets.
        SourceError: It cannot be used, or the source changed meanwhile.
        SourceChangedError: It changed while it was read.

    Cost: one reading of the source, two of the export, and eight bytes a pair.
    """
    digest, returned = sha256_of(path), returned_file(path)
    if returned is not None and returned.workspace not in (None, workspace.guid):
        raise WrongWorkspaceError(
            f"{path} was exported from the workspace {returned.workspace}, and these "
            f"credentials open {workspace.guid}. Nothing was sent. Export this "
            "workspace, or use the right key"
        )
    scratch = make_private_dir(line.scratch / "snapshot")
    rows = SourceRows(line, check)
    identifiers = line.plan.identifiers
    file = open_profiles(path, rows.fields, identifiers, scratch)
    profiles = _Profiles(file, _json_fields(file, returned))
    meeting = Meeting(
        rows,
        profiles,
        None,
        rows.fields,
        identifiers,
        scratch,
        on_rows=lambda _n_rows: line.request.stop.check(),
    )
    with Spill(scratch / "waiting", max_rows=HELD_ROWS) as waiting:
        met = meeting.gather(waiting)
        codes, numbers = _codes(
            waiting, met, rows.fields, _untyped(file, returned), sum(check.n_rows)
        )
    columns = [FIELD_PREFIX + name for name in rows.fields]
    offsets = [0, *accumulate(check.n_rows)]
    snapshot = Snapshot(
        path,
        digest,
        shows_absence=_shows_absence(path, returned),
        codes=tuple(
            codes.slice(first, n_rows)
            for first, n_rows in zip(offsets, check.n_rows, strict=False)
        ),
        shown=tuple(
            frozenset(FIELD_PREFIX + name for name in named_fields(told, columns))
            for told in numbers
        ),
        met_profiles=met.crm.profiles(),
    )
    snapshot.check_unchanged()
    return snapshot


def adopt(snapshot: Snapshot, encoded: Iterable[Encoded], persons: DigestSet) -> int:
    """
    Write what a snapshot shows as a state: of each person, the fields that are shown.

    A row that met several profiles, or shares one with another row, is left out.

    Args:
        encoded: The rows of the source, with their digests.

    Returns:
        The number of persons.

    Raises:
        CannotWriteError: The disk refuses.
    """
    n_persons = 0
    with persons:
        for part in encoded:
            columns = field_columns(part.frame.columns)
            code = codes_of(part.frame, snapshot.codes)
            met = part.frame.with_columns(code).filter(pl.col(CODE) >= FIRST_SHOWN)
            for (number,), group in met.group_by(CODE):
                shown = snapshot.shown[int(str(number)) - FIRST_SHOWN]
                persons.add(_shown_alone(group, columns, shown))
                n_persons += group.height
    return n_persons


def _shown_alone(
    group: pl.DataFrame, columns: Sequence[str], shown: AbstractSet[str]
) -> pl.DataFrame:
    hidden = [name for name in columns if name not in shown]
    nothing = pl.lit(None, dtype=pl.UInt64)
    return group.with_columns(nothing.alias(name) for name in hidden).select(
        *KEY_COLUMNS,
        pl.lit(value=False).alias(GONE),
        whole_digest(columns),
        *columns,
    )


@dataclass(frozen=True, slots=True)
class _Profiles:
    """A file of profiles whose JSON is taken out of its texts."""

    file: ProfileFile
    json_fields: Sequence[str]

    def frames(self) -> Iterator[pl.DataFrame]:
        for frame in self.file.frames():
            yield frame.with_columns(
                pl.col(name).str.json_decode(pl.String) for name in self.json_fields
            )


def _json_fields(file: ProfileFile, returned: Returned | None) -> list[str]:
    """Return the fields whose cells are JSON, by the certificate."""
    if returned is None:
        return []
    return sorted(returned.json_columns & file.columns.untyped & set(file.fields))


def _untyped(file: ProfileFile, returned: Returned | None) -> AbstractSet[str]:
    """Return the fields whose texts may mean other values: an own file has none."""
    if returned is None:
        return file.columns.untyped
    return file.columns.untyped - set(file.source.columns)


def _shows_absence(path: Path, returned: Returned | None) -> bool:
    if returned is not None:
        return returned.is_whole
    return not has_certificate(path) and ".incomplete" not in path.suffixes


def _codes(
    waiting: Spill,
    met: Met,
    fields: Sequence[str],
    untyped: AbstractSet[str],
    n_rows: int,
) -> tuple[pl.Series, list[str]]:
    """Return what each row met, and the sets of shown fields by their numbers."""
    codes = pl.zeros(n_rows, dtype=pl.UInt32, eager=True)
    torn = pl.concat(met.crm.in_conflict()).implode()
    code_of: dict[str, int] = {}
    for bucket in waiting.buckets():
        source = bucket.filter(pl.col("side") == SOURCE)
        profiles = bucket.filter(
            (pl.col("side") == CRM) & pl.col("row").is_not_null()
        ).select("row", *(pl.col(name).alias(CRM_PREFIX + name) for name in fields))
        several = profiles["row"].unique()
        codes.scatter(several, pl.repeat(MET_SEVERAL, len(several), eager=True))
        alone = profiles.filter(~pl.col("row").is_in(torn))
        told = shown_fields(source.join(alone, on="row"), fields, untyped)
        for numbers in told["fields"].unique():
            code_of.setdefault(numbers, FIRST_SHOWN + len(code_of))
        found = told["fields"].replace_strict(code_of, return_dtype=pl.UInt32)
        codes.scatter(told["row"], found)
    return codes, list(code_of)
