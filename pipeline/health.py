"""
The health of a dataset: how its runs ended, since when, and what of that was told.

One record for each activity of a dataset (`import`, `verify`, `export`), made from the
ends of its runs and nothing else. A record holds counts, codes and times, never a value
of a row. What is told is a change: a night that fails like the one before is no news.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION: Final = 1
OK: Final = 0
FAILING, CHANGED, RECOVERED = "failing", "changed", "recovered"


@dataclass(frozen=True, slots=True)
class Ended:
    """
    How a run ended.

    Attributes:
        dataset: As the journal names it.
        activity: What kind of run it was: a resumption is an import.
        exit_code: Of its process; 0 is health.
        at: Seconds since 1970.
        seconds: The run took.
        what: Why it is not 0, in words; no value of a row, no secret.
        says_nothing: Whether the dataset is as healthy as before: somebody stopped the
            run, or another one is at work.
        run_id: None when it ended before it had a name.
        rows: State → rows.
        n_requests: Sent.
        bytes_sent: In their bodies.
    """

    dataset: str
    activity: str
    exit_code: int
    at: float
    seconds: float
    what: str = ""
    says_nothing: bool = False
    run_id: str | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    n_requests: int = 0
    bytes_sent: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """
    The health of one activity of a dataset.

    Attributes:
        last: The run that ended last.
        exit_code: Of the last run that says something; None before the first.
        what: The words of that run.
        since_at: When a run first ended so, without another end since.
        last_ok_at: When a run last ended with 0; None if none did.
        told_exit_code: What the world was told last; 0 before anything was.
    """

    last: Ended
    exit_code: int | None = None
    what: str = ""
    since_at: float | None = None
    last_ok_at: float | None = None
    told_exit_code: int = OK

    @property
    def change(self) -> str | None:
        """What is new to whoever was told last; None when nothing is."""
        if self.exit_code is None or self.exit_code == self.told_exit_code:
            return None
        if self.exit_code == OK:
            return RECOVERED
        return FAILING if self.told_exit_code == OK else CHANGED


def after(known: Health | None, ended: Ended) -> Health:
    """Return the health of an activity when one more run of it has ended."""
    before = known or Health(ended)
    if ended.says_nothing:
        return replace(before, last=ended)
    is_as_before = before.exit_code == ended.exit_code
    return replace(
        before,
        last=ended,
        exit_code=ended.exit_code,
        what=ended.what,
        since_at=before.since_at if is_as_before else ended.at,
        last_ok_at=ended.at if ended.exit_code == OK else before.last_ok_at,
    )


def told(health: Health) -> Health:
    """Return it as it is once the world knows of it."""
    return replace(health, told_exit_code=health.exit_code or OK)


# -- one record among those of a work folder -----------------------------------------


def find(known: Sequence[Health], ended: Ended) -> Health | None:
    """Return the record of the activity and dataset of *ended*, if there is one."""
    return next((health for health in known if _is_of(health, ended)), None)


def put(known: Sequence[Health], health: Health) -> tuple[Health, ...]:
    """Return the records with *health* in the place of the one before it."""
    others = [other for other in known if not _is_of(other, health.last)]
    return tuple(
        sorted((*others, health), key=lambda h: (h.last.dataset, h.last.activity))
    )


def _is_of(health: Health, ended: Ended) -> bool:
    last = health.last
    return (last.dataset, last.activity) == (ended.dataset, ended.activity)


def as_json(known: Sequence[Health]) -> dict[str, Any]:
    """Return records as a document; `from_json` reads it."""
    return {"version": VERSION, "health": [asdict(health) for health in known]}


def from_json(read: object) -> tuple[Health, ...] | None:
    """Return the records of a document; None when this version did not write it."""
    if not isinstance(read, dict) or read.get("version") != VERSION:
        return None
    try:
        return tuple(map(_record, read["health"]))
    except (KeyError, TypeError):
        return None


def _record(told: Mapping[str, Any]) -> Health:
    last = Ended(**told["last"])
    names = {one.name for one in fields(Health)}
    if set(told) != names:
        raise KeyError(names)
    return Health(**{**told, "last": last})


# -- what is told --------------------------------------------------------------------


def alert(health: Health) -> dict[str, Any]:
    """
    Return the alert about a change.

    Its `id` is the same when the same change is told once more, as after a crash.
    """
    last = health.last
    since = _when(health.since_at or last.at)
    key = f"{last.dataset}\0{last.activity}\0{health.exit_code}\0{since}"
    return {
        "version": VERSION,
        "id": hashlib.sha256(key.encode()).hexdigest()[:16],
        "event": health.change,
        "dataset": last.dataset,
        "activity": last.activity,
        "exit_code": health.exit_code,
        "exit_code_before": health.told_exit_code,
        "since": since,
        "last_ok": None if health.last_ok_at is None else _when(health.last_ok_at),
        "run_id": last.run_id,
        "rows": dict(last.rows),
        "text": sentence(health),
    }


def slack(health: Health) -> dict[str, Any]:
    """Return the same in the form that webhooks of Slack take."""
    text = sentence(health)
    for char, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, escaped)
    return {"text": text}


def sentence(health: Health) -> str:
    """Return the change in words, for people."""
    last = health.last
    who = f"crm-pipeline: {last.activity} of {last.dataset}"
    run = f", run {last.run_id}" if last.run_id else ""
    if health.change == RECOVERED:
        return (
            f"{who} has recovered (it failed with exit {health.told_exit_code} "
            f"before){run}"
        )
    before = (
        f", with exit {health.told_exit_code} before"
        if health.change == CHANGED
        else ""
    )
    what = f": {health.what}" if health.what else ""
    return f"{who} is failing with exit {health.exit_code}{before}{run}{what}"


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
