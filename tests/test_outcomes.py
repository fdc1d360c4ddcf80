"""Every row ends in exactly one state: against a dictionary filled row by row."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvariantError
from pipeline.outcomes import (
    EXCEPTIONS_SCHEMA,
    OUTCOMES_SCHEMA,
    Assembly,
    Evidence,
    RowCounts,
    count_rows,
    tally,
)
from pipeline.records import (
    FOLDED_LANE,
    MAIN_LANE,
    BatchOutcome,
    BatchState,
    RowRange,
    RowRef,
    State,
)

FILE = 2**40  # what a row of the next file counts more, packed
Row = tuple[int, int]
Fate = tuple[str, str | None, int | None, Row | None]
WORDS = {
    BatchState.ACCEPTED: ("accepted", None),
    BatchState.REJECTED: ("rejected", "REFUSED"),
    BatchState.PENDING: ("pending", None),
    BatchState.UNKNOWN: ("pending", "UNKNOWN"),
}


def packed(row: Row) -> int:
    return row[0] * FILE + row[1]


class Exceptional(NamedTuple):
    """A row that was not to be sent by itself."""

    state: State
    code: str | None
    survivor: Row | None


class World(NamedTuple):
    """A run: its files, what was decided about rows, what the journal holds."""

    sizes: list[int]
    exceptions: dict[Row, Exceptional]
    survivors: set[Row]
    batches: list[BatchOutcome]

    def rows(self) -> list[Row]:
        return [(f, n) for f, size in enumerate(self.sizes) for n in range(1, size + 1)]

    def evidence(self, *, is_sent: bool = True) -> Evidence:
        exceptions = pl.DataFrame(
            [
                (packed(row), e.state, e.code, e.survivor and packed(e.survivor))
                for row, e in sorted(self.exceptions.items())
            ],
            schema=EXCEPTIONS_SCHEMA,
            orient="row",
        )
        lane = pl.Series("row", sorted(map(packed, self.survivors)), dtype=pl.UInt64)
        return Evidence(exceptions, lane, self.batches, is_sent)


def expected(world: World) -> dict[Row, Fate]:
    """Say of every row where it ended, by looking at each batch one after another."""
    sendable = [row for row in world.rows() if row not in world.exceptions]
    fates: dict[Row, Fate] = dict.fromkeys(sendable, ("pending", None, None, None))
    for row, e in world.exceptions.items():
        fates[row] = (e.state.value, e.code, None, e.survivor)
    for batch in world.batches:
        if batch.parent_no is None:
            inside = [
                row
                for row in sendable
                if (FOLDED_LANE if row in world.survivors else MAIN_LANE) == batch.lane
                and (batch.first.source_no, batch.first.row_no)
                <= row
                <= (batch.last.source_no, batch.last.row_no)
            ]
        else:
            inside = list(rows_of(batch.members))
        for row in inside:
            fates[row] = (*WORDS[batch.state], batch.batch_no, None)
        for row in rows_of(batch.rejected):
            fates[row] = ("rejected", "REFUSED", batch.batch_no, None)
    return fates


def rows_of(ranges: Iterable[RowRange]) -> Iterable[Row]:
    return [
        (part.source_no, n)
        for part in ranges
        for n in range(part.first_row_no, part.last_row_no + 1)
    ]


def ranges_of(rows: list[Row]) -> tuple[RowRange, ...]:
    """Join neighbours, as the journal does."""
    found: list[RowRange] = []
    for source_no, row_no in sorted(rows):
        last = found[-1] if found else None
        if last and (last.source_no, last.last_row_no + 1) == (source_no, row_no):
            found[-1] = RowRange(source_no, last.first_row_no, row_no)
        else:
            found.append(RowRange(source_no, row_no, row_no))
    return tuple(found)


def outcomes_of(
    world: World, step: int = 1000, *, is_sent: bool = True
) -> pl.DataFrame:
    assembly = Assembly(world.evidence(is_sent=is_sent))
    chunks = [
        assembly.chunk(source_no, first, min(step, size + 1 - first))
        for source_no, size in enumerate(world.sizes)
        for first in range(1, size + 1, step)
    ]
    return pl.concat([pl.DataFrame(schema=OUTCOMES_SCHEMA), *chunks])


def found_fates(outcomes: pl.DataFrame) -> dict[Row, Fate]:
    fates: dict[Row, Fate] = {}
    for source_no, row_no, state, code, batch_no, into, into_file in outcomes.rows():
        survivor = None if into is None else (into_file, into)
        assert (source_no, row_no) not in fates
        fates[source_no, row_no] = (state, code, batch_no, survivor)
    return fates


# -- worlds ----------------------------------------------------------------------------

EXCEPTIONS = st.sampled_from(
    [
        Exceptional(State.EMPTY, "EMPTY", None),
        Exceptional(State.BLOCKED, "NO_ID", None),
        Exceptional(State.FOLDED, "FOLDED", (0, 0)),
        Exceptional(State.UNCHANGED, None, None),
        None,
        None,
        None,
    ]
)
STATES = st.sampled_from(BatchState)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw files, exceptions, survivors, and a journal that was cut short anywhere."""
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=3))
    world = World(sizes, {}, set(), [])
    for row in world.rows():
        exception = draw(EXCEPTIONS)
        if exception is not None:
            world.exceptions[row] = exception
    sendable = [row for row in world.rows() if row not in world.exceptions]
    if sendable:
        world.survivors.update(draw(st.sets(st.sampled_from(sendable), max_size=5)))
    for row, e in world.exceptions.items():
        if e.survivor is not None:
            survivor = draw(st.sampled_from(sorted(world.survivors) or [(0, 1)]))
            world.exceptions[row] = e._replace(survivor=survivor)
    lanes = {
        MAIN_LANE: [row for row in sendable if row not in world.survivors],
        FOLDED_LANE: sorted(world.survivors),
    }
    for lane, rows in lanes.items():
        n_planned = draw(st.integers(0, len(rows)))
        cuts = draw(st.sets(st.integers(1, max(1, n_planned))))
        for first, last in pairwise(sorted({0, n_planned, *cuts})):
            if last <= n_planned:
                add_batches(draw, world.batches, lane, rows[first:last])
    return world


