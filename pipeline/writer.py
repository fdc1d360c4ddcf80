"""
Frames become files: CSV, Parquet or JSONL, whole or not at all, frame by frame.

CSV is lossless: nothing is escaped for spreadsheets, lists and objects are JSON text,
null and the empty text are both an empty cell.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from polars.io.plugins import register_io_source

from pipeline.files import replacing
from pipeline.json_values import JSON_CELL, NAMES_KEY, TEXT_FIELD, VALUE_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pipeline.settings import SourceFormat

_IO_ERROR: Final = re.compile(r"IO error: (.*)")


@dataclass(frozen=True, slots=True)
class FileForm:
    """
    How a file is to be written.

    Attributes:
        delimiter: Of CSV.
        encoding: Of CSV and JSONL, as Python names it.
        hands_back: Of JSONL: the null of JSON is a value and an absent key is none, so
            the first object names the keys of the others instead of giving them null.
        group_rows: Of Parquet: rows of a group, at most.
    """

    kind: SourceFormat
    delimiter: str = ","
    encoding: str = "utf-8"
    hands_back: bool = False
    group_rows: int | None = None


def write_frames(
    path: Path,
    form: FileForm,
    frames: Callable[[], Iterable[pl.DataFrame]],
    schema: Mapping[str, pl.DataType],
    *,
    overwrite: bool = True,
) -> None:
    """
    Write frames of one *schema* to a file.

    Effects: the file appears complete, or not at all; it is readable by its owner only.

    Args:
        frames: Gives the frames; called once.
        overwrite: False refuses a *path* that exists.

    Raises:
        CannotWriteError: It exists, or the folder or the disk refuses.

    Cost: memory of a frame.
    """
    with replacing(path, overwrite=overwrite) as draft:
        if form.kind == "parquet":
            _write_parquet(draft, form, frames, schema)
        elif form.kind == "csv":
            _write_csv(draft, form, frames, schema)
        else:
            _write_jsonl(draft, form, frames)


def write_json(path: Path, content: object) -> None:
    """
    Write one JSON document for people and programs: indented, keys in given order.

    Raises:
        CannotWriteError: The folder or the disk refuses.
    """
    with replacing(path) as draft:
        text = json.dumps(content, indent=2, ensure_ascii=False)
        draft.write_text(text + "\n", encoding="utf-8")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """
    Write lines of text; what UTF-8 cannot hold becomes an escape.

    Raises:
        CannotWriteError: The folder or the disk refuses.
    """
    with (
        replacing(path) as draft,
        draft.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.writelines(f"{line}\n" for line in lines)


def _write_parquet(
    draft: Path,
    form: FileForm,
    frames: Callable[[], Iterable[pl.DataFrame]],
    schema: Mapping[str, pl.DataType],
) -> None:
    def source(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        # A sink asks for everything: there is nothing to push down.
        del with_columns, predicate, n_rows, batch_size
        yield pl.DataFrame(schema=schema)
        yield from frames()

    try:
        register_io_source(source, schema=dict(schema)).sink_parquet(
            draft, compression="zstd", row_group_size=form.group_rows
        )
    except pl.exceptions.ComputeError as error:
        # That is how polars tells of a disk that fails in the middle of a file.
        refusal = _IO_ERROR.search(str(error))
        if refusal is None:
            raise
        raise OSError(refusal[1]) from error


def _write_csv(
    draft: Path,
    form: FileForm,
    frames: Callable[[], Iterable[pl.DataFrame]],
    schema: Mapping[str, pl.DataType],
) -> None:
    encode = codecs.getincrementalencoder(form.encoding)().encode
    with draft.open("wb") as file:
        for frame in chain([pl.DataFrame(schema=schema)], frames()):
            include_header = file.tell() == 0
            if include_header or frame.height:
                text = _flat(frame).write_csv(
                    include_header=include_header, separator=form.delimiter
                )
                file.write(encode(text))


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Write nested columns as JSON text, and the empty text as null."""
    columns = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if dtype.is_nested():
            text = column.struct.json_encode()
            columns.append(pl.when(column.is_not_null()).then(text).alias(name))
        elif dtype == pl.String:
            columns.append(pl.when(column != "").then(column).alias(name))
        else:
            columns.append(column)
    return frame.select(columns)


def _write_jsonl(
    draft: Path, form: FileForm, frames: Callable[[], Iterable[pl.DataFrame]]
) -> None:
    """
    Write one object a line; a null of the frame is an absent key.

    The first object holds or names every key: read again, the file has all its columns.
    """
    with draft.open("wb") as file:
        for frame in frames():
            told = [json.dumps(name, ensure_ascii=False) for name in frame.columns]
            lines = io.StringIO()
            for row in frame.iter_rows():
                is_first = not (file.tell() or lines.tell())
                is_whole = is_first and not form.hands_back
                members = [
                    f"{name}: {_json_of(cell, dtype)}"
                    for name, dtype, cell in zip(told, frame.dtypes, row, strict=True)
                    if is_whole or cell is not None
                ]
                if is_first and len(members) < len(told):
                    members.append(f'"{NAMES_KEY}": [{", ".join(told)}]')
                lines.write("{" + ", ".join(members) + "}\n")
            file.write(lines.getvalue().encode(form.encoding, "backslashreplace"))


def _json_of(cell: Any, dtype: pl.DataType) -> str:  # noqa: ANN401 - any value
    # What was JSON in the source is handed back digit by digit.
    if dtype == JSON_CELL and cell is not None:
        if cell[VALUE_FIELD] is not None:
            return str(cell[VALUE_FIELD])
        cell = cell[TEXT_FIELD]
    return json.dumps(cell, ensure_ascii=False, default=str)
