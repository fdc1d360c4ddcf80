"""What a source is: files, kind, columns, fingerprint; what stops it."""

import gzip
import hashlib
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import zstandard

from pipeline.contract import MAX_CELL_BYTES
from pipeline.errors import (
    SettingsError,
    SourceChangedError,
    SourceError,
    SourceMissingError,
    SourceUnusableError,
)
from pipeline.reader import ReadLimits, Source, open_source
from pipeline.records import Slice
from pipeline.settings import SourceSettings

GOOD = "email,name\na@x.pl,Ala\nb@x.pl,Ola\n"


def open_file(
    path: Path, data: bytes | str | None = None, **settings: str | None
) -> Source:
    if data is not None:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return open_source(SourceSettings.model_validate({"path": str(path), **settings}))


def only(source: Source) -> Slice:
    (piece,) = source.slices()
    return piece


def cells(source: Source) -> list[tuple[object, ...]]:
    return [row[2:] for piece in source.slices() for row in piece.frame.iter_rows()]


# -- one file -----------------------------------------------------------------------


def test_a_csv_file_is_read_as_text_with_row_and_line_numbers(tmp_path: Path) -> None:
    source = open_file(tmp_path / "a.csv", 'id,note\n007,"a\nb"\n\n1e5,\nx\n')
    piece = only(source)

    assert source.kind == "csv"
    assert source.columns == ("id", "note")
    assert source.dtypes == {"id": pl.String, "note": pl.String}
    assert piece.frame.schema == {
        "source_no": pl.UInt32,
        "row_no": pl.UInt64,
        "id": pl.String,
        "note": pl.String,
    }
    assert piece.frame.rows() == [(0, 1, "007", "a\nb"), (0, 3, "1e5", "")]
    assert piece.line_nos is not None
    assert piece.line_nos.to_list() == [2, 5]
    assert piece.empty.to_list() == [2]
    assert piece.unreadable.rows() == [
        (4, 6, "ROW_TOO_SHORT", "The record has 1 cells, the header 2 columns.", "x")
    ]
    assert (piece.first_row_no, piece.n_rows) == (1, 4)


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2\n3;4\n", ";"),
        ("a\tb\n1\t2\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("a\n1\n", ","),
        ('"a,x";b\n"1,2";3\n', ";"),
        ("a;b\n1;2;3\n1;2\n1;2\n", ";"),
        ("a,b\n", ","),
        ('a,b\n6" x,1\n2,3\n', ","),
    ],
)
def test_the_delimiter_is_found(tmp_path: Path, header: str, delimiter: str) -> None:
    source = open_file(tmp_path / "a.csv", header)

    assert source.csv is not None
    assert source.csv.delimiter == delimiter


@pytest.mark.parametrize(
    "data", ["a,b;c\n1,2;3\n", "a\n1,2\n", "a,b\n1;2\n3;4\n5;6\n", "a,b;c\n"]
)
def test_an_unsure_delimiter_is_refused(tmp_path: Path, data: str) -> None:
    with pytest.raises(SourceUnusableError, match="--delimiter"):
        open_file(tmp_path / "a.csv", data)


def test_a_declared_delimiter_is_taken(tmp_path: Path) -> None:
    source = open_file(tmp_path / "a.csv", "a,b;c\n1,2;3\n", delimiter=";")

    assert source.columns == ("a,b", "c")
    assert cells(source) == [("1,2", "3")]


@pytest.mark.parametrize("delimiter", ['"', "\n", "ż"])
def test_a_useless_delimiter_is_refused(tmp_path: Path, delimiter: str) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        open_file(tmp_path / "a.csv", GOOD, delimiter=delimiter)


def test_the_dialect_is_told(tmp_path: Path) -> None:
    data = gzip.compress("\ufeffa;b\r\n1;2\r\n".encode())
    dialect = open_file(tmp_path / "a.csv.gz", data).csv

    assert dialect is not None
    assert (dialect.delimiter, dialect.line_end) == (";", "\r\n")
    assert (dialect.encoding, dialect.bom, dialect.compression) == (
        "utf-8",
        True,
        "gzip",
    )


