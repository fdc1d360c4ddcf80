# ruff: noqa: INP001 - a script, not a package
"""
Write the generated parts of the docs: `reference.md` and `job.schema.json`.

`make docs` runs it. What the code knows is taken from the code; what only people can
say (the meaning of a state, of a key of the summary) stands here once, and a test
compares its names with the tool's.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli import exit_codes
from pipeline.cli.main import group
from pipeline.contract import (
    AGREEMENT_WORDS,
    AGREEMENTS,
    DEFAULT_BASE_URL,
    LINT_CODES,
    NATIVE_FIELDS,
    READ_ONLY_NAMES,
    RESERVED_ATTRIBUTES,
    ROW_CODES,
    TOOL_COLUMNS,
)
from pipeline.records import State
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.weather import PRESETS, Weather
from pipeline.settings import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DOCS: Final = Path(__file__).parent
REFERENCE: Final = DOCS / "reference.md"
SCHEMA: Final = DOCS / "job.schema.json"
HELP_COLUMNS: Final = 80

STATES: Final = {
    State.EMPTY: "An empty line. A record of nothing but delimiters is not empty: it "
    "is blocked, `NO_ID`.",
    State.BLOCKED: "Stopped by the tool before sending, with a code and a message.",
    State.FOLDED: "Its values travel in another row of the same profile (`FOLDED`), or "
    "that row was chosen instead (`SUPERSEDED`); `folded_into` names it.",
    State.UNCHANGED: "Equal to what was confirmed before, and not sent; only of a plan "
    "and of `sync`.",
    State.PLANNED: "Would be sent; only under `check` and `import --dry-run`, and "
    "where findings or the erase budget stopped the run.",
    State.ACCEPTED: "In a batch that the API answered with 202: taken into its queue.",
    State.REJECTED: "The API said no to this very content.",
    State.PENDING: "Planned, and not proven to be accepted or rejected. `unknown` "
    "counts those of them whose bytes left without a trustworthy answer.",
}

# What the constants of `cli/exit_codes.py` mean; errors explain themselves.
NUMBERS: Final = {
    "OK": "Everything asked for is true.",
    "PARTIAL": "Finished, and some rows are blocked or rejected; of `profile`: there "
    "is no such profile, or the API refused the content.",
    "DIFFERENT": "Read back, an accepted row differs from what was sent, or is absent "
    "after its time.",
    "INCOMPLETE": "An export that the cap of the list cut off; a demo that did not go "
    "as it should.",
    "NOTHING_TO_DO": "No row came, and `--error-on-empty` is given.",
    "DEFECT": "A defect of the tool. Please report it.",
    "INTERRUPTED": "What was not proven is pending.",
}

SUMMARY_KEYS: Final = {
    "version": "Of this list of keys: 1.",
    "run_id": "Name of the run and of its folder.",
    "command": "`check`, `import`, `plan`, `apply` or `sync`.",
    "exit_code": "What the process ended with.",
    "resumable": "Whether rows are pending that the same run can go on with; false "
    "after the source has changed.",
    "source": "The files, in their order; `source_no` counts them from 0.",
    "workspace": "GUID of the workspace written to; null under `check`.",
    "rows": "The equation: `read`, and one number for each state; `unknown` is a part "
    "of `pending`.",
    "rows.settled": "Parts of `accepted`, as `verify` tells them: `settled`, "
    "`differs`, `absent`, `not_yet`. Always 0 here: `verify.json` has them.",
    "rows.unverified": "Accepted rows that were not read back: all of them, before "
    "`verify`.",
    "codes": "Code → rows blocked or rejected with it.",
    "findings": "What the columns show, the most serious first: `column`, `field` "
    "(null where the name of a column is meant), `code`, `n_cells`, `is_fatal` "
    "(identifiers are lost for good), `is_accepted`. A fatal one that is not accepted "
    "ends the run with 65.",
    "omitted_invalid": "Cells left out by `on_invalid: omit`.",
    "repairs": "Field → cells changed by a declared repair.",
    "erased": "`planned`: field → rows that erase it; `accepted`: those of them that "
    "were accepted, null where a changed source cannot tell.",
    "requests": "`sent`, `retried`, and `status`: status → how often it came back; "
    "without the login and the question for the workspace before the first batch.",
    "n_anomalies": "Batches answered 202 with a body that speaks of errors, or one "
    "that broke off; their rows count as accepted.",
    "bytes_sent": "Bodies, repetitions included.",
    "seconds": "From the start of the command to its end.",
    "rows_per_s": "Rows read in a second; null when no time passed.",
    "peak_rss_bytes": "The largest memory the process had.",
    "files": "Name → path of each file of the run.",
    "error": "What ended the run early, else null.",
}
# Of `plan`, `apply` and `sync` alone.
PLAN_KEYS: Final = {
    "plan_id": "The name of the plan, and of the run that applies it.",
    "state_generation": "Of the state that it was made from; 0 when there was none.",
    "new": "Rows of persons of whom nothing is confirmed.",
    "changed": "Rows with a field that differs from what was confirmed.",
    "unchanged": "Rows that are not sent.",
    "vanished": "Persons who were confirmed and have no row that can be sent. Nothing "
    "is done about them.",
    "changed_fields": "Field → changed rows in which it differs.",
    "lost_fields": "Field → rows that had it and do not give it any more; the CRM "
    "keeps it.",
    "erased_fields": "Field → rows that erase it.",
    "withdrawn": "Agreement → rows that withdraw it.",
    "granted": "Agreement → rows that grant it.",
    "requests": "That the rows need.",
    "bytes": "Of their bodies.",
    "reasons": "Why rows are planned that may be what the CRM holds, in words.",
    "trips": "What keeps `sync` from applying it, in words.",
}

VERIFY_KEYS: Final = {
    "version": "Of this list of keys: 1.",
    "run_id": "The run that was verified.",
    "command": "`verify`.",
    "exit_code": "4 when a row differs or is absent, else 0.",
    "rows": "`accepted`, `asked`, and the parts of `accepted`: `settled`, `differs`, "
    "`absent`, `not_yet`, `unverified`. `ambiguous` is a part of `unverified`: their "
    "phone is all that another row has.",
    "wrong_share_at_most": "Of the rows that can be asked for, at 95 % confidence.",
    "settled_after_s": "The longest time after its 202 at which a row, absent at an "
    "earlier look, was there; null when every row was there at once.",
    "fields": "Field → rows that differ in it.",
    "refusal": "Why nothing could be read, else null.",
    "files": "`differences`, where there are any.",
}
CERTIFICATE_KEYS: Final = {
    "version": "Of this list of keys: 1.",
    "complete": "Whether it is shown to be complete.",
    "reasons": "Why not; empty when it is.",
    "profiles": "In the file, each id once.",
    "all_before": "Profiles in the workspace as the service told before; null when it "
    "did not.",
    "all_after": "The same, afterwards.",
    "cap": "What one question shows at most.",
    "search_means": "`contains`, `prefix` or `nothing of use`; null when no search was "
    "needed.",
    "cut_short": "Whether the search for more was given up.",
    "saturated": "Windows with more rows than the cap let them show.",
    "duplicates": "Rows that were shown again.",
    "drifts": "Pages that did not go on where the one before ended.",
    "windows": "Every part that was read: `recognized`, `search`, `sort_field`, "
    "`is_descending`, and `matching`, `rows`, `new`, `saturated`, `drifts` of it.",
}

_FROM_THE_SYSTEM: Final = (
    "Format the column as text in the spreadsheet, fill it from the system that made "
    "it, and export again."
)
REMEDIES: Final = {
    "E_NOTATION": f"{_FROM_THE_SYSTEM} A customId like this blocks its row.",
    "ROUNDED_15": _FROM_THE_SYSTEM,
    "LEADING_ZEROS_LOST": _FROM_THE_SYSTEM,
    "FLOAT_ID": "Write the column as text or whole numbers: a program that reads a "
    "column with gaps as numbers adds the fraction.",
    "NULL_WORD": "Export empty cells, or declare the word as `null_token`. As a "
    "customId it blocks its row.",
    "MOJIBAKE": "Export as UTF-8, or declare the `encoding` of the source. Text that "
    "was spoilt before has to be repaired where it is kept.",
    "SERIAL_DATE": "Format the column as yyyy-mm-dd in the spreadsheet, and export "
    "again.",
    "DAY_MONTH": "Export dates as yyyy-mm-dd, or declare their `format`.",
    "DECIMAL_COMMA": 'Declare `type: number` and `decimal: ","`.',
    "BOM": "Remove it where the files were joined, or declare the encoding.",
    "INVISIBLE": "Remove them in the source if they are not meant; nothing here does.",
}

VARIABLES: Final = {
    "SYNERISE_BASE_URL": f"Where the API is; `{DEFAULT_BASE_URL}` when not set. Plain "
    "http only to this machine.",
    "SYNERISE_API_KEY": "A workspace API key; exchanged for a token, or sent as it is "
    "under `auth: basic`.",
    "SYNERISE_API_KEY_FILE": "A file that holds the key, instead.",
    "SYNERISE_TOKEN": "A ready token; wins over the key.",
    "SYNERISE_TOKEN_FILE": "A file that holds the token, instead.",
    "CRM_PIPELINE_KEY": "The secret that keys the digests of `plan` and `sync`; at "
    "least 32 characters. Without it, it is the file `key` of the work folder.",
    "CRM_PIPELINE_KEY_FILE": "A file that holds it, instead.",
    "SYNERISE_WORKSPACE_GUID": "Of the workspace; needed under `auth: basic` where the "
    "job has no `workspace.guid`.",
}


# Keys that the models do not describe, or that do less than their name says.
KEYS: Final = {
    "version": "Of this form of job file.",
    "mapping": "See below; without it, headers are taken as they are.",
    "verify": "Accepted, and without effect in this version.",
    "email_attribute": "Attribute for the e-mail when `unique_email` is false.",
    "column": "Name of the column in the source.",
}
CONTENTS: Final = {
    "Commands": "commands",
    "Job file": "job-file",
    "Fields and headers": "fields-and-headers",
    "States of a row": "states-of-a-row",
    "Row codes": "row-codes",
    "Findings": "findings",
    "Exit codes": "exit-codes",
    "summary.json": "summaryjson",
    "verify.json": "verifyjson",
    "The certificate of an export": "the-certificate-of-an-export",
    "Environment": "environment",
    "Sandbox": "sandbox",
}
OF_THE_SUMMARY: Final = (
    "Of `check`, `import`, `plan`, `apply` and `sync`: in the run folder, at "
    "`--summary FILE`, and on stdout with `--json`."
)
OF_THE_VERIFICATION: Final = (
    "Of `verify`: in the run folder, at `--summary FILE`, and on stdout with `--json`."
)
OF_THE_CERTIFICATE: Final = "Beside the file: `NAME.EXT.certificate.json`."
OF_THE_ENVIRONMENT: Final = (
    "A secret is never taken from the command line or the job file. In the job file, "
    "`${NAME}` stands for any other variable."
)


def pages() -> dict[Path, str]:
    """Return path → content of everything that is generated."""
    return {REFERENCE: reference(), SCHEMA: schema()}


def reference() -> str:
    """Return `reference.md`."""
    parts = [
        "# Reference",
        "Written by `make docs` from the code. Do not edit.",
        "\n".join(f"- [{title}](#{anchor})" for title, anchor in CONTENTS.items()),
        "## Commands",
        *_commands(),
        *_job(),
        *_fields(),
        *_rows(),
        *_numbers(),
        "## summary.json",
        OF_THE_SUMMARY,
        _table(("key", "meaning"), _coded(SUMMARY_KEYS)),
        "Of `plan`, `apply` and `sync` it has the key `plan` as well:",
        _table(("key of `plan`", "meaning"), _coded(PLAN_KEYS)),
        "## verify.json",
        OF_THE_VERIFICATION,
        _table(("key", "meaning"), _coded(VERIFY_KEYS)),
        "## The certificate of an export",
        OF_THE_CERTIFICATE,
        _table(("key", "meaning"), _coded(CERTIFICATE_KEYS)),
        "## Environment",
        OF_THE_ENVIRONMENT,
        _table(("variable", "meaning"), _coded(VARIABLES)),
        *_sandbox(),
    ]
    return "\n\n".join(parts) + "\n"


def schema() -> str:
    """Return the JSON Schema of the job file, with the meaning of every key."""
    found = Job.model_json_schema()
    for part in (found, *found["$defs"].values()):
        told = part.get("description", "")
        part["description"] = _first_words(told)
        for name, meaning in (described(told) | KEYS).items():
            if name in part["properties"]:
                part["properties"][name]["description"] = meaning
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(head | found, indent=2, ensure_ascii=False) + "\n"


# -- parts of the reference --------------------------------------------------------


def _commands() -> Iterator[str]:
    for path, command in walk(group):
        *parents, name = path
        parent: click.Context | None = None
        for word in parents:
            # Not the command itself: its arguments would stand in the usage twice.
            parent = click.Context(click.Command(word), parent, info_name=word)
        context = click.Context(
            command,
            parent,
            info_name=name,
            terminal_width=HELP_COLUMNS,
            help_option_names=["-h", "--help"],
        )
        yield f"### {' '.join(path)}"
        yield f"```text\n{command.get_help(context)}\n```"


def walk(
    command: click.Command, path: tuple[str, ...] = ("crm-pipeline",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Give every command with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from walk(found, (*path, name))


def _job() -> Iterator[str]:
    found = Job.model_json_schema()
    parts: dict[str, Any] = found["$defs"]
    yield "## Job file"
    yield (
        "YAML or TOML. An unknown key is an error, and all errors are told at once. "
        "Relative paths are relative to the job file. A flag wins over its key. "
        "[job.schema.json](job.schema.json) is the same for machines and editors."
    )
    sections = {
        "": found,
        "source": parts["SourceSettings"],
        "workspace": parts["WorkspaceSettings"],
        "rows": parts["RowSettings"],
        "delivery": parts["DeliverySettings"],
    }
    for name, part in sections.items():
        yield f"### {name or 'top level'}"
        yield _first_words(part["description"])
        yield _keys(part)
    yield "### mapping"
    yield _first_words(parts["MappingSettings"]["description"])
    yield (
        "Keys are the fields below, `agreements: {KEY: ...}` and "
        "`attributes: {NAME: ...}`. The value is the name of a column, or these keys; "
        "an option that does not fit its field is an error."
    )
    yield _keys(parts["ColumnMapping"])


def _keys(part: Mapping[str, Any]) -> str:
    told = described(part["description"]) | KEYS
    needed = part.get("required", ())
    rows = [
        (
            f"`{name}`",
            _type_of(entry),
            "needed" if name in needed else _default(entry),
            told.get(name, ""),
        )
        for name, entry in part["properties"].items()
        if "$ref" not in entry
    ]
    return _table(("key", "type", "default", "meaning"), rows)


def _type_of(entry: Mapping[str, Any]) -> str:
    if "anyOf" in entry:
        kinds = [_type_of(one) for one in entry["anyOf"]]
        return " or ".join(dict.fromkeys(k for k in kinds if k != "null"))
    if "$ref" in entry:
        return "a section"
    if "enum" in entry or "const" in entry:
        words = entry.get("enum", [entry.get("const")])
        return ", ".join(f"`{word}`" for word in words)
    kind = str(entry["type"])
    if kind == "array":
        return "list of text"
    if kind == "object":
        inner = entry.get("additionalProperties")
        return "words and their meanings" if inner else "a section"
    word = {"string": "text", "integer": "whole number", "boolean": "true, false"}
    bounds = [
        f"{sign} {entry[key]:,}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
        )
        if key in entry
    ]
    return " ".join([word.get(kind, kind), *bounds])


def _default(entry: Mapping[str, Any]) -> str:
    value = entry.get("default")
    if value is None:
        return "–"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _fields() -> Iterator[str]:
    yield "## Fields and headers"
    yield (
        "Without a `mapping`, a header is taken for a field when it equals the name of "
        "the field or one of its aliases; case, spaces, `_` and `-` do not count. "
        "`attributes.NAME` and `agreements.KEY` are taken as well. `clientId` is only "
        "ever mapped by a job file."
    )
    rows = [
        (
            f"`{field.name}`",
            field.kind.value,
            ", ".join(f"`{alias}`" for alias in field.aliases) or "–",
        )
        for field in NATIVE_FIELDS
    ]
    yield _table(("field", "kind", "aliases"), rows)
    yield (
        f"Agreements: {_words(AGREEMENTS)}. Without `values`, they take "
        f"{_words(AGREEMENT_WORDS)}, in any case."
    )
    yield f"Read-only names, never sent: {_words(sorted(READ_ONLY_NAMES))}."
    yield f"Columns of the tool itself, never sent: {_words(TOOL_COLUMNS)}."
    yield (
        "Names that no attribute may have, because the API ignores them without a "
        f"word: {_words(sorted(RESERVED_ATTRIBUTES))}."
    )


def _rows() -> Iterator[str]:
    yield "## States of a row"
    yield "Every row that was read ends in exactly one state, and the sum is checked:"
    yield f"```text\nread = {' + '.join(state.value for state in State)}\n```"
    yield _table(
        ("state", "meaning"), [(state.value, STATES[state]) for state in State]
    )
    yield "## Row codes"
    yield "`PHONE_SHARED` is a finding: the row is sent all the same."
    yield _table(("code", "meaning"), _coded(ROW_CODES))
    yield "## Findings"
    yield (
        "What the cells of a column show of its way here, the most serious first. They "
        "are told by `check` and `import`, with the first rows in `findings.csv`, and "
        "change no value."
    )
    yield (
        "Identifiers that are lost for good end the run with 65 before anything is "
        "sent: `ROUNDED_15` of a customId, always, since no single cell proves it; "
        "`E_NOTATION`, and floats too large to be exact, from 3 cells and 1 % of the "
        "column, since fewer block their rows one by one. `--accept-finding CODE`, or "
        "`CODE:COLUMN`, goes on all the same, as does the job key "
        "`rows.accept_findings`; rows that are blocked stay blocked."
    )
    yield _table(
        ("code", "meaning", "what to do"),
        [(f"`{code}`", told, REMEDIES[code]) for code, told in LINT_CODES.items()],
    )


def _numbers() -> Iterator[str]:
    told: dict[int, list[str]] = {}
    for name, meaning in NUMBERS.items():
        told.setdefault(getattr(exit_codes, name), []).append(meaning)
    told.setdefault(2, []).append("A command or flag that does not exist.")
    for error, code in exit_codes.EXIT_CODES.items():
        if code != exit_codes.DEFECT:
            told.setdefault(code, []).append(_first_words(inspect.getdoc(error) or ""))
    yield "## Exit codes"
    yield "0 only when everything asked for is true. Any other number is no success."
    yield _table(
        ("code", "meaning"),
        [(str(code), " ".join(told[code])) for code in sorted(told)],
    )


def _sandbox() -> Iterator[str]:
    yield "## Sandbox"
    yield "### Weather"
    yield (
        "For `crm-pipeline sandbox --weather`: a preset, then changes, as in "
        "`rain,seed=7,throttle=0.1`. The same seed gives the same weather."
    )
    meanings = described(inspect.getdoc(Weather) or "") | {
        "seed": "Chooses one of many repeatable sequences.",
        "slow_s": "Seconds that a slow answer takes longer.",
        "retry_after_s": "Seconds that `throttle` asks to wait.",
    }
    yield _table(
        ("setting", *PRESETS, "meaning"),
        [
            (
                f"`{field.name}`",
                *(str(getattr(preset, field.name)) for preset in PRESETS.values()),
                meanings[field.name],
            )
            for field in fields(Weather)
        ],
    )
    yield "### Switches"
    yield (
        "Where nobody outside knows how the API behaves, the sandbox has a switch. "
        "They are set from Python: "
        "`SandboxOptions(switches=Switches(invalid_item='reject_batch'))`."
    )
    meanings = described(inspect.getdoc(Switches) or "")
    yield _table(
        ("switch", "default", "meaning"),
        [
            (f"`{field.name}`", _shown(field.default), _plain(meanings[field.name]))
            for field in fields(Switches)
        ],
    )


def _shown(value: object) -> str:
    if value is MISSING or value is None:
        return "–"
    if isinstance(value, (tuple, frozenset)):
        return ", ".join(f"`{item}`" for item in value) or "none"
    return f"`{value}`"


# -- small tools -------------------------------------------------------------------


def described(docstring: str) -> dict[str, str]:
    """Return name → meaning from the `Attributes:` of a docstring."""
    _, _, section = inspect.cleandoc(docstring).partition("Attributes:\n")
    told: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        entry = re.fullmatch(r" {4}(\w+): (.*)", line)
        if entry:
            name = entry[1]
            told[name] = entry[2]
        elif name and line.strip():
            told[name] += f" {line.strip()}"
    return told


def _first_words(docstring: str) -> str:
    """Return what stands before the sections of a docstring."""
    text = inspect.cleandoc(docstring).partition("Attributes:\n")[0]
    return " ".join(text.split())


def _plain(meaning: str) -> str:
    """Return *meaning* without the numbers that point to other documents."""
    text = re.sub(r"^[\d, ]+\. ", "", meaning)
    return re.sub(r" (\(\d+\.\d+\)|of \d+\.\d+)", "", text)


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _coded(told: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(f"`{name}`", meaning) for name, meaning in told.items()]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |"
        for line in lines
    )


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
