"""Files are replaced whole or not at all, and are private."""

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from pipeline.errors import CannotWriteError, SourceMissingError
from pipeline.files import (
    make_private_dir,
    remove_drafts,
    replacing,
    sha256_of,
    using,
)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 1_000_000)

    assert sha256_of(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_a_missing_file_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match="cannot be opened"):
        sha256_of(tmp_path / "none")


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    with replacing(path) as draft:
        draft.write_text("new")
        assert draft.parent == tmp_path
        assert mode_of(draft) == 0o600
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert mode_of(path) == 0o600
    assert os.listdir(tmp_path) == ["a.csv"]  # noqa: PTH208


def test_a_failing_block_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    with pytest.raises(ZeroDivisionError), replacing(path) as draft:  # noqa: PT012
        draft.write_text("new")
        raise ZeroDivisionError

    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]  # noqa: PTH208


def test_what_went_wrong_first_is_told(tmp_path: Path) -> None:
    with (  # noqa: PT012 - the block is what is tested
        pytest.raises(ZeroDivisionError),
        replacing(tmp_path / "a.csv") as draft,
    ):
        draft.unlink()
        draft.mkdir()  # what cannot be removed like a file
        raise ZeroDivisionError

    assert not (tmp_path / "a.csv").exists()


def test_a_refusal_of_the_disk_is_told_with_its_place_and_reason(
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(CannotWriteError, match="missing/a cannot be written"),
        using(tmp_path),
    ):
        (tmp_path / "missing" / "a").touch()
    # polars tells everything in one text.
    with (
        pytest.raises(CannotWriteError, match=rf"{tmp_path}.*No space left"),
        using(tmp_path),
    ):
        raise OSError("it went wrong (os error 28)")


def test_an_existing_file_is_refused_before_the_work(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    with (
        pytest.raises(CannotWriteError, match="exists already"),
        replacing(path, overwrite=False),
    ):
        pytest.fail("the block must not run")


def test_a_file_that_appeared_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    with (  # noqa: PT012
        pytest.raises(CannotWriteError, match="exists already"),
        replacing(path, overwrite=False) as draft,
    ):
        draft.write_text("mine")
        path.write_text("theirs")

    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["a.csv"]  # noqa: PTH208


def test_without_overwriting_a_new_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    with replacing(path, overwrite=False) as draft:
        draft.write_text("new")

    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.csv"]  # noqa: PTH208


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotWriteError, match="cannot be written"),
        replacing(tmp_path / "none" / "a.csv"),
    ):
        pytest.fail("the block must not run")


def test_a_disk_error_inside_the_block_is_a_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotWriteError, match="No space left"),
        replacing(tmp_path / "a.csv"),
    ):
        raise OSError(28, "No space left on device")


def test_a_private_folder_is_private_with_its_new_parents(tmp_path: Path) -> None:
    path = make_private_dir(tmp_path / "a" / "b")

    assert mode_of(path) == 0o700
    assert mode_of(path.parent) == 0o700
    assert make_private_dir(path) == path


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")

    with pytest.raises(CannotWriteError, match="cannot be created"):
        make_private_dir(tmp_path / "a" / "b")


def test_a_draft_that_a_crash_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with replacing(tmp_path / "rows.csv") as draft:
        left = tmp_path / draft.name
        copy = draft.read_bytes()
    left.write_bytes(copy)
    for name in (".gitignore", ".rows.csv", "rows.csv.abcd1234"):
        (tmp_path / name).touch()

    remove_drafts(tmp_path)

    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"rows.csv", ".gitignore", ".rows.csv", "rows.csv.abcd1234"}


def test_a_draft_that_cannot_be_removed_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".rows.csv.abcd1234").mkdir()

    with pytest.raises(CannotWriteError, match="abcd1234 cannot be written"):
        remove_drafts(tmp_path)


@contextmanager
def calls_of(*watched: Callable[..., object]) -> Iterator[list[str]]:
    """Note which of these functions of the operating system are called, in order."""
    found: list[str] = []

    def note(_: FrameType, event: str, function: object) -> None:
        if event == "c_call" and any(function is one for one in watched):
            found.append(function.__name__)  # type: ignore[attr-defined]

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize(
    ("overwrite", "put"), [(True, os.replace), (False, os.link)], ids=["over", "new"]
)
def test_the_content_is_on_the_disk_before_its_name_and_its_name_before_we_go_on(
    tmp_path: Path, put: Callable[..., object], *, overwrite: bool
) -> None:
    path = tmp_path / "a.csv"
    with (
        calls_of(os.fsync, put) as calls,
        replacing(path, overwrite=overwrite) as draft,
    ):
        draft.write_text("new")

    # The file, its new name, the folder that holds the name.
    assert calls == ["fsync", put.__name__, "fsync"]
