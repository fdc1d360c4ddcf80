"""JSONL keeps type and digits, finds late keys, and sets aside what is no object."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract import MAX_CELL_BYTES
from pipeline.errors import SourceChangedError, SourceUnusableError
from pipeline.json_values import JSON_CELL, TEXT_FIELD, VALUE_FIELD
from pipeline.reader import ReadLimits, Source, open_source
from pipeline.settings import SourceSettings


def open_file(
    path: Path, data: bytes | str, limits: ReadLimits | None = None
) -> Source:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return open_source(SourceSettings(path=str(path), format="jsonl"), limits=limits)


def cell(tmp_path: Path, text: str) -> object:
    (piece,) = open_file(tmp_path / "a.jsonl", f'{{"x": {text}}}').slices()
    return piece.frame["x"][0]


def told(cell: object) -> object:
    """Return a cell, what was no text as ("json", its text)."""
    if not isinstance(cell, dict):
        return cell
    value = cell[VALUE_FIELD]
    return cell[TEXT_FIELD] if value is None else ("json", value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"007"', "007"),
        ('""', ""),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\u0000"', "\x00"),
    ],
)
def test_text_is_text(tmp_path: Path, text: str, expected: str | None) -> None:
    assert cell(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.0", "1.0"),
        ("12.50", "12.50"),
        ("1e400", "1e400"),
        ("1E+3", "1E+3"),
        ("-0", "-0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("true", "true"),
        ("false", "false"),
        ("null", "null"),
        ("[]", "[]"),
        ('[ "a", "b\\n" ]', '["a","b\\n"]'),
        ('{"k": [1.50, null, {"ż": true}]}', '{"k":[1.50,null,{"ż":true}]}'),
    ],
)
def test_anything_else_keeps_its_type_and_every_digit(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert told(cell(tmp_path, text)) == ("json", expected)


def test_a_column_may_mix_types(tmp_path: Path) -> None:
    cells = ["12", '"12"', "null", "12.0", "true", '"true"', '""', "[]"]
    text = "\n".join(f'{{"x": {cell}, "y": "text"}}' for cell in [*cells, '"z"'])
    source = open_file(tmp_path / "a.jsonl", text, ReadLimits(slice_rows=3))
    frames = [piece.frame for piece in source.slices()]

    assert source.dtypes == {"x": JSON_CELL, "y": pl.String()}
    assert {frame.schema["x"] for frame in frames} == {JSON_CELL}
    assert [told(cell) for frame in frames for cell in frame["x"]] == [
        ("json", "12"),
        "12",
        ("json", "null"),
        ("json", "12.0"),
        ("json", "true"),
        "true",
        "",
        ("json", "[]"),
        "z",
    ]


def test_keys_are_columns_and_late_ones_are_not_lost(tmp_path: Path) -> None:
    lines = ['{"email":"a"}', '{"b":1}', '{"attributes":{"tier":"x","deep":{"a":1}}}']
    lines += ['{"agreements":{"email":true},"attributes":null,"email":null}']
    source = open_file(tmp_path / "a.jsonl", "\n".join(lines))
    (piece,) = source.slices()

    assert source.kind == "jsonl"
    assert source.columns == (
        "email",
        "b",
        "attributes.tier",
        "attributes.deep",
        "agreements.email",
    )
    assert [name for name, dtype in source.dtypes.items() if dtype == pl.String] == [
        "attributes.tier",
    ]
    assert [tuple(map(told, row[1:])) for row in piece.frame.iter_rows()] == [
        (1, "a", None, None, None, None),
        (2, None, ("json", "1"), None, None, None),
        (3, None, None, "x", ("json", '{"a":1}'), None),
        (4, ("json", "null"), None, None, None, ("json", "true")),
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("[1]", "ROW_JSON", id="no-object"),
        pytest.param('{"x":1', "ROW_JSON", id="cut"),
        pytest.param('{"x":1,"x":2}', "ROW_JSON", id="same-key"),
        pytest.param('{"y":{"x":1,"x":2}}', "ROW_JSON", id="same-key-inside"),
        pytest.param(
            '{"attributes.a":1,"attributes":{"a":1}}', "ROW_JSON", id="same-path"
        ),
        pytest.param('{"x":NaN}', "ROW_JSON", id="nan"),
        pytest.param('{"x":"\\ud800"}', "ROW_JSON", id="lone-surrogate"),
        pytest.param('{"\\ud800":"x"}', "ROW_JSON", id="lone-surrogate-key"),
        pytest.param('{"y":["\\ud800"]}', "ROW_JSON", id="lone-surrogate-inside"),
        pytest.param('{"":1}', "ROW_JSON", id="blank-key"),
        pytest.param('{"y":' + "[" * 90_000 + "}", "ROW_JSON", id="too-deep"),
        pytest.param(
            '{"x":"%s"}' % ("x" * (MAX_CELL_BYTES + 1)), "TOO_LARGE", id="huge"
        ),
    ],
)
def test_a_line_that_is_no_row_is_set_aside(
    tmp_path: Path, line: str, code: str
) -> None:
    source = open_file(tmp_path / "a.jsonl", f'{{"x":"0"}}\n{line}\r\n\n{{"x":"1"}}\n')
    (piece,) = source.slices()

    assert source.columns == ("x",)
    assert piece.frame["row_no"].to_list() == [1, 4]
    assert piece.empty.to_list() == [3]
    assert piece.unreadable.select("row_no", "line_no", "code", "text").rows() == [
        (2, 2, code, line + "\r")
    ]
    assert "ud800" not in piece.unreadable["message"][0]


def test_compressed_and_transcoded_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress('{"x":"ż"}\n'.encode("cp1250")))
    source = open_source(SourceSettings(path=str(path), encoding="cp1250"))

    assert [piece.frame["x"].to_list() for piece in source.slices()] == [["ż"]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"a":1}\n{"A":1}\n', "cannot be told apart"),
        ('{"row_no":1}\n', "reserved"),
        ("", "is empty"),
        (b'{"a":"\xff"}', "offset 6 "),
        ("x" * 200_000, "longer than"),
    ],
)
def test_an_unusable_file_is_refused(
    tmp_path: Path, data: bytes | str, words: str
) -> None:
    with pytest.raises(SourceUnusableError, match=words):
        open_file(
            tmp_path / "a.jsonl", data, ReadLimits(block_bytes=1, record_bytes=1_000)
        )


def test_an_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a":1}]')

    with pytest.raises(SourceUnusableError, match="JSON array"):
        open_source(SourceSettings(path=str(tmp_path / "a.json")))


def test_files_may_have_other_keys(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"x":1,"z":"a"}\n')
    (tmp_path / "b.jsonl").write_text('{"y":2,"z":3,"x":"1"}\n{"y":4}\n')
    (tmp_path / "c.jsonl").write_text('{"x":"5","y":"6","z":"7"}\n')
    source = open_source(SourceSettings(path=str(tmp_path)))
    frames = [piece.frame for piece in source.slices()]

    assert source.columns == ("x", "z", "y")
    assert {tuple(frame.schema.items()) for frame in frames} == {
        (("source_no", pl.UInt32), ("row_no", pl.UInt64), *source.dtypes.items())
    }
    assert [tuple(map(told, row)) for frame in frames for row in frame.rows()] == [
        (0, 1, ("json", "1"), "a", None),
        (1, 1, "1", ("json", "3"), ("json", "2")),
        (1, 2, None, None, ("json", "4")),
        (2, 1, "5", "7", "6"),
    ]


@pytest.mark.parametrize("then", ['{"x":"1","y":"2"}', '{"x":1}'])
def test_a_key_or_type_that_appears_between_passes_is_a_change(
    tmp_path: Path, then: str
) -> None:
    path = tmp_path / "a.jsonl"
    source = open_file(path, '{"x":"1"}\n')
    path.write_text(then)

    with pytest.raises(SourceChangedError):
        list(source.slices())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    rows=st.lists(st.dictionaries(st.sampled_from("abc"), JSON), min_size=1),
    ascii_only=st.booleans(),
    slice_rows=st.integers(1, 5),
)
def test_what_the_json_module_writes_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, object]],
    *,
    ascii_only: bool,
    slice_rows: int,
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    text = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    source = open_file(path, text, ReadLimits(slice_rows=slice_rows))
    slices = list(source.slices())
    found = [row for piece in slices for row in piece.frame.iter_rows(named=True)]

    assert [
        {n: repr(meant(row[n])) for n in source.columns if row[n] is not None}
        for row in found
    ] == [{k: repr(v) for k, v in row.items()} for row in rows]
    assert [row["row_no"] for row in found] == list(range(1, len(rows) + 1))
    assert all(piece.n_rows <= slice_rows for piece in slices)


def meant(cell: object) -> object:
    match told(cell):
        case ("json", str(text)):
            return json.loads(text)
        case text:
            return text
