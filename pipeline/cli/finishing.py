"""What commands that run something end with: files, and words about what is left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import write_json
from pipeline.cli.render_runs import resume_command

if TYPE_CHECKING:
    from pipeline import ApplyReport, RunReport
    from pipeline.errors import PipelineError


def write_summaries(
    summary: dict[str, Any], folder: Path, flags: dict[str, Any]
) -> None:
    """Leave the summary in the folder of the run, and where a flag wants it."""
    paths = [folder / "summary.json"]
    if flags["summary"]:
        paths.append(Path(flags["summary"]))
    for path in paths:
        write_json(path, summary)


def with_advice(
    report: RunReport | ApplyReport, error: PipelineError, flags: dict[str, Any]
) -> PipelineError:
    """Return the error with the command that sends the rows that are pending."""
    if not report.is_resumable:
        return error
    work_dir = report.folder.parents[1]
    return type(error)(
        f"{error} In all, {report.counts.pending:,} rows are pending. To send them: "
        f"{resume_command(report.run_id, work_dir, flags['base_url'])}"
    )