def test_a_declared_encoding_is_transcoded(tmp_path: Path) -> None:
    data = "imię,miasto\nŻaneta,Łódź\n".encode("utf-16")
    source = open_file(tmp_path / "a.csv", data, encoding="utf-16")

    assert source.columns == ("imię", "miasto")
    assert cells(source) == [("Żaneta", "Łódź")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "is empty", id="0-bytes"),
        pytest.param(gzip.compress(b""), "is empty", id="0-bytes-compressed"),
        pytest.param(b"\xef\xbb\xbf", "is empty", id="only-a-mark"),
        pytest.param(b"\na,b\n", "first line is empty", id="empty-first-line"),
        pytest.param(b"a,,c\n", "column 2 has no name", id="empty-name"),
        pytest.param(b"a, ,c\n", "column 2 has no name", id="blank-name"),
        pytest.param(b"a,b,a\n", "cannot be told apart", id="same-name"),
        pytest.param(b"a,b,A\n", "'a' and 'A'", id="case-only"),
        pytest.param(b"a,b, a\n", "'a' and ' a'", id="blank-only"),
        pytest.param(b"a,row_no\n", "reserved", id="our-own-name"),
        pytest.param(b"a,b\r1,2\r", "carriage returns alone", id="cr-only"),
        pytest.param(b'"a",b\r"1",2\r', "carriage returns alone", id="cr-only-quoted"),
        pytest.param(b"a,b\rx\n1,2\n", "carriage return inside", id="cr-in-header"),
        pytest.param(b'a"x",b\n1,2\n', "quote inside a cell", id="quote-in-header"),
        pytest.param(b'"a,b\n1,2\n', "does not end", id="unclosed-header"),
        pytest.param(b"PK\x03\x04xxxx", "Excel workbook", id="xlsx"),
        pytest.param(b'{"a":1}\n', "content is JSONL", id="jsonl-named-csv"),
        pytest.param(b"PAR1xxxxPAR1", "content is Parquet", id="parquet-named-csv"),
        pytest.param(gzip.compress(b"PAR1xx"), "compressed Parquet", id="parquet-gz"),
        pytest.param("a,b\nż,2\n".encode("cp1250"), "offset 4 ", id="code-page"),
        pytest.param("a,b\n".encode("utf-16"), "--encoding utf-16", id="utf-16"),
    ],
)
def test_a_file_that_is_no_csv_with_a_header_is_refused(
    tmp_path: Path, data: bytes, words: str
) -> None:
    with pytest.raises(SourceUnusableError, match=words):
        open_file(tmp_path / "a.csv", data)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b'1,2\n"3,4\n5,6\n', r"line 3: .*never closes", id="unclosed"),
        pytest.param(b'1,2\n3,"4"\n5,"6', r"line 4: .*never closes", id="cut"),
        pytest.param(b'1,a"b,"c\n5,6\n', r"line 2: .*not certain", id="not-certain"),
        pytest.param(b"1,2\n\xff,1\n", "offset 8 ", id="no-utf-8"),
        pytest.param(
            b'1,2\n"3\n' + b"x,\n" * 50_000 + b"\xff",
            "offset 150011 ",
            id="no-utf-8-behind-an-open-quote",
        ),
    ],
)
def test_a_file_whose_records_are_not_certain_is_refused(
    tmp_path: Path, body: bytes, words: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" + body)
    limits = replace(ReadLimits(), block_bytes=4)

    with pytest.raises(SourceUnusableError, match=words):
        list(open_source(SourceSettings(path=str(path)), limits=limits).slices())


def test_an_unclosed_quote_is_not_read_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,2\n"3' + ",4\n" * 9_000)
    limits = ReadLimits(block_bytes=100, record_bytes=1_000)
    source = open_source(SourceSettings(path=str(path)), limits=limits)

    with pytest.raises(SourceUnusableError, match=r"line 3: .*never closes"):
        list(source.slices())


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n" + "x" * 9_000)
    limits = ReadLimits(block_bytes=100, record_bytes=1_000)
    source = open_source(SourceSettings(path=str(path), delimiter=","), limits=limits)

    with pytest.raises(SourceUnusableError, match="line 3: the record is too long"):
        list(source.slices())


def test_a_line_without_an_end_inside_quotes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,2\n"x\n' + "x" * 9_000)
    limits = ReadLimits(block_bytes=100, record_bytes=1_000)
    source = open_source(SourceSettings(path=str(path)), limits=limits)

    with pytest.raises(SourceUnusableError, match=r"line [34]: the record is too long"):
        list(source.slices())


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_huge_cell_costs_its_row_only(tmp_path: Path, quote: str) -> None:
    fits, huge = ("x" * MAX_CELL_BYTES, "x" * (MAX_CELL_BYTES + 1))
    body = f"1,{quote}{fits}{quote}\n2,{quote}{huge}{quote}\n3,c\n"
    piece = only(open_file(tmp_path / "a.csv", "a,b\n" + body))

    assert piece.frame["a"].to_list() == ["1", "3"]
    assert piece.frame["row_no"].to_list() == [1, 3]
    assert piece.unreadable["code"].to_list() == ["TOO_LARGE"]
    assert "x" not in piece.unreadable["message"][0]


def test_a_trailing_end_mark_of_an_old_program_is_set_aside(tmp_path: Path) -> None:
    piece = only(open_file(tmp_path / "a.csv", "a\nx\n\x1a"))

    assert piece.frame["a"].to_list() == ["x"]
    assert piece.unreadable["code"].to_list() == ["ROW_TOO_SHORT"]
    assert "0x1A" in piece.unreadable["message"][0]


@pytest.mark.parametrize("data", ["a,b\n", "a,b", "a,b\r\n"])
def test_a_header_alone_is_a_source_without_rows(tmp_path: Path, data: str) -> None:
    source = open_file(tmp_path / "a.csv", data)

    assert source.columns == ("a", "b")
    assert list(source.slices()) == []


def test_no_message_holds_a_cell(tmp_path: Path) -> None:
    source = open_file(tmp_path / "a.csv", 'a,b\nsecret"x","\nsecret,\n')

    with pytest.raises(SourceError) as caught:
        list(source.slices())
    assert "secret" not in str(caught.value)


# -- several files -------------------------------------------------------------------


def test_a_folder_is_one_source_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("name,email\nOla,o@x.pl\n")
    (tmp_path / "a.csv").write_text("email,name\na@x.pl,Ala\n\nc@x.pl,Cela\n")
    (tmp_path / ".hidden").write_text("x")
    source = open_file(tmp_path)
    first, second = source.slices()

    assert [path.name for path in source.files] == ["a.csv", "b.csv"]
    assert first.frame.rows() == [(0, 1, "a@x.pl", "Ala"), (0, 3, "c@x.pl", "Cela")]
    assert second.frame.rows() == [(1, 1, "o@x.pl", "Ola")]
    assert second.frame.columns == first.frame.columns


def test_a_pattern_is_one_source(tmp_path: Path) -> None:
    for name in ("2.csv", "1.csv", "x.txt"):
        (tmp_path / name).write_text(GOOD)
    source = open_source(SourceSettings(path=str(tmp_path / "*.csv")))

    assert [path.name for path in source.files] == ["1.csv", "2.csv"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("email\nx\n", "lacks 'name'"),
        ("email,name,age\n1,2,3\n", "in addition 'age'"),
        ('{"email":1}\n', "of one kind"),
    ],
)
def test_files_that_differ_are_refused(tmp_path: Path, other: str, words: str) -> None:
    (tmp_path / "a").write_text(GOOD)
    (tmp_path / "b").write_text(other)

    with pytest.raises(SourceUnusableError, match=words):
        open_file(tmp_path)


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(GOOD)

    with pytest.raises(SettingsError, match="twice"):
        open_source(SourceSettings(path=(str(path), str(tmp_path))))


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("none.csv", "*.csv", "pipe", "folder"):
        with pytest.raises(SourceMissingError):
            open_file(tmp_path / name)


