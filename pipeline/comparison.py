"""
Whether a profile holds what was sent, under the few liberties a CRM may take.

Liberties (API 3.5, 3.6, 3.9; the rest is not documented and counts as a difference):
outer white space of text; the case of e-mails and UUIDs; phones are their digits;
`1`, `"true"` and `true` are one consent; tags are a set; 1 and 1.0 are one number. What
was erased may be missing, null, empty, or the default of its field.

They are told by one function, `canonical`: values are the same where it returns the
same text. `reconcile/canonical.py` is its fast form for columns.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_NOT_DIGITS: Final = re.compile(r"[^0-9]+")
_ERASED: Final = frozenset({None, "", False, "NOT_SPECIFIED"})
_CONSENTS: Final = {"true": "true", "1": "true", "false": "false", "0": "false"}


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One field that does not hold what was sent.

    Attributes:
        field: As a job names it, `attributes.NAME` for one of several.
        sent: As it was sent, parsed.
        found: As the service gave it; None also when it is missing.
    """

    field: str
    sent: Any
    found: Any


def differences(
    sent: Mapping[str, Any], found: Mapping[str, Any]
) -> tuple[Difference, ...]:
    """Return every sent field that *found*, a profile as `/v4` gives it, lacks."""
    return tuple(_differences(sent, found))


def _differences(
    sent: Mapping[str, Any], found: Mapping[str, Any]
) -> Iterator[Difference]:
    for name, value in sent.items():
        there = found.get(name)
        if name in ("attributes", "agreements") and isinstance(value, dict):
            parts = there if isinstance(there, dict) else {}
            for part, wanted in value.items():
                field = f"{name}.{part}"
                if not is_held(field, wanted, parts.get(part)):
                    yield Difference(field, wanted, parts.get(part))
        elif not is_held(name, value, there):
            yield Difference(name, value, there)


def is_held(field: str, wanted: object, there: object) -> bool:
    """
    Return whether a profile that has *there* in *field* holds *wanted*.

    Args:
        field: Its dotted path.
        wanted: None asks for nothing: null, empty, or the default of the field.
        there: None where the profile has no such field.
    """
    if wanted is None:
        return there in ([], {}) or (_is_plain(there) and there in _ERASED)
    return there is not None and canonical(field, wanted) == canonical(field, there)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | bool)


def canonical(field: str, value: object) -> str:
    """
    Return a text that two values of *field* share exactly where they are the same.

    Args:
        field: Its dotted path.
        value: As JSON is parsed.
    """
    if field.startswith("agreements."):
        return _CONSENTS.get(str(value).lower()) or _value(value)
    return _CANONICAL.get(field, _value)(value)


def _value(value: object) -> str:
    """Return JSON with texts trimmed and numbers in one form each."""
    if isinstance(value, str):
        return _json(_text(value))
    if isinstance(value, bool) or value is None:
        # A truth value is no number here, though Python counts it as one.
        return _json(value)
    if isinstance(value, dict):
        members = (f"{_json(key)}:{_value(value[key])}" for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_value, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return repr(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _caseless(value: object) -> str:
    return _json(_text(str(value)).casefold())


def _phone(value: object) -> str:
    return _NOT_DIGITS.sub("", str(value)).removeprefix("00")


def _tags(value: object) -> str:
    if not isinstance(value, list):
        return _value(value)
    return "[" + ",".join(sorted({_json(_text(str(tag))) for tag in value})) + "]"


def _text(value: str) -> str:
    return unicodedata.normalize("NFC", value.strip())


_CANONICAL: Final[Mapping[str, Callable[[object], str]]] = {
    "clientId": str,
    "email": _caseless,
    "uuid": _caseless,
    "phone": _phone,
    "tags": _tags,
}