def add_batches(
    draw: st.DrawFn, batches: list[BatchOutcome], lane: int, rows: list[Row]
) -> None:
    """Add a planned batch and perhaps parts of it, and parts of those."""
    parts: list[tuple[int | None, list[Row]]] = [(None, rows)]
    while parts:
        parent_no, members = parts.pop(0)
        named = draw(st.sets(st.sampled_from(members), max_size=2))
        batch_no = len(batches) + 1
        batches.append(
            BatchOutcome(
                batch_no=batch_no,
                lane=lane,
                parent_no=parent_no,
                first=RowRef(*members[0]),
                last=RowRef(*members[-1]),
                n_rows=len(members),
                members=() if parent_no is None else ranges_of(members),
                state=draw(STATES),
                code=None,
                rejected=ranges_of(sorted(named)),
            )
        )
        if len(members) > 1 and draw(st.booleans()):
            cut = draw(st.integers(1, len(members) - 1))
            parts += [(batch_no, members[:cut]), (batch_no, members[cut:])]


# -- properties ------------------------------------------------------------------------


@given(world=worlds(), step=st.integers(1, 13))
def test_every_row_ends_where_a_slow_reading_puts_it(world: World, step: int) -> None:
    outcomes = outcomes_of(world, step)

    assert found_fates(outcomes) == expected(world)
    assert outcomes.schema == OUTCOMES_SCHEMA
    assert outcomes.select("source_no", "row_no").rows() == world.rows()


@given(world=worlds(), step=st.integers(1, 13))
def test_the_equation_holds_however_rows_are_counted(world: World, step: int) -> None:
    outcomes = outcomes_of(world, step)
    tallies = [tally(outcomes.slice(i, step)) for i in range(0, len(outcomes), step)]

    counts = count_rows(tallies, n_read=len(world.rows()))

    fates = expected(world).values()
    states = Counter(state for state, *_ in fates)
    assert counts.as_dict() == {
        **{state.value: states[state.value] for state in State},
        "read": len(world.rows()),
        "unknown": sum(code == "UNKNOWN" for _, code, *_ in fates),
    }
    assert counts.unknown <= counts.pending
    if world.rows():
        with pytest.raises(InvariantError):
            count_rows(tallies[1:], n_read=len(world.rows()))


@given(worlds())
def test_under_check_everything_sendable_is_planned(world: World) -> None:
    outcomes = outcomes_of(world, is_sent=False)

    planned: Fate = ("planned", None, None, None)
    fates = expected(world)
    assert found_fates(outcomes) == {
        row: fate if row in world.exceptions else planned for row, fate in fates.items()
    }


# -- examples --------------------------------------------------------------------------


def batch(batch_no: int, first: Row, last: Row, **other: Any) -> BatchOutcome:
    filled: dict[str, Any] = {
        "lane": MAIN_LANE,
        "parent_no": None,
        "n_rows": 1,
        "members": (),
        "state": BatchState.ACCEPTED,
        "code": None,
        "rejected": (),
        **other,
    }
    return BatchOutcome(batch_no, first=RowRef(*first), last=RowRef(*last), **filled)


