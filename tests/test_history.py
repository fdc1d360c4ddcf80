"""What is told of one run: by its name or its beginning, from journal and folder."""

import asyncio
from pathlib import Path

import polars as pl
import pytest

from import_day import imported, people, under
from pipeline.errors import SettingsError
from pipeline.history import RunDetails, run_details
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import FIRST_CHILD_NO, Run, RunState
from pipeline.records import Batch, BatchState, Fingerprint, RowRange, Step, Verdict
from pipeline.retention import DAY_S, purge_runs

ACCEPTED = Verdict(Step.DONE, BatchState.ACCEPTED, "HTTP_202", 202)
PENDING = Verdict(Step.REFUSED, BatchState.PENDING, "HTTP_400", 400)
NAMES = ("20260101-100000-aaaa", "20260101-110000-bbbb", "20260202-100000-aaaa")


def batch(no: int, first: int, n_rows: int, parent_no: int | None = None) -> Batch:
    rows = pl.DataFrame(
        {"source_no": [0] * n_rows, "row_no": list(range(first, first + n_rows))}
    )
    return Batch(no, 2, rows, b"[]", f"digest {no}", parent_no)


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    """
    Give a folder with three runs of one dataset each.

    Of the first, batch 1 was accepted, batch 2 was cut in two of which one half was
    accepted with a row refused, and the other was out, for the second time, when the
    process was killed.
    """
    source = tmp_path / "people.csv"
    source.write_text("email\n" * 10)
    prints = (Fingerprint(str(source), source.stat().st_size, 0, "sha"),)
    part_a, part_b = FIRST_CHILD_NO, FIRST_CHILD_NO + 1

    async def send(journal: Journal, run_id: str) -> None:
        for one in (batch(1, 1, 4), batch(2, 5, 6)):
            await journal.intend(run_id, one, target_bytes=1)
        await journal.record(run_id, 1, 1, ACCEPTED)
        await journal.record(run_id, 2, 1, PENDING)
        for one in (batch(part_a, 5, 3, 2), batch(part_b, 8, 3, 2)):
            await journal.intend(run_id, one, target_bytes=1)
        rejected = (RowRange(0, 6, 6),)
        await journal.record(run_id, part_a, 1, ACCEPTED, rejected=rejected)
        await journal.attempt(run_id, part_b, 2)

    with Journal.open(tmp_path / JOURNAL_NAME, now=lambda: 5 * DAY_S) as journal:
        for n, name in enumerate(NAMES):
            run = Run(name, "import", f"dataset {n}", "guid", fingerprints=prints)
            journal.begin_run(run)
        asyncio.run(send(journal, NAMES[0]))
    return tmp_path


def test_rows_and_batches_are_what_the_journal_proves(work_dir: Path) -> None:
    details = run_details(work_dir, NAMES[0])

    assert details.batches == {"accepted": 2, "split": 1, "unknown": 1}
    assert (details.n_accepted, details.n_rejected, details.n_unproven) == (6, 1, 3)
    assert (details.n_attempts, details.n_retried, details.n_unanswered) == (5, 1, 2)
    assert details.obstacle is None
    assert (details.summary, details.files, details.is_forgotten) == (None, {}, False)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(NAMES[1], 1), ("20260101-11", 1), ("202602", 2), (NAMES[0], 0)],
)
def test_a_run_is_found_by_as_much_of_its_name_as_is_its_own(
    work_dir: Path, wanted: str, found: int
) -> None:
    assert run_details(work_dir, wanted).run.run_id == NAMES[found]


def test_a_name_that_begins_another_one_is_still_a_name(work_dir: Path) -> None:
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        journal.begin_run(Run("20260101", "import", "short"))

    assert run_details(work_dir, "20260101").run.run_id == "20260101"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("20260101-1", f"2 runs begin with .*{NAMES[1]}, {NAMES[0]}; write more"),
        ("20260101-100000-aaab", f"no run .* nearest names are {NAMES[0]}"),
        ("xyz", "no run xyz .* `crm-pipeline runs` lists"),
        ("../../etc", "no run"),
        ("\x1b[31m", r"no run \\x1b\[31m in"),
        ("dry", "dry sent nothing.*it was a check"),
        ("", "3 runs begin with ''"),
    ],
)
def test_another_name_is_refused_with_the_nearest_ones(
    work_dir: Path, wanted: str, words: str
) -> None:
    (work_dir / "runs" / "dry").mkdir(parents=True)

    with pytest.raises(SettingsError, match=words) as refused:
        run_details(work_dir, wanted)
    assert "\x1b" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_many_names_are_not_all_listed(work_dir: Path) -> None:
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        for n in range(9):
            journal.begin_run(Run(f"x{n}", "import", f"x{n}"))

    with pytest.raises(SettingsError, match="x8, x7, x6, x5, x4 and 4 more; write"):
        run_details(work_dir, "x")


