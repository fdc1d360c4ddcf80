"""
Which bodies and which items the API takes, and in which form it keeps them.

Pure. A body is refused as a whole (`MalformedBodyError`) or read; an item is cleaned:
unknown keys and reserved attribute names fall out, agreements become booleans, and
what breaks a rule becomes a `Problem`. What a problem does to the rest of its batch
is decided elsewhere (open question 4).
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from pipeline.sandbox import facts
from pipeline.sandbox.switches import Switches

_IDENTIFIER_FORBIDDEN: Final = re.compile(facts.IDENTIFIER_FORBIDDEN)
_NAME_FORBIDDEN: Final = re.compile(facts.ATTRIBUTE_NAME_FORBIDDEN)
_EMAIL: Final = re.compile(facts.EMAIL_PATTERN)
_PHONE: Final = re.compile(facts.PHONE_PATTERN)
_BIRTH_DATE: Final = re.compile(facts.BIRTH_DATE_PATTERN)
_UUID: Final = re.compile(facts.UUID_PATTERN)
_IGNORED_NAMES: Final = facts.RESERVED_ATTRIBUTES | facts.CLIENT_RESERVED_ATTRIBUTES
_INT64: Final = 1 << 63


class MalformedBodyError(ValueError):
    """A body that is not strict JSON, or not the kind of value the call takes."""


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One broken rule of one item.

    Attributes:
        field: Dotted path inside the item, such as `attributes.tier`.
        rejected: The value as it came, None when a key is missing.
    """

    field: str
    message: str
    rejected: object = None


@dataclass(frozen=True, slots=True)
class Cleaned:
    """An item as it will be stored, which is only meant when `problems` is empty."""

    item: dict[str, Any]
    problems: tuple[Problem, ...] = ()


class _BrokenRuleError(ValueError):
    """A value that breaks a rule; `path` is relative to the field being checked."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


# --- bodies --------------------------------------------------------------------------


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedBodyError("An object holds the same key twice")
    return found


def _refuse_constant(word: str) -> float:
    raise MalformedBodyError(f"{word} is not JSON")


def _read_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise MalformedBodyError("A number is out of range")
    return value


def read_json(body: bytes) -> object:
    """
    Read a body as strict JSON in UTF-8.

    Duplicate keys are a documented 400 (API contract, section 5.4); NaN, Infinity and
    half a surrogate pair are no JSON text either.

    Raises:
        MalformedBodyError: With a message that quotes nothing of the body.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_refuse_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_read_float,
        )
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except MalformedBodyError:
        raise
    except (ValueError, RecursionError) as reason:
        raise MalformedBodyError("The body is not readable JSON") from reason
    return value


# --- values --------------------------------------------------------------------------


def _text(value: object, rules: Switches) -> str:
    """Apply text rule T (API contract, end of section 3.1) and refuse `""` (3.9)."""
    if type(value) is not str:
        raise _BrokenRuleError("must be a string")
    if not value:
        raise _BrokenRuleError("must not be empty")
    if "\x00" in value:
        raise _BrokenRuleError("must not contain U+0000")
    if not value.strip(facts.VARIATION_SELECTORS):
        raise _BrokenRuleError("must not consist of variation selectors only")
    if rules.max_text_chars is not None and len(value) > rules.max_text_chars:
        raise _BrokenRuleError("is too long")
    return value


def _identifier(value: object) -> str:
    if type(value) is not str:
        raise _BrokenRuleError("must be a string")
    if not value:
        raise _BrokenRuleError("must not be empty")
    if _IDENTIFIER_FORBIDDEN.search(value):
        raise _BrokenRuleError("contains a forbidden character")
    return value


def _trimmed(value: object, rules: Switches) -> str:
    text = _identifier(value)
    if rules.trim_identifiers:
        text = text.strip()
        if not text:
            raise _BrokenRuleError("must not be blank")
    return text


def _email(value: object, _rules: Switches) -> str:
    text = _identifier(value)
    if not _EMAIL.fullmatch(text):
        raise _BrokenRuleError("is not a valid e-mail address")
    return text


def _phone(value: object, _rules: Switches) -> str:
    text = _identifier(value)
    if not _PHONE.fullmatch(text):
        raise _BrokenRuleError("is not a valid phone number")
    return text


def _uuid(value: object, rules: Switches) -> str:
    text = _trimmed(value, rules)
    if rules.uuid_shape == "canonical" and not _UUID.fullmatch(text):
        raise _BrokenRuleError("is not a UUID")
    return text


def _birth_date(value: object, rules: Switches) -> str:
    text = _text(value, rules)
    if not _BIRTH_DATE.fullmatch(text):
        raise _BrokenRuleError("must have the format yyyy-mm-dd")
    try:
        date.fromisoformat(text)
    except ValueError as reason:
        raise _BrokenRuleError("is not a date of the calendar") from reason
    floor = facts.BIRTH_DATE_FLOOR
    if text < floor or (text == floor and rules.birth_date_floor == "exclusive"):
        raise _BrokenRuleError(f"must be later than {floor}")
    return text


def _sex(value: object, _rules: Switches) -> str:
    if value not in facts.SEX_VALUES:
        raise _BrokenRuleError(f"must be one of {', '.join(facts.SEX_VALUES)}")
    return str(value)


