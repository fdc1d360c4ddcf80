"""Reading the canary back: are the rows that went first what the CRM holds?"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.canary import CANARY_LANE
from pipeline.delta.plan_files import (
    accepted_planned,
    planned_assembly,
    planned_frames,
    shared_rows,
)
from pipeline.errors import LimitError
from pipeline.records import ROW_KEY, State, VerifyState
from pipeline.sent_rows import FINDERS, SentRow
from pipeline.settings import VERIFY_SETTLE_S
from pipeline.verify.drawing import waves_of
from pipeline.verify.paced_reads import PacedReads
from pipeline.verify.settling import Settler, SettleTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pipeline.client import Client
    from pipeline.delta.plan import Plan
    from pipeline.journal import Journal
    from pipeline.records import BatchOutcome
    from pipeline.retrying import Clock
    from pipeline.sent_rows import Wave
    from pipeline.settings import DeliverySettings
    from pipeline.stopping import StopSignal

_WRONG: Final = (VerifyState.DIFFERS, VerifyState.ABSENT)


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """
    What the rows that went first came to.

    Attributes:
        n_rows: That were read back and are as they were sent.
        refusal: Why nothing could be read; None when it could.
    """

    n_rows: int
    refusal: str | None = None


def planned_waves(
    folder: Path,
    plan: Plan,
    batches: Sequence[BatchOutcome],
    n_rows: int | None,
    seed: int,
) -> Iterator[Wave]:
    """Give the accepted rows of a plan to be asked for; as `drawing.waves_of`."""
    yield from waves_of(
        partial(accepted_planned, folder, batches),
        shared_rows(folder, plan),
        n_rows,
        seed,
    )


@dataclass(frozen=True, slots=True)
class CanaryReader:
    """How to read back what a run of a plan has sent first."""

    folder: Path
    run_id: str
    journal: Journal
    client: Client
    clock: Clock
    delivery: DeliverySettings
    stop: StopSignal
    wall: Callable[[], float]

    def is_due(self) -> bool:
        """Return whether a canary was sent, and nothing after it yet."""
        lanes = {batch.lane for batch in self.journal.batches(self.run_id)}
        return lanes == {CANARY_LANE}

    async def read(self) -> CanaryReport:
        """
        Ask for the rows until they are there, or their time is over.

        Raises:
            LimitError: One is absent, or differs; or most of them were refused.
            StoppedError: Somebody asked to stop.
            RemoteError, ContractError: As the service answers.
        """
        n_sent, n_accepted, rows = self._accepted()
        if 2 * n_accepted < n_sent:
            raise LimitError(
                f"of the {n_sent} rows that went first, {n_accepted} were accepted "
                "and the others refused (refused.jsonl). Nothing more was sent: look "
                "at these rows"
            )
        settle_time = SettleTime(
            self.journal.accepted_at(self.run_id), VERIFY_SETTLE_S, self.wall
        )
        reads = PacedReads(self.delivery, self.clock)
        settler = Settler(self.client, reads, settle_time)
        with self.stop.listening(reads.stop):
            answers = await settler.answers(rows)
        self.stop.check()
        wrong = [answer for answer in answers if answer.state in _WRONG]
        if wrong:
            names = Counter(d.field for answer in wrong for d in answer.differences)
            told = f", in {', '.join(names)}" if names else ""
            raise LimitError(
                f"{len(wrong)} of the {len(answers)} rows that went first are not in "
                f"the CRM as they were sent: absent, or they differ{told}. Nothing "
                "more was sent. Look at the mapping and at these fields in the CRM; to "
                "send without this look, set sync.canary to false"
            )
        return CanaryReport(len(answers), settler.refusal)

    def _accepted(self) -> tuple[int, int, list[SentRow]]:
        """Return rows sent, rows accepted, and those of these that can be asked for."""
        assembly = planned_assembly(self.folder, self.journal.outcomes(self.run_id))
        n_sent = n_accepted = 0
        rows: list[SentRow] = []
        for frame in self._frames():
            told = assembly.outcomes(frame.select(ROW_KEY)).filter(
                pl.col("state") == State.ACCEPTED.value
            )
            n_sent += frame.height
            n_accepted += told.height
            sent = frame.join(
                told.select(*ROW_KEY, "batch_no"), on=ROW_KEY, how="inner"
            )
            for source_no, row_no, batch_no, text in sent.select(
                *ROW_KEY, "batch_no", "json"
            ).iter_rows():
                content = json.loads(text)
                shape = tuple(name for name in FINDERS if name in content)
                if shape:
                    rows.append(SentRow(source_no, row_no, batch_no, shape, content))
        return n_sent, n_accepted, rows

    def _frames(self) -> Iterator[pl.DataFrame]:
        for frame in planned_frames(self.folder):
            if frame["lane"][0] != CANARY_LANE:
                return
            yield frame
