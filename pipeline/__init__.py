"""
Move customer profiles between files and a CRM.

    source ─ reader ─ transform ─ encoder ─ chunker ─ delivery ─ journal ─ outcomes

Everything that outsiders may use is listed in `__all__`. Names are loaded when they are
first asked for, so that importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.connection import Connector, Workspace, workspace_of
    from pipeline.continuing import (
        Continuation,
        remembered_job,
        remembered_run_job,
        resumable_runs,
    )
    from pipeline.errors import PipelineError
    from pipeline.export.exporter import export_profiles
    from pipeline.export.request import ExportReport, ExportRequest
    from pipeline.findings import Finding
    from pipeline.history import RunDetails, run_details
    from pipeline.importer import RunReport, run_import
    from pipeline.journal import list_runs
    from pipeline.journal_tables import Run
    from pipeline.line import ImportRequest
    from pipeline.outcomes import RowCounts
    from pipeline.profiles import (
        Identifier,
        ProfileReply,
        create_profile,
        delete_profile,
        get_profile,
        update_profile,
    )
    from pipeline.proposal import propose_job
    from pipeline.resuming import ResumePlan
    from pipeline.retention import Purged, purge_runs
    from pipeline.settings import Credentials, Job, RemoteSettings, Secret
    from pipeline.stopping import StopSignal
    from pipeline.tracing import rows_of, shared_phones
    from pipeline.verifier import VerifyReport, VerifyRequest, verify_run
    from pipeline.writer import write_json

_HOMES = {
    "Connector": "connection",
    "Continuation": "continuing",
    "Credentials": "settings",
    "ExportReport": "export.request",
    "ExportRequest": "export.request",
    "Finding": "findings",
    "Identifier": "profiles",
    "ImportRequest": "line",
    "Job": "settings",
    "PipelineError": "errors",
    "ProfileReply": "profiles",
    "Purged": "retention",
    "RemoteSettings": "settings",
    "ResumePlan": "resuming",
    "RowCounts": "outcomes",
    "Run": "journal_tables",
    "RunDetails": "history",
    "RunReport": "importer",
    "Secret": "settings",
    "StopSignal": "stopping",
    "VerifyReport": "verifier",
    "VerifyRequest": "verifier",
    "Workspace": "connection",
    "create_profile": "profiles",
    "delete_profile": "profiles",
    "export_profiles": "export.exporter",
    "get_profile": "profiles",
    "list_runs": "journal",
    "propose_job": "proposal",
    "purge_runs": "retention",
    "remembered_job": "continuing",
    "remembered_run_job": "continuing",
    "resumable_runs": "continuing",
    "rows_of": "tracing",
    "run_details": "history",
    "run_import": "importer",
    "shared_phones": "tracing",
    "update_profile": "profiles",
    "verify_run": "verifier",
    "workspace_of": "connection",
    "write_json": "writer",
}

__all__ = [
    "Connector",
    "Continuation",
    "Credentials",
    "ExportReport",
    "ExportRequest",
    "Finding",
    "Identifier",
    "ImportRequest",
    "Job",
    "PipelineError",
    "ProfileReply",
    "Purged",
    "RemoteSettings",
    "ResumePlan",
    "RowCounts",
    "Run",
    "RunDetails",
    "RunReport",
    "Secret",
    "StopSignal",
    "VerifyReport",
    "VerifyRequest",
    "Workspace",
    "create_profile",
    "delete_profile",
    "export_profiles",
    "get_profile",
    "list_runs",
    "propose_job",
    "purge_runs",
    "remembered_job",
    "remembered_run_job",
    "resumable_runs",
    "rows_of",
    "run_details",
    "run_import",
    "shared_phones",
    "update_profile",
    "verify_run",
    "workspace_of",
    "write_json",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
