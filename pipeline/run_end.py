"""
What happens when a run has ended: its health is kept, metrics and an alert are made.

Everything here is after the fact. Whatever fails is a sentence to warn with; it changes
neither the run nor its exit code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.errors import PipelineError
from pipeline.files import make_work_dir, replacing
from pipeline.health import (
    Health,
    after,
    alert,
    as_json,
    find,
    from_json,
    put,
    slack,
    told,
)
from pipeline.locks import lock_health
from pipeline.metrics import exposition
from pipeline.notify import Postbox, post
from pipeline.writer import write_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from typing import Any

    from pipeline.health import Ended

HEALTH_NAME: Final = "health.json"
_READABLE: Final = 0o644  # the node exporter runs as another user


@dataclass(frozen=True, slots=True)
class Channels:
    """
    Where the end of a run is told.

    Attributes:
        work_dir: Keeps the health; a run of the same dataset uses the same.
        metrics: Of Prometheus; None for none.
        postbox: For alerts; None for none.
        is_slack: Whether alerts have the form of Slack.
    """

    work_dir: Path
    metrics: Path | None = None
    postbox: Postbox | None = None
    is_slack: bool = False


async def tell_end(
    ended: Ended,
    channels: Channels,
    *,
    send: Callable[[dict[str, Any], Postbox], Awaitable[str | None]] = post,
) -> list[str]:
    """
    Keep the health of a dataset, write its metrics, and tell a change of it.

    Returns:
        What went wrong, in words; nothing of it is raised.

    Effects: first `health.json` is replaced, then the metrics, then the alert leaves,
    then `health.json` says that it was told. A crash between the last two, or an answer
    that was lost, tells it twice; a change that could not be told is told by the next
    run if it still is one. One process at a time; another one waits for it.
    """
    warnings: list[str] = []
    try:
        make_work_dir(channels.work_dir)
        with lock_health(channels.work_dir):
            health, records = _kept(ended, channels.work_dir, warnings)
            _measured(ended.dataset, records, channels.metrics, warnings)
            box = channels.postbox
            if box is None or health.change is None:
                return warnings
            form = slack if channels.is_slack else alert
            trouble = await send(form(health), box)
            if trouble is None:
                records = put(records, told(health))
                write_json(channels.work_dir / HEALTH_NAME, as_json(records))
            else:
                warnings.append(
                    f"the alert was not taken: {trouble}; the next run tells it, "
                    "unless nothing is new then"
                )
    except PipelineError as error:
        warnings.append(f"the health of the dataset is not kept: {error}")
    return warnings


def known_health(work_dir: Path) -> tuple[Health, ...]:
    """Return the health of the datasets of a work folder; only read."""
    return _read(work_dir) or ()


def _kept(
    ended: Ended, work_dir: Path, warnings: list[str]
) -> tuple[Health, tuple[Health, ...]]:
    path = work_dir / HEALTH_NAME
    known = _read(work_dir)
    if known is None:
        warnings.append(
            f"{path} cannot be read, or is of another version; it begins anew"
        )
    health = after(find(known or (), ended), ended)
    records = put(known or (), health)
    write_json(path, as_json(records))
    return health, records


def _read(work_dir: Path) -> tuple[Health, ...] | None:
    try:
        return from_json(json.loads((work_dir / HEALTH_NAME).read_bytes()))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):
        return None


def _measured(
    dataset: str,
    records: tuple[Health, ...],
    path: Path | None,
    warnings: list[str],
) -> None:
    if path is None:
        return
    text = exposition([health for health in records if health.last.dataset == dataset])
    try:
        with replacing(path) as draft:
            draft.write_text(text, encoding="utf-8")
            draft.chmod(_READABLE)
    except PipelineError as error:
        warnings.append(f"the metrics are not written: {error}")
