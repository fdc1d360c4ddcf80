"""What kind of file this is: its content decides, its name must not contradict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.errors import SourceUnusableError
from pipeline.sources.jsonl_file import first_object
from pipeline.sources.parquet_footer import ENCRYPTED_MAGIC, MAGIC
from pipeline.sources.streams import open_regular
from pipeline.sources.text import TextFile

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.settings import SourceFormat
    from pipeline.sources.streams import ReadLimits

_FORMAT_BY_SUFFIX: Final[dict[str, SourceFormat]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_COMPRESSED_SUFFIXES: Final = frozenset({".gz", ".gzip", ".zst", ".zstd"})
_FOREIGN_MAGICS: Final = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF document"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
)
_HEAD_BYTES = 64 * 1024


def format_of(
    path: Path, declared: SourceFormat | None, encoding: str, limits: ReadLimits
) -> SourceFormat:
    """
    Return the kind of *path*.

    Args:
        declared: Wins over the name, but not over a magic number.
        encoding: That the text is to be read in.

    Raises:
        SourceMissingError: It cannot be opened.
        SourceUnusableError: It is empty, or is not what it is called.
    """
    with open_regular(path) as file:
        magic = file.read(8)
    if not magic:
        raise SourceUnusableError(
            f"{path} is empty: it has 0 bytes. Was the export that wrote it finished?"
        )
    for foreign, what in _FOREIGN_MAGICS:
        if magic.startswith(foreign):
            raise SourceUnusableError(
                f"{path} is {what}. Save the rows as CSV, Parquet or JSONL."
            )
    suffix = _suffix(path)
    said = declared or _FORMAT_BY_SUFFIX.get(suffix)
    is_parquet = magic[:4] in (MAGIC, ENCRYPTED_MAGIC)
    if is_parquet or said == "parquet":
        found: SourceFormat | None = "parquet" if is_parquet else None
    else:
        found = declared or _text_format(path, said, encoding, limits)
    if found is None or (said and found != said):
        raise _contradiction(path, said, found, declared=declared is not None)
    return found


def _text_format(
    path: Path, said: SourceFormat | None, encoding: str, limits: ReadLimits
) -> SourceFormat:
    head, _ = TextFile(path, encoding, limits).head(_HEAD_BYTES)
    if not head:
        raise SourceUnusableError(
            f"{path} is empty: nothing is in it. Was the export that wrote it finished?"
        )
    if head.startswith((MAGIC, ENCRYPTED_MAGIC)):
        raise SourceUnusableError(f"{path} is a compressed Parquet file. Unpack it.")
    text = head.lstrip()
    line = text.split(b"\n", 1)[0]
    if text.startswith(b"[") and said == "jsonl":
        raise SourceUnusableError(
            f"{path} holds a JSON array. Write one object a line, without the brackets."
        )
    if said == "jsonl" and text.startswith(b"{"):
        return "jsonl"
    return "jsonl" if first_object(line) else "csv"


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _contradiction(
    path: Path,
    said: SourceFormat | None,
    found: SourceFormat | None,
    *,
    declared: bool,
) -> SourceUnusableError:
    names = {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSONL", None: "no Parquet"}
    said_by = "--format says" if declared else "its name says"
    advice = (
        "Correct the --format" if declared else "Rename it, or declare its --format"
    )
    return SourceUnusableError(
        f"{path}: {said_by} {names[said]}, but its content is {names[found]}. {advice}."
    )
