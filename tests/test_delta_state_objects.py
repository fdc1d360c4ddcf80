"""A state that several machines share: one writer wins, and nothing half counts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from delta_states import FIRST, told
from memory_objects import MemoryObjects
from pipeline.delta.digests import N_BUCKETS
from pipeline.delta.lease import Lease, LeaseTime
from pipeline.delta.state import StateStore
from pipeline.delta.state_objects import StateObjects
from pipeline.errors import (
    JournalDamagedError,
    SettingsError,
    StaleRunError,
    TokenRefusedError,
    UnreachableError,
)

FOLDER = "crm/people"
RECORD = f"{FOLDER}/state.json"


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


def machine(objects: MemoryObjects, work_dir: Path) -> StateStore:
    lease = Lease(cast("Any", objects), FOLDER, LeaseTime(), lambda: None)
    return StateStore(work_dir, "guid", "people", StateObjects(lease))


def generations(objects: MemoryObjects) -> set[str]:
    return {key.split("/")[2] for key in objects.held if key.endswith(".parquet")}


def test_what_one_machine_wrote_another_reads(
    objects: MemoryObjects, tmp_path: Path
) -> None:
    written = machine(objects, tmp_path / "a").change(FIRST, told)
    other = machine(objects, tmp_path / "b")
    record = other.record()

    assert record == written
    assert record.n_persons == N_BUCKETS
    found = other.digests(record).read(range(63, 64))
    assert found is not None
    assert found["d:a"].to_list() == [5]
    second = other.change(record, told)
    assert generations(objects) == {second.name}
    assert [path.name for path in other.folder.glob("g*")] == [second.name]


def test_a_generation_that_is_here_is_not_fetched_again(
    objects: MemoryObjects, tmp_path: Path
) -> None:
    store = machine(objects, tmp_path)
    record = store.change(FIRST, told)
    path = next(store.folder.glob("g*/*.parquet"))
    before = path.stat().st_mtime_ns
    store.digests(record)
    assert path.stat().st_mtime_ns == before

    path.write_bytes(b"PAR1")
    assert store.digests(record).read(range(1)) is not None


def test_of_two_writers_from_one_generation_the_first_wins(
    objects: MemoryObjects, tmp_path: Path
) -> None:
    machine(objects, tmp_path / "a").change(FIRST, told)
    one, other = machine(objects, tmp_path / "b"), machine(objects, tmp_path / "c")
    from_one, from_other = one.record(), other.record()
    assert from_one is not None
    assert from_other is not None
    other.digests(from_other)
    won = one.change(from_one, told)

    with pytest.raises(StaleRunError, match="another run has changed the state s3://"):
        other.change(from_other, told)
    assert machine(objects, tmp_path / "d").record() == won
    assert len(generations(objects)) == 2  # what the other left, nobody names
    last = other.record()
    assert last is not None
    name = other.change(last, told).name
    assert generations(objects) == {name}


def test_of_two_first_writers_one_wins(objects: MemoryObjects, tmp_path: Path) -> None:
    one, other = machine(objects, tmp_path / "a"), machine(objects, tmp_path / "b")
    assert (one.record(), other.record()) == (None, None)
    one.change(FIRST, told)

    with pytest.raises(StaleRunError):
        other.change(FIRST, told)


def test_a_record_that_was_read_before_another_is_not_built_upon(
    objects: MemoryObjects, tmp_path: Path
) -> None:
    store = machine(objects, tmp_path / "a")
    first = store.change(FIRST, told)
    other = machine(objects, tmp_path / "b")
    seen = other.record()
    assert seen is not None
    other.change(seen, told)
    store.record()

    with pytest.raises(StaleRunError, match="not the one that was read"):
        store.change(first, told)


def test_a_write_whose_answer_was_lost_counts(
    objects: MemoryObjects, tmp_path: Path
) -> None:
    store = machine(objects, tmp_path)
    first = store.change(FIRST, told)
    objects.deaf = True
    second = store.change(first, told)

    assert store.record() == second


def test_a_store_that_breaks_off_leaves_what_counted(
    objects: MemoryObjects, tmp_path: Path
) -> None:
    store = machine(objects, tmp_path)
    first = store.change(FIRST, told)

    def vanish() -> None:
        objects.failure = UnreachableError("gone")

    objects.before_write = vanish
    with pytest.raises(UnreachableError):
        store.change(first, told)
    objects.failure = None
    assert store.record() == first
    assert store.digests(first).read(range(1)) is not None
    name = store.change(first, told).name
    assert generations(objects) == {name}


def test_what_cannot_be_removed_stays_for_the_next_time(tmp_path: Path) -> None:
    class Keeping(MemoryObjects):
        def delete(self, key: str) -> None:
            raise TokenRefusedError(key)

    objects = Keeping()
    store = machine(objects, tmp_path)
    first = store.change(FIRST, told)
    second = store.change(first, told)

    assert store.record() == second
    assert generations(objects) == {first.name, second.name}
    other = machine(MemoryObjects(held=objects.held), tmp_path / "b")
    assert other.record() == second
    name = other.change(second, told).name
    assert generations(objects) == {name}


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_a_damaged_generation_is_told(
    objects: MemoryObjects, tmp_path: Path, damage: str
) -> None:
    record = machine(objects, tmp_path / "a").change(FIRST, told)
    key = next(key for key in objects.held if key.endswith(".parquet"))
    if damage == "gone":
        del objects.held[key]
    else:
        objects.put(key, objects.held[key][0][:-1])
    store = machine(objects, tmp_path / "b")
    assert store.record() == record

    with pytest.raises(
        JournalDamagedError, match=f"state is damaged: s3://lake/{FOLDER}"
    ):
        store.digests(record)


def test_a_generation_that_was_replaced_meanwhile_is_no_damage(
    objects: MemoryObjects, tmp_path: Path
) -> None:
    first = machine(objects, tmp_path / "a").change(FIRST, told)
    reader = machine(objects, tmp_path / "b")
    assert reader.record() == first
    writer = machine(objects, tmp_path / "c")
    record = writer.record()
    assert record is not None
    writer.change(record, told)

    with pytest.raises(StaleRunError):
        reader.digests(first)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"version": 1}'])
def test_a_damaged_record_is_told(
    objects: MemoryObjects, tmp_path: Path, text: bytes
) -> None:
    store = machine(objects, tmp_path)
    store.change(FIRST, told)
    objects.put(RECORD, text)

    with pytest.raises(JournalDamagedError, match="next plan then sends every row"):
        store.record()


@pytest.mark.parametrize(
    "odd",
    [{"name": "../../etc"}, {"files": {"../key": "0" * 64}}, {"files": {"x": ""}}],
)
def test_a_record_leads_nowhere_else(
    objects: MemoryObjects, tmp_path: Path, odd: dict[str, Any]
) -> None:
    store = machine(objects, tmp_path)
    record = store.change(FIRST, told)

    with pytest.raises(JournalDamagedError):
        store.digests(replace(record, **odd))


def test_a_newer_state_is_left_alone(objects: MemoryObjects, tmp_path: Path) -> None:
    store = machine(objects, tmp_path)
    store.change(FIRST, told)
    found = json.loads(objects.held[RECORD][0])
    objects.put(RECORD, json.dumps(found | {"version": 99}).encode())

    with pytest.raises(
        SettingsError, match="s3://lake/crm/people was written by a newer"
    ):
        store.record()


def test_beginning_anew_needs_nothing_of_the_old(
    objects: MemoryObjects, tmp_path: Path
) -> None:
    first = machine(objects, tmp_path / "a").change(FIRST, told)
    for key in [key for key in objects.held if key.endswith(".parquet")]:
        del objects.held[key]
    store = machine(objects, tmp_path / "b")
    assert store.record() == first
    second = store.change(first, lambda _buckets: None, is_anew=True)

    assert second.n_persons == 0
