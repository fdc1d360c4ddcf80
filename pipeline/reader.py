"""
A source: one or several files of one kind, read as slices, any number of times.

Every physical record has one (`source_no`, `row_no`), and nothing is inferred: CSV
cells are text, JSON values stay as they are written, Parquet keeps its types. What a
file is, its content decides; a name that says otherwise stops the run. This module
knows which files belong to a source and that they agree; how each kind is read is in
`sources/`.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl

from pipeline.errors import (
    SettingsError,
    SourceChangedError,
    SourceMissingError,
    SourceUnusableError,
)
from pipeline.files import sha256_of
from pipeline.json_values import JSON_CELL, TEXT_FIELD, VALUE_FIELD
from pipeline.records import ROW_KEY, Fingerprint, Slice
from pipeline.sources.csv_dialect import CsvDialect
from pipeline.sources.csv_file import CsvFile
from pipeline.sources.folders import files_below
from pipeline.sources.formats import format_of
from pipeline.sources.jsonl_file import JsonlFile
from pipeline.sources.parquet_file import ParquetFile
from pipeline.sources.streams import ReadLimits
from pipeline.sources.text import TextFile, canonical_encoding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.settings import SourceFormat, SourceSettings

__all__ = ["CsvDialect", "ReadLimits", "Source", "open_source"]


class _SourceFile(Protocol):
    """What every kind of file can do."""

    path: Path
    columns: tuple[str, ...]
    dtypes: dict[str, pl.DataType]

    @property
    def fingerprint(self) -> Fingerprint | None: ...

    def slices(self, source_no: int) -> Iterator[Slice]: ...


class Source:
    """
    Files of one kind with the same columns.

    Attributes:
        kind: Of all of them.
        files: Absolute paths; `source_no` is the index.
        columns: Of the source, in the order of the first file.
        dtypes: Column → type; String for CSV, String or `JSON_CELL` for JSONL.
        csv: How the first file is written; None for other kinds.
    """

    def __init__(
        self,
        kind: SourceFormat,
        parts: Sequence[_SourceFile],
        check_origin: Callable[[], None],
    ) -> None:
        """
        Join opened files.

        Args:
            check_origin: See `open_source`.

        Raises:
            SourceUnusableError: Their columns or types differ.
        """
        self._parts = tuple(parts)
        self._check_origin = check_origin
        self.kind: SourceFormat = kind
        self.files = tuple(part.path for part in parts)
        self.csv: CsvDialect | None = next(
            (part.dialect for part in parts if isinstance(part, CsvFile)), None
        )
        if kind == "jsonl":  # a key may be absent from a line, so also from a file
            found = [item for part in parts for item in part.dtypes.items()]
            wide = {name: dtype for name, dtype in found if dtype == JSON_CELL}
            self.dtypes: Mapping[str, pl.DataType] = dict(found) | wide
            self.columns = tuple(self.dtypes)
        else:
            self.columns = parts[0].columns
            self.dtypes = parts[0].dtypes
            for part in parts[1:]:
                _refuse_other_columns(parts[0], part)

    def slices(self) -> Iterator[Slice]:
        """
        Give all records: files in order, records in file order, at most 32,768 each.

        The frames of all slices have the same columns in the same order. May be called
        again for another pass; a pass that is not finished holds its file open.

        Raises:
            SourceUnusableError: A file cannot be read to its end. What was given
                before is sound, but must not be taken for the whole.
            SourceChangedError: A file changed while it was read.

        Cost: memory of a few blocks, whatever the size of the files.
        """
        for source_no, part in enumerate(self._parts):
            for piece in part.slices(source_no):
                yield _aligned(piece, self.dtypes)

    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """
        Return what the files are, in order.

        After a complete pass the digest is that of the bytes of the pass; otherwise,
        and for Parquet, the file is read for it.

        Raises:
            SourceMissingError: A file cannot be read.
        """
        return tuple(
            part.fingerprint or _fingerprint(part.path) for part in self._parts
        )

    def check_unchanged(self, then: Sequence[Fingerprint]) -> None:
        """
        Refuse files that are not those of an earlier pass.

        Size and time equal are enough; else the content is read and decides.

        Raises:
            SourceChangedError: A content differs, or the list of files.
            SourceMissingError: A file cannot be read.
        """
        if [str(path) for path in self.files] != [known.path for known in then]:
            raise SourceChangedError(
                f"The source has {len(self.files)} files now and had {len(then)}, or "
                "their names differ. Pass the same files, or run the command anew."
            )
        for path, known in zip(self.files, then, strict=True):
            if _size_and_time(path) == (known.size_bytes, known.mtime_ns):
                continue
            if sha256_of(path) != known.sha256:
                raise SourceChangedError(
                    f"{path} is not the file that was checked. "
                    "Bring that file back, or run the command anew."
                )
        self._check_origin()


def open_source(
    settings: SourceSettings,
    *,
    limits: ReadLimits | None = None,
    check_origin: Callable[[], None] = lambda: None,
) -> Source:
    """
    Find the files of a source and read their headers.

    Args:
        limits: For tests and tight machines.
        check_origin: Part of `Source.check_unchanged`: where the files are copies, it
            raises SourceChangedError when what they were made of is another.

    Raises:
        SettingsError: No path, a path twice, an unknown encoding, a useless delimiter.
        SourceMissingError: A file is missing or unreadable, or a pattern matches none.
        SourceUnusableError: A file is empty, of another kind than it says, has no
            proper header, or does not agree with the first file.

    Cost: CSV and Parquet a few blocks; JSONL one pass over the file for its keys.
    """
    limits = limits or ReadLimits()
    encoding = canonical_encoding(settings.encoding)
    paths = _find_files(settings.paths)
    kinds = {path: format_of(path, settings.format, encoding, limits) for path in paths}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{path.name} is {kind}" for path, kind in kinds.items())
        raise SourceUnusableError(
            f"The files of a source must be of one kind, but {listed}. "
            "Pass the kinds one after the other."
        )
    kind = kinds[paths[0]]
    parts: list[_SourceFile] = []
    for path in paths:
        text = TextFile(path, encoding, limits)
        if kind == "csv":
            parts.append(CsvFile(text, settings.delimiter))
        elif kind == "jsonl":
            parts.append(JsonlFile(text))
        else:
            parts.append(ParquetFile(path, limits))
    return Source(kind, parts, check_origin)


def _find_files(names: Sequence[str]) -> list[Path]:
    if not names:
        raise SettingsError("No source is named. Name a file, a folder or a pattern.")
    paths = [path.absolute() for name in names for path in _matches(name)]
    twice = sorted({str(path) for path in paths if paths.count(path) > 1})
    if twice:
        raise SettingsError(
            f"{twice[0]} is named twice, and its rows would count twice. Name it once."
        )
    return paths


def _matches(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = files_below(path)
        if not found:
            raise SourceMissingError(f"The folder {path} holds no file. Fill it first.")
        return found
    if path.exists() or not glob.has_magic(name):
        return [path]
    matched = sorted(Path(match) for match in glob.glob(name, recursive=True))  # noqa: PTH207 - a pattern may be absolute
    found = [match for match in matched if not match.is_dir()]
    if not found:
        raise SourceMissingError(f"No file matches {name}. Check the pattern.")
    return found


def _refuse_other_columns(first: _SourceFile, other: _SourceFile) -> None:
    lacking = [name for name in first.columns if name not in other.dtypes]
    more = [name for name in other.columns if name not in first.dtypes]
    changed = [
        name
        for name in first.columns
        if name in other.dtypes and first.dtypes[name] != other.dtypes[name]
    ]
    if not (lacking or more or changed):
        return
    told = (
        ("lacks", lacking),
        ("has in addition", more),
        ("has with another type", changed),
    )
    listed = "; ".join(
        f"{what} {', '.join(map(repr, names))}" for what, names in told if names
    )
    raise SourceUnusableError(
        f"{other.path} has other columns than {first.path}: it {listed}. "
        "Files of one source have the same columns."
    )


def _aligned(piece: Slice, wanted: Mapping[str, pl.DataType]) -> Slice:
    """Give the columns of the source to a slice of one of its files."""
    frame = piece.frame
    schema = frame.schema  # made anew each time it is asked for
    if schema.names() == [*ROW_KEY, *wanted] and all(
        schema[name] == dtype for name, dtype in wanted.items()
    ):
        return piece
    nothing = pl.lit(None, pl.String())
    cells = {name: pl.col(name) if name in schema else nothing for name in wanted}
    texts = {
        name: pl.when(cell.is_not_null()).then(
            pl.struct(cell.alias(TEXT_FIELD), nothing.alias(VALUE_FIELD))
        )
        for name, cell in cells.items()
        if wanted[name] == JSON_CELL and schema.get(name) != JSON_CELL
    }
    frame = frame.select(*ROW_KEY, **(cells | texts))
    return Slice(
        frame=frame,
        source_no=piece.source_no,
        first_row_no=piece.first_row_no,
        n_rows=piece.n_rows,
        empty=piece.empty,
        unreadable=piece.unreadable,
        line_nos=piece.line_nos,
    )


def _fingerprint(path: Path) -> Fingerprint:
    size_bytes, mtime_ns = _size_and_time(path)
    return Fingerprint(str(path), size_bytes, mtime_ns, sha256_of(path))


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise SourceMissingError(
            f"{path} cannot be found any more ({error.strerror}). Bring it back."
        ) from error
    return found.st_size, found.st_mtime_ns
