"""
The state: the last confirmed digests of every person of a dataset, and its history.

It is derived from the journal and never ahead of it. A generation is a folder of its
own, written whole; `state.json` names the one that counts and is replaced at once. So
a crash leaves the old generation or the new one, and folding a run in again is safe.

    state/DATASET/state.json
    state/DATASET/g000012/07.parquet
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.delta.changes import GONE, empty_state, overlay
from pipeline.delta.digest_set import DigestSet, all_buckets
from pipeline.delta.plan import Night
from pipeline.errors import JournalDamagedError, SettingsError
from pipeline.files import make_private_dir
from pipeline.writer import write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STATE_VERSION: Final = 1
STATE_NAME: Final = "state.json"
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
    version: int = STATE_VERSION


class StateStore:
    """The state of one dataset in a work folder; one process at a time writes it."""

    def __init__(self, work_dir: Path, workspace: str, dataset: str) -> None:
        name = hashlib.sha256(f"{workspace}\n{dataset}".encode()).hexdigest()[:16]
        self.folder = work_dir / "state" / name
        self.workspace = workspace
        self.dataset = dataset

    def record(self) -> StateRecord | None:
        """
        Return what the state is; None when there is none.

        Raises:
            SettingsError: A newer version of this tool wrote it.
            JournalDamagedError: It cannot be read.
        """
        path = self.folder / STATE_NAME
        try:
            told = json.loads(path.read_bytes())
            version = int(told["version"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise self._damaged() from None
        if version > STATE_VERSION:
            raise SettingsError(
                f"the delta state in {self.folder} was written by a newer version of "
                "crm-pipeline; use that version"
            )
        try:
            nights = tuple(Night(**night) for night in told["nights"])
            return StateRecord(**{**told, "nights": nights})
        except (KeyError, TypeError):
            raise self._damaged() from None

    def digests(self, record: StateRecord) -> DigestSet:
        """Return the digests of a generation."""
        return DigestSet(self._generation(record.generation))

    def change(
        self,
        record: StateRecord,
        told: Callable[[int], tuple[pl.DataFrame, pl.DataFrame] | None],
        *,
        is_anew: bool = False,
    ) -> StateRecord:
        """
        Write the next generation and make it the one that counts.

        Args:
            record: Of the next generation, but for its number and its persons, which
                are found here; its number is that of the last one.
            told: For a bucket, what `overlay` takes: rows sent, persons vanished.
            is_anew: Forget all persons that were known.

        Raises:
            CannotWriteError: The disk refuses; the old generation counts.
            JournalDamagedError: The old generation cannot be read.
        """
        before = self.digests(record)
        number = record.generation + 1
        folder = self._generation(number)
        shutil.rmtree(folder, ignore_errors=True)  # what a crash left
        after = DigestSet(folder)
        held: list[pl.DataFrame] = []
        n_persons = n_held = first = 0
        for bucket in all_buckets():
            known = None if is_anew else before.read(bucket)
            news = told(bucket)
            frame = empty_state() if known is None else known
            if news is not None:
                frame = overlay(frame, *news)
            n_persons += frame.height - int(frame[GONE].sum())
            held.append(frame)
            n_held += frame.height
            # A file for each of 64 buckets is what a small state would mostly wait for.
            if n_held >= FILE_ROWS or bucket == all_buckets()[-1]:
                after.put(first, bucket, pl.concat(held, how="diagonal"))
                held, n_held, first = [], 0, bucket + 1
        record = replace(record, generation=number, n_persons=n_persons)
        write_json(make_private_dir(self.folder) / STATE_NAME, _json(record))
        for old in self.folder.glob("g[0-9]*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)
        return record

    def _generation(self, number: int) -> Path:
        return self.folder / f"g{number:06d}"

    def _damaged(self) -> JournalDamagedError:
        return JournalDamagedError(
            f"the delta state is damaged: {self.folder / STATE_NAME} cannot be read. "
            f"Move {self.folder} away; the next plan then sends every row"
        )


def with_night(nights: tuple[Night, ...], night: Night) -> tuple[Night, ...]:
    """Add the figures of a run, once."""
    others = [other for other in nights if other.run_id != night.run_id]
    return (*others, night)[-NIGHTS:]


def _json(record: StateRecord) -> dict[str, Any]:
    return asdict(record)
