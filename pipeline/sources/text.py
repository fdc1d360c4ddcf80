"""
A file as UTF-8 text: checked whole, or transcoded from the encoding that was declared.

Nothing is guessed and nothing is replaced. Bytes that are no UTF-8 stop the run with
their offset and a proposal; an encoding other than UTF-8 must be declared.
"""

from __future__ import annotations

import codecs
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from pipeline.errors import SettingsError, SourceUnusableError
from pipeline.sources.streams import FileStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.records import Fingerprint
    from pipeline.sources.streams import ReadLimits

UTF8 = "utf-8"
UTF8_MARK = codecs.BOM_UTF8

# UTF-32 first: its little-endian mark begins with the one of UTF-16.
_WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 4096
_HEAD_STEP_BYTES = 64 * 1024
# Every second byte of Latin text in UTF-16 is NUL; in UTF-8 there are next to none.
_NUL_SHARE = 0.3
# Letters and quotes of Windows code pages; control characters in ISO 8859.
_WINDOWS_BYTES = bytes(range(0x80, 0xA0))


def canonical_encoding(name: str | None) -> str:
    """
    Return the codec of a declared encoding; UTF-8 when none is declared.

    Raises:
        SettingsError: Python knows no text encoding of this name.
    """
    try:
        codec = codecs.lookup(name or UTF8)
        "a".encode(codec.name)
        codecs.getincrementaldecoder(codec.name)
    except (LookupError, UnicodeError, ValueError) as error:
        raise SettingsError(
            f"encoding {name!r} is unknown. Write the name of a text encoding, such as "
            "utf-8, utf-16, cp1250, iso8859-2 or latin-1."
        ) from error
    return UTF8 if codec.name == "utf-8-sig" else codec.name


class TextFile:
    """
    A file that can be read as text, any number of times.

    Attributes:
        encoding: As `canonical_encoding` returns it.
        compression: `gzip`, `zstd` or None; known once reading began.
        bom: Whether the text begins with the UTF-8 mark; known once reading began.
        fingerprint: Of the last complete pass.
    """

    def __init__(self, path: Path, encoding: str, limits: ReadLimits) -> None:
        self.path = path
        self.encoding = encoding
        self.limits = limits
        self.compression: str | None = None
        self.bom = False
        self.fingerprint: Fingerprint | None = None
        self._marks: tuple[bytes, ...] = ()

    def blocks(self) -> Iterator[bytes]:
        """
        Give the text as UTF-8 without a byte order mark.

        No block is empty, and none ends inside a character. A second pass gives what
        the first complete one gave, or stops at the first block that differs.

        Raises:
            SourceUnusableError: The bytes are not of this encoding; offset and
                proposal are in the message. What was given before is valid.
            SourceError: As `FileStream.blocks`.
        """
        stream = FileStream(self.path, self.limits, self._marks)
        yield from self._text_of(stream)
        self.fingerprint = stream.fingerprint
        self._marks = tuple(stream.marks)

    def head(self, n_bytes: int) -> tuple[bytes, bool]:
        """
        Return the first *n_bytes* or a little more, and whether that is the whole text.

        Raises:
            SourceError: As `blocks`.
        """
        parts: list[bytes] = []
        limits = replace(self.limits, block_bytes=_HEAD_STEP_BYTES)
        for block in self._text_of(FileStream(self.path, limits)):
            if sum(map(len, parts)) >= n_bytes:
                return b"".join(parts), False
            parts.append(block)
        return b"".join(parts), True

    def _text_of(self, stream: FileStream) -> Iterator[bytes]:
        blocks = stream.blocks()
        head = next(blocks, b"")
        self.compression = stream.compression
        self.bom = head.startswith(UTF8_MARK)
        _refuse_other_encoding(head, self.encoding, self.path)
        checked = _checked if self.encoding == UTF8 else _transcoded
        first = True
        for block in checked(head, blocks, self.encoding, self.path):
            text = block.removeprefix(UTF8_MARK) if first else block
            first = first and not block
            if text:
                yield text


