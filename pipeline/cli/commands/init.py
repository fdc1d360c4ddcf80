"""`init`: a job file to start from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import propose_job, workspace_of
from pipeline.cli.options import (
    connector_of,
    remote_options,
    source_options,
    talk_of,
    talk_options,
)
from pipeline.cli.render import workspace_line
from pipeline.config import remote_settings
from pipeline.errors import CannotWriteError, TokenRefusedError
from pipeline.settings import Job, SourceSettings

if TYPE_CHECKING:
    from pipeline.cli.options import Talk


@click.command("init", short_help="Write a job file with a proposed mapping.")
@click.argument("source")
@click.option("-o", "--output", metavar="JOB", help="[default: NAME.yaml here]")
@click.option("--overwrite", is_flag=True, help="Replace an existing job file.")
@source_options
@remote_options
@talk_options
def command(source: str, output: str | None, *, overwrite: bool, **flags: Any) -> int:  # noqa: ANN401
    """
    Look at SOURCE and write a job file: the mapping found, what is left over, the pin.

    The workspace is pinned when credentials are set; nothing is sent.
    """
    talk = talk_of(verbose=flags["verbose"], quiet=flags["quiet"])
    settings = SourceSettings(
        path=str(Path(source).resolve()),
        format=flags["format_"],
        encoding=flags["encoding"],
        delimiter=flags["delimiter"],
    )
    name = Path(source).name.split(".", maxsplit=1)[0] or "job"
    path = Path(output or f"{name}.yaml")
    if path.exists() and not overwrite:
        raise CannotWriteError(f"{path} exists already; use --output or --overwrite")
    text = propose_job(settings, _guid(talk, flags), name)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror}") from None
    talk.say(f"written: {path}. Next: crm-pipeline check -c {path}")
    return 0


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
