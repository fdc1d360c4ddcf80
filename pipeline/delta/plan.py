"""
A plan as a record: what would be sent, made from what, and until when it may be.

It holds counts, digests and names of fields; values only in the files it vouches for.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.delta.watermark import Watermark, watermark_of
from pipeline.errors import SettingsError, SourceChangedError
from pipeline.records import Fingerprint

if TYPE_CHECKING:
    from pipeline.settings import Job, Mapping
    from pipeline.settings_sync import SyncMode

PLAN_NAME: Final = "plan.json"
ROWS_NAME: Final = "rows.parquet"
VANISHED_NAME: Final = "vanished.parquet"
SEEN_NAME: Final = "seen.parquet"
SHARED_NAME: Final = "shared.parquet"
ABSENT_NAME: Final = "absent.parquet"
DELETES_NAME: Final = "deletes.parquet"
KEPT_NAME: Final = "kept.parquet"
PLAN_VERSION: Final = 1
# What shapes no body and chooses no row.
_NO_SHAPE: Final = {
    "work_dir",
    "keep_runs_days",
    "notify",
    "metrics",
    "verify",
    "verify_rows",
    "settle",
    "delivery",
    "sync",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What a plan would do, in numbers.

    Attributes:
        n_read: Rows of the source.
        n_new: Persons that no state is trusted of; all of these are sent whole.
        n_changed: Persons with a field that differs.
        n_unchanged: Persons that are not sent.
        n_vanished: Persons of the state without a row that can be sent today.
        n_known: Persons of the state that were trusted before.
        changed_fields: Field → changed persons in whom it differs.
        lost_fields: Field → known persons that had it and do not give it today.
        given_fields: Field → persons that give it today.
        erased_fields: Field → planned rows that erase it, where it was not erased yet.
        withdrawn: Agreement → planned rows that withdraw it.
        granted: Agreement → planned rows that grant it.
        odd_values: Field → persons with a value that is not accepted.
        n_bytes: Of all bodies.
        n_requests: That the rows need.
        n_adopted: Persons of whom an export showed what the CRM holds.
        n_looked_up: Persons that the CRM was asked for.
        held_back: Code → rows that the mode does not let go.
        n_deletes: Profiles that are deleted.
        n_kept: Persons without a row who are not: nothing shows that this tool made
            them, or their profiles are not found as they were.
    """

    n_read: int = 0
    n_new: int = 0
    n_changed: int = 0
    n_unchanged: int = 0
    n_vanished: int = 0
    n_known: int = 0
    changed_fields: dict[str, int] = field(default_factory=dict)
    lost_fields: dict[str, int] = field(default_factory=dict)
    given_fields: dict[str, int] = field(default_factory=dict)
    erased_fields: dict[str, int] = field(default_factory=dict)
    withdrawn: dict[str, int] = field(default_factory=dict)
    granted: dict[str, int] = field(default_factory=dict)
    odd_values: dict[str, int] = field(default_factory=dict)
    n_bytes: int = 0
    n_requests: int = 0
    n_adopted: int = 0
    n_looked_up: int = 0
    held_back: dict[str, int] = field(default_factory=dict)
    n_deletes: int = 0
    n_kept: int = 0

    @property
    def n_planned(self) -> int:
        """Rows that would be sent."""
        return self.n_new + self.n_changed

    @property
    def n_persons(self) -> int:
        """Persons of the source that could be sent, in one mode or another."""
        return self.n_planned + self.n_unchanged + self.n_held_back

    @property
    def n_held_back(self) -> int:
        """Rows that the mode does not let go."""
        return sum(self.held_back.values())


