"""A resumed run: every row once, and what was recorded comes back byte for byte."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chunker import BatchLimits, pack
from pipeline.errors import InvariantError, SourceChangedError
from pipeline.journal import Journal
from pipeline.journal_tables import (
    FIRST_CHILD_NO,
    Run,
    StoredBatch,
    outcome_of,
    ranges_of,
)
from pipeline.outcomes import EXCEPTIONS_SCHEMA, Assembly, Evidence
from pipeline.rebatch import rebuild
from pipeline.records import (
    FOLDED_LANE,
    MAIN_LANE,
    ROWS_A_FILE,
    Batch,
    BatchState,
    Encoded,
    RowRange,
    RowRef,
    State,
    Step,
    Verdict,
)
from pipeline.resuming import ResumePlan, plan_resume

RUN = Run("r1", "import", "customers", versions={"polars": "2.0.0"})
NOW = {"polars": "2.1.0"}
ACCEPTED, UNKNOWN = BatchState.ACCEPTED, BatchState.UNKNOWN
SMALL = BatchLimits(max_rows=5, max_bytes=400)


@dataclass(frozen=True, slots=True)
class Row:
    lane: int
    source_no: int
    row_no: int
    text: str

    @property
    def number(self) -> int:
        return self.source_no * ROWS_A_FILE + self.row_no


def frames(rows: list[Row], cut: int) -> Iterator[Encoded]:
    """Give rows lane after lane, some at a time."""
    for lane in sorted({row.lane for row in rows}):
        mine = [row for row in rows if row.lane == lane]
        for at in range(0, len(mine), cut):
            piece = mine[at : at + cut]
            frame = pl.DataFrame(
                {
                    "source_no": [row.source_no for row in piece],
                    "row_no": [row.row_no for row in piece],
                    "json": [row.text for row in piece],
                    "n_bytes": [len(row.text.encode()) for row in piece],
                },
                schema={
                    "source_no": pl.UInt32,
                    "row_no": pl.UInt64,
                    "json": pl.String,
                    "n_bytes": pl.UInt32,
                },
            )
            yield Encoded(frame, lane)


def numbers(batch: Batch) -> list[int]:
    return [
        source_no * ROWS_A_FILE + row_no for source_no, row_no in batch.rows.iter_rows()
    ]


@dataclass
class Book:
    """
    What a journal would hold: written by a delivery that is cut off anywhere.

    `truth` is what was told about each row, kept beside the records.
    """

    chance: Random
    sent: dict[int, Batch] = field(default_factory=dict)
    tries: dict[int, list[BatchState | None]] = field(default_factory=dict)
    named: dict[int, tuple[RowRange, ...]] = field(default_factory=dict)
    truth: dict[int, BatchState] = field(default_factory=dict)
    child_numbers: Iterator[int] = field(default_factory=lambda: count(FIRST_CHILD_NO))

    def deliver(self, batches: list[Batch], plan: ResumePlan) -> None:
        """Take batches in any order, some never, and stop anywhere in each."""
        self.child_numbers = count(plan.next_child_no)
        taken = [batch for batch in batches if self.chance.random() < 0.7]
        self.chance.shuffle(taken)
        for batch in taken:
            self.send(batch)

    def send(self, batch: Batch) -> None:
        no = batch.batch_no
        assert self.sent.setdefault(no, batch).body == batch.body
        tries = self.tries.setdefault(no, [])
        fate = self.chance.choice(["cut off", "taken", "refused", "later", "torn"])
        if fate == "cut off":
            tries.append(None)
        elif fate == "later":
            tries.append(BatchState.PENDING)
        elif fate == "torn":
            tries.append(BatchState.UNKNOWN)
        elif fate == "taken":
            tries.append(BatchState.ACCEPTED)
            self.truth |= dict.fromkeys(numbers(batch), BatchState.ACCEPTED)
        elif batch.n_rows == 1:
            tries.append(BatchState.REJECTED)
            self.truth |= dict.fromkeys(numbers(batch), BatchState.REJECTED)
        else:
            tries.append(BatchState.PENDING)
            self.split(batch)

    def split(self, batch: Batch) -> None:
        everyone = list(range(batch.n_rows))
        if self.chance.random() < 0.5:
            named = self.chance.sample(everyone, self.chance.randint(1, 2))
            self.name(batch, sorted(named))
            groups = [[n for n in everyone if n not in named]]
        else:
            middle = batch.n_rows // 2
            groups = [everyone[:middle], everyone[middle:]]
        texts = json.loads(batch.body)
        for group in groups:
            if not group or self.chance.random() < 0.3:
                return  # cut off before this part
            body = b"[" + b",".join(compact(texts[n]) for n in group) + b"]"
            part = next(pack_rows(batch.rows[group], body, next(self.child_numbers)))
            self.send(replace(part, lane=batch.lane, parent_no=batch.batch_no))

    def name(self, batch: Batch, positions: list[int]) -> None:
        rows = batch.rows[positions]
        found = ranges_of(rows)
        self.named[batch.batch_no] = self.named.get(batch.batch_no, ()) + found
        named = [numbers(batch)[n] for n in positions]
        self.truth |= dict.fromkeys(named, BatchState.REJECTED)
        if len(positions) == batch.n_rows:
            self.tries[batch.batch_no][-1] = BatchState.REJECTED

    def stored(self) -> list[StoredBatch]:
        found = [self.record(no) for no in self.sent]
        self.chance.shuffle(found)
        return found

    def record(self, no: int) -> StoredBatch:
        batch, tries = self.sent[no], self.tries[no]
        told = {BatchState.UNKNOWN if t is None else t for t in tries}
        order = (BatchState.ACCEPTED, BatchState.REJECTED, BatchState.UNKNOWN)
        state = next((s for s in order if s in told), BatchState.PENDING)
        return StoredBatch(
            batch_no=no,
            lane=batch.lane,
            first=RowRef(*batch.rows.row(0)),
            last=RowRef(*batch.rows.row(-1)),
            n_rows=batch.n_rows,
            n_bytes=len(batch.body),
            digest=batch.digest,
            parent_no=batch.parent_no,
            target_bytes=1,
            members=() if batch.parent_no is None else ranges_of(batch.rows),
            state=state,
            rejected=self.named.get(no, ()),
            n_attempts=len(tries),
            n_crashes=tries.count(None),
        )


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def pack_rows(rows: pl.DataFrame, body: bytes, no: int) -> Iterator[Batch]:
    """Make a batch of the body of a part."""
    texts = [compact(value).decode() for value in json.loads(body)]
    frame = rows.with_columns(
        pl.Series("json", texts),
        pl.Series("n_bytes", [len(t.encode()) for t in texts], dtype=pl.UInt32),
    )
    yield from pack([Encoded(frame)], BatchLimits(10_000, 10**9), first_no=no)


def pending_in_outcomes(book: Book, rows: list[Row]) -> set[int]:
    """Ask the module that counts how rows ended."""
    folded = [row.number for row in rows if row.lane == FOLDED_LANE]
    evidence = Evidence(
        pl.DataFrame(schema=EXCEPTIONS_SCHEMA),
        pl.Series("row", sorted(folded), dtype=pl.UInt64),
        [outcome_of(batch) for batch in sorted(book.stored(), key=by_number)],
    )
    assembly = Assembly(evidence)
    found: set[int] = set()
    for source_no in {row.source_no for row in rows}:
        chunk = assembly.chunk(source_no, 1, 200)
        open_ = chunk.filter(pl.col("state") == State.PENDING.value)
        found |= {source_no * ROWS_A_FILE + row_no for row_no in open_["row_no"]}
    return found & {row.number for row in rows}


def by_number(batch: StoredBatch) -> int:
    return batch.batch_no


ROWS = st.lists(
    st.tuples(
        st.sampled_from([MAIN_LANE, MAIN_LANE, MAIN_LANE, FOLDED_LANE]),
        st.integers(0, 1),
        st.integers(1, 200),
        st.text(alphabet='aż𝄞"\n', max_size=12),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda row: row[1:3],
).map(
    lambda found: [
        Row(
            lane,
            source_no,
            row_no,
            compact({"k": f"{source_no}-{row_no}{text}"}).decode(),
        )
        for lane, source_no, row_no, text in sorted(found)
    ]
)


@given(rows=ROWS, chance=st.randoms(use_true_random=False), n_crashes=st.integers(1, 5))
def test_every_row_is_proven_or_sent_once_after_any_number_of_crashes(
    rows: list[Row], chance: Random, n_crashes: int
) -> None:
    book = Book(chance)
    plan = plan_resume(RUN, [], now=NOW)
    texts = {row.number: row.text for row in rows}
    for _ in range(n_crashes + 1):
        limits = BatchLimits(chance.randint(1, 9), chance.randint(100, 400))
        batches = list(rebuild(frames(rows, chance.randint(1, 30)), plan, limits))

        sent = [n for batch in batches for n in numbers(batch)]
        assert Counter(sent + list(book.truth)) == Counter(texts.keys())
        assert pending_in_outcomes(book, rows) == set(sent)
        for batch in batches:
            whole = [json.loads(texts[n]) for n in numbers(batch)]
            assert json.loads(batch.body) == whole
            is_old = batch.batch_no in book.sent
            assert is_old == (batch.batch_no in plan.attempts)
            if is_old:
                old = book.sent[batch.batch_no]
                assert batch.body == old.body
                assert batch.rows.equals(old.rows)
                assert (batch.lane, batch.parent_no) == (old.lane, old.parent_no)
            elif batch.parent_no is None:
                assert plan.next_no <= batch.batch_no < FIRST_CHILD_NO
                assert batch.n_rows <= limits.max_rows
                assert len(batch.body) <= limits.max_bytes
            else:
                assert FIRST_CHILD_NO <= batch.batch_no < plan.next_child_no
                assert batch.n_rows < book.sent[batch.parent_no].n_rows
        used = [batch.batch_no for batch in batches]
        assert len(set(used)) == len(used)

        book.deliver(batches, plan)
        plan = plan_resume(RUN, book.stored(), now=NOW)
        told = Counter(book.truth.values())
        assert plan.n_accepted == told[BatchState.ACCEPTED]
        assert plan.n_rejected == told[BatchState.REJECTED]
        recorded = {n for batch in book.sent.values() for n in numbers(batch)}
        assert plan.n_again == len(recorded - set(book.truth))


@settings(max_examples=settings().max_examples // 2)
@given(rows=ROWS, chance=st.randoms(use_true_random=False))
def test_how_rows_arrive_does_not_matter(rows: list[Row], chance: Random) -> None:
    book = Book(chance)
    empty = plan_resume(RUN, [], now=NOW)
    book.deliver(list(rebuild(frames(rows, 60), empty, SMALL)), empty)
    plan = plan_resume(RUN, book.stored(), now=NOW)

    cut, uncut = (list(rebuild(frames(rows, n), plan, SMALL)) for n in (1, 60))
    assert [(b.batch_no, b.body) for b in cut] == [(b.batch_no, b.body) for b in uncut]


@given(rows=ROWS)
def test_a_run_of_which_nothing_is_recorded_is_cut_as_a_new_one(
    rows: list[Row],
) -> None:
    plan = plan_resume(RUN, [], now=NOW)
    anew = list(rebuild(frames(rows, 7), plan, SMALL))

    assert [(b.batch_no, b.digest) for b in anew] == [
        (b.batch_no, b.digest) for b in pack(frames(rows, 7), SMALL)
    ]


@settings(max_examples=settings().max_examples // 2)
@given(rows=ROWS, chance=st.randoms(use_true_random=False), n_crashes=st.integers(1, 3))
def test_a_new_plan_sends_each_row_that_is_not_proven_once(
    rows: list[Row], chance: Random, n_crashes: int
) -> None:
    book = Book(chance)
    plan = plan_resume(RUN, [], now=NOW)
    for _ in range(n_crashes):
        batches = list(rebuild(frames(rows, 9), plan, SMALL))
        book.deliver(batches, plan)
        plan = plan_resume(RUN, book.stored(), now=NOW)
    longer = [replace(row, text=row.text[:-1] + ',"new":true}') for row in rows]
    tight = BatchLimits(max_rows=3, max_bytes=SMALL.max_bytes)
    plan = plan_resume(RUN, book.stored(), now=NOW, replan=True)

    batches = list(rebuild(frames(longer, 9), plan, tight))

    sent = [n for batch in batches for n in numbers(batch)]
    assert Counter(sent + list(book.truth)) == Counter(row.number for row in rows)
    assert not {batch.batch_no for batch in batches} & set(book.sent)
    assert len({batch.batch_no for batch in batches}) == len(batches)
    assert all(batch.n_rows <= 3 for batch in batches)
    assert all(
        batch.batch_no < plan.next_child_no
        for batch in batches
        if batch.parent_no is not None
    )
    # What is recorded of them is understood by the next run.
    book.deliver(batches, plan)
    assert pending_in_outcomes(book, rows) == (
        {row.number for row in rows} - set(book.truth)
    )


def test_a_run_goes_on_from_a_real_journal(tmp_path: Path) -> None:
    rows = [Row(MAIN_LANE, 0, n, json.dumps({"n": n})) for n in range(1, 41)]
    first, second, _, fourth, fifth, *_ = list(pack(frames(rows, 11), SMALL))
    half = replace(
        next(pack_rows(second.rows[:2], b'[{"n":6},{"n":7}]', FIRST_CHILD_NO)),
        parent_no=2,
    )
    done = Verdict(Step.DONE, ACCEPTED, "HTTP_202", 202)
    refused = Verdict(Step.REFUSED, BatchState.PENDING, "HTTP_400", 400)

    async def cut_off(journal: Journal) -> None:
        for batch in (fifth, first, second, half):
            await journal.intend("r1", batch, target_bytes=400)
        await journal.record("r1", 1, 1, done)
        await journal.record("r1", 2, 1, refused, rejected=[RowRange(0, 10, 10)])
        await journal.record("r1", FIRST_CHILD_NO, 1, done)
        await journal.intend("r1", fourth, target_bytes=400)
        for n in (2, 3):
            await journal.attempt("r1", 5, n)

    with Journal.open(tmp_path / "journal.sqlite") as journal:
        journal.begin_run(RUN)
        asyncio.run(cut_off(journal))
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        run = journal.resume_run("r1")
        plan = plan_resume(run, journal.batches("r1"), now=NOW)
    batches = list(rebuild(frames(rows, 3), plan, SMALL))

    child_no = FIRST_CHILD_NO + 1
    assert [(b.batch_no, b.parent_no, numbers(b)[0], b.n_rows) for b in batches] == [
        (child_no, 2, 8, 2),
        (6, None, 11, 5),
        (4, None, 16, 5),
        (5, None, 21, 5),
        (7, None, 26, 5),
        (8, None, 31, 5),
        (9, None, 36, 5),
    ]
    assert (batches[2].body, batches[3].body) == (fourth.body, fifth.body)
    assert plan.attempts == {4: 1, 5: 3}
    assert plan.suspects == {5}
    assert (plan.n_accepted, plan.n_rejected, plan.n_again) == (7, 1, 12)


# -- bodies that come out different ------------------------------------------------


def ten_rows() -> list[Row]:
    return [Row(MAIN_LANE, 0, n, json.dumps({"n": n})) for n in range(1, 11)]


def plan_of_two(*states: BatchState, is_same_source: bool = True) -> ResumePlan:
    """Plan for two batches of five rows with these states."""
    book = Book(Random(0))  # noqa: S311 - nothing secret
    for batch, state in zip(pack(frames(ten_rows(), 10), SMALL), states, strict=False):
        book.sent[batch.batch_no] = batch
        book.tries[batch.batch_no] = [state]
    return plan_resume(RUN, book.stored(), now=NOW, is_same_source=is_same_source)


def changed(row_no: int) -> list[Row]:
    return [
        replace(row, text='{"n":0}') if row.row_no == row_no else row
        for row in ten_rows()
    ]


def without(*row_nos: int) -> list[Row]:
    return [row for row in ten_rows() if row.row_no not in row_nos]


@pytest.mark.parametrize(
    ("rows", "states"),
    [
        (changed(7), (ACCEPTED, UNKNOWN)),  # another body
        (without(7), (ACCEPTED, UNKNOWN)),  # a row too few
        (without(2), (ACCEPTED, UNKNOWN)),  # a row too few among those proven
        (without(1, 2, 3, 4, 5), (ACCEPTED, UNKNOWN)),  # a whole batch too few
        (without(6, 7, 8, 9, 10), (ACCEPTED, UNKNOWN)),  # and at the end
        ([], (ACCEPTED, ACCEPTED)),
    ],
)
def test_a_body_that_differs_is_told_and_never_sent(
    rows: list[Row], states: tuple[BatchState, ...]
) -> None:
    plan = plan_of_two(*states)
    with pytest.raises(InvariantError, match=r"polars 2\.0\.0; this is polars 2\.1\.0"):
        list(rebuild(frames(rows, 3), plan, SMALL))
    plan = plan_of_two(*states, is_same_source=False)
    with pytest.raises(SourceChangedError, match="source has changed") as refused:
        list(rebuild(frames(rows, 3), plan, SMALL))
    assert ", 5 rows)" in str(refused.value)


def test_a_row_that_is_too_many_is_told() -> None:
    rows = [*ten_rows(), Row(MAIN_LANE, 0, 10, '{"n":10}')]
    with pytest.raises(InvariantError, match="cannot be made again"):
        list(rebuild(frames(rows, 99), plan_of_two(ACCEPTED, UNKNOWN), SMALL))


def test_a_change_in_what_is_proven_does_not_matter() -> None:
    plan = plan_of_two(ACCEPTED, UNKNOWN)
    (batch,) = rebuild(frames(changed(2), 4), plan, SMALL)

    assert batch.batch_no == 2


def test_a_part_that_differs_is_told() -> None:
    plan = plan_of_two(BatchState.PENDING, ACCEPTED)
    (first, second) = plan.lanes[MAIN_LANE]
    (again,) = first.parts
    part = replace(again, batch_no=FIRST_CHILD_NO, parent_no=1, rows=frozenset({1, 2}))
    odd = replace(plan, lanes={MAIN_LANE: (replace(first, parts=(part,)), second)})

    with pytest.raises(InvariantError, match=f"part {FIRST_CHILD_NO}"):
        list(rebuild(frames(ten_rows(), 4), odd, SMALL))


def test_rows_out_of_order_are_refused() -> None:
    turned = [*frames(ten_rows()[5:], 5), *frames(ten_rows()[:5], 5)]
    plan = plan_resume(RUN, [], now=NOW)
    with pytest.raises(InvariantError, match="lane 2 come out of order"):
        list(rebuild(turned, plan, SMALL))
    (turned_inside,) = frames(ten_rows()[::-1], 10)
    with pytest.raises(InvariantError, match="out of order"):
        list(rebuild([turned_inside], plan, SMALL))


def test_a_part_of_the_stream_may_be_empty() -> None:
    empty = Encoded(next(frames(ten_rows(), 10)).frame.clear())
    plan = plan_of_two(UNKNOWN)
    stream = [empty, *frames(ten_rows(), 10), empty]

    assert [b.batch_no for b in rebuild(stream, plan, SMALL)] == [1, 2]


def test_batches_leave_before_the_stream_has_ended() -> None:
    n_read = 0

    def read() -> Iterator[Encoded]:
        nonlocal n_read
        for part in frames(ten_rows(), 1):
            n_read += 1
            yield part

    batches = rebuild(read(), plan_of_two(UNKNOWN), SMALL)
    assert next(batches).batch_no == 1
    assert n_read <= 6
