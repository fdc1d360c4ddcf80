"""
What a reading back came to, and the file of the rows that are not as they were sent.

`accepted = settled + differs + absent + not_yet + unverified`
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.errors import InvariantError
from pipeline.files import make_private_dir
from pipeline.records import VerifyState
from pipeline.verify.sampling import Stratum, wrong_share_at_most
from pipeline.writer import FileForm, write_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pipeline.errors import PipelineError
    from pipeline.sent_rows import Wave
    from pipeline.verify.sampling import Shape
    from pipeline.verify.settling import Answer, Settler

DIFFERENCES_NAME: Final = "verify-differences.csv"
_WRONG: Final = (VerifyState.DIFFERS, VerifyState.ABSENT)
_DIFFERENCES: Final[dict[str, pl.DataType]] = {
    "source": pl.String(),
    "row_no": pl.UInt64(),
    "state": pl.String(),
    "field": pl.String(),
    "sent": pl.String(),
    "found": pl.String(),
}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """
    What a reading back came to.

    Attributes:
        counts: State → accepted rows; they add up to *n_accepted*.
        n_asked: Rows asked for.
        n_ambiguous: Unverified for good: their phone is all that another row has, and
            whose profile it is depends on the API.
        wrong_share_at_most: Of all other accepted rows, at 95 % confidence.
        settled_after_s: From the last 202 to the first look at which a row, absent at
            an earlier look, was there; None when every row was there at once.
        refusal: Why nothing more could be read; None when it could.
        fields: Field → rows that differ in it.
        path: Of the rows that differ or are absent; None when there are none.
        error: What ended it early; the counts are true all the same.
    """

    run_id: str
    n_accepted: int
    n_asked: int
    counts: Mapping[VerifyState, int]
    n_ambiguous: int
    wrong_share_at_most: float
    settled_after_s: float | None
    refusal: str | None
    fields: Mapping[str, int]
    folder: Path
    path: Path | None
    error: PipelineError | None = None

    @property
    def n_wrong(self) -> int:
        """Rows that are absent, or differ, after their time."""
        return sum(self.counts[state] for state in _WRONG)

    def as_dict(self) -> dict[str, Any]:
        """Return what a summary tells beside the counts."""
        return {
            "asked": self.n_asked,
            "ambiguous": self.n_ambiguous,
            "wrong_share_at_most": self.wrong_share_at_most,
            "settled_after_s": self.settled_after_s,
            "fields": dict(self.fields),
            "refusal": self.refusal,
        }


def accepted_parts(
    n_accepted: int, found: Mapping[VerifyState, int]
) -> dict[VerifyState, int]:
    """
    Return the parts of the accepted rows; those that were not read are unverified.

    Args:
        found: State → rows that were read.

    Raises:
        InvariantError: More were read than are accepted.
    """
    parts = {state: found.get(state, 0) for state in VerifyState}
    n_read = sum(parts.values()) - parts[VerifyState.UNVERIFIED]
    if n_read > n_accepted:
        raise InvariantError(
            f"{n_accepted} rows are accepted, but {n_read} were read back. This is a "
            "defect of crm-pipeline: please report it with this sentence"
        )
    return parts | {VerifyState.UNVERIFIED: n_accepted - n_read}


def parts_of(n_accepted: int, report: VerifyReport | None) -> dict[str, int]:
    """Return the parts of the accepted rows by state, read back or not."""
    found = {} if report is None else report.counts
    parts = accepted_parts(n_accepted, found)
    return {state.value: n for state, n in parts.items()}


class Tally:
    """
    What was found so far.

    Attributes:
        sizes: Shape → accepted rows that can be asked for.
        n_ambiguous: Accepted rows that cannot.
        wrong: Answers of rows that are absent, or differ.
    """

    def __init__(self) -> None:
        self.sizes: Counter[Shape] = Counter()
        self.n_ambiguous = 0
        self.wrong: list[Answer] = []
        self._states: dict[Shape, Counter[VerifyState]] = {}

    async def ask(self, waves: Iterable[Wave], settler: Settler) -> None:
        """
        Ask for the rows of each wave; once nothing more is asked, only count them.

        Raises:
            RemoteError, ContractError: As the service answers.
        """
        for wave in waves:
            self.sizes.update(wave.sizes)
            self.n_ambiguous += wave.n_ambiguous
            if not settler.is_over:
                self._add(await settler.answers(wave.rows))

    def _add(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            states = self._states.setdefault(answer.row.shape, Counter())
            states[answer.state] += 1
            if answer.state in _WRONG:
                self.wrong.append(answer)

    def found(self) -> Counter[VerifyState]:
        """Return state → rows that were read."""
        return sum(self._states.values(), Counter())

    def strata(self) -> list[Stratum]:
        """Return what is certain of each shape."""
        strata = []
        for shape, n_rows in self.sizes.items():
            found = self._states.get(shape, Counter())
            n_wrong = sum(found[state] for state in _WRONG)
            n_asked = n_wrong + found[VerifyState.SETTLED]
            strata.append(Stratum(n_rows, n_asked, n_wrong))
        return strata


def report_of(
    tally: Tally,
    settler: Settler,
    *,
    n_accepted: int,
    folder: Path,
    names: Sequence[str],
    error: PipelineError | None = None,
) -> VerifyReport:
    """
    Tell what was found.

    Args:
        folder: Of the run; its name is that of the run.
        names: Of the files of the source.

    Effects: `verify-differences.csv` in *folder* when a row differs or is absent, and
        none otherwise; it holds values.

    Raises:
        InvariantError: The parts do not add up.
        CannotWriteError: The disk refuses.
    """
    found = tally.found()
    path = make_private_dir(folder) / DIFFERENCES_NAME
    if tally.wrong:
        frame = _wrong_frame(names, tally.wrong)
        write_frames(path, FileForm("csv"), lambda: [frame], _DIFFERENCES)
    else:
        path.unlink(missing_ok=True)
    fields = [part.field for answer in tally.wrong for part in answer.differences]
    return VerifyReport(
        run_id=folder.name,
        n_accepted=n_accepted,
        n_asked=found.total(),
        counts=accepted_parts(n_accepted, found),
        n_ambiguous=tally.n_ambiguous,
        wrong_share_at_most=wrong_share_at_most(tally.strata()),
        settled_after_s=settler.settled_after_s,
        refusal=settler.refusal,
        fields=dict(Counter(fields).most_common()),
        folder=folder,
        path=path if tally.wrong else None,
        error=error,
    )


def _wrong_frame(names: Sequence[str], wrong: Sequence[Answer]) -> pl.DataFrame:
    """Return a line for each field that differs, and one for each absent row."""
    rows: list[tuple[object, ...]] = []
    for answer in sorted(wrong, key=lambda a: (a.row.source_no, a.row.row_no)):
        row = answer.row
        place = (names[row.source_no], row.row_no, answer.state.value)
        rows += [
            (*place, part.field, _json(part.sent), _json(part.found))
            for part in answer.differences
        ]
        if not answer.differences:
            rows.append((*place, None, None, None))
    return pl.DataFrame(rows, schema=_DIFFERENCES, orient="row")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