@dataclass(frozen=True, slots=True)
class Plan:
    """
    A plan, as `plan.json` keeps it.

    Attributes:
        plan_id: The name of its folder, and of the run that applies it.
        made_at: Seconds since 1970.
        max_age_s: After which it is not begun any more.
        workspace: GUID of the workspace it is for.
        dataset: As `journal_tables.Run` has it.
        job_file: Where the job was read; None without one.
        mapping_digest: Of the job, as far as it shapes bodies or chooses rows.
        rules: Field → digest of how it is read, to explain what changed.
        key_id: Of the key of the digests, see `digests.key_id`.
        state_generation: Of the state it was compared with; 0 when there was none.
        run_generation: Of the last run of the dataset that had begun by then, as the
            journal counts; 0 when there was none.
        fingerprints: Of the files of the source.
        files: Name of a file of the plan → SHA-256.
        reasons: Why rows are planned that do not differ, in words.
        mode: Whom its rows may be of.
        trips: What stops `sync` from applying it, in words.
        watermark: Which one is kept once every row of it is accepted.
        is_whole: Whether the whole source was read.
    """

    plan_id: str
    made_at: float
    max_age_s: float
    workspace: str
    dataset: str
    job_file: str | None
    mapping_digest: str
    rules: dict[str, str]
    key_id: str
    state_generation: int
    run_generation: int
    fingerprints: tuple[Fingerprint, ...]
    files: dict[str, str]
    figures: Figures
    mode: SyncMode = "upsert"
    reasons: tuple[str, ...] = ()
    trips: tuple[str, ...] = ()
    watermark: Watermark | None = None
    is_whole: bool = True
    version: int = PLAN_VERSION


@dataclass(frozen=True, slots=True)
class Night:
    """What the guards compare a plan with: the figures of one that was applied."""

    run_id: str
    n_read: int
    n_persons: int
    n_planned: int
    given_fields: dict[str, int]


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as its file has it."""
    told = asdict(plan)
    # As JSON has it: what is read must come to the same digest.
    told = json.loads(json.dumps(told))
    return {**told, "digest": _digest(told)}


def plan_of(text: bytes, where: str) -> Plan:
    """
    Read a plan.

    Args:
        where: The file, for a message.

    Raises:
        SettingsError: Another version of the tool made it.
        SourceChangedError: It is no plan.
    """
    try:
        told = json.loads(text)
        version = int(told["version"])
    except (ValueError, KeyError, TypeError):
        raise SourceChangedError(
            f"{where} is not what `plan` wrote: make a new plan"
        ) from None
    if version != PLAN_VERSION:
        raise SettingsError(
            f"{where} was made by another version of crm-pipeline: make a new plan"
        )
    try:
        if told.pop("digest") != _digest(told):
            raise SourceChangedError(
                f"{where} was altered. Nothing was sent: make a new plan"
            )
        prints = tuple(Fingerprint(**one) for one in told["fingerprints"])
        parts = told | {
            "figures": Figures(**told["figures"]),
            "fingerprints": prints,
            "reasons": tuple(told["reasons"]),
            "trips": tuple(told["trips"]),
            "watermark": watermark_of(told.get("watermark")),
        }
        return Plan(**parts)
    except (KeyError, TypeError, AttributeError):
        raise SourceChangedError(
            f"{where} is not what `plan` wrote: make a new plan"
        ) from None


def mapping_digest(job: Job) -> str:
    """Return a digest of what in a job shapes bodies, or chooses rows."""
    shape = job.model_dump(mode="json", exclude=_NO_SHAPE)
    shape["source"].pop("path")
    shape["workspace"].pop("guid")
    shape["fields"] = job.sync.fields
    if job.sync.mode != "upsert":
        shape["mode"] = job.sync.mode
    return _digest(shape)


def reading_digest(job: Job, mapping: Mapping) -> str:
    """Return a digest of all that makes rows of a source: with it they are the same."""
    lag_s = job.sync.watermark.lag if job.sync.watermark else None
    return _digest([mapping_digest(job), rule_digests(mapping), lag_s])


def rule_digests(mapping: Mapping) -> dict[str, str]:
    """Return for each mapped field a digest of how it is read."""
    return {
        rule.name: _digest([rule.column, rule.options.model_dump(mode="json")])
        for rule in mapping.rules
    }


def mapping_words(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Say in words what of a mapping is another one, and what follows."""
    added = [name for name in now if name not in before]
    removed = [name for name in before if name not in now]
    other = [n for n in now if n in before and now[n] != before[n]]
    words = []
    if added:
        words.append(
            f"the mapping has new fields ({', '.join(added)}): every row that gives "
            "one counts as changed"
        )
    if removed:
        words.append(
            f"the mapping has no longer {', '.join(removed)}: nothing is sent for it, "
            "and the CRM keeps what it has"
        )
    if other:
        words.append(
            f"the mapping reads {', '.join(other)} in another way: rows that come out "
            "different count as changed"
        )
    return words


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
