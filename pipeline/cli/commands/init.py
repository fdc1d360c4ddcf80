"""`init`: a job file to start from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import propose_job, workspace_of
from pipeline.cli.options import (
    connector_of,
    found_job,
    job_of,
    job_option,
    remote_options,
    source_options,
    talk_of,
    talk_options,
)
from pipeline.cli.render import workspace_line
from pipeline.environment import remote_settings
from pipeline.errors import CannotWriteError, SettingsError, TokenRefusedError
from pipeline.settings import Job, SourceSettings, is_elsewhere

if TYPE_CHECKING:
    from pipeline.cli.options import Talk


@click.command("init", short_help="Write a job file with a proposed mapping.")
@click.argument("source", required=False)
@job_option
@click.option("-o", "--output", metavar="JOB", help="[default: NAME.yaml here]")
@click.option("--overwrite", is_flag=True, help="Replace an existing job file.")
@source_options
@remote_options
@talk_options
def command(
    source: str | None,
    config: str | None,
    output: str | None,
    *,
    overwrite: bool,
    **flags: Any,  # noqa: ANN401
) -> int:
    """
    Look at SOURCE and write a job file: the mapping found, what is left over, the pin.

    Of a query, name a job that holds nothing but its `source` with --config, in the
    place of SOURCE. The workspace is pinned when credentials are set; nothing is sent.
    """
    talk = talk_of(verbose=flags["verbose"], quiet=flags["quiet"])
    settings, name, written = _source_of(source, config, flags)
    path = Path(output or f"{name}.yaml")
    if path.exists() and not overwrite:
        raise CannotWriteError(f"{path} exists already; use --output or --overwrite")
    text = propose_job(settings, _guid(talk, flags), name, written=written)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror}") from None
    talk.say(f"written: {path}. Next: crm-pipeline check -c {path}")
    return 0


def _source_of(
    source: str | None, config: str | None, flags: dict[str, Any]
) -> tuple[SourceSettings, str, dict[str, object] | None]:
    """Return the source, a name for the dataset, and the source as it is written."""
    if (source is None) == (config is None):
        raise click.UsageError("name a SOURCE, or with --config a job with a query")
    if source is None:
        found = found_job(config)
        job, _ = job_of(found, (), flags)
        if job.source.query is None:
            raise SettingsError(
                f"{config} has no source.query: name its files as SOURCE instead"
            )
        return job.source, found.job.name or Path(config or "").stem, found.source
    settings = SourceSettings(
        path=source if is_elsewhere(source) else str(Path(source).resolve()),
        format=flags["format_"],
        encoding=flags["encoding"],
        delimiter=flags["delimiter"],
    )
    name = Path(source).name.split(".", maxsplit=1)[0].strip("-") or "job"
    return settings, name, None


def _guid(talk: Talk, flags: dict[str, Any]) -> str | None:
    try:
        remote = remote_settings(
            Job(),
            base_url=flags["base_url"],
            ca_bundle=flags["ca_bundle"],
            env_proxy=flags["env_proxy"],
        )
    except TokenRefusedError:
        return None
    workspace = asyncio.run(
        workspace_of(connector_of(remote), flags["expect_workspace"])
    )
    talk.say(workspace_line(workspace))
    return workspace.guid
