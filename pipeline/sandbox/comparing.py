"""
Whether two workspaces hold the same profiles, whatever the order they came in.

What depends on when a profile came, or on how many came before it, is left out: its id,
its times, the uuid that was made for it and the traces of the last write.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pipeline.sandbox import facts
from pipeline.sandbox.profiles import Profile, generated_uuid
from pipeline.sandbox.store import Store

# In the order of how surely they name one profile.
_NAMES: Final = ("customId", "email", "uuid", "phone")
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Name:
    """A profile by one of its identifiers."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Differences:
    """
    What one workspace holds that another one does not.

    Attributes:
        missing: Profiles of the first that the second has not.
        altered: Profiles that both have, with other content.
        n_added: Profiles of the second that the first has not.
        n_left_out: Profiles of the first that were not compared.
    """

    n_equal: int
    missing: tuple[Name, ...]
    altered: tuple[Name, ...]
    n_added: int
    n_left_out: int

    @property
    def lost(self) -> tuple[Name, ...]:
        """Profiles that are not as they are in the first."""
        return self.missing + self.altered


def differences(
    first: Store, second: Store, *, ambiguous_phones: Collection[str] = ()
) -> Differences:
    """
    Compare two workspaces, profile by profile; what waits counts as applied.

    Args:
        ambiguous_phones: Profiles with these are left out: which writes they took
            depends on the order of the writes.

    Memory: two digests a profile of the second.
    """
    there = {
        _key(_name_of(profile)): _digest(_lasting(profile))
        for profile in _profiles(second)
        if profile.scalars["phone"] not in ambiguous_phones
    }
    missing: list[Name] = []
    altered: list[Name] = []
    n_equal = n_left_out = 0
    for profile in _profiles(first):
        if profile.scalars["phone"] in ambiguous_phones:
            n_left_out += 1
            continue
        name = _name_of(profile)
        found = there.pop(_key(name), None)
        if found is None:
            missing.append(name)
        elif found != _digest(_lasting(profile)):
            altered.append(name)
        else:
            n_equal += 1
    return Differences(n_equal, tuple(missing), tuple(altered), len(there), n_left_out)


def _profiles(store: Store) -> Iterator[Profile]:
    store.settle()
    return store.profiles()


def _name_of(profile: Profile) -> Name:
    own = generated_uuid(profile.client_id)
    for field in _NAMES:
        value = profile.scalars[field]
        if value is not None and value != own:
            return Name(field, value)
    return Name("uuid", own)


def _key(name: Name) -> bytes:
    return _digest([name.field, name.value])


def _lasting(profile: Profile) -> dict[str, Any]:
    own = generated_uuid(profile.client_id)
    scalars = dict(profile.scalars)
    if scalars["uuid"] == own:
        scalars["uuid"] = None
    attributes = profile.attributes.items()
    return {
        "scalars": scalars,
        "agreements": dict(profile.agreements),
        "attributes": {k: v for k, v in attributes if k not in facts.SYSTEM_ATTRIBUTES},
        "tags": list(profile.tags),
        "uuids": [uuid for uuid in profile.uuids if uuid != own],
    }


def _digest(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
