"""Text is UTF-8, or what was declared, or refused with an offset and a proposal."""

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SettingsError, SourceUnusableError
from pipeline.sources.streams import ReadLimits
from pipeline.sources.text import TextFile, canonical_encoding, is_utf8

LIMITS = ReadLimits(block_bytes=65_536)
LONG = "zażółć gęślą jaźń,日本語\n" * 9_000


def read(path: Path, encoding: str | None = None) -> str:
    text = TextFile(path, canonical_encoding(encoding), LIMITS)
    blocks = list(text.blocks())
    assert all(block.decode() for block in blocks)  # none ends inside a character
    return b"".join(blocks).decode()


@pytest.mark.parametrize("shift", range(4))
def test_utf8_is_read_wherever_blocks_are_cut(tmp_path: Path, shift: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x" * shift + LONG, encoding="utf-8")

    assert read(path) == "x" * shift + LONG


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "gb18030"]
)
def test_a_declared_encoding_is_transcoded(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(LONG, encoding=encoding)

    assert read(path, encoding) == LONG


def test_a_declared_code_page_is_transcoded(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("zażółć" * 50_000, encoding="cp1250")

    assert read(path, "windows-1250") == "zażółć" * 50_000


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        pytest.param(codecs.BOM_UTF8 + b"a,b\n", None, id="utf-8"),
        pytest.param("\ufeffa,b\n".encode("utf-16-le"), "utf-16-le", id="utf-16-le"),
    ],
)
def test_a_mark_is_dropped(tmp_path: Path, data: bytes, encoding: str | None) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)

    assert read(path, encoding) == "a,b\n"


@pytest.mark.parametrize(
    ("data", "encoding", "words"),
    [
        pytest.param(
            "e,ż\n".encode("utf-16"), None, "--encoding utf-16", id="utf-16-mark"
        ),
        pytest.param(
            "e,ż\n".encode("utf-32"), None, "--encoding utf-32", id="utf-32-mark"
        ),
        pytest.param(
            b"e\0,\0b\0\n\0" * 9, None, "--encoding utf-16-le", id="utf-16-le-by-nul"
        ),
        pytest.param(
            b"\0e\0,\0b\0\n" * 9, None, "--encoding utf-16-be", id="utf-16-be-by-nul"
        ),
        pytest.param(
            "e,b\n".encode("utf-32-le"), None, "--encoding utf-32-le", id="utf-32-le"
        ),
        pytest.param(
            b"a" * 70_000 + b"\x9c\n", None, "offset 70000 .*cp1250", id="cp1250"
        ),
        pytest.param(
            b"a" * 70_000 + b"\xb1\n", None, "offset 70000 .*iso8859-2", id="latin-2"
        ),
        pytest.param(b"abc\xc5", None, "offset 3 ", id="cut-character-at-the-end"),
        pytest.param(b"ab\xed\xa0\x80", None, "offset 2 ", id="surrogate-in-utf-8"),
        pytest.param(
            b"a" * 70_000 + b"\x81", "cp1250", "offset 70000 ", id="no-such-letter"
        ),
        pytest.param(
            b"a\0b\0c", "utf-16-le", "offset 4 ", id="utf-16-cut-in-a-character"
        ),
        pytest.param(
            codecs.BOM_UTF8 + b"a", "cp1250", "--encoding utf-8", id="mark-of-utf-8"
        ),
        pytest.param(rb"\ud800", "unicode_escape", "cannot be a char", id="surrogate"),
    ],
)
def test_bytes_of_another_encoding_are_refused_with_a_proposal(
    tmp_path: Path, data: bytes, encoding: str | None, words: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)

    with pytest.raises(SourceUnusableError, match=words):
        read(path, encoding)


@pytest.mark.parametrize("name", ["klingon", "hex", "rot13", "undefined", "a\0b"])
def test_an_unknown_encoding_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="is unknown"):
        canonical_encoding(name)


@given(data=st.binary(max_size=8) | st.text(max_size=8).map(lambda t: t.encode()))
def test_utf8_is_what_python_says_it_is(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        assert not is_utf8(data)
    else:
        assert is_utf8(data)
