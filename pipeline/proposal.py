"""A job file to start from: the mapping that was found, what is left over, the pin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from pipeline.mapping import resolve_mapping
from pipeline.reader import open_source
from pipeline.settings import Job

if TYPE_CHECKING:
    from pipeline.settings import SourceSettings


def propose_job(source: SourceSettings, guid: str | None, name: str) -> str:
    """
    Return the text of a job file for a source, in YAML.

    Args:
        guid: Of the workspace to pin; None leaves the pin open, and says so.
        name: Of the dataset.

    Raises:
        SourceError: The source cannot be read.
        SettingsError: No column names an identifier, or two claim one field.
    """
    opened = open_source(source)
    mapping = resolve_mapping(opened.columns, Job(source=source))
    entries: dict[str, object] = {}
    for rule in mapping.rules:
        parent, _, key = rule.name.partition(".")
        if key:
            entries.setdefault(parent, {})[key] = rule.column  # type: ignore[index]
        else:
            entries[rule.name] = rule.column
    told: dict[str, object] = {"path": source.path, "format": opened.kind}
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
    if mapping.extra:
        lines.append(
            "  # Not mapped; `attributes: {NAME: COLUMN}` sends a column along:"
        )
        lines += [f"  #   {column}" for column in mapping.extra]
    lines.append("rows: {blank: omit, duplicates: fold, extra_columns: refuse}")
    return "\n".join(lines) + "\n"


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False).rstrip()
