"""The profiles of the workspace, exported for a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.export.exporter import export_profiles

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.connection import Connector, Workspace

EXPORT_NAME: Final = "crm.parquet"


@dataclass(frozen=True, slots=True)
class CrmExport:
    """
    An export, and what is known of it.

    Attributes:
        reasons: Why it is not shown to be complete; empty when it is.
        whole: Objects that it holds whole: of `attributes` and `agreements`, those of
            which an absent part is known to be empty.
    """

    path: Path
    workspace: Workspace
    reasons: tuple[str, ...]
    whole: frozenset[str]


async def exported_crm(
    connector: Connector, folder: Path, *, expected_guid: str | None
) -> CrmExport:
    """
    Export the workspace into *folder*.

    The list holds neither attributes nor agreements; a source that gives some has
    fields that cannot be compared.

    Raises:
        As `export_profiles`.
    """
    report = await export_profiles(
        connector,
        folder / EXPORT_NAME,
        allow_incomplete=True,
        expected_guid=expected_guid,
    )
    return CrmExport(
        report.path,
        report.workspace,
        tuple(report.certificate.reasons()),
        whole=frozenset(),
    )
