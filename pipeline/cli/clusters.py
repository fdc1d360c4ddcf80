"""Whose processes work: the options that say so, and what they amount to."""

from __future__ import annotations

from typing import Any

import click

from pipeline import Cluster
from pipeline.cli.options import stacked
from pipeline.errors import SettingsError

cluster_options = stacked(
    click.option(
        "--engine",
        type=click.Choice(["local", "dask"]),
        default="local",
        help="Who does the work: this process, or a cluster. [default: local]",
    ),
    click.option(
        "--scheduler", metavar="ADDRESS", help="Of the cluster, as in tls://host:8786."
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="In its place, N processes of this machine.",
    ),
)


def cluster_for(flags: dict[str, Any]) -> Cluster | None:
    """
    Return whose workers work; None for this process.

    Raises:
        SettingsError: The flags contradict each other, or one would have no effect.
    """
    scheduler, n_workers = flags["scheduler"], flags["workers"]
    n_told = (scheduler is not None) + (n_workers is not None)
    if flags["engine"] == "local":
        if n_told:
            raise SettingsError("--scheduler and --workers are for --engine dask")
        return None
    if flags.get("dry_run"):
        raise SettingsError("--dry-run sends nothing, so it needs no --engine")
    if n_told != 1:
        raise SettingsError(
            "say where the workers are: --workers N for so many processes of this "
            "machine, or --scheduler tls://HOST:PORT for a cluster that is there"
        )
    return Cluster(scheduler, n_workers)
