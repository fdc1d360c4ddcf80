"""A JSON array becomes lines, wherever a block of it ends."""

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reconcile.array_file import is_array, write_lines_of_array

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=30)
@given(
    objects=st.lists(
        st.dictionaries(st.text(max_size=4), VALUES, max_size=4), min_size=1
    ),
    indent=st.none() | st.integers(0, 3),
    is_ascii=st.booleans(),
)
def test_every_object_becomes_a_line(
    objects: list[dict[str, Any]],
    indent: int | None,
    is_ascii: bool,  # noqa: FBT001 - drawn
) -> None:
    text = json.dumps(objects, indent=indent, ensure_ascii=is_ascii)
    with TemporaryDirectory() as folder:
        path, lines = Path(folder, "a.json"), Path(folder, "a.jsonl")
        path.write_text(f" {text}\r\n", encoding="utf-8", newline="")
        assert is_array(path)
        write_lines_of_array(path, lines)
        told = lines.read_text(encoding="utf-8").split("\n")

        assert [json.loads(line) for line in told[:-1]] == objects
        assert told[-1] == ""
        assert lines.stat().st_mode & 0o777 == 0o600


def test_objects_may_be_cut_by_blocks_and_numbers_keep_their_digits(
    tmp_path: Path,
) -> None:
    objects = [f'{{"customId": "C{n}", "n": {n}.50}}' for n in range(150_000)]
    path = tmp_path / "large.json.gz"
    path.write_bytes(gzip.compress(("[" + ",\n".join(objects) + "]").encode(), 1))
    assert is_array(path)
    lines = tmp_path / "large.jsonl"
    write_lines_of_array(path, lines)

    assert lines.read_text().splitlines() == objects


def test_other_files_are_no_array(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"customId": "A"}\n')
    other = tmp_path / "a.csv"
    other.write_text("[1]\n")

    assert not is_array(path)
    assert not is_array(other)
