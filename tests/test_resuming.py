"""What a run still has to send follows from its records, whatever their order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import (
    JournalDamagedError,
    SettingsError,
    SourceChangedError,
    StaleRunError,
)
from pipeline.journal_tables import FIRST_CHILD_NO, Run, RunState, StoredBatch
from pipeline.records import ROWS_A_FILE, BatchState, Fingerprint, RowRange, RowRef
from pipeline.resuming import (
    Part,
    check_newest,
    check_resumable,
    continued_run,
    plan_resume,
    unfinished_runs,
)

FILE = Fingerprint("/data/a.csv", 10, 20, "ab")
RUN = Run(
    "r1",
    "import",
    "customers",
    workspace="guid",
    settings_digest="s1",
    versions={"polars": "2.0.0"},
    fingerprints=(FILE,),
    generation=1,
)
NOW = {"polars": "2.1.0"}


def planned(
    no: int, first: int, last: int, state: BatchState, **more: object
) -> StoredBatch:
    batch = StoredBatch(
        no,
        2,
        RowRef(0, first),
        RowRef(0, last),
        n_rows=last - first + 1,
        n_bytes=9,
        digest=f"d{no}",
        parent_no=None,
        target_bytes=9,
        state=state,
    )
    return replace(batch, **more)  # type: ignore[arg-type]


def part_of(
    parent: int, no: int, rows: tuple[int, int], state: BatchState
) -> StoredBatch:
    return planned(
        FIRST_CHILD_NO + no,
        *rows,
        state,
        parent_no=parent,
        members=(RowRange(0, *rows),),
    )


ACCEPTED, REJECTED = BatchState.ACCEPTED, BatchState.REJECTED
PENDING, UNKNOWN = BatchState.PENDING, BatchState.UNKNOWN


# -- which run ---------------------------------------------------------------------


def test_the_newest_run_of_each_dataset_can_be_resumed() -> None:
    runs = [
        replace(RUN, run_id="old", generation=1),
        replace(RUN, run_id="newer", generation=4, state=RunState.PENDING),
        replace(RUN, run_id="other", generation=2, dataset="suppliers"),
        replace(RUN, run_id="elsewhere", generation=3, workspace="another"),
        replace(RUN, run_id="done", generation=5, dataset="d", state=RunState.DONE),
    ]

    assert [run.run_id for run in unfinished_runs(runs[::-1])] == [
        "other",
        "elsewhere",
        "newer",
    ]


def test_a_run_that_was_superseded_by_a_finished_one_is_not_resumed() -> None:
    runs = [RUN, replace(RUN, run_id="r2", generation=2, state=RunState.DONE)]

    assert unfinished_runs(runs) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, True),
        ({"fingerprints": (replace(FILE, mtime_ns=99, path="/copy/a.csv"),)}, True),
        ({"fingerprints": (replace(FILE, sha256="cd"),)}, False),
        ({"fingerprints": (FILE, FILE)}, False),
        ({"settings_digest": "s2"}, False),
        ({"workspace": "another"}, False),
        ({"dataset": "suppliers"}, False),
    ],
)
def test_an_import_goes_on_only_with_the_same_rows(
    changed: dict[str, object], *, found: bool
) -> None:
    asked: dict[str, object] = {
        "workspace": "guid",
        "dataset": "customers",
        "settings_digest": "s1",
        "fingerprints": (FILE,),
    }
    run = continued_run([RUN], **(asked | changed))  # type: ignore[arg-type]

    assert run == (RUN if found else None)


def test_other_rows_and_other_settings_are_told_apart() -> None:
    check_resumable(RUN, settings_digest="s1", fingerprints=[FILE])
    with pytest.raises(SourceChangedError, match=r"run r1 .*/data/a\.csv"):
        check_resumable(
            RUN, settings_digest="s2", fingerprints=[replace(FILE, sha256="x")]
        )
    with pytest.raises(SettingsError, match="--fresh"):
        check_resumable(RUN, settings_digest="s2", fingerprints=[FILE])


def test_a_newer_run_bars_an_older_one() -> None:
    check_newest("r1", None)
    with pytest.raises(StaleRunError, match="run r2"):
        check_newest("r1", "r2")


# -- what of it --------------------------------------------------------------------


def test_a_run_without_a_batch_sends_everything() -> None:
    plan = plan_resume(RUN, [], now=NOW)

    assert (plan.lanes, plan.next_no, plan.next_child_no) == ({}, 1, FIRST_CHILD_NO)
    assert (plan.then, plan.now) == ({"polars": "2.0.0"}, NOW)


def test_what_is_not_proven_is_sent_again_and_gaps_stay_open() -> None:
    batches = [
        planned(4, 31, 40, PENDING, n_attempts=2),
        planned(1, 1, 10, ACCEPTED),
        planned(3, 21, 30, UNKNOWN),  # 2 was taken by a worker and never recorded
        planned(9, 81, 90, REJECTED),
    ]
    plan = plan_resume(RUN, batches, now=NOW)
    (stretches,) = plan.lanes.values()

    assert [s.batch_no for s in stretches] == [1, 3, 4, 9]
    assert [s.parts for s in stretches] == [
        (),
        (Part(3, None, "d3"),),
        (Part(4, None, "d4"),),
        (),
    ]
    assert plan.next_no == 10
    assert plan.attempts == {3: 1, 4: 2}
    assert (plan.n_accepted, plan.n_rejected, plan.n_again) == (10, 10, 20)


def test_lanes_and_files_are_kept_apart() -> None:
    second_file = replace(
        planned(3, 1, 5, ACCEPTED), first=RowRef(1, 1), last=RowRef(1, 5)
    )
    batches = [
        planned(1, 1, 10, ACCEPTED),
        planned(2, 1, 9, UNKNOWN, lane=3),
        second_file,
    ]
    plan = plan_resume(RUN, batches, now=NOW)

    assert {
        lane: [s.batch_no for s in found] for lane, found in plan.lanes.items()
    } == {
        2: [1, 3],
        3: [2],
    }
    assert plan.lanes[2][1].first == ROWS_A_FILE + 1


def test_of_a_batch_that_was_split_only_the_rest_is_sent() -> None:
    batches = [
        planned(1, 1, 10, PENDING, rejected=(RowRange(0, 4, 4),)),
        part_of(1, 0, (1, 3), ACCEPTED),
        part_of(1, 1, (5, 7), UNKNOWN),
    ]
    plan = plan_resume(RUN, batches, now=NOW)
    (stretch,) = plan.lanes[2]

    assert stretch.parts == (
        Part(FIRST_CHILD_NO + 2, 1, None),
        Part(FIRST_CHILD_NO + 1, 1, f"d{FIRST_CHILD_NO + 1}", frozenset({5, 6, 7})),
    )
    assert stretch.proven == {1, 2, 3, 4}
    assert plan.next_child_no == FIRST_CHILD_NO + 2 + 10
    assert plan.attempts == {FIRST_CHILD_NO + 1: 1}
    assert (plan.n_accepted, plan.n_rejected, plan.n_again) == (3, 1, 6)


def test_a_part_that_was_split_again_is_sent_without_what_is_proven() -> None:
    batches = [
        planned(1, 1, 8, PENDING),
        part_of(1, 0, (1, 4), PENDING),
        part_of(1, 1, (5, 8), ACCEPTED),
        part_of(FIRST_CHILD_NO, 2, (1, 2), REJECTED),
    ]
    plan = plan_resume(RUN, batches, now=NOW)
    (stretch,) = plan.lanes[2]

    assert stretch.parts == (
        Part(FIRST_CHILD_NO + 3, FIRST_CHILD_NO, None, frozenset({3, 4})),
    )
    assert (plan.n_accepted, plan.n_rejected, plan.n_again) == (4, 2, 2)


def test_a_batch_that_names_rows_and_takes_the_rest_is_proven() -> None:
    taken = planned(1, 1, 10, ACCEPTED, rejected=(RowRange(0, 4, 5),))
    plan = plan_resume(RUN, [taken], now=NOW)

    assert plan.lanes[2][0].parts == ()
    assert (plan.n_accepted, plan.n_rejected, plan.n_again) == (8, 2, 0)


def test_a_batch_the_process_died_with_three_times_is_suspected() -> None:
    batches = [
        planned(1, 1, 10, UNKNOWN, n_crashes=2),
        planned(2, 11, 20, UNKNOWN, n_crashes=3),
        planned(3, 21, 30, ACCEPTED, n_crashes=5),
        planned(4, 31, 31, UNKNOWN, n_crashes=9),  # one row: nothing to halve
    ]

    assert plan_resume(RUN, batches, now=NOW).suspects == {2}


def test_a_batch_that_failed_for_a_whole_patience_is_suspected() -> None:
    batches = [
        planned(1, 1, 10, UNKNOWN, n_attempts=7),
        planned(2, 11, 20, UNKNOWN, n_attempts=8),
        planned(3, 21, 30, ACCEPTED, n_attempts=8),
        planned(4, 31, 40, PENDING, n_attempts=8),  # told to come later, say
        planned(5, 41, 41, UNKNOWN, n_attempts=8),
    ]

    assert plan_resume(RUN, batches, now=NOW).suspects == {2}


def test_a_new_plan_makes_parts_of_all_that_is_not_proven() -> None:
    batches = [planned(1, 1, 10, ACCEPTED), planned(2, 11, 20, UNKNOWN)]
    plan = plan_resume(RUN, batches, now=NOW, replan=True)

    assert [s.parts for s in plan.lanes[2]] == [(), (Part(FIRST_CHILD_NO, 2, None),)]
    assert plan.is_replanned
    assert plan.attempts == {}


def test_records_that_contradict_each_other_are_not_guessed_at() -> None:
    orphan = part_of(7, 0, (1, 2), ACCEPTED)
    with pytest.raises(JournalDamagedError, match="part of batch 7"):
        plan_resume(RUN, [orphan], now=NOW)
    large = part_of(1, 0, (1, 11), ACCEPTED)
    with pytest.raises(JournalDamagedError, match="more rows"):
        plan_resume(RUN, [planned(1, 1, 10, PENDING), large], now=NOW)
    overlap = [planned(1, 1, 10, ACCEPTED), planned(2, 10, 20, ACCEPTED)]
    with pytest.raises(JournalDamagedError, match="batches 1 and 2"):
        plan_resume(RUN, overlap, now=NOW)


@given(st.permutations(range(6)))
def test_the_order_of_the_records_does_not_matter(order: list[int]) -> None:
    batches = [
        planned(1, 1, 10, PENDING),
        planned(2, 11, 20, ACCEPTED),
        planned(3, 31, 40, UNKNOWN),
        part_of(1, 0, (1, 5), PENDING),
        part_of(1, 1, (6, 10), ACCEPTED),
        part_of(FIRST_CHILD_NO, 2, (1, 1), ACCEPTED),
    ]
    shuffled = [batches[n] for n in order]

    assert plan_resume(RUN, shuffled, now=NOW) == plan_resume(RUN, batches, now=NOW)