def test_a_refused_part_of_an_unknown_batch_is_rejected_and_the_rest_is_unknown() -> (
    None
):
    world = World(
        [5],
        {},
        set(),
        [
            batch(1, (0, 1), (0, 4), state=BatchState.UNKNOWN),
            batch(
                2,
                (0, 2),
                (0, 3),
                parent_no=1,
                members=(RowRange(0, 2, 3),),
                state=BatchState.ACCEPTED,
                rejected=(RowRange(0, 3, 3),),
            ),
        ],
    )

    outcomes = outcomes_of(world)

    assert outcomes.select("state", "code", "batch_no").rows() == [
        ("pending", "UNKNOWN", 1),
        ("accepted", None, 2),
        ("rejected", "REFUSED", 2),
        ("pending", "UNKNOWN", 1),
        ("pending", None, None),
    ]
    counts = count_rows([tally(outcomes)], n_read=5)
    assert (counts.pending, counts.unknown) == (3, 2)


def test_a_later_part_has_the_last_word() -> None:
    part = {"parent_no": 1, "members": (RowRange(0, 1, 1),)}
    world = World(
        [1],
        {},
        set(),
        [
            batch(1, (0, 1), (0, 1), state=BatchState.UNKNOWN),
            batch(2, (0, 1), (0, 1), **part, rejected=(RowRange(0, 1, 1),)),
            batch(3, (0, 1), (0, 1), **part),
        ],
    )

    assert found_fates(outcomes_of(world)) == {(0, 1): ("accepted", None, 3, None)}


def test_a_batch_reaches_over_the_end_of_a_file() -> None:
    world = World([2, 2], {}, set(), [batch(1, (0, 2), (1, 1))])

    assert [fate[0] for fate in found_fates(outcomes_of(world)).values()] == [
        "pending",
        "accepted",
        "accepted",
        "pending",
    ]


def test_rows_that_do_not_add_up_are_a_defect_and_say_which() -> None:
    with pytest.raises(
        InvariantError, match=r"3 rows were read, but 1 blocked \+ 1 pe"
    ):
        RowCounts(read=3, blocked=1, pending=1).check()
    with pytest.raises(InvariantError, match="1 rows were read, but nothing came out"):
        RowCounts(read=1).check()
    with pytest.raises(InvariantError, match="0 rows were read, but 1 accepted"):
        RowCounts(accepted=1).check()
    RowCounts(read=1, pending=1, unknown=1).check()


@pytest.mark.parametrize("state", ["success", "read", "unknown", None])
def test_a_state_nobody_knows_is_a_defect(state: str | None) -> None:
    odd = pl.DataFrame({"state": [state], "code": [None], "n": [1]})

    with pytest.raises(InvariantError, match="states that do not exist"):
        count_rows([odd], n_read=1)


def test_an_empty_source_balances() -> None:
    assert count_rows([], n_read=0) == RowCounts()
    assert outcomes_of(World([0], {}, set(), [])).is_empty()


@pytest.mark.parametrize("code", ["TOO_LARGE", "QUARANTINED"])
def test_a_rejected_row_keeps_the_code_of_its_verdict(code: str) -> None:
    rejected = batch(1, (0, 1), (0, 1), state=BatchState.REJECTED, code=code)
    nothing = pl.DataFrame(schema=EXCEPTIONS_SCHEMA)
    evidence = Evidence(nothing, pl.Series("row", [], dtype=pl.UInt64), [rejected])

    chunk = Assembly(evidence).chunk(0, 1, 1)

    assert chunk.select("state", "code").rows() == [("rejected", code)]


def test_rows_that_were_compared_are_unchanged_or_what_they_were() -> None:
    equal = pl.Series([False, True, True, False])
    evidence = World([4], {}, set(), []).evidence(is_sent=False)
    compared = Evidence(
        evidence.exceptions, evidence.folded_lane, is_sent=False, unchanged=[equal]
    )
    assembly = Assembly(compared)

    states = [assembly.chunk(0, first, 2)["state"].to_list() for first in (1, 3)]
    assert states == [["planned", "unchanged"], ["unchanged", "planned"]]


def test_a_batch_holds_the_rows_of_its_own_lane_alone() -> None:
    def batch(no: int, lane: int, last: int) -> BatchOutcome:
        first = RowRef(0, 1)
        state = BatchState.ACCEPTED
        return BatchOutcome(
            no, lane, None, first, RowRef(0, last), 2, (), state, None, ()
        )

    evidence = World(
        [4], {}, set(), [batch(1, 0, 3), batch(2, MAIN_LANE, 4)]
    ).evidence()
    lanes = pl.DataFrame(
        {"row": [1, 3], "lane": [0, 0]}, schema={"row": pl.UInt64, "lane": pl.Int64}
    )
    laned = Evidence(
        evidence.exceptions, evidence.folded_lane, evidence.batches, lanes=lanes
    )
    rows = pl.DataFrame(
        {"source_no": [0] * 4, "row_no": [4, 3, 2, 1]},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )

    told = Assembly(laned).outcomes(rows)
    assert told.select("row_no", "batch_no").rows() == [(1, 1), (2, 2), (3, 1), (4, 2)]
