"""The promise to importers: these names, and each of them loads."""

import pipeline

NAMES = """
    Connector Continuation Credentials ExportReport ExportRequest Finding Identifier
    ImportRequest Job PipelineError ProfileReply Purged RemoteSettings ResumePlan
    RowCounts Run RunDetails RunReport Secret StopSignal VerifyReport VerifyRequest
    Workspace create_profile delete_profile export_profiles get_profile list_runs
    propose_job purge_runs remembered_job remembered_run_job resumable_runs rows_of
    run_details run_import shared_phones update_profile verify_run workspace_of
    write_json
""".split()


def test_the_public_names_are_these() -> None:
    assert sorted(NAMES) == pipeline.__all__
    assert dir(pipeline) == sorted(NAMES)


def test_every_public_name_loads() -> None:
    for name in NAMES:
        assert callable(getattr(pipeline, name))


def test_another_name_is_an_attribute_error() -> None:
    assert not hasattr(pipeline, "no_such_name")
