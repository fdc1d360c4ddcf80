"""What every reading of a source shares."""

from datetime import UTC, datetime
from pathlib import Path

from pipeline.line import new_run_id

NOW = datetime(2026, 11, 26, 18, 37, tzinfo=UTC)


def test_runs_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    drawn = iter(["aaaa", "aaaa", "aaaa", "b0b0"])
    first = new_run_id(tmp_path, NOW, lambda: next(drawn))
    (tmp_path / first).mkdir()

    assert first == "20261126-183700-aaaa"
    assert new_run_id(tmp_path, NOW, lambda: next(drawn)) == "20261126-183700-b0b0"
    assert next(drawn, None) is None


def test_a_first_run_has_no_folder_to_look_into(tmp_path: Path) -> None:
    assert new_run_id(tmp_path / "runs", NOW).startswith("20261126-183700-")
