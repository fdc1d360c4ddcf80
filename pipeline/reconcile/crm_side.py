"""The profiles of the workspace, exported for a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.export.exporter import export_profiles
from pipeline.export.request import ExportRequest

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.connection import Connector, Workspace

EXPORT_NAME: Final = "crm.parquet"
# In full, an absent part of these is an empty one.
WHOLE: Final = frozenset({"attributes", "agreements"})


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

    Every profile is read in full, for the list holds neither attributes nor agreements.

    Raises:
        As `export_profiles`.
    """
    request = ExportRequest(
        folder / EXPORT_NAME,
        folder,
        detail="full",
        allow_incomplete=True,
        is_fresh=True,
        expected_guid=expected_guid,
    )
    report = await export_profiles(request, connector)
    return CrmExport(
        report.path,
        report.workspace,
        tuple(report.certificate.reasons()),
        whole=WHOLE,
    )
