"""
A file that came from an export is read again: what do we know of it?

The certificate beside it knows, as long as the file is still the one that was written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError
from pipeline.export.certificate import CERTIFICATE_SUFFIX
from pipeline.files import sha256_of, using

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pipeline.settings import SourceFormat


@dataclass(frozen=True, slots=True)
class Returned:
    """
    What a certificate says of a file that is still as it was written.

    Attributes:
        json_columns: They hold JSON in every cell; the cells of all others are texts.
        is_whole: Whether every profile of the workspace is shown to be in it.
        workspace: GUID of the workspace it was exported from; None of an older export.
    """

    json_columns: frozenset[str]
    is_whole: bool
    workspace: str | None


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
        returned = returned_file(path)
        if returned is not None:
            found |= returned.json_columns
    return frozenset(found)


def has_certificate(path: Path) -> bool:
    """Return whether a certificate lies beside a file, whatever it says."""
    return _beside(path).is_file()


def returned_file(path: Path) -> Returned | None:
    """
    Return what the certificate of a file says; None where it has none, or another one.

    Raises:
        SettingsError: The file was written for spreadsheets, and not for programs.
        SourceError: The file cannot be read.

    Cost: one read of a file that has a certificate.
    """
    certificate, told = _told_of(path)
    if not told or told.get("sha256") != sha256_of(path):
        return None
    if told.get("spreadsheet_safe"):
        raise SettingsError(
            f"{path} was exported with --spreadsheet-safe: apostrophes stand "
            "before some of its values. Export again without it to have a file "
            "to read back"
        )
    workspace = certificate.get("workspace")
    is_whole = (
        certificate.get("complete") is True
        and certificate.get("named") is None
        and not certificate.get("question")
    )
    return Returned(
        frozenset(_texts(told.get("json_columns"))),
        is_whole,
        workspace if isinstance(workspace, str) else None,
    )


def _texts(value: object) -> list[str]:
    listed = value if isinstance(value, list) else []
    return [text for text in listed if isinstance(text, str)]


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}{CERTIFICATE_SUFFIX}")


def _told_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a certificate, and the part of it about the file; empty without one."""
    beside = _beside(path)
    if not beside.is_file():
        return {}, {}
    with using(beside):
        content = beside.read_bytes()
    try:
        certificate = json.loads(content)
        told = certificate["file"]
    except (ValueError, KeyError, TypeError):
        return {}, {}
    return (certificate, told) if isinstance(told, dict) else ({}, {})
