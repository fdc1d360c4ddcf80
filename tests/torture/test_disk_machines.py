"""The machines that break the disk, in short, and that they can fail."""

import random
import tracemalloc
from pathlib import Path

import pytest

from torture import nth_operation, power_loss
from torture.disk_states import Disk, Fate, Names, Op, What
from torture.faulty_disk import workshop
from torture.small_job import (
    DONE_CODE,
    Place,
    clutter_at,
    faults_of_end,
    faults_on_disk,
    left_at,
    run,
)

DICE = random.Random(7)  # noqa: S311 - a disk's dice


def test_what_is_left_of_a_job_is_really_looked_at(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.prepare()
    ended = run(place)
    assert ended.code == DONE_CODE
    wanted = left_at(place)
    assert faults_of_end(place, ended, wanted) == []
    assert faults_on_disk(place, wanted) == []

    place.database.unlink()
    (folder,) = place.work_dir.glob("runs/*")
    rejected = folder / "rejected.csv"
    rejected.write_text(rejected.read_text()[:-9])
    (place.work_dir / "scratch").mkdir()

    assert set(faults_of_end(place, ended, wanted)) == {
        "crm differs from an undisturbed run",
        "texts differs from an undisturbed run",
    }
    assert clutter_at(place) == ["scratch was left behind"]
    found = faults_on_disk(place, wanted)
    assert "rejected.csv is not whole" in found
    assert "row 9 is accepted and never arrived" in found
    assert "4 batches are accepted that never arrived" in found


def written(*ops: tuple[What, int, int, bytes, str, str]) -> list[Op]:
    return [Op(*op) for op in ops]


def disk_after(ops: list[Op], names: Names = Names.STRICT) -> Disk:
    disk = Disk(names)
    for op in ops:
        disk.do(op)
    return disk


DRAFT = written(
    (What.CREATED, 1, 0, b"", "draft", ""),
    (What.WRITTEN, 1, 0, b"a" * 1024, "", ""),
)
FLUSH = written((What.FLUSHED, 1, 0, b"", "draft", ""))
RENAME = written((What.RENAMED, 0, 0, b"", "draft", "final"))
FOLDER = written((What.FLUSHED, 0, 0, b"", ".", ""))


def test_a_file_and_its_name_are_certain_once_both_are_flushed() -> None:
    disk = disk_after(DRAFT + FLUSH + RENAME + FOLDER)

    for fate in Fate:
        assert disk.lose_power(fate, DICE) == {"final": b"a" * 1024}


def test_a_name_without_its_bytes_is_a_state_of_a_run_that_does_not_flush() -> None:
    disk = disk_after(DRAFT + RENAME + FOLDER)

    states = [disk.lose_power(Fate.SECTORS, DICE)["final"] for _ in range(60)]

    halves = [bytes(512) + b"a" * 512, b"a" * 512 + bytes(512)]
    for legal in (b"", b"a" * 1024, bytes(1024), *halves):
        assert legal in states
    assert set(states) <= {b"", b"a" * 1024, bytes(1024), *halves}


def test_a_new_name_may_be_lost_though_its_file_was_flushed() -> None:
    ops = DRAFT + FLUSH

    assert disk_after(ops).lose_power(Fate.GONE, DICE) == {}
    assert disk_after(ops, Names.ORDERED).lose_power(Fate.GONE, DICE) == {
        "draft": b"a" * 1024
    }


def test_with_its_folder_everything_in_it_is_lost() -> None:
    below = written(
        (What.MADE, 0, 0, b"", "work", ""),
        (What.CREATED, 1, 0, b"", "work/a", ""),
        (What.FLUSHED, 0, 0, b"", "work", ""),
    )

    assert disk_after(below).lose_power(Fate.GONE, DICE) == {}
    assert disk_after(below + FOLDER).lose_power(Fate.GONE, DICE) == {
        "work": None,
        "work/a": b"",
    }


@pytest.mark.parametrize("fate", [Fate.PAGES, Fate.SECTORS])
def test_every_part_of_an_unflushed_file_is_as_it_was_at_some_moment(
    fate: Fate,
) -> None:
    """Against the plain way, which keeps every content that there was."""
    for seed in range(60):
        dice = random.Random(seed)  # noqa: S311 - a disk's dice
        ops = DRAFT + FLUSH + FOLDER
        contents = [bytearray(b"a" * 1024)]
        for n in range(dice.randrange(1, 12)):
            before = contents[-1]
            if dice.random() < 0.2:
                size = dice.randrange(9_000)
                ops += written((What.SIZED, 1, size, b"", "", ""))
                contents.append((before + bytes(size))[:size])
            else:
                at, data = dice.randrange(8_000), bytes([n + 98]) * dice.randrange(900)
                ops += written((What.WRITTEN, 1, at, data, "", ""))
                held = before + bytes(max(0, at + len(data) - len(before)))
                contents.append(held[:at] + data + held[at + len(data) :])
        found = disk_after(ops).lose_power(fate, dice)["draft"]

        assert found is not None
        assert len(found) in {len(each) for each in contents}
        unit = 4096 if fate is Fate.PAGES else 512
        for at in range(0, len(found), unit):
            part = found[at : at + unit]
            legal = {
                bytes(c[at : at + len(part)]).ljust(len(part), b"\0") for c in contents
            }
            assert part in legal


def test_a_file_that_is_never_flushed_needs_memory_of_two_and_not_of_all() -> None:
    size = 2**20
    ops = DRAFT + FLUSH + FOLDER
    ops += written(*((What.WRITTEN, 1, size - n, b"b", "", "") for n in range(1, 201)))
    disk = disk_after(ops)
    tracemalloc.start()
    try:
        found = disk.lose_power(Fate.PAGES, DICE)["draft"]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found is not None
    assert peak_bytes < 10 * size


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_some_points_of_every_kind_break_no_promise() -> None:
    chapter = nth_operation.prove(2)

    assert chapter.is_met, chapter


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_power_loss_breaks_a_promise() -> None:
    chapter = power_loss.prove(200)

    assert chapter.is_met, chapter


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_program_that_does_not_flush_is_caught() -> None:
    with workshop() as folder:
        power_loss.recorded(folder)
        for job in power_loss.JOBS:
            replay = power_loss.Replay(job, folder / job, None)
            replay.check()
            honest = power_loss.cuts(len(replay.ops), job, 24)
            replay.ops = [op for op in replay.ops if op.what is not What.FLUSHED]
            seen = list(replay.all(honest, folder / "state"))

            problems = {words for each in seen for words in each.problems}
            assert any("left and are unknown" in words for words in problems), job