def _checked(
    head: bytes, blocks: Iterator[bytes], encoding: str, path: Path
) -> Iterator[bytes]:
    n_before, tail = 0, b""
    while head:
        data = tail + head
        head = next(blocks, b"")
        end = _whole_characters(data) if head else len(data)
        text = data[:end]
        if not is_utf8(text):
            raise _not_utf8(text, n_before, encoding, path)
        n_before, tail = n_before + end, data[end:]
        if text:
            yield text


def _transcoded(
    head: bytes, blocks: Iterator[bytes], encoding: str, path: Path
) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    n_fed = 0
    while head:
        data = head
        n_fed += len(data)
        head = next(blocks, b"")
        try:
            text = decoder.decode(data, final=not head).encode()
        except UnicodeDecodeError as error:
            offset = n_fed - len(error.object) + error.start
            raise SourceUnusableError(
                f"{path} is not {encoding}: the byte at offset {offset} means nothing "
                "in it. Declare the encoding that the file was written in."
            ) from None
        except UnicodeError:
            raise SourceUnusableError(
                f"{path} is not {encoding}: something in the {len(data)} bytes before "
                f"offset {n_fed} cannot be a character. Declare the encoding that the "
                "file was written in."
            ) from None
        yield text


def is_utf8(data: bytes) -> bool:
    """Return whether *data* is valid UTF-8; several GB/s."""
    if data.isascii():
        return True
    try:
        pl.Series([data], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:
        return False
    return True


def _whole_characters(data: bytes) -> int:
    """Return how many bytes remain without a character begun at the very end."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:  # a lead byte: it promises 1 to 3 more  # noqa: PLR2004
            promised = 2 + (byte >= 0xE0) + (byte >= 0xF0)  # noqa: PLR2004
            return len(data) - back if promised > back else len(data)
        if byte < 0x80:  # noqa: PLR2004
            break
    return len(data)


def _refuse_other_encoding(head: bytes, encoding: str, path: Path) -> None:
    wide = encoding.startswith(("utf-16", "utf-32"))
    mark = next((name for mark, name in _WIDE_MARKS if head.startswith(mark)), None)
    if mark and not wide:
        raise SourceUnusableError(
            f"{path} begins with the mark of {mark}, but is to be read as {encoding}. "
            f"Add --encoding {mark}."
        )
    if head.startswith(UTF8_MARK) and encoding != UTF8:
        raise SourceUnusableError(
            f"{path} begins with the mark of utf-8, but is to be read as {encoding}. "
            "Add --encoding utf-8, or leave the encoding out."
        )
    if encoding == UTF8 and (name := _by_nul(head[:_SAMPLE_BYTES])):
        raise SourceUnusableError(
            f"{path} is full of NUL bytes, which looks like {name}. "
            f"If it is, add --encoding {name}; otherwise it is not a text file."
        )


def _by_nul(sample: bytes) -> str | None:
    n_nul = sample.count(0)
    if 0 not in sample[:2] or n_nul <= _NUL_SHARE * len(sample):
        return None
    width = 4 if n_nul > 2 * _NUL_SHARE * len(sample) else 2
    little = sample[::width].count(0) <= sample[width - 1 :: width].count(0)
    return f"utf-{8 * width}-{'le' if little else 'be'}"


def _not_utf8(
    text: bytes, n_before: int, encoding: str, path: Path
) -> SourceUnusableError:
    try:
        text.decode(encoding)
        start = 0
    except UnicodeDecodeError as error:
        start = error.start
    windows = any(byte in _WINDOWS_BYTES for byte in _lonely(text, start))
    proposal = "cp1250 (or cp1252)" if windows else "iso8859-2 (or latin-1)"
    return SourceUnusableError(
        f"{path} is not UTF-8: the byte at offset {n_before + start} cannot be part of "
        f"it. If it was written by an older program, try --encoding {proposal}."
    )


def _lonely(text: bytes, start: int) -> bytes:
    """Return some bytes from the first bad one on, without plain ASCII."""
    sample = text[start : start + 64 * _SAMPLE_BYTES]
    return sample.translate(None, bytes(range(0x80)))