def test_a_folder_without_a_journal_stays_without(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no run any"):
        run_details(tmp_path, "any")
    assert list(tmp_path.iterdir()) == []


def test_what_bars_a_resumption_is_named(work_dir: Path) -> None:
    source = work_dir / "people.csv"
    text = source.read_text()

    def obstacle(name: str) -> str | None:
        return run_details(work_dir, name).obstacle

    source.write_text(text + "more\n")
    assert obstacle(NAMES[0]) == f"its source has changed: {source}"
    source.unlink()
    assert obstacle(NAMES[0]) == f"its source is gone: {source}"
    source.write_text(text)
    assert obstacle(NAMES[0]) is None
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        journal.end_run(NAMES[1], 3, state=RunState.DONE)
        journal.begin_run(Run("newer", "import", "dataset 0", "guid"))
        journal.begin_run(Run("newest", "import", "dataset 0", "guid"))
    assert obstacle(NAMES[1]) == "nothing of it is left to send"
    told = "run newest of the same dataset has begun since"
    assert obstacle(NAMES[0]) == obstacle("newer") == told


def test_a_run_that_was_purged_is_said_to_be_forgotten(work_dir: Path) -> None:
    with Journal.open(work_dir / JOURNAL_NAME, now=lambda: 6 * DAY_S) as journal:
        journal.end_run(NAMES[0], 3, state=RunState.DONE)
    assert not run_details(work_dir, NAMES[0]).is_forgotten
    purge_runs(work_dir, now=lambda: 100 * DAY_S)

    done, cut = run_details(work_dir, NAMES[0]), run_details(work_dir, NAMES[1])
    assert (done.is_forgotten, done.batches) == (True, {})
    assert done.run.purged_at == 100 * DAY_S
    assert cut.obstacle is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"run_id": "another"}', '"\\ud800"'], ids=range(5)
)
def test_a_summary_that_is_not_its_own_is_none(work_dir: Path, text: str) -> None:
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        journal.end_run(NAMES[0], 75, state=RunState.PENDING)
    folder = work_dir / "runs" / NAMES[0]
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(text)

    details = run_details(work_dir, NAMES[0])

    assert details.summary is None
    assert details.files == {"summary.json": len(text)}


def test_a_summary_of_a_run_that_has_gone_on_is_out_of_date(work_dir: Path) -> None:
    folder = work_dir / "runs" / NAMES[0]
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(f'{{"run_id": "{NAMES[0]}", "x": 1}}')
    (folder / "spilled").mkdir()
    (folder / "spilled" / "a.ipc").write_text("four")

    def details() -> RunDetails:
        return run_details(work_dir, NAMES[0])

    assert details().summary is None  # never ended: nobody of this run wrote it
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        journal.end_run(NAMES[0], 75, state=RunState.PENDING)
    assert details().summary == {"run_id": NAMES[0], "x": 1}
    assert details().files["spilled/a.ipc"] == 4
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        journal.resume_run(NAMES[0])
    assert details().summary is None


@pytest.mark.anyio
async def test_of_a_real_run_journal_and_report_agree(tmp_path: Path) -> None:
    weather = "calm,refuse=7@example.com,poison=p0015@example.com,torn_after=0.1,seed=5"
    async with under(weather) as (_, connector, _):
        source = people(tmp_path / "people.csv", 300)
        report = await imported(source, connector, max_rejects=20)

    details = run_details(tmp_path / "work", report.run_id)
    counts, delivery = report.counts, report.delivery
    assert delivery is not None
    assert (details.n_accepted, details.n_rejected) == (
        counts.accepted,
        counts.rejected,
    )
    assert details.n_unproven <= counts.pending
    assert details.n_retried == delivery.n_retried
    assert (details.obstacle is None) is report.is_resumable
    assert set(details.files) == {path.name for path in report.folder.iterdir()}
