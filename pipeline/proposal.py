"""A job file to start from: every column it knows what to do with, and the pin."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import yaml

from pipeline.config import refuse_idle_options
from pipeline.contract import (
    FORBIDDEN_IN_ATTRIBUTE_NAMES,
    RESERVED_ATTRIBUTES,
    FieldKind,
)
from pipeline.errors import SettingsError
from pipeline.export.returning import json_columns_of
from pipeline.mapping import resolve_mapping
from pipeline.reader import open_source
from pipeline.settings import ColumnMapping, FieldRule, Job
from pipeline.spool import spooled
from pipeline.typed_values import reading_of

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingType

    import polars as pl

    from pipeline.settings import Mapping, SourceSettings

    DtypesOf = MappingType[str, pl.DataType]


def propose_job(
    source: SourceSettings,
    guid: str | None,
    name: str,
    *,
    written: dict[str, object] | None = None,
) -> str:
    """
    Return the text of a job file for a source, in YAML; it runs as it is.

    Columns that name no field become attributes. Those that cannot are listed with the
    reason; only then are unmapped columns ignored, else a new one stops the run.

    Args:
        guid: Of the workspace to pin; None leaves the pin open, and says so.
        name: Of the dataset.
        written: The section `source` as it is to stand there; a connection has values
            in the settings, and the names of variables here.

    Effects: what cannot be read in place is copied to a temporary folder meanwhile.

    Raises:
        SourceError: The source cannot be read.
        TokenRefusedError, UnreachableError: A database or an object store.
        SettingsError: No column names an identifier, two claim one field, or an option
            does not fit the kind of the source.
    """
    with TemporaryDirectory() as folder:
        opened = open_source(spooled(source, Path(folder)).source)
    refuse_idle_options(opened.kind, source.delimiter, source.encoding)
    in_json = json_columns_of(opened.files, opened.kind)
    mapping = resolve_mapping(opened.columns, Job(source=source), json_columns=in_json)
    entries, left_out = _entries(mapping, opened.dtypes)
    told = written or {"path": source.path, "format": opened.kind}
    if opened.csv is not None:
        told |= {"encoding": opened.csv.encoding, "delimiter": opened.csv.delimiter}
    lines = [
        "# A proposal: read it, change it, then run `crm-pipeline check -c THIS_FILE`.",
        "version: 1",
        _yaml({"name": name}),
        _yaml({"source": told}),
        "workspace:",
        f"  guid: {guid or 'null  # no credentials were set: pin the workspace here'}",
        _yaml({"mapping": entries}),
    ]
    if left_out:
        lines.append("  # Left out; `attributes: {NAME: COLUMN}` sends one along:")
        lines += [f"  #   {column!r}: {why}" for column, why in left_out.items()]
    extra = "ignore" if left_out else "refuse"
    lines.append(f"rows: {{blank: omit, duplicates: fold, extra_columns: {extra}}}")
    return "\n".join(lines) + "\n"


def _entries(
    mapping: Mapping, dtypes: DtypesOf
) -> tuple[dict[str, object], dict[str, str]]:
    """Return the section `mapping`, and the columns left out with the reason."""
    entries: dict[str, object] = {}
    attributes: dict[str, object] = {}
    for rule in mapping.rules:
        parent, _, key = rule.name.partition(".")
        if parent == "attributes":
            attributes[key] = (
                {"column": rule.column, "type": rule.options.type}
                if rule.options.type
                else rule.column
            )
        elif key:
            entries.setdefault(parent, {})[key] = rule.column  # type: ignore[index]
        else:
            entries[rule.name] = rule.column
    left_out = _add_attributes(attributes, mapping.extra, dtypes)
    if attributes:
        entries["attributes"] = attributes
    return entries, left_out


def _add_attributes(
    attributes: dict[str, object],
    columns: tuple[str, ...],
    dtypes: DtypesOf,
) -> dict[str, str]:
    """Add columns under their own names; return the others, with the reason."""
    left_out = {}
    for column in columns:
        why = _obstacle(column, dtypes[column])
        if column in attributes:
            why = "another column is this attribute already"
        if why:
            left_out[column] = why
        else:
            attributes[column] = column
    return left_out


def _obstacle(column: str, dtype: pl.DataType) -> str:
    """Return why a column cannot become the attribute of its name, or nothing."""
    if column in RESERVED_ATTRIBUTES:
        return "the API keeps this name for itself; give it another one"
    if set(column) & set(FORBIDDEN_IN_ATTRIBUTE_NAMES):
        return "the name holds a character that the API forbids; give it another one"
    options = ColumnMapping(column=column)
    rule = FieldRule(f"attributes.{column}", column, FieldKind.ATTRIBUTE, options)
    try:
        reading_of(rule, dtype, None)
    except SettingsError as error:
        return str(error)
    return ""


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False).rstrip()
