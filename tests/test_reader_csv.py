"""Properties of CSV reading: nothing lost, nothing mangled, wherever blocks are cut."""

import csv
import io
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SourceUnusableError
from pipeline.reader import ReadLimits, open_source
from pipeline.records import Slice
from pipeline.settings import SourceSettings
from sources.csv_model import Record, Tokenizer

NEARLY_RIGHT = [
    "a,b\n",
    "a\n",
    "\n",
    "a,b,c\n",
    '"a","b"\r\n',
    '"a\nb",c\n',
    '6" a,b\n',
    '"a"b,c\n',
    'a "b" c,\n',
    '"""a""",\n',
    '"a,b\n',
    'a,"\n\n"\n',
    'a,"b "c\n',
    'a",b\n',
    '"","a"\n',
    '"""a",b\n',
]
# Half of it random characters, half of it lines that are nearly right.
GARBAGE = (
    st.text(alphabet='a",\n\r', max_size=40)
    | st.text(alphabet='aé",\n\r\ufeff\x1a\x00', max_size=60)
    | st.lists(st.sampled_from(NEARLY_RIGHT), max_size=12).map("".join)
)
CELLS = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters="\x1a"), max_size=6
) | st.sampled_from(["", '"', "\n", "\r\n", "\r", ",", " ", "007", "\ufeff"])
LIMITS = st.builds(
    ReadLimits, block_bytes=st.integers(1, 60), slice_rows=st.integers(1, 5)
)


class Reading:
    """Slices, flattened; how the reading ended, if it did not end well."""

    def __init__(self, data: bytes, limits: ReadLimits) -> None:
        self.slices: list[Slice] = []
        self.refusal = ""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "source.csv")
            path.write_bytes(data)
            source = open_source(
                SourceSettings(path=str(path), format="csv", delimiter=","),
                limits=limits,
            )
            try:
                self.slices.extend(source.slices())
            except SourceUnusableError as error:
                self.refusal = str(error)

    def records(self) -> list[Record]:
        found: list[Record] = []
        for piece in self.slices:
            assert piece.line_nos is not None
            for line_no, (_, row_no, *cells) in zip(
                piece.line_nos, piece.frame.iter_rows(), strict=True
            ):
                found.append(Record(row_no, line_no, cells))
            found.extend(
                Record(row_no, line_no, code=code, text=text)
                for row_no, line_no, code, _, text in piece.unreadable.iter_rows()
            )
            found.extend(Record(row_no, 0, code="EMPTY") for row_no in piece.empty)
        return sorted(found, key=lambda record: record.row_no)


def comparable(record: Record) -> tuple[object, ...]:
    if record.code == "EMPTY":
        return record.row_no, record.code
    if record.code:
        return record.row_no, record.line_no, record.code, record.text
    return record.row_no, record.line_no, *record.cells


def assert_tiles(slices: Sequence[Slice], max_rows: int) -> int:
    expected = 1
    for piece in slices:
        parts = piece.frame.height + len(piece.empty) + piece.unreadable.height
        numbers = [*piece.frame["row_no"], *piece.empty, *piece.unreadable["row_no"]]

        assert piece.first_row_no == expected
        assert 1 <= piece.n_rows <= max_rows
        assert parts == piece.n_rows
        assert sorted(numbers) == list(range(expected, expected + piece.n_rows))

        expected += piece.n_rows
    return expected - 1


