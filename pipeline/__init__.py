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
        job_of_run,
        remembered_job,
        remembered_run_job,
        resumable_runs,
    )
    from pipeline.delta.applier import (
        ApplyReport,
        ApplyRequest,
        apply_plan,
        plan_to_resume,
    )
    from pipeline.delta.plan import Plan
    from pipeline.delta.plan_files import read_plan
    from pipeline.delta.planner import PlanReport, PlanRequest, make_plan
    from pipeline.delta.sync import SyncReport, run_sync
    from pipeline.errors import PipelineError
    from pipeline.export.exporter import ExportReport, export_profiles
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
    "ApplyReport": "delta.applier",
    "ApplyRequest": "delta.applier",
    "Connector": "connection",
    "Continuation": "continuing",
    "Credentials": "settings",
    "ExportReport": "export.exporter",
    "Finding": "findings",
    "Identifier": "profiles",
    "ImportRequest": "line",
    "Job": "settings",
    "PipelineError": "errors",
    "Plan": "delta.plan",
    "PlanReport": "delta.planner",
    "PlanRequest": "delta.planner",
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
    "SyncReport": "delta.sync",
    "VerifyReport": "verifier",
    "VerifyRequest": "verifier",
    "Workspace": "connection",
    "apply_plan": "delta.applier",
    "create_profile": "profiles",
    "delete_profile": "profiles",
    "export_profiles": "export.exporter",
    "get_profile": "profiles",
    "job_of_run": "continuing",
    "list_runs": "journal",
    "make_plan": "delta.planner",
    "plan_to_resume": "delta.applier",
    "propose_job": "proposal",
    "purge_runs": "retention",
    "read_plan": "delta.plan_files",
    "remembered_job": "continuing",
    "remembered_run_job": "continuing",
    "resumable_runs": "continuing",
    "rows_of": "tracing",
    "run_details": "history",
    "run_import": "importer",
    "run_sync": "delta.sync",
    "shared_phones": "tracing",
    "update_profile": "profiles",
    "verify_run": "verifier",
    "workspace_of": "connection",
    "write_json": "writer",
}

__all__ = [
    "ApplyReport",
    "ApplyRequest",
    "Connector",
    "Continuation",
    "Credentials",
    "ExportReport",
    "Finding",
    "Identifier",
    "ImportRequest",
    "Job",
    "PipelineError",
    "Plan",
    "PlanReport",
    "PlanRequest",
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
    "SyncReport",
    "VerifyReport",
    "VerifyRequest",
    "Workspace",
    "apply_plan",
    "create_profile",
    "delete_profile",
    "export_profiles",
    "get_profile",
    "job_of_run",
    "list_runs",
    "make_plan",
    "plan_to_resume",
    "propose_job",
    "purge_runs",
    "read_plan",
    "remembered_job",
    "remembered_run_job",
    "resumable_runs",
    "rows_of",
    "run_details",
    "run_import",
    "run_sync",
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
