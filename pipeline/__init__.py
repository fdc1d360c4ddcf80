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
        dataset_of,
        job_of_run,
        remembered_job,
        remembered_run_job,
        resumable_runs,
    )
    from pipeline.credentials import Credentials, RemoteSettings, Secret
    from pipeline.delta.application import ApplyReport, ApplyRequest
    from pipeline.delta.applier import apply_plan
    from pipeline.delta.entering import plan_to_resume
    from pipeline.delta.plan import Plan
    from pipeline.delta.plan_files import read_plan
    from pipeline.delta.plan_request import PlanReport, PlanRequest
    from pipeline.delta.planner import make_plan
    from pipeline.delta.sync import SyncReport, run_sync
    from pipeline.distributed.cluster import Cluster
    from pipeline.doctor.diagnosis import Checked, Level
    from pipeline.doctor.examination import DoctorReport, DoctorRequest, examine
    from pipeline.errors import PipelineError
    from pipeline.export.exporter import export_profiles
    from pipeline.export.places import destination_of
    from pipeline.export.request import ExportReport, ExportRequest
    from pipeline.findings import Finding
    from pipeline.health import Ended, Health
    from pipeline.history import RunDetails, run_details, run_summaries
    from pipeline.importer import RunReport, run_import
    from pipeline.journal import list_runs
    from pipeline.journal_tables import Run
    from pipeline.line import ImportRequest
    from pipeline.notify import Postbox
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
    from pipeline.reconcile.reconciler import ReconcileRequest, reconcile_source
    from pipeline.reconcile.report import FieldReport, ReconcileReport
    from pipeline.report.parts import Ending
    from pipeline.reporting import (
        export_report_path,
        write_export_report,
        write_reconcile_report,
        write_run_report,
        write_verify_report,
    )
    from pipeline.reporting_plans import write_night_report, write_plan_report
    from pipeline.resuming import ResumePlan
    from pipeline.retention import Purged, purge_runs
    from pipeline.run_end import Channels, known_health, tell_end
    from pipeline.settings import Job
    from pipeline.stopping import StopSignal
    from pipeline.tracing import rows_of, shared_phones
    from pipeline.verify.report import VerifyReport
    from pipeline.verify.verifier import VerifyRequest, verify_run
    from pipeline.writer import write_json

_HOMES = {
    "Channels": "run_end",
    "Checked": "doctor.diagnosis",
    "Cluster": "distributed.cluster",
    "ApplyReport": "delta.application",
    "ApplyRequest": "delta.application",
    "Connector": "connection",
    "Continuation": "continuing",
    "Credentials": "credentials",
    "DoctorReport": "doctor.examination",
    "DoctorRequest": "doctor.examination",
    "Ended": "health",
    "Ending": "report.parts",
    "ExportReport": "export.request",
    "ExportRequest": "export.request",
    "FieldReport": "reconcile.report",
    "Finding": "findings",
    "Health": "health",
    "Identifier": "profiles",
    "ImportRequest": "line",
    "Job": "settings",
    "Level": "doctor.diagnosis",
    "PipelineError": "errors",
    "Postbox": "notify",
    "Plan": "delta.plan",
    "PlanReport": "delta.plan_request",
    "PlanRequest": "delta.plan_request",
    "ProfileReply": "profiles",
    "Purged": "retention",
    "ReconcileReport": "reconcile.report",
    "ReconcileRequest": "reconcile.reconciler",
    "RemoteSettings": "credentials",
    "ResumePlan": "resuming",
    "RowCounts": "outcomes",
    "Run": "journal_tables",
    "RunDetails": "history",
    "RunReport": "importer",
    "Secret": "credentials",
    "StopSignal": "stopping",
    "VerifyReport": "verify.report",
    "SyncReport": "delta.sync",
    "VerifyRequest": "verify.verifier",
    "Workspace": "connection",
    "apply_plan": "delta.applier",
    "create_profile": "profiles",
    "dataset_of": "continuing",
    "delete_profile": "profiles",
    "examine": "doctor.examination",
    "destination_of": "export.places",
    "export_profiles": "export.exporter",
    "export_report_path": "reporting",
    "get_profile": "profiles",
    "known_health": "run_end",
    "job_of_run": "continuing",
    "list_runs": "journal",
    "make_plan": "delta.planner",
    "plan_to_resume": "delta.entering",
    "propose_job": "proposal",
    "purge_runs": "retention",
    "reconcile_source": "reconcile.reconciler",
    "read_plan": "delta.plan_files",
    "remembered_job": "continuing",
    "remembered_run_job": "continuing",
    "resumable_runs": "continuing",
    "rows_of": "tracing",
    "run_details": "history",
    "run_import": "importer",
    "run_summaries": "history",
    "run_sync": "delta.sync",
    "shared_phones": "tracing",
    "tell_end": "run_end",
    "update_profile": "profiles",
    "verify_run": "verify.verifier",
    "workspace_of": "connection",
    "write_export_report": "reporting",
    "write_night_report": "reporting_plans",
    "write_plan_report": "reporting_plans",
    "write_reconcile_report": "reporting",
    "write_json": "writer",
    "write_run_report": "reporting",
    "write_verify_report": "reporting",
}

__all__ = [
    "ApplyReport",
    "ApplyRequest",
    "Channels",
    "Checked",
    "Cluster",
    "Connector",
    "Continuation",
    "Credentials",
    "DoctorReport",
    "DoctorRequest",
    "Ended",
    "Ending",
    "ExportReport",
    "ExportRequest",
    "FieldReport",
    "Finding",
    "Health",
    "Identifier",
    "ImportRequest",
    "Job",
    "Level",
    "PipelineError",
    "Plan",
    "PlanReport",
    "PlanRequest",
    "Postbox",
    "ProfileReply",
    "Purged",
    "ReconcileReport",
    "ReconcileRequest",
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
    "dataset_of",
    "delete_profile",
    "destination_of",
    "examine",
    "export_profiles",
    "export_report_path",
    "get_profile",
    "job_of_run",
    "known_health",
    "list_runs",
    "make_plan",
    "plan_to_resume",
    "propose_job",
    "purge_runs",
    "read_plan",
    "reconcile_source",
    "remembered_job",
    "remembered_run_job",
    "resumable_runs",
    "rows_of",
    "run_details",
    "run_import",
    "run_summaries",
    "run_sync",
    "shared_phones",
    "tell_end",
    "update_profile",
    "verify_run",
    "workspace_of",
    "write_export_report",
    "write_json",
    "write_night_report",
    "write_plan_report",
    "write_reconcile_report",
    "write_run_report",
    "write_verify_report",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
