"""
Reconciling: do a source and the CRM agree, profile by profile and field by field?

The source is read as an import reads it, the CRM is exported or comes as a file; both
meet by their identifiers, and every field that the source gives is compared. Nothing
is written to the CRM, and what could not be seen is never called agreement.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.connection import unless_stopped
from pipeline.distributed.cluster import reach
from pipeline.erasing import excess
from pipeline.errors import InvariantError, SettingsError
from pipeline.files import make_private_dir, make_work_dir, remove_drafts_of_runs
from pipeline.line import ImportRequest, check_line, open_line
from pipeline.locks import lock_folder
from pipeline.progress import NO_PROGRESS
from pipeline.reconcile.baseline import open_baseline
from pipeline.reconcile.bucket import (
    LINES,
    MARKS,
    BucketRules,
    Tally,
    compare_bucket,
)
from pipeline.reconcile.compare import FieldRules
from pipeline.reconcile.crm_side import exported_crm
from pipeline.reconcile.handing_out import Sharing, compare_on_cluster
from pipeline.reconcile.meeting import HELD_ROWS, Meeting
from pipeline.reconcile.repair import write_repair
from pipeline.reconcile.report import (
    CrmSide,
    Example,
    FieldReport,
    ReconcileReport,
)
from pipeline.reconcile.sides import SourceRows, open_profiles
from pipeline.records import FieldClass, RowClass, State
from pipeline.retrying import SYSTEM_CLOCK
from pipeline.spill import SliceStore, Spill, fresh_scratch
from pipeline.stopping import StopSignal
from pipeline.writer import FileForm, write_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from pipeline.connection import Connector, Workspace
    from pipeline.distributed.cluster import Cluster
    from pipeline.line import Line
    from pipeline.progress import ProgressView
    from pipeline.reader import Source
    from pipeline.reconcile.baseline import Baseline
    from pipeline.reconcile.bucket import BucketResult
    from pipeline.reconcile.meeting import Met
    from pipeline.reconcile.sides import ProfileFile
    from pipeline.retrying import Clock
    from pipeline.settings import Job
    from pipeline.settings import Mapping as FieldMapping

_PLACES: Final[dict[str, pl.DataType]] = {
    "source": pl.String(),
    "row_no": pl.UInt64(),
    "profile_no": pl.UInt64(),
}
_TOLD: Final = {name: LINES[name] for name in LINES if name not in ("row", "number")}
DIFFERENCES: Final = _PLACES | _TOLD
N_EXAMPLES: Final = 5
CSV_ROWS: Final = 200_000


@dataclass(frozen=True, slots=True)
class ReconcileRequest:
    """
    What to compare, and how strictly.

    Attributes:
        job: With every flag already in it; its source has a path.
        against: A file of profiles; None asks the workspace for an export.
        baseline: A former export, or a former run: what both sides once had.
        ignored: Fields that are not compared; `NAME` is short for `attributes.NAME`.
        tolerances: Field → by how much numbers may differ.
        on_mapping: Shown the mapping before anything is read to its end.
        on_workspace: Shown the workspace that was exported.
        cluster: Whose workers compare; this process, when not given.
    """

    job: Job
    work_dir: Path
    against: Path | None = None
    baseline: str | None = None
    ignored: AbstractSet[str] = frozenset()
    tolerances: Mapping[str, float] = field(default_factory=dict)
    progress: ProgressView = NO_PROGRESS
    on_mapping: Callable[[Source, FieldMapping], None] = lambda _source, _mapping: None
    on_workspace: Callable[[Workspace], None] = lambda _workspace: None
    stop: StopSignal = field(default_factory=StopSignal)
    cluster: Cluster | None = None


async def reconcile_source(
    request: ReconcileRequest, connector: Connector | None
) -> ReconcileReport:
    """
    Compare a source with the CRM, or with a file of its profiles.

    Args:
        connector: The service; only asked where no file is named.

    Effects: `differences.parquet`, `differences.csv` and, where something would have to
        be sent, `repair.*` in a new run folder; each whole or absent, readable by its
        owner only. They hold values. Reads only.

    Raises:
        SettingsError: The job does not fit the source, or a field is unknown.
        SourceError: The source or a file cannot be used, or changes meanwhile.
        LimitError: It would erase more than `allow_erase` says.
        AccessError, RemoteError, ContractError: As the service answers.
        LockedError: Another run holds the work folder.
        StoppedError: Somebody asked to stop.
        InvariantError: The rows do not add up.
        UnreachableError, PatienceEndedError: See `handing_out.compare_on_cluster`.

    Cost: see `meeting`; a line a difference on disk.
    """
    if request.cluster is not None:
        await reach(request.cluster)
    make_work_dir(request.work_dir)
    with lock_folder(request.work_dir), fresh_scratch(request.work_dir) as scratch:
        remove_drafts_of_runs(request.work_dir)
        line = open_line(
            ImportRequest(
                request.job,
                request.work_dir,
                progress=request.progress,
                on_mapping=request.on_mapping,
                stop=request.stop,
            ),
            scratch,
        )
        fields = tuple(reading.rule.name for reading in line.plan.readings)
        ignored, tolerances = _named(request, fields)
        rows = _checked(line)
        baseline = None  # before an hour of asking
        if request.baseline is not None:
            baseline = open_baseline(
                request.baseline,
                fields,
                line.plan.identifiers,
                work_dir=request.work_dir,
                scratch=scratch,
            )
        file, reasons, guid = await _crm(request, line, connector, fields)
        clock = SYSTEM_CLOCK if connector is None else connector.clock
        comparison = _Comparison(
            request, rows, file, baseline, reasons, guid, ignored, tolerances, clock
        )
        return await comparison.run()


def _checked(line: Line) -> SourceRows:
    """Read the source once, and refuse what an import would not send a row of."""
    with SliceStore(line.scratch / "clean", max_bytes=0) as store:
        check = check_line(line, store)
    stop = check.stop or excess(check.erased, line.request.job.rows.allow_erase)
    if stop is not None:
        raise stop
    return SourceRows(line, check)


def _named(
    request: ReconcileRequest, fields: Sequence[str]
) -> tuple[frozenset[str], dict[str, float]]:
    """Return the ignored fields and the tolerances under the full names of fields."""

    def full(name: str) -> str:
        for known in (name, f"attributes.{name}"):
            if known in fields:
                return known
        raise SettingsError(
            f"{name!r} is none of the fields of this source, so it can be neither "
            f"ignored nor tolerated. There are: {', '.join(fields)}"
        )

    ignored = frozenset(map(full, request.ignored))
    return ignored, {full(name): by for name, by in request.tolerances.items()}


async def _crm(
    request: ReconcileRequest,
    line: Line,
    connector: Connector | None,
    fields: Sequence[str],
) -> tuple[ProfileFile, tuple[str, ...], str | None]:
    """Return the profiles, why they may not be all, and the workspace they are from."""
    identifiers, scratch = line.plan.identifiers, line.scratch
    if request.against is not None:
        return open_profiles(request.against, fields, identifiers, scratch), (), None
    if connector is None:
        raise SettingsError("to compare with the CRM, the service has to be named")
    export = await unless_stopped(
        exported_crm(connector, scratch, expected_guid=line.pin), request.stop
    )
    request.on_workspace(export.workspace)
    name = f"the workspace {export.workspace.name}"
    file = open_profiles(
        export.path, fields, identifiers, scratch, whole=export.whole, name=name
    )
    return file, export.reasons, export.workspace.guid


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Everything that a comparison needs, opened and checked."""

    request: ReconcileRequest
    rows: SourceRows
    crm: ProfileFile
    baseline: Baseline | None
    reasons: tuple[str, ...]
    guid: str | None
    ignored: frozenset[str]
    tolerances: Mapping[str, float]
    clock: Clock

    async def run(self) -> ReconcileReport:
        """Let the sides meet, compare them, and write what was found."""
        line, tally = self.rows.line, Tally()
        meeting = Meeting(
            self.rows,
            self.crm,
            None if self.baseline is None else self.baseline.side,
            self.rows.fields,
            line.plan.identifiers,
            line.scratch,
            on_rows=lambda _n_rows: self.request.stop.check(),
        )
        with Spill(line.scratch / "waiting", max_rows=HELD_ROWS) as waiting:
            met = meeting.gather(waiting)
            rules = self._rules(met)
            folder = make_private_dir(line.folder)
            path = folder / "differences.parquet"

            def take(results: Iterator[BucketResult]) -> None:
                lines = self._lines(results, tally)
                write_frames(path, FileForm("parquet"), lambda: lines, DIFFERENCES)

            if self.request.cluster is None:
                take(self._compared(waiting, rules))
            else:
                sharing = self._sharing(self.request.cluster)
                await compare_on_cluster(waiting, rules, sharing, take)
        files = {"differences": _as_table(path), "differences_parquet": path}
        marks = pl.concat([pl.DataFrame(schema=MARKS), *tally.marks])
        n_repairable = 0
        if marks.height:
            compared = [rule.field for rule in rules.fields]
            files["repair"], n_repairable = write_repair(
                folder, self.rows, marks, compared
            )
        else:
            line.source.check_unchanged(self.rows.check.fingerprints)
        return self._report(met, tally, files, n_repairable)

    def _rules(self, met: Met) -> BucketRules:
        lacking = {*self.crm.columns.lacking, *self.ignored}
        untyped = {"crm": self.crm.columns.untyped}
        if self.baseline is not None:
            untyped["baseline"] = self.baseline.untyped
        rules = [
            FieldRules(
                name,
                frozenset(side for side, names in untyped.items() if name in names),
                self.tolerances.get(name),
            )
            for name in self.rows.fields
            if name not in lacking
        ]
        conflicts = {
            RowClass.SEVERAL_PROFILES: met.crm.several_profiles,
            RowClass.SEVERAL_ROWS: met.crm.several_rows,
        }
        doubtful = [] if met.baseline is None else met.baseline.in_conflict()
        return BucketRules(
            rules,
            frozenset() if self.baseline is None else self.baseline.known_empty,
            is_complete=not self.reasons,
            conflicts=conflicts,
            doubtful=pl.concat([pl.Series([], dtype=pl.UInt32), *doubtful]),
            n_examples=N_EXAMPLES,
        )

    def _sharing(self, cluster: Cluster) -> Sharing:
        line, request = self.rows.line, self.request
        return Sharing(
            cluster,
            line.run_id,
            line.scratch,
            request.stop,
            self.clock,
            request.job.delivery.max_wait,
        )

    def _compared(self, waiting: Spill, rules: BucketRules) -> Iterator[BucketResult]:
        for bucket in waiting.buckets():
            self.request.stop.check()
            yield compare_bucket(bucket, rules)

    def _lines(
        self, results: Iterator[BucketResult], tally: Tally
    ) -> Iterator[pl.DataFrame]:
        """Give the lines of all buckets, `DIFFERENCES`, and count them."""
        source, row_no = self.rows.place_of(pl.col("row"))
        for result in results:
            tally.add(result, N_EXAMPLES)
            yield _placed(result.lines, source, row_no)

    def _report(
        self, met: Met, tally: Tally, files: Mapping[str, Path], n_repairable: int
    ) -> ReconcileReport:
        line, check, columns = self.rows.line, self.rows.check, self.crm.columns
        side = CrmSide(
            name=self.crm.name,
            n_profiles=met.n_profiles,
            n_shared=met.n_shared,
            reasons=self.reasons,
            lacking=tuple(name for name in columns.lacking if name not in self.ignored),
            unknown=columns.unknown,
            guid=self.guid,
        )
        n_read = sum(check.n_rows)
        states = Counter(self.rows.exceptions[0]["state"])
        n_compared = sum(tally.rows.values()) - tally.rows[RowClass.ONLY_IN_CRM]
        if n_read != n_compared + states.total():
            raise InvariantError(
                f"{n_read} rows were read, {n_compared} compared, {states.total()} not"
            )
        examples = _placed(tally.examples, *self.rows.place_of(pl.col("row")))
        return ReconcileReport(
            run_id=line.run_id,
            folder=str(line.folder),
            sources=tuple(map(str, line.source.files)),
            crm=side,
            baseline=None if self.baseline is None else self.baseline.name,
            n_read=n_read,
            n_blocked=states[State.BLOCKED.value],
            n_folded=states[State.FOLDED.value],
            n_empty=states[State.EMPTY.value],
            rows={found: tally.rows[found] for found in RowClass},
            n_differing=tally.n_differing,
            fields=tuple(
                FieldReport(
                    name,
                    {found: counts[found] for found in FieldClass},
                    tally.rows[RowClass.MATCHED],
                    tally.n_in_source[name],
                    tally.n_in_crm[name],
                )
                for name, counts in tally.fields.items()
            ),
            ignored=tuple(sorted(self.ignored)),
            examples=tuple(Example(*values) for values in examples.iter_rows()),
            n_repairable=n_repairable,
            files={name: str(path) for name, path in files.items()},
        )


def _placed(lines: pl.DataFrame, source: pl.Expr, row_no: pl.Expr) -> pl.DataFrame:
    """Say where the rows of lines stand, `DIFFERENCES`."""
    profile_no = pl.col("number").cast(pl.UInt64) + 1
    places = {"source": source, "row_no": row_no, "profile_no": profile_no}
    return lines.select(*_TOLD, **places).select(DIFFERENCES.keys())


def _as_table(path: Path) -> Path:
    """Write the lines of a Parquet file as CSV beside it, and return its path."""
    table = path.with_suffix(".csv")

    def again() -> Iterator[pl.DataFrame]:
        stored = pl.scan_parquet(path)
        n_rows = stored.select(pl.len()).collect().item()
        for first in range(0, n_rows, CSV_ROWS):
            yield stored.slice(first, CSV_ROWS).collect()

    write_frames(table, FileForm("csv"), again, DIFFERENCES)
    return table
