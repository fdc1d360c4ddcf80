"""
Queued writes, and what a whole batch of them does to the profiles it touches.

Pure over a `Bench`: the store lays out the profiles a batch can touch, `apply_writes`
works on them in memory, and the store takes back what changed. That is what makes a
batch of a thousand items one read and one write of the database.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipeline.sandbox.matching import (
    Action,
    Owners,
    decide,
    index_key,
    linking_keys,
    merge,
    sole_phone,
)
from pipeline.sandbox.profiles import Profile, Stamp, create, update
from pipeline.sandbox.switches import Switches


class WriteKind(Enum):
    """Where a write came from, as far as its effect depends on it."""

    UPSERT = "upsert"  # a batch item
    CREATE = "create"  # POST /v4/clients
    UPDATE = "update"  # an update by path: never creates
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Write:
    """
    One accepted operation that waits to be applied.

    Attributes:
        client_id: The profile named by the path, None for a create or a batch item.
        item: A cleaned item; empty for a delete.
    """

    kind: WriteKind
    client_id: int | None
    item: Mapping[str, Any]

    def addressed_id(self) -> int | None:
        """Return the id the write addresses, by its path or inside its item."""
        if self.client_id is not None:
            return self.client_id
        addressed: int | None = self.item.get("clientId")
        return addressed


Keys = frozenset[tuple[str, str]]
IndexRows = set[tuple[str, str, int]]


def profile_keys(profile: Profile, rules: Switches) -> Keys:
    """List everything that finds a profile, phone excluded: one row of the index."""
    scalars = profile.scalars
    keys = [("uuid", index_key("uuid", own, rules)) for own in profile.uuids]
    if scalars["customId"] is not None:
        keys.append(("customId", index_key("customId", scalars["customId"], rules)))
    if scalars["email"] is not None and not rules.non_unique_emails:
        keys.append(("email", index_key("email", scalars["email"], rules)))
    return frozenset(keys)


class Bench:
    """
    The profiles a run of writes can touch, with an index over their identifiers.

    What is not on the bench does not exist for the writes, so the store must lay out
    every owner of every identifier, phone and clientId that occurs in them.
    """

    def __init__(
        self, profiles: Iterable[Profile], next_client_id: int, rules: Switches
    ) -> None:
        self.next_client_id = next_client_id
        self.changed: set[int] = set()
        self._rules = rules
        self._profiles: dict[int, Profile] = {}
        self._index: dict[tuple[str, str], int] = {}
        self._phones: dict[str, list[int]] = {}
        self._keys: dict[int, Keys] = {}
        for profile in profiles:
            self._enter(profile)
        self._keys_before = dict(self._keys)

    def __getitem__(self, client_id: int) -> Profile | None:
        return self._profiles.get(client_id)

    def owners(self, write: Write) -> Owners:
        """Look up who owns what the write carries."""
        addressed = write.addressed_id()
        found = {
            kind: self._profiles[self._index[kind, key]]
            for kind, key in linking_keys(write.item, self._rules)
            if (kind, key) in self._index
        }
        return Owners(
            addressed=None if addressed is None else self._profiles.get(addressed),
            email=found.get("email"),
            custom_id=found.get("customId"),
            uuid=found.get("uuid"),
            phone=self._phone_owner(sole_phone(write.item, self._rules)),
        )

    def new_client_id(self) -> int:
        """Take the next id; none is ever given twice."""
        self.next_client_id += 1
        return self.next_client_id - 1

    def put(self, profile: Profile) -> None:
        """Add a profile, or replace the one with its id."""
        self._leave(profile.client_id)
        self._enter(profile)
        self.changed.add(profile.client_id)

    def remove(self, client_id: int) -> None:
        """Take a profile away; its identifiers are free again."""
        self._leave(client_id)
        self.changed.add(client_id)

    def index_changes(self) -> tuple[IndexRows, IndexRows]:
        """Return what the identifier index lost and what it gained."""
        lost: IndexRows = set()
        gained: IndexRows = set()
        for client_id in self.changed:
            before = self._keys_before.get(client_id, frozenset())
            after = self._keys.get(client_id, frozenset())
            if before != after:
                lost.update((*key, client_id) for key in before - after)
                gained.update((*key, client_id) for key in after - before)
        return lost, gained

    def _phone_owner(self, phone: str | None) -> Profile | None:
        owners = self._phones.get(phone) if phone is not None else None
        if not owners:
            return None
        pick = max if self._rules.phone_match == "newest" else min
        return self._profiles[pick(owners)]

    def _enter(self, profile: Profile) -> None:
        client_id = profile.client_id
        self._profiles[client_id] = profile
        self._keys[client_id] = keys = profile_keys(profile, self._rules)
        self._index.update(dict.fromkeys(keys, client_id))
        phone = profile.scalars["phone"]
        if phone is not None:
            self._phones.setdefault(phone, []).append(client_id)

    def _leave(self, client_id: int) -> None:
        profile = self._profiles.pop(client_id, None)
        if profile is None:
            return
        for key in self._keys.pop(client_id):
            del self._index[key]
        phone = profile.scalars["phone"]
        if phone is not None:
            self._phones[phone].remove(client_id)


def in_order(
    writes: Sequence[Write], write_no: int, rules: Switches
) -> Sequence[Write]:
    """Return the writes of one request in the order of processing (question 11)."""
    if rules.batch_order == "array":
        return writes
    shuffled = list(writes)
    random.Random(write_no).shuffle(shuffled)  # noqa: S311 - repeatable on purpose
    return shuffled


def apply_writes(
    writes: Iterable[Write], bench: Bench, stamp: Stamp, rules: Switches
) -> dict[str, int]:
    """
    Apply writes one after another, each to what the ones before it left.

    Returns:
        How many of them had which effect; the keys are values of `Action`, and
        `deleted`. Nobody but a test of the sandbox ever learns these numbers.
    """
    effects: dict[str, int] = {}
    for write in writes:
        effect = _apply(write, bench, stamp, rules)
        effects[effect] = effects.get(effect, 0) + 1
    return effects


def _apply(write: Write, bench: Bench, stamp: Stamp, rules: Switches) -> str:
    if write.client_id is not None and bench[write.client_id] is None:
        return Action.IGNORE.value  # deleted or merged away while the write waited
    if write.kind is WriteKind.DELETE and write.client_id is not None:
        bench.remove(write.client_id)
        return "deleted"
    decision = decide(write.item, bench.owners(write), rules)
    target = decision.target
    if decision.action is Action.CREATE:
        bench.put(create(bench.new_client_id(), write.item, stamp, rules))
    elif target is not None:
        if write.kind is WriteKind.CREATE and not rules.create_upserts:
            return Action.IGNORE.value
        for source in decision.sources:
            bench.remove(source.client_id)
        if decision.sources:
            target = merge(target, decision.sources, rules)
        bench.put(update(target, write.item, stamp, rules))
    return decision.action.value
