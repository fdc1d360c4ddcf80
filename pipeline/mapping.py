"""
Which column becomes which field, decided before anything is read twice.

With a `mapping` in the job, that mapping is all there is. Without one, headers that
equal a native field or one of its aliases are taken, as `contract.NATIVE_FIELDS` says.
What is left over is never dropped in silence: it is listed as ignored, becomes
attributes, or stops the run.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.contract import (
    AGREEMENTS,
    COUNTRY_PATTERN,
    FORBIDDEN_IN_ATTRIBUTE_NAMES,
    IDENTIFIERS,
    NATIVE_FIELDS,
    READ_ONLY_NAMES,
    RESERVED_ATTRIBUTES,
    SEXES,
    TOOL_COLUMNS,
    FieldKind,
    fold_header,
)
from pipeline.errors import SettingsError
from pipeline.settings import ColumnMapping, FieldRule, Job, Mapping, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pipeline.settings import MappingEntry, MappingSettings, WorkspaceSettings

# Identifiers are looked at first, the other fields in the order of the mapping.
_FIRST = {name: place for place, name in enumerate(IDENTIFIERS)}
_ALIASES = {
    folded: field.name
    for field in NATIVE_FIELDS
    if field.kind is not FieldKind.CLIENT_ID
    for folded in (fold_header(field.name), *field.aliases)
}


def resolve_mapping(
    columns: Sequence[str], job: Job, *, json_columns: frozenset[str] = frozenset()
) -> Mapping:
    """
    Decide about every column of a source.

    Args:
        json_columns: Columns that hold JSON, where no mapping says what they hold.

    Raises:
        SettingsError: A mapped column is missing, two columns claim one field, an
            attribute name is reserved or forbidden, no identifier is mapped, an option
            does not fit its field, or a finding of a column that does not exist is
            accepted. All such faults of one kind are named.
    """
    rules = (
        _automatic(columns, json_columns)
        if job.mapping is None
        else _declared(job.mapping, columns)
    )
    rules = [_in_region(rule, job.rows.region) for rule in rules]
    taken = {rule.column for rule in rules}
    left = [name for name in columns if name not in taken]
    mark = job.sync.watermark
    unsent = {*READ_ONLY_NAMES, *TOOL_COLUMNS, *((mark.column,) if mark else ())}
    ignored = [name for name in left if name in unsent]
    extra = [name for name in left if name not in ignored]
    if job.rows.extra_columns == "attributes":
        rules += [
            _rule(f"attributes.{name}", ColumnMapping(column=name)) for name in extra
        ]
        extra = []
    elif job.rows.extra_columns == "ignore":
        ignored += extra
        extra = []
    _check_one_rule_each(rules)
    _check_attribute_names(rules, job.workspace)
    _check_options(rules)
    _check_values(rules)
    _check_identifiers(rules, job, len(columns))
    _check_accepted(columns, job)
    ordered = sorted(rules, key=lambda rule: _FIRST.get(rule.name, len(_FIRST)))
    return Mapping(tuple(ordered), tuple(ignored), tuple(extra))


def refuse_extra(mapping: Mapping, n_columns: int) -> None:
    """
    Refuse to leave columns out that nobody has decided about.

    Raises:
        SettingsError: There are some; it names them and the ways to decide.
    """
    if mapping.extra:
        raise SettingsError(
            f"{len(mapping.extra)} of {n_columns} columns are not mapped: "
            f"{', '.join(mapping.extra)}. Nothing was sent. Add --extra-columns ignore "
            "to leave them out, --extra-columns attributes to send them as attributes, "
            "or map them in the job file (`crm-pipeline init SOURCE` writes one)"
        )


def _rule(name: str, options: ColumnMapping) -> FieldRule:
    return FieldRule(name, options.column, kind_of(name), options)


def _in_region(rule: FieldRule, region: str | None) -> FieldRule:
    if rule.kind is not FieldKind.PHONE or rule.options.region is not None:
        return rule
    options = rule.options.model_copy(update={"region": region})
    return replace(rule, options=options)


def _declared(settings: MappingSettings, columns: Sequence[str]) -> list[FieldRule]:
    entries: dict[str, MappingEntry] = {}
    for name in settings.order:
        entry = getattr(settings, name)
        if name in ("agreements", "attributes"):
            entries |= {f"{name}.{key}": value for key, value in entry.items()}
        elif entry is not None:
            entries[name] = entry
    rules = [
        _rule(
            name,
            ColumnMapping(column=entry) if isinstance(entry, str) else entry,
        )
        for name, entry in entries.items()
    ]
    missing = [
        f"{rule.column!r} (for {rule.name})"
        for rule in rules
        if rule.column not in columns
    ]
    if missing:
        raise SettingsError(
            f"the mapping names {_listed(missing, 'a column', 'columns')} that the "
            f"source does not have. Correct it; there are: {', '.join(columns)}."
        )
    return rules


def _automatic(columns: Sequence[str], json_columns: frozenset[str]) -> list[FieldRule]:
    claims: dict[str, list[str]] = {}
    for column in columns:
        if column in READ_ONLY_NAMES or column in TOOL_COLUMNS:
            continue
        name = field_of_column(column)
        if name is not None:
            claims.setdefault(name, []).append(column)
    twice = {name: found for name, found in claims.items() if len(found) > 1}
    if twice:
        told = "; ".join(f"{name}: {', '.join(found)}" for name, found in twice.items())
        raise SettingsError(
            f"two columns for one field ({told}). Say which one in a mapping: "
            "`crm-pipeline init SOURCE` writes a job file to start from"
        )
    return [
        _rule(name, _options_of(name, found[0], json_columns))
        for name, found in claims.items()
    ]


def _options_of(name: str, column: str, json_columns: frozenset[str]) -> ColumnMapping:
    if column in json_columns and kind_of(name) is FieldKind.ATTRIBUTE:
        return ColumnMapping(column=column, type="json")
    return ColumnMapping(column=column)


def field_of_column(column: str) -> str | None:
    """Return the field that *column* names by itself, if any."""
    parent, _, key = column.partition(".")
    if parent == "attributes" and key:
        return column
    if parent == "agreements":
        known = {name.lower(): name for name in AGREEMENTS}
        found = known.get(key.lower())
        return f"agreements.{found}" if found else None
    return _ALIASES.get(fold_header(column))


def _check_one_rule_each(rules: Iterable[FieldRule]) -> None:
    counts = Counter(rule.name for rule in rules)
    twice = [name for name, n_rules in counts.items() if n_rules > 1]
    if twice:
        raise SettingsError(
            f"a mapped column and an unmapped one both become {', '.join(twice)}: map "
            "the unmapped one to another name, or leave it out"
        )


def _check_attribute_names(
    rules: Iterable[FieldRule], workspace: WorkspaceSettings
) -> None:
    names = [
        r.name.removeprefix("attributes.")
        for r in rules
        if r.kind is FieldKind.ATTRIBUTE
    ]
    if not workspace.unique_email and workspace.email_attribute is not None:
        names.append(workspace.email_attribute)
    reserved = [name for name in names if name in RESERVED_ATTRIBUTES]
    if reserved:
        told = _listed(reserved, "the name", "the names")
        raise SettingsError(
            f"the API ignores attributes with {told} without a word. Map the column "
            "to another name, or leave it out. Reserved are: "
            f"{', '.join(sorted(RESERVED_ATTRIBUTES))}"
        )
    odd = [n for n in names if not n or set(n) & set(FORBIDDEN_IN_ATTRIBUTE_NAMES)]
    if odd:
        raise SettingsError(
            f"an attribute name is empty or holds a line break or another character "
            f"that the API forbids: {', '.join(map(repr, odd))}"
        )


_OPTION_KINDS = {
    "format": {FieldKind.BIRTH_DATE, FieldKind.ATTRIBUTE},
    "type": {FieldKind.ATTRIBUTE},
    "split": {FieldKind.TAGS, FieldKind.ATTRIBUTE},
    "region": {FieldKind.PHONE},
    "zone": {FieldKind.ATTRIBUTE},
    "case": {FieldKind.EMAIL},
    "decimal": {FieldKind.ATTRIBUTE},
    "values": {
        FieldKind.SEX,
        FieldKind.AGREEMENT,
        FieldKind.ATTRIBUTE,
        FieldKind.TEXT,
        FieldKind.COUNTRY,
        FieldKind.TAGS,
    },
    "trim": {FieldKind.TEXT, FieldKind.COUNTRY, FieldKind.ATTRIBUTE, FieldKind.TAGS},
}


def _check_options(rules: Iterable[FieldRule]) -> None:
    wrong = [
        f"mapping.{rule.name}.{option}"
        for rule in rules
        for option in sorted(rule.options.model_fields_set)
        if getattr(rule.options, option) is not None
        and option in _OPTION_KINDS
        and rule.kind not in _OPTION_KINDS[option]
    ]
    if wrong:
        raise SettingsError(f"an option does not fit its field: {', '.join(wrong)}")


def _is_text(meaning: object) -> bool:
    return isinstance(meaning, str) and meaning != "" and "\0" not in meaning


def _is_country(meaning: object) -> bool:
    return isinstance(meaning, str) and bool(re.fullmatch(COUNTRY_PATTERN, meaning))


def _is_plain(meaning: object) -> bool:
    if isinstance(meaning, int):
        return -(2**63) <= meaning < 2**63
    return _is_text(meaning) or (isinstance(meaning, float) and math.isfinite(meaning))


_MEANINGS: dict[FieldKind, tuple[Callable[[object], bool], str]] = {
    FieldKind.AGREEMENT: (lambda meaning: isinstance(meaning, bool), "true or false"),
    FieldKind.SEX: (SEXES.__contains__, f"one of {', '.join(SEXES)}"),
    FieldKind.COUNTRY: (_is_country, "ISO 3166 codes"),
    FieldKind.TEXT: (_is_text, "text"),
    FieldKind.TAGS: (_is_text, "text"),
    FieldKind.ATTRIBUTE: (_is_plain, "text, numbers of 64 bits, or true and false"),
}


def _check_values(rules: Iterable[FieldRule]) -> None:
    wrong = []
    for rule in rules:
        values = rule.options.values
        if values is None:
            continue
        fits, told = _MEANINGS[rule.kind]
        # Whole and decimal numbers go together.
        kinds = {float if type(m) is int else type(m) for m in values.values()}
        if len(kinds) != 1 or not all(map(fits, values.values())):
            wrong.append(f"mapping.{rule.name}.values must map to {told}")
    if wrong:
        raise SettingsError(
            f"{'; '.join(wrong)}; to some value, never an empty one, all of one type"
        )


def _check_identifiers(rules: Sequence[FieldRule], job: Job, n_columns: int) -> None:
    names = {rule.name for rule in rules}
    if not job.workspace.unique_email and "email" in names:
        target = job.workspace.email_attribute
        if target is None:
            raise SettingsError(
                "in a workspace with non-unique e-mails the field `email` identifies "
                "nobody: set workspace.email_attribute to the attribute that holds the "
                "address, or leave mapping.email out"
            )
        if f"attributes.{target}" in names:
            raise SettingsError(
                f"workspace.email_attribute and the mapping both write the attribute "
                f"{target!r}: leave one of them out"
            )
    if "clientId" in names and job.workspace.guid is None:
        raise SettingsError(
            "a clientId means something in one workspace only: pin it with "
            "workspace.guid (or --expect-workspace) to map mapping.clientId"
        )
    identifiers = set(IDENTIFIERS) - (
        set() if job.workspace.unique_email else {"email"}
    )
    if not names & identifiers:
        raise SettingsError(
            "no column is mapped to an identifier (email, phone, customId, uuid), so "
            "no profile could be found. Name one in a mapping, or check the delimiter "
            f"and the first line: it must name the columns, and names {n_columns}. "
            f"Mapped so far: {', '.join(r.column for r in rules) or 'nothing'}."
        )


def _listed(names: Sequence[str], one: str, several: str) -> str:
    return f"{one if len(names) == 1 else several} {', '.join(names)}"


def _check_accepted(columns: Sequence[str], job: Job) -> None:
    """Refuse findings that are accepted for a column that is not there."""
    told = [name.partition(":") for name in job.rows.accept_findings]
    missing = [f"{c!r}" for _, colon, c in told if colon and c not in columns]
    if missing:
        raise SettingsError(
            f"accept_findings names {_listed(missing, 'a column', 'columns')} that the "
            f"source does not have. It has: {', '.join(columns)}"
        )
