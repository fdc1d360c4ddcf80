"""`sandbox`: the simulator on a port."""

from __future__ import annotations

import json
import os

import click

from pipeline.errors import CannotWriteError, SettingsError
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, serve
from pipeline.sandbox.weather import PRESETS, parse_weather


@click.command("sandbox", short_help="Serve a simulator of the API.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True)
@click.option(
    "--weather",
    default="calm",
    show_default=True,
    metavar="SPEC",
    help=f"{', '.join(PRESETS)}, and changes: rain,seed=7,throttle=0.1",
)
@click.option("--seed-profiles", type=click.IntRange(0), default=0, metavar="N")
@click.option("--settle", type=float, default=0.3, show_default=True, metavar="SECONDS")
@click.option("--database", default=":memory:", metavar="FILE", help="Keep profiles.")
def command(
    *, port: int, weather: str, seed_profiles: int, settle: float, database: str
) -> int:
    """
    Serve a simulator of the API on this machine until a signal comes.

    When it is ready, one line of JSON on stdout tells base_url, api_key,
    workspace_guid and pid; the same key always works.
    """
    try:
        sky = parse_weather(weather)
    except ValueError as error:
        raise SettingsError(f"--weather: {error}") from None
    options = SandboxOptions(
        weather=sky, seed_profiles=seed_profiles, settle_s=settle, database=database
    )
    try:
        serve(options, port=port, on_ready=_tell)
    except OSError as error:
        raise CannotWriteError(
            f"cannot listen on port {port}: {error.strerror}. Choose another one with "
            "--port, or 0 for any free one"
        ) from None
    return 0


def _tell(running: RunningSandbox) -> None:
    told = {
        "base_url": running.base_url,
        "api_key": running.api_key,
        "workspace_guid": running.workspace_guid,
        "pid": os.getpid(),
    }
    click.echo(json.dumps(told))
