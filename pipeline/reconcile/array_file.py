"""
A JSON array of objects becomes a file of one object a line, in bounded memory.

The platform's portal writes JSON in this form (API 6.3), and ten million profiles in
it. Values keep their text, digit by digit; what is between them goes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from pipeline.errors import SourceUnusableError
from pipeline.files import using
from pipeline.sources.streams import ReadLimits
from pipeline.sources.text import TextFile, canonical_encoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEAD_BYTES: Final = 64 * 1024
_LINES: Final = str.maketrans("\r\n", "  ")
_DECODER: Final = json.JSONDecoder(parse_float=str, parse_int=str)
_BETWEEN: Final = " \t\r\n,"


def is_array(path: Path) -> bool:
    """
    Return whether a file is a JSON array: `.json`, and it begins with a bracket.

    Raises:
        SourceError: The file cannot be read.
    """
    if ".json" not in (suffix.lower() for suffix in path.suffixes[-2:]):
        return False
    head, _ = _text(path).head(_HEAD_BYTES)
    return head.lstrip().startswith(b"[")


def write_lines_of_array(path: Path, lines: Path) -> None:
    """
    Write the objects of the array *path* to *lines*, one a line.

    Effects: *lines* is readable by its owner only.

    Raises:
        SourceUnusableError: It is no array of objects, or is cut short.
        SourceError: It cannot be read to its end.
        CannotWriteError: The disk refuses.

    Cost: memory of a block and of the longest object.
    """
    with using(lines):
        lines.touch(mode=0o600)
        with lines.open("w", encoding="utf-8") as file:
            file.writelines(f"{text}\n" for text in _objects(path))


def _objects(path: Path) -> Iterator[str]:
    text, place, n_objects = "", 0, 0
    blocks = _text(path).blocks()
    block: bytes | None = next(blocks, b"")
    text = block.decode().lstrip().removeprefix("[") if block else ""
    while True:
        place = _next(text, place)
        if text.startswith("]", place):
            break
        try:
            value, end = _DECODER.raw_decode(text, place)
        except ValueError:
            end = 0
        if end:
            if not isinstance(value, dict):
                raise _broken(path, n_objects, "is no object")
            n_objects += 1
            yield text[place:end].translate(_LINES)
            place = end
            continue
        if len(text) - place > ReadLimits().record_bytes:
            raise _broken(path, n_objects, "is longer than 16 MiB, or is no JSON")
        block = next(blocks, None)
        if block is None:
            raise _broken(path, n_objects, "is cut short, or is no JSON")
        text, place = text[place:] + block.decode(), 0
    if not n_objects:
        raise SourceUnusableError(
            f"{path} is an array that holds no object. Was the export that wrote it "
            "finished?"
        )
    if text[place + 1 :].strip() or any(rest.strip() for rest in blocks):
        raise _broken(path, n_objects, "comes behind the end of the array")


def _next(text: str, place: int) -> int:
    """Return where the next value begins, or the text ends."""
    while place < len(text) and text[place] in _BETWEEN:
        place += 1
    return place


def _text(path: Path) -> TextFile:
    return TextFile(path, canonical_encoding(None), ReadLimits())


def _broken(path: Path, n_objects: int, what: str) -> SourceUnusableError:
    return SourceUnusableError(
        f"{path}: what follows object {n_objects:,} of its JSON array {what}. "
        "Was the export that wrote it finished?"
    )