@settings(max_examples=5 * settings().max_examples, deadline=None)
@given(body=GARBAGE, n_columns=st.integers(1, 3), limits=LIMITS)
def test_garbage_is_read_as_an_independent_tokenizer_reads_it(
    body: str, n_columns: int, limits: ReadLimits
) -> None:
    header = ",".join(f"h{n}" for n in range(n_columns)) + "\n"
    model = Tokenizer(body, n_columns, first_line_no=2)
    refused_on = model.refusals()

    reading = Reading((header + body).encode(), limits)
    found = [comparable(record) for record in reading.records()]
    expected = [comparable(record) for record in model.records]

    if not refused_on:
        assert reading.refusal == ""
        assert found == expected
    else:
        assert any(f"line {line_no}:" in reading.refusal for line_no in refused_on)
        assert found == expected[: len(found)]
    assert assert_tiles(reading.slices, limits.slice_rows) == len(found)


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(
    table=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width))
    ),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    limits=LIMITS,
)
def test_what_the_csv_module_writes_is_read_back_equal(
    table: list[list[str]],
    line_end: str,
    quoting: int,
    limits: ReadLimits,
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # before 3.13 it leaves these unquoted
        table = [[cell.replace("\r", "") for cell in row] for row in table]
    width = len(table[0]) if table else 2
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow([f"h{n}" for n in range(width)])
    writer.writerows(table)

    reading = Reading(file.getvalue().encode(), limits)

    assert reading.refusal == ""
    assert [record.cells for record in reading.records()] == table
    assert_tiles(reading.slices, limits.slice_rows)


@st.composite
def badly_quoted(draw: st.DrawFn) -> str:
    """A quoted cell with quotes that were not doubled, none at the edge of anything."""
    letters = st.sampled_from(["a", "b", " "])
    anything = st.lists(
        st.sampled_from(["a", "b", ",", "\n", "\r\n", '""', '"",', ',""', "\n\n"]),
        max_size=6,
    ).map("".join)
    stray = st.builds('{}"{}'.format, letters, letters)
    parts = draw(st.lists(st.tuples(anything, stray), min_size=1, max_size=3))
    inner = "".join(text for pair in parts for text in pair) + draw(anything)
    return f'"{inner}"'


SOUND_CELLS = st.sampled_from(
    ["", '""', "a", "b c", '"a"', '"b\nc"', '"a,b"', '"a ""b"" c"', '"""a"', '"a"""']
)


def content(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(
    width=st.integers(1, 3),
    data=st.data(),
    bad=badly_quoted(),
    limits=LIMITS,
)
def test_no_line_of_a_badly_quoted_cell_is_ever_taken_for_a_record(
    width: int, data: st.DataObject, bad: str, limits: ReadLimits
) -> None:
    row = st.lists(SOUND_CELLS, min_size=width, max_size=width).filter(any)
    before, after = data.draw(st.lists(row)), data.draw(st.lists(row))
    spoilt = data.draw(row)
    spoilt[data.draw(st.integers(0, width - 1))] = bad
    header = [f"h{n}" for n in range(width)]
    lines = [",".join(cells) for cells in (header, *before, spoilt, *after)]

    reading = Reading("".join(f"{line}\n" for line in lines).encode(), limits)

    if reading.refusal:
        assert re.search("not certain|never closes", reading.refusal)
    else:
        found = [record for record in reading.records() if not record.code]
        sound = [list(map(content, cells)) for cells in (*before, *after)]
        assert [record.cells for record in found] == sound


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        ('"a "x,1\n', ["ROW_QUOTE"]),
        ('"a "x,1\n2,"3"\n', ["ROW_QUOTE", ""]),
        ('"a "x,1\n,""\n"",""\n2,"3"\n', ["ROW_QUOTE", "", "", ""]),
        ('2,"a" b "c"\n3,6" x\n', ["ROW_QUOTE", "ROW_QUOTE"]),
        ('6" x,"a"b\n2,3\n"4",5\n', ["ROW_QUOTE", "", ""]),
        ('""a"" b,1\n2,3\n', ["ROW_QUOTE", ""]),
    ],
)
def test_text_behind_a_quote_costs_its_row_where_the_next_quote_proves_its_end(
    body: str, codes: list[str]
) -> None:
    for block_bytes in (1, 7, 1000):
        limits = ReadLimits(block_bytes=block_bytes)
        reading = Reading(f"h0,h1\n{body}".encode(), limits)

        assert reading.refusal == ""
        assert [record.code for record in reading.records()] == codes


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('1,2\n3,"a "x\nb,c\nd",e\n', id="closed-before-a-delimiter"),
        pytest.param('1,2\n"a "x\n3,4\n', id="too-few-cells"),
        pytest.param('1,2\n3,"a "x\nb,"""c"\n', id="opens-or-closes"),
        pytest.param('1,2\n6" x,"a"b\nc",d\n', id="the-second-cell-at-fault"),
        pytest.param('1,2\n3,"a "x\n' + "b,c\n" * 99 + 'd"\n', id="far-behind"),
    ],
)
def test_a_record_that_may_go_on_makes_the_file_unusable(body: str) -> None:
    for block_bytes in (1, 7, 1000):
        limits = ReadLimits(block_bytes=block_bytes)
        reading = Reading(f"h0,h1\n{body}".encode(), limits)

        assert "line 3: " in reading.refusal
        assert "not certain" in reading.refusal


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(
    rows=st.lists(st.lists(st.sampled_from(["", "a", "b c"]), max_size=5)),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    limits=LIMITS,
)
def test_ragged_records_are_set_aside_and_never_padded_or_trimmed(
    rows: list[list[str]], quoting: int, limits: ReadLimits
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n", quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([["x", "y", "z"], *rows])

    records = Reading(file.getvalue().encode(), limits).records()

    assert len(records) == len(rows)
    for record, row in zip(records, rows, strict=True):
        if not row:
            assert record.code == "EMPTY"
        elif len(row) == 3:
            assert record.cells == row
        else:
            wide = len(row) > 3
            assert record.code == ("ROW_TOO_WIDE" if wide else "ROW_TOO_SHORT")


@pytest.mark.parametrize("n_columns", [999, 1001])
def test_very_wide_files_are_read_with_and_without_the_one_look_proof(
    n_columns: int,
) -> None:
    header = ",".join(f"h{n}" for n in range(n_columns))
    row = [f"x{n}\n" if n % 7 == 0 else str(n) for n in range(n_columns)]
    body = ",".join(f'"{cell}"' for cell in row)

    records = Reading(f"{header}\n{body}\n{body},x\n".encode(), ReadLimits()).records()

    assert records[0].cells == row
    assert records[1].code == "ROW_TOO_WIDE"
