"""
A file that came from an export is imported again: which of its columns hold JSON?

The certificate beside it knows, as long as the file is still the one that was written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError
from pipeline.export.certificate import CERTIFICATE_SUFFIX
from pipeline.files import sha256_of, using

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pipeline.settings import SourceFormat


def json_columns_of(files: Iterable[Path], kind: SourceFormat) -> frozenset[str]:
    """
    Return the columns that hold JSON in every cell, by the certificates of *files*.

    None of JSONL: a value there tells its type itself, and a text is no JSON.

    Raises:
        SettingsError: A file was written for spreadsheets, and not for programs.
        SourceError: A file cannot be read.

    Cost: one read of each file that has a certificate.
    """
    found: set[str] = set()
    if kind == "jsonl":
        return frozenset()
    for path in files:
        told = _told_of(path)
        if not told or told.get("sha256") != sha256_of(path):
            continue
        if told.get("spreadsheet_safe"):
            raise SettingsError(
                f"{path} was exported with --spreadsheet-safe: apostrophes stand "
                "before some of its values. Export again without it to have a file "
                "to import"
            )
        found.update(_texts(told.get("json_columns")))
    return frozenset(found)


def _texts(value: object) -> list[str]:
    listed = value if isinstance(value, list) else []
    return [text for text in listed if isinstance(text, str)]


def _told_of(path: Path) -> dict[str, object]:
    beside = path.with_name(f"{path.name}{CERTIFICATE_SUFFIX}")
    if not beside.is_file():
        return {}
    with using(beside):
        content = beside.read_bytes()
    try:
        told = json.loads(content)["file"]
    except (ValueError, KeyError, TypeError):
        return {}
    return told if isinstance(told, dict) else {}
