"""The promise to importers: these names, and each of them loads."""

import pipeline

NAMES = """
    ApplyReport ApplyRequest Channels Checked Cluster Connector Continuation Credentials
    DoctorReport DoctorRequest Ended Ending ExportReport ExportRequest FieldReport
    Finding Health Identifier ImportRequest Job Level PipelineError Plan PlanReport
    PlanRequest Postbox ProfileReply Purged ReconcileReport ReconcileRequest
    RemoteSettings ResumePlan RowCounts Run RunDetails RunReport Secret StopSignal
    SyncReport VerifyReport VerifyRequest Workspace apply_plan create_profile
    dataset_of delete_profile destination_of examine export_profiles
    export_report_path get_profile job_of_run
    known_health list_runs make_plan plan_to_resume propose_job purge_runs read_plan
    reconcile_source remembered_job remembered_run_job resumable_runs rows_of
    run_details run_import run_summaries run_sync shared_phones tell_end
    update_profile verify_run workspace_of write_export_report write_json
    write_night_report write_plan_report write_reconcile_report write_run_report
    write_verify_report
""".split()


def test_the_public_names_are_these() -> None:
    assert sorted(NAMES) == pipeline.__all__
    assert dir(pipeline) == sorted(NAMES)


def test_every_public_name_loads() -> None:
    for name in NAMES:
        assert callable(getattr(pipeline, name))


def test_another_name_is_an_attribute_error() -> None:
    assert not hasattr(pipeline, "no_such_name")
