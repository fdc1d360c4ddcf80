"""The promise to importers: these names, and each of them loads."""

import pipeline

NAMES = """
    ApplyReport ApplyRequest Connector Continuation Credentials ExportReport Finding
    Identifier ImportRequest Job PipelineError Plan PlanReport PlanRequest
    ProfileReply Purged RemoteSettings ResumePlan RowCounts Run RunDetails RunReport
    Secret StopSignal SyncReport VerifyReport VerifyRequest Workspace apply_plan
    create_profile delete_profile export_profiles get_profile job_of_run list_runs
    make_plan plan_to_resume propose_job purge_runs read_plan remembered_job
    remembered_run_job resumable_runs rows_of run_details run_import run_sync
    shared_phones update_profile verify_run workspace_of write_json
""".split()


def test_the_public_names_are_these() -> None:
    assert sorted(NAMES) == pipeline.__all__
    assert dir(pipeline) == sorted(NAMES)


def test_every_public_name_loads() -> None:
    for name in NAMES:
        assert callable(getattr(pipeline, name))


def test_another_name_is_an_attribute_error() -> None:
    assert not hasattr(pipeline, "no_such_name")
