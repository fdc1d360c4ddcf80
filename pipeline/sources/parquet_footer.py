"""
The footer of a Parquet file: row groups, their sizes, and the column names.

polars tells neither, and both bound the memory of a pass. The footer is one struct in
Thrift's compact protocol; this reads any such struct without knowing its fields, within
the bytes it is given, and picks the few that are needed. Numbers of the fields are
those of `parquet.thrift` in the format's specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import SourceUnusableError
from pipeline.sources.streams import open_regular

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"PAR1"
ENCRYPTED_MAGIC = b"PARE"
_TAIL_BYTES = 8  # length of the footer, magic
_MAX_DEPTH = 32

# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY = range(1, 9)
_LIST, _SET, _MAP, _STRUCT = range(9, 13)
_DOUBLE_BYTES = 8
_LONG_LIST = 15

_Struct = dict[int, object]


@dataclass(frozen=True, slots=True)
class RowGroup:
    """
    A part of the file that is compressed on its own.

    Attributes:
        n_bytes: Uncompressed, still encoded; what the writer claims.
    """

    n_rows: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Footer:
    """
    What the end of a Parquet file says.

    Attributes:
        columns: Top-level names, in order, as they stand; perhaps not unique.
        n_file_bytes: Of the whole file.
    """

    columns: tuple[str, ...]
    row_groups: tuple[RowGroup, ...]
    n_file_bytes: int


def read_footer(path: Path) -> Footer:
    """
    Read and check the footer of *path*.

    Raises:
        SourceMissingError: It cannot be opened.
        SourceUnusableError: It is no Parquet file, encrypted, cut short or damaged.

    Cost: reads the footer only.
    """
    with open_regular(path) as file:
        n_file_bytes = file.seek(0, 2)
        file.seek(0)
        head = file.read(len(MAGIC))
        file.seek(max(0, n_file_bytes - _TAIL_BYTES))
        tail = file.read(_TAIL_BYTES)
        if ENCRYPTED_MAGIC in (head, tail[4:]):
            raise SourceUnusableError(
                f"{path} is an encrypted Parquet file. Decrypt it first."
            )
        if head != MAGIC:
            raise SourceUnusableError(
                f"{path} is not a Parquet file: it does not begin with PAR1. "
                "Check the name, or declare its --format."
            )
        n_bytes = int.from_bytes(tail[:4], "little")
        begin = n_file_bytes - _TAIL_BYTES - n_bytes
        if tail[4:] != MAGIC or begin < len(MAGIC):
            raise _damaged(path, "it does not end with a footer", n_file_bytes)
        file.seek(begin)
        data = file.read(n_bytes)
    try:
        return _footer(_Compact(data).struct(), n_file_bytes)
    except (IndexError, KeyError, TypeError, ValueError):
        raise _damaged(path, "its footer makes no sense", begin) from None


def _damaged(path: Path, what: str, offset: int) -> SourceUnusableError:
    return SourceUnusableError(
        f"{path} is a damaged Parquet file or was cut short: {what} (offset {offset}). "
        "Copy the file again from its source."
    )


def _footer(meta: _Struct, n_file_bytes: int) -> Footer:
    groups = tuple(
        RowGroup(n_rows=_integer(group[3]), n_bytes=_integer(group[2]))
        for group in map(_as_struct, _items(meta.get(4, [])))
    )
    if sum(group.n_rows for group in groups) != _integer(meta[3]):
        raise ValueError
    return Footer(_columns(_items(meta[2])), groups, n_file_bytes)


def _columns(schema: list[object]) -> tuple[str, ...]:
    """Return the names below the root; the tree is written depth first."""
    elements = [_as_struct(item) for item in schema]
    names: list[str] = []
    at = 1
    for _ in range(_integer(elements[0].get(5, 0))):
        names.append(_text(elements[at][4]))
        open_nodes = 1
        while open_nodes:
            open_nodes += _integer(elements[at].get(5, 0)) - 1
            at += 1
    if at != len(elements):
        raise ValueError
    return tuple(names)


class _Compact:
    """Reads structs as field number → value; IndexError or ValueError at nonsense."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self, depth: int = 0) -> _Struct:
        if depth > _MAX_DEPTH:
            raise ValueError
        fields: _Struct = {}
        number = 0
        while header := self._byte():
            number = number + (header >> 4) if header >> 4 else self._integer()
            fields[number] = self._value(header & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> object:
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        return self._scalar(kind)

    def _scalar(self, kind: int) -> object:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind in (_I16, _I32, _I64):
            return self._integer()
        if kind == _DOUBLE:
            return self._take(_DOUBLE_BYTES)
        if kind == _BINARY:
            return self._take(self._unsigned())
        raise ValueError  # a map; the footer has none

    def _list(self, depth: int) -> list[object]:
        header = self._byte()
        n_items = header >> 4
        if n_items == _LONG_LIST:
            n_items = self._unsigned()
        if n_items > len(self._data) - self._at:
            raise ValueError  # every item takes at least a byte
        kind = header & 15
        if kind in (_TRUE, _FALSE):
            return [self._byte() == _TRUE for _ in range(n_items)]
        return [self._value(kind, depth + 1) for _ in range(n_items)]

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the last of a number
                return value
            shift += 7
            if shift > 63:  # noqa: PLR2004 - no number is longer than 64 bits
                raise ValueError

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _take(self, n_bytes: int) -> bytes:
        end = self._at + n_bytes
        if end > len(self._data):
            raise ValueError
        taken = self._data[self._at : end]
        self._at = end
        return taken


def _integer(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError
    return value.decode()


def _as_struct(value: object) -> _Struct:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError
    return value
