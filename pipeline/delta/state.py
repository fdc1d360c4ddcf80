"""
The state: the last confirmed digests of every person of a dataset, and its history.

It is derived from the journal and never ahead of it. A generation is a folder of its
own, written whole; `state.json` names the one that counts and is replaced at once. So
a crash leaves the old generation or the new one, and folding a run in again is safe.

    state/DATASET/state.json
    state/DATASET/g000012/07.parquet

On object storage it is the same (`state_objects`), and the folder here is a copy of the
generation that counts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.delta.changes import GONE, empty_state, overlay
from pipeline.delta.digest_set import SPAN_ROWS, DigestSet, spans
from pipeline.delta.digests import N_BUCKETS
from pipeline.delta.plan import Night
from pipeline.delta.state_objects import STATE_NAME
from pipeline.delta.watermark import Watermark, watermark_of
from pipeline.errors import JournalDamagedError, SettingsError, StaleRunError
from pipeline.files import make_private_dir, sha256_of
from pipeline.writer import write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.delta.state_objects import StateObjects
    from pipeline.errors import PipelineError

STATE_VERSION: Final = 2
NIGHTS: Final = 30
FILE_ROWS: Final = 50_000


@dataclass(frozen=True, slots=True)
class StateRecord:
    """
    What `state.json` holds.

    Attributes:
        generation: Rises with every change, from 1.
        rules: Field → digest of how it was read, of the last run folded in.
        n_persons: That are trusted.
        run_generation: Of the last run folded in, as the journal counts.
        run_mark: Of what was proven of that run when it was folded in.
        is_final: Whether nothing more can come of that run.
        nights: The last ones, the oldest first.
        run_id: Of the last run that began, or was folded in.
        watermark: Until when the source is known to be confirmed, see `watermark`.
        settled: Names of runs before it of which nothing more can come.
        name: Of the folder of the generation, on object storage.
        files: Of that folder: name → SHA-256.
    """

    workspace: str
    dataset: str
    key_id: str
    generation: int = 0
    rules: dict[str, str] | None = None
    n_persons: int = 0
    run_generation: int = 0
    run_mark: str = ""
    is_final: bool = True
    nights: tuple[Night, ...] = ()
    run_id: str = ""
    watermark: Watermark | None = None
    settled: tuple[str, ...] = ()
    name: str = ""
    files: dict[str, str] | None = None
    version: int = STATE_VERSION


class StateStore:
    """
    The state of one dataset; one process at a time writes it.

    Args:
        objects: Where it lies, if not in the work folder.
    """

    def __init__(
        self,
        work_dir: Path,
        workspace: str,
        dataset: str,
        objects: StateObjects | None = None,
    ) -> None:
        place = (objects.place,) if objects else ()
        self.folder = work_dir / "state" / state_name(workspace, dataset, *place)
        self.workspace = workspace
        self.dataset = dataset
        self._objects = objects
        self._generation_read: int | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other work folders may change it, too."""
        return self._objects is not None

    @property
    def lost(self) -> PipelineError | None:
        """Why its lock counts no more; None while it does."""
        return self._objects.lease.lost if self._objects else None

    @property
    def place(self) -> str:
        """Where it lies, for a message."""
        return self._objects.place if self._objects else str(self.folder)

    def record(self) -> StateRecord | None:
        """
        Return what the state is; None when there is none.

        Raises:
            SettingsError: A newer version of this tool wrote it.
            JournalDamagedError: It cannot be read.
        """
        try:
            text = self._text()
        except OSError:
            raise self._damaged() from None
        record = None if text is None else self._read(text)
        self._generation_read = None if record is None else record.generation
        return record

    def digests(self, record: StateRecord) -> DigestSet:
        """
        Return the digests of a generation; one on object storage is fetched.

        Raises:
            JournalDamagedError, StaleRunError, AccessError, RemoteError,
            CannotWriteError: As `StateObjects.fetch`.
        """
        folder = self._folder_of(record)
        if self._objects is not None and record.name:
            self._remove_all_but(folder)
            self._objects.fetch(record.name, record.files or {}, folder)
        return DigestSet(folder)

    def change(
        self,
        record: StateRecord,
        told: Callable[[range], tuple[pl.DataFrame, pl.DataFrame] | None],
        *,
        n_told: int | None = None,
        is_anew: bool = False,
    ) -> StateRecord:
        """
        Write the next generation and make it the one that counts.

        Args:
            record: Of the next generation, but for its number, its persons and its
                files, which are found here; these are of the last one.
            told: For some buckets, what `overlay` takes: rows sent, persons vanished.
            n_told: Rows sent in all; where nobody knows, it goes bucket by bucket.
            is_anew: Forget all persons that were known.

        Raises:
            CannotWriteError: The disk refuses; the old generation counts.
            JournalDamagedError: The old generation cannot be read.
            StaleRunError: On object storage, another one counts by now; so do
            AccessError, RemoteError: for the store.
        """
        before = DigestSet(self.folder / "none") if is_anew else self.digests(record)
        number = record.generation + 1
        name = self._objects.new_name(number) if self._objects else ""
        folder = self._folder_of(replace(record, generation=number, name=name))
        shutil.rmtree(folder, ignore_errors=True)  # what a crash left
        after = DigestSet(folder)
        held: list[pl.DataFrame] = []
        n_persons = n_held = first = 0
        most = N_BUCKETS * SPAN_ROWS if n_told is None else max(n_told, before.n_rows())
        for buckets in spans(most):
            known = before.read(buckets)
            news = told(buckets)
            frame = empty_state() if known is None else known
            if news is not None:
                frame = overlay(frame, *news)
            n_persons += frame.height - int(frame[GONE].sum())
            held.append(frame)
            n_held += frame.height
            # A file for each of 64 buckets is what a small state would mostly wait for.
            if n_held >= FILE_ROWS or buckets.stop == N_BUCKETS:
                after.put(first, buckets.stop - 1, pl.concat(held, how="diagonal"))
                held, n_held, first = [], 0, buckets.stop
        record = replace(record, generation=number, n_persons=n_persons, name=name)
        return self._counting(record, folder)

    def _counting(self, record: StateRecord, folder: Path) -> StateRecord:
        """Make a generation that lies in *folder* the one that counts."""
        if self._objects is None:
            write_json(make_private_dir(self.folder) / STATE_NAME, _json(record))
        else:
            if (self._generation_read or 0) != record.generation - 1:
                raise StaleRunError(
                    f"the state {self.place} is not the one that was read any more. "
                    "Make a new plan"
                )
            paths = sorted(folder.glob("*.parquet"))
            files = {path.name: sha256_of(path) for path in paths}
            record = replace(record, files=files)
            text = json.dumps(_json(record)).encode()
            self._objects.publish(record.name, record.generation, paths, text)
        self._generation_read = record.generation
        self._remove_all_but(folder)
        return record

    def _text(self) -> bytes | None:
        if self._objects is not None:
            return self._objects.text()
        try:
            return (self.folder / STATE_NAME).read_bytes()
        except FileNotFoundError:
            return None

    def _read(self, text: bytes) -> StateRecord:
        try:
            told = json.loads(text)
            version = int(told["version"])
        except (ValueError, KeyError, TypeError):
            raise self._damaged() from None
        if version > STATE_VERSION:
            raise SettingsError(
                f"the delta state in {self.place} was written by a newer version of "
                "crm-pipeline; use that version"
            )
        try:
            nights = tuple(Night(**night) for night in told["nights"])
            parts = {
                "nights": nights,
                "settled": tuple(told.get("settled", ())),
                "watermark": watermark_of(told.get("watermark")),
            }
            return StateRecord(**{**told, **parts})
        except (KeyError, TypeError):
            raise self._damaged() from None

    def _remove_all_but(self, folder: Path) -> None:
        for old in self.folder.glob("g[0-9]*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)

    def _folder_of(self, record: StateRecord) -> Path:
        return self.folder / (record.name or f"g{record.generation:06d}")

    def _damaged(self) -> JournalDamagedError:
        if self._objects is not None:
            return self._objects.damaged(STATE_NAME)
        return JournalDamagedError(
            f"the delta state is damaged: {self.folder / STATE_NAME} cannot be read. "
            f"Move {self.folder} away; the next plan then sends every row"
        )


def state_name(*told: str) -> str:
    """Return the name of a folder for the state of this workspace and dataset."""
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def with_night(nights: tuple[Night, ...], night: Night) -> tuple[Night, ...]:
    """Add the figures of a run, once."""
    others = [other for other in nights if other.run_id != night.run_id]
    return (*others, night)[-NIGHTS:]


def _json(record: StateRecord) -> dict[str, Any]:
    return asdict(record)
