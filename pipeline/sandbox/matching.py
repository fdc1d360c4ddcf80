"""
Which profile an item is about: found, created, merged, or left alone in silence.

Pure. The caller looks up who owns each identifier of the item and hands the owners
over; `decide` answers what happens. Both descriptions of the platform are here, the
older table with its conflicts and the newer automatic merge (API contract, 5.5).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from pipeline.sandbox import facts
from pipeline.sandbox.profiles import Profile, is_recognised
from pipeline.sandbox.switches import Switches

LINKING_FIELDS: Final = ("email", "customId", "uuid")


class Action(Enum):
    """What an item does to the workspace."""

    CREATE = "created"
    UPDATE = "updated"
    MERGE = "merged"
    CONFLICT = "conflict"  # answered 202, and nothing of the item is stored
    IGNORE = "ignored"  # addresses nobody, and creates nobody


@dataclass(frozen=True, slots=True)
class Owners:
    """
    The profiles an item touches.

    Attributes:
        addressed: The profile named by `clientId` in a batch item or by the path.
        phone: The profile a sole phone finds; None when the phone is not alone.
    """

    addressed: Profile | None = None
    email: Profile | None = None
    custom_id: Profile | None = None
    uuid: Profile | None = None
    phone: Profile | None = None

    def distinct(self) -> tuple[Profile, ...]:
        """Return the owners of linking identifiers, each once, e-mail first."""
        found = (self.email, self.custom_id, self.uuid)
        return tuple({p.client_id: p for p in found if p is not None}.values())


@dataclass(frozen=True, slots=True)
class Decision:
    """The action, the profile that stays, and those that are dissolved in it."""

    action: Action
    target: Profile | None = None
    sources: tuple[Profile, ...] = ()


def index_key(field: str, value: str, rules: Switches) -> str:
    """Bring an identifier into the form in which two of them are compared."""
    if field == "email":
        case = rules.email_case
    else:
        case = rules.uuid_case if field == "uuid" else rules.custom_id_case
    return value if case == "exact" else value.lower()


def linking_keys(item: Mapping[str, Any], rules: Switches) -> list[tuple[str, str]]:
    """List the identifiers of an item that can find a profile, phone excluded."""
    return [
        (field, index_key(field, item[field], rules))
        for field in LINKING_FIELDS
        if item.get(field) is not None
        and not (field == "email" and rules.non_unique_emails)
    ]


def sole_phone(item: Mapping[str, Any], rules: Switches) -> str | None:
    """
    Return the phone when it is the identifier of the item.

    It is one only when no other identifier is supplied (API contract, section 3.2).
    """
    if rules.phone_match == "none":
        return None
    if any(item.get(field) is not None for field in LINKING_FIELDS):
        return None
    phone: str | None = item.get("phone")
    return phone


def decide(item: Mapping[str, Any], owners: Owners, rules: Switches) -> Decision:
    """
    Decide what a valid item does.

    Args:
        owners: Who owns the identifiers of exactly this item.
    """
    linked = owners.distinct()
    if owners.addressed is not None:
        return _decide_addressed(owners.addressed, owners, rules)
    if not linked:
        return _decide_unlinked(item, owners, rules)
    if len(linked) == 1:
        return Decision(Action.UPDATE, linked[0])
    if rules.merge_policy == "auto_merge":
        target = _choose_target(linked, rules)
        return Decision(Action.MERGE, target, _without(linked, target))
    return _decide_by_table(owners, rules)


def _decide_addressed(target: Profile, owners: Owners, rules: Switches) -> Decision:
    """
    Update the addressed profile, which survives any merge.

    The contract is silent about other identifiers beside an address; the owners of
    these are treated as the cells of the table would treat them (5.5, 5.6).
    """
    others = _without(owners.distinct(), target)
    if not others:
        return Decision(Action.UPDATE, target)
    if rules.merge_policy == "legacy_conflict":
        strong = _without(_present(owners.email, owners.custom_id), target)
        if strong or is_recognised(others[0].scalars, rules):
            return Decision(Action.CONFLICT)
    return Decision(Action.MERGE, target, others)


def _decide_unlinked(
    item: Mapping[str, Any], owners: Owners, rules: Switches
) -> Decision:
    if owners.phone is not None:
        return Decision(Action.UPDATE, owners.phone)
    names = [n for n in facts.IDENTIFIER_FIELDS if item.get(n) is not None]
    if not names or (names == ["phone"] and rules.non_unique_emails):
        return Decision(Action.IGNORE)
    return Decision(Action.CREATE)


def _decide_by_table(owners: Owners, rules: Switches) -> Decision:
    """
    Apply the older table to identifiers of at least two profiles.

    Everything but one kind of cell is a conflict: the owner of the uuid may be
    dissolved in the owner of the e-mail or customId, if it is anonymous.
    """
    strong = {p.client_id: p for p in _present(owners.email, owners.custom_id)}
    if len(strong) > 1 or owners.uuid is None:
        return Decision(Action.CONFLICT)
    if is_recognised(owners.uuid.scalars, rules):
        return Decision(Action.CONFLICT)
    (target,) = strong.values()
    return Decision(Action.MERGE, target, (owners.uuid,))


def _choose_target(linked: tuple[Profile, ...], rules: Switches) -> Profile:
    """Choose who survives an automatic merge (open question 12)."""
    by_age = sorted(linked, key=lambda profile: profile.client_id)
    if rules.merge_target == "newest":
        return by_age[-1]
    if rules.merge_target == "recognised_first":
        by_age.sort(key=lambda profile: not is_recognised(profile.scalars, rules))
    return by_age[0]


def _present(*profiles: Profile | None) -> tuple[Profile, ...]:
    return tuple(profile for profile in profiles if profile is not None)


def _without(profiles: tuple[Profile, ...], target: Profile) -> tuple[Profile, ...]:
    return tuple(p for p in profiles if p.client_id != target.client_id)


def merge(target: Profile, sources: tuple[Profile, ...], rules: Switches) -> Profile:
    """
    Dissolve the sources in the target, before the item itself is laid over it.

    Identities move and missing attributes are copied under both policies. Properties
    and tags of the sources are lost under `auto_merge`; under the older description
    the target's data win, so that its gaps are filled (API contract, section 5.5).
    """
    scalars = dict(target.scalars)
    attributes = dict(target.attributes)
    tags = list(target.tags)
    uuids = list(target.uuids)
    for source in sources:
        attributes = {**source.attributes, **attributes}
        uuids += [own for own in source.uuids if own not in uuids]
        if rules.merge_policy == "legacy_conflict":
            _fill_gaps(scalars, source.scalars)
            tags += [tag for tag in source.tags if tag not in tags]
    return Profile(
        client_id=target.client_id,
        scalars=scalars,
        agreements=target.agreements,
        attributes=attributes,
        tags=tuple(tags),
        uuids=tuple(uuids),
        created_s=target.created_s,
        updated_s=target.updated_s,
    )


def _fill_gaps(
    scalars: dict[str, str | None], source: Mapping[str, str | None]
) -> None:
    for field, value in source.items():
        if scalars[field] is None or scalars[field] == facts.DEFAULT_SEX:
            scalars[field] = value
