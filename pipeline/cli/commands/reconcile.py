"""`reconcile`: do a source and the CRM agree, profile by profile, field by field?"""

from __future__ import annotations

import asyncio
import math
import re
import time
from pathlib import Path
from typing import Any, Final

import click

from pipeline import (
    Ending,
    ReconcileRequest,
    reconcile_source,
    write_json,
    write_reconcile_report,
)
from pipeline.cli.beginning import (
    connector_for,
    refuse_idle_budgets,
    show_mapping,
    signals,
)
from pipeline.cli.clusters import cluster_for, cluster_options
from pipeline.cli.options import (
    found_job,
    job_of,
    job_option,
    json_option,
    remote_options,
    row_options,
    source_options,
    talk_of,
    talk_options,
    values_option,
    work_dir_option,
)
from pipeline.cli.render import closing_lines, show_json, workspace_line
from pipeline.cli.render_reconcile import (
    exit_code_of_reconcile,
    reconcile_json,
    reconcile_lines,
)

CRM: Final = "crm"
SUMMARY_NAME: Final = "summary.json"
_PERCENT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")


def _share(_context: click.Context, _option: click.Parameter, told: str) -> float:
    found = _PERCENT.fullmatch(told)
    if found is None or float(found[1]) > 100:  # noqa: PLR2004 - per cent
        raise click.BadParameter(f"{told!r} is no percentage, such as 0.1%")
    return float(found[1]) / 100


def _tolerances(
    _context: click.Context, _option: click.Parameter, told: tuple[str, ...]
) -> dict[str, float]:
    """Read FIELD=NUMBER; the name of an attribute may hold the sign."""
    found = {}
    for text in told:
        name, _, number = text.rpartition("=")
        try:
            by = float(number)
        except ValueError:
            by = math.nan
        if not name or not 0 <= by < math.inf:
            raise click.BadParameter(f"{text!r} is not FIELD=NUMBER, such as points=1")
        found[name] = by
    return found


def _names(
    _context: click.Context, _option: click.Parameter, told: tuple[str, ...]
) -> frozenset[str]:
    return frozenset(name for text in told for name in text.split(",") if name)


@click.command("reconcile", short_help="Compare a source with the CRM, per field.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option(
    "--against",
    required=True,
    metavar="crm|FILE",
    help="The workspace itself, or an export of it: CSV, Parquet, JSONL or JSON.",
)
@click.option(
    "--baseline",
    metavar="RUN|FILE",
    help="What both sides once had: a former export or import. Tells who changed.",
)
@job_option
@work_dir_option
@click.option(
    "--fail-over",
    default="0%",
    show_default=True,
    metavar="PERCENT",
    callback=_share,
    help="Rows that may disagree; more of them end with 4.",
)
@click.option(
    "--ignore-fields",
    multiple=True,
    metavar="FIELD,...",
    callback=_names,
    help="Fields that are not compared.",
)
@click.option(
    "--tolerance",
    multiple=True,
    metavar="FIELD=NUMBER",
    callback=_tolerances,
    help="By how much numbers of a field may differ; repeatable.",
)
@source_options
@row_options
@cluster_options
@remote_options
@values_option
@click.option("--summary", metavar="FILE", help="Write the summary there as well.")
@json_option
@talk_options
def command(sources: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """
    Compare SOURCE, mapped as an import would send it, with the profiles of the CRM.

    Writes a line for each difference, and a file with what an import would have to
    send. Ends with 4 when more rows disagree than --fail-over allows, with 5 when
    a part of the CRM was out of sight, with 3 when rows could not be compared because
    an import would block them. Reads only.
    """
    began_s = time.monotonic()
    talk = talk_of(
        as_json=flags["as_json"], verbose=flags["verbose"], quiet=flags["quiet"]
    )
    cluster = cluster_for(flags)
    job, folder = job_of(found_job(flags["config"]), sources, flags)
    refuse_idle_budgets(job, flags)
    against = flags["against"]
    connector = connector_for(job, flags) if against == CRM else None
    request = ReconcileRequest(
        job,
        folder,
        against=None if against == CRM else Path(against),
        baseline=flags["baseline"],
        ignored=flags["ignore_fields"],
        tolerances=flags["tolerance"],
        progress=talk.progress,
        on_mapping=lambda source, mapping: show_mapping(
            talk, flags, source.kind, mapping
        ),
        on_workspace=lambda workspace: talk.say(workspace_line(workspace)),
        cluster=cluster,
    )
    with signals(request.stop):
        report = asyncio.run(reconcile_source(request, connector))
    code = exit_code_of_reconcile(report, flags["fail_over"])
    ending = Ending(
        code,
        time.monotonic() - began_s,
        time.time(),
        shows_values=flags["show_values"],
    )
    page = write_reconcile_report(report, flags["fail_over"], ending)
    summary = reconcile_json(report, code)
    summary["files"]["report"] = str(page)
    paths = [Path(report.folder, SUMMARY_NAME)]
    paths += [Path(flags["summary"])] if flags["summary"] else []
    for path in paths:
        write_json(path, summary)
    told = reconcile_lines(report, config=flags["config"])
    for line in (*told, *closing_lines((), page)):
        talk.say(line)
    if talk.as_json:
        show_json(summary)
    return code