def test_no_path_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="No source"):
        open_source(SourceSettings())


# -- fingerprints --------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_fingerprints_are_those_of_the_file(tmp_path: Path, pack: type[bytes]) -> None:
    data = pack(GOOD.encode())
    source = open_file(tmp_path / "a.csv", data)
    before = source.fingerprints()
    list(source.slices())

    assert source.fingerprints() == before
    assert before[0].sha256 == hashlib.sha256(data).hexdigest()
    assert before[0].size_bytes == len(data)
    assert before[0].path == str(tmp_path / "a.csv")


def test_a_touched_file_is_unchanged_and_another_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    source = open_file(path, GOOD)
    then = source.fingerprints()

    source.check_unchanged(then)
    os.utime(path, (1, 1))
    source.check_unchanged(then)
    path.write_text(GOOD.replace("Ala", "Ela"))
    with pytest.raises(SourceChangedError, match="not the file that was checked"):
        source.check_unchanged(then)
    with pytest.raises(SourceChangedError, match="run the command anew"):
        source.check_unchanged([*then, *then])
    path.unlink()
    with pytest.raises(SourceMissingError):
        source.check_unchanged(then)


def test_a_second_pass_gives_the_same_and_no_row_of_a_changed_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.csv"
    source = open_file(path, GOOD * 9)
    first, second = (only(source) for _ in range(2))
    path.write_text(GOOD * 8 + GOOD.upper())

    assert first.frame.equals(second.frame)
    with pytest.raises(SourceChangedError):
        next(source.slices())


# -- memory --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measured from /proc")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    peaks = []
    for n_rows in (400_000, 2_000_000):
        path = tmp_path / f"{n_rows}.{kind}"
        row = pl.int_range(n_rows, eager=True)
        frame = pl.DataFrame({f"c{n}": row.cast(pl.String) + "x" * n for n in range(9)})
        frame.write_csv(path) if kind == "csv" else frame.write_parquet(path)
        del frame
        peaks.append(_peak_mb(path))
        path.unlink()

    assert peaks[1] < 350
    assert peaks[1] < peaks[0] + 100


def _peak_mb(path: Path) -> float:
    script = r"""
        import re, sys
        from pathlib import Path
        from pipeline.reader import open_source
        from pipeline.settings import SourceSettings
        for piece in open_source(SourceSettings(path=sys.argv[1])).slices(): pass
        status = Path("/proc/self/status").read_text()
        print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)