def _agreement(value: object, rules: Switches) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if isinstance(value, str):
        if value in facts.AGREEMENT_WORDS:
            return facts.AGREEMENT_WORDS[value]
        if rules.upper_case_agreements and value in facts.UPPER_CASE_AGREEMENT_WORDS:
            return facts.UPPER_CASE_AGREEMENT_WORDS[value]
    raise _BrokenRuleError("must be true or false")


def _agreements(value: object, rules: Switches) -> dict[str, bool | None]:
    if not isinstance(value, dict):
        raise _BrokenRuleError("must be an object")
    cleaned: dict[str, bool | None] = {}
    for key, sent in value.items():
        name = facts.OLD_AGREEMENT_KEYS.get(key, key)
        if name not in facts.AGREEMENT_KEYS or (name != key and name in value):
            continue
        try:
            cleaned[name] = _agreement(sent, rules)
        except _BrokenRuleError as reason:
            raise _BrokenRuleError(str(reason), f".{key}") from reason
    return cleaned


def _attribute(value: object, rules: Switches) -> object:
    if isinstance(value, str):
        return _text(value, rules)
    if rules.attribute_values == "text" and isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return value


def _attributes(value: object, rules: Switches) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _BrokenRuleError("must be an object")
    cleaned: dict[str, Any] = {}
    for name, sent in value.items():
        if name in _IGNORED_NAMES:
            continue
        if _NAME_FORBIDDEN.search(name):
            raise _BrokenRuleError("has a name with a forbidden character")
        try:
            cleaned[name] = _attribute(sent, rules)
        except _BrokenRuleError as reason:
            raise _BrokenRuleError(str(reason), f".{name}") from reason
    if rules.max_attributes is not None and len(cleaned) > rules.max_attributes:
        raise _BrokenRuleError("has too many attributes")
    return cleaned


def _tags(value: object, rules: Switches) -> list[str]:
    if not isinstance(value, list):
        raise _BrokenRuleError("must be an array")
    cleaned: list[str] = []
    for position, tag in enumerate(value):
        try:
            name = _text(tag, rules)
        except _BrokenRuleError as reason:
            raise _BrokenRuleError(str(reason), f"[{position}]") from reason
        if rules.max_tag_chars is not None and len(name) > rules.max_tag_chars:
            raise _BrokenRuleError("is too long", f"[{position}]")
        if name not in cleaned:
            cleaned.append(name)
    return cleaned


def _client_id(value: object, _rules: Switches) -> int:
    if type(value) is not int or not -_INT64 <= value < _INT64:
        raise _BrokenRuleError("must be an integer")
    return value


_CHECKS: Final[dict[str, Callable[[object, Switches], object]]] = {
    **dict.fromkeys(facts.TEXT_FIELDS, _text),
    "email": _email,
    "phone": _phone,
    "customId": _trimmed,
    "uuid": _uuid,
    "birthDate": _birth_date,
    "sex": _sex,
    "agreements": _agreements,
    "attributes": _attributes,
    "tags": _tags,
}
_BATCH_CHECKS: Final = {**_CHECKS, "clientId": _client_id}
_READ_ONLY: Final = frozenset({*facts.READ_ONLY_FIELDS, "clientId"})


# --- items ---------------------------------------------------------------------------


def clean_item(raw: dict[str, Any], rules: Switches, *, in_batch: bool) -> Cleaned:
    """
    Check one item and bring it into the form that is stored.

    Args:
        in_batch: Whether `clientId` is a field here; elsewhere it is read-only and
            ignored like any unknown key (API contract, sections 3.1 and 5.6).

    Returns:
        The cleaned item with every problem found, one for each broken field.
    """
    checks = _BATCH_CHECKS if in_batch else _CHECKS
    item: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in raw.items():
        check = checks.get(key)
        if check is None:
            _take_unknown(key, value, rules, item, problems)
        elif value is None:
            if key in facts.IDENTIFIER_FIELDS and rules.identifier_null == "refuse":
                problems.append(Problem(key, "must not be null"))
            item[key] = None
        else:
            try:
                item[key] = check(value, rules)
            except _BrokenRuleError as reason:
                problems.append(Problem(key + reason.path, str(reason), value))
    return Cleaned(item, tuple(problems))


def _take_unknown(
    key: str,
    value: object,
    rules: Switches,
    item: dict[str, Any],
    problems: list[Problem],
) -> None:
    """Treat a key the API does not document (open question 24)."""
    if rules.unknown_keys == "ignore" or key in _READ_ONLY:
        return
    if rules.unknown_keys == "error":
        problems.append(Problem(key, "is not a known field", value))
    elif key not in _IGNORED_NAMES:
        attributes = item.get("attributes") or {}
        item["attributes"] = {key: value, **attributes}


def missing_identifier(item: dict[str, Any], *, in_batch: bool) -> Problem | None:
    """Say what is wrong when an item identifies nobody (API contract, 3.2, 5.6)."""
    names = facts.IDENTIFIER_FIELDS
    if any(item.get(name) is not None for name in names):
        return None
    if in_batch and item.get("clientId") is not None:
        return None
    return Problem("identifier", f"one of {', '.join(names)} is required")
