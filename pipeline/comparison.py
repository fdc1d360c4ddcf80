"""
Whether a profile holds what was sent, under the few liberties a CRM may take.

Liberties (API 3.5, 3.6, 3.9; the rest is not documented and counts as a difference):
outer white space of text; the case of e-mails and UUIDs; phones are their digits;
`1`, `"true"` and `true` are one consent; tags are a set; 1 and 1.0 are one number. What
was erased may be missing, null, empty, or the default of its field.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NOT_DIGITS: Final = re.compile(r"[^0-9]+")
_ERASED: Final = frozenset({None, "", False, "NOT_SPECIFIED"})
_CONSENTS: Final = {"true": True, "1": True, "false": False, "0": False}


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
            same = _same_consent if name == "agreements" else _same_value
            for part, wanted in value.items():
                if not _is_held(wanted, parts.get(part), same):
                    yield Difference(f"{name}.{part}", wanted, parts.get(part))
        elif not _is_held(value, there, _SAME.get(name, _same_value)):
            yield Difference(name, value, there)


def _is_held(wanted: object, there: object, same: Any) -> bool:  # noqa: ANN401 - a rule
    if wanted is None:
        return there in ([], {}) or (_is_plain(there) and there in _ERASED)
    return there is not None and bool(same(wanted, there))


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | bool)


def _same_value(wanted: object, there: object) -> bool:
    if isinstance(wanted, str) and isinstance(there, str):
        return _text(wanted) == _text(there)
    if isinstance(wanted, dict) and isinstance(there, dict):
        return wanted.keys() == there.keys() and all(
            _same_value(value, there[name]) for name, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(there, list):
        return len(wanted) == len(there) and all(
            _same_value(*pair) for pair in zip(wanted, there, strict=True)
        )
    # A truth value is no number here, though Python counts it as one.
    is_truth = isinstance(wanted, bool), isinstance(there, bool)
    return is_truth[0] == is_truth[1] and wanted == there


def _same_consent(wanted: object, there: object) -> bool:
    return _CONSENTS.get(str(wanted).lower(), wanted) == _CONSENTS.get(
        str(there).lower(), there
    )


def _same_caseless(wanted: object, there: object) -> bool:
    return _text(str(wanted)).casefold() == _text(str(there)).casefold()


def _same_phone(wanted: object, there: object) -> bool:
    return _digits(wanted) == _digits(there)


def _same_id(wanted: object, there: object) -> bool:
    return str(wanted) == str(there)


def _same_tags(wanted: object, there: object) -> bool:
    if not isinstance(wanted, list) or not isinstance(there, list):
        return False
    return {_text(str(tag)) for tag in wanted} == {_text(str(tag)) for tag in there}


def _text(value: str) -> str:
    return unicodedata.normalize("NFC", value.strip())


def _digits(value: object) -> str:
    return _NOT_DIGITS.sub("", str(value)).removeprefix("00")


_SAME: Final = {
    "clientId": _same_id,
    "email": _same_caseless,
    "uuid": _same_caseless,
    "phone": _same_phone,
    "tags": _same_tags,
}
