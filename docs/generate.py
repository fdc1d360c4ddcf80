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
    PORTAL_TO_NATIVE,
    READ_ONLY_NAMES,
    RESERVED_ATTRIBUTES,
    ROW_CODES,
    TOOL_COLUMNS,
)
from pipeline.health import Ended, Health
from pipeline.metrics import FAMILIES, PREFIX
from pipeline.records import FieldClass, RowClass, State
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
    "DIFFERENT": "Read back, at the end of an import or by `verify`, an accepted row "
    "differs from what was sent, or is absent after its time; of `reconcile`: more "
    "rows disagree than `--fail-over` allows; of a mirror: a profile to be deleted is "
    "not as the export showed it, and was kept.",
    "INCOMPLETE": "An export that is not shown to be complete; a comparison with a "
    "part of the CRM out of sight; a demo that did not go as it should.",
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
    "rows.settled": "Accepted rows that were read back at the end of the run and "
    "hold every field that was sent.",
    "rows.differs": "The same, and a field holds something else, though its time is "
    "over.",
    "rows.absent": "The same, and there is no such profile, though its time is over.",
    "rows.not_yet": "The same, and what was sent is not seen yet; `verify` asks again.",
    "rows.unverified": "Accepted rows that were not read back. `accepted` is the sum "
    "of these five.",
    "verification": "What else the reading back told: `asked`, `ambiguous`, "
    "`wrong_share_at_most`, `settled_after_s`, `fields` and `refusal`, as in "
    "`verify.json`. Null when nothing was read back: under `verify: none`, when not "
    "everything went out, and when nothing was accepted.",
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
    "files": "Name → path of each file of the run; `report` is the page for people, of "
    "`plan` its `plan.html`.",
    "error": "What ended the run early, else null.",
}
# Of `plan`, `apply` and `sync` alone.
PLAN_KEYS: Final = {
    "plan_id": "The name of the plan, and of the run that applies it.",
    "mode": "`sync.mode` of the job.",
    "state_generation": "Of the state that it was made from; 0 when there was none.",
    "new": "Rows of persons of whom nothing is confirmed.",
    "changed": "Rows with a field that differs from what was confirmed.",
    "unchanged": "Rows that are not sent.",
    "vanished": "Persons who were confirmed and have no row that can be sent. Nothing "
    "is done about them, but by `sync.mode: mirror`.",
    "held_back": "Code → rows that the mode does not let go; they are blocked.",
    "adopted": "Persons of whom the export of `--crm` showed what the CRM holds, and "
    "that was taken for confirmed.",
    "looked_up": "Persons that the CRM was asked for.",
    "deletes": "Profiles that are deleted.",
    "kept": "Persons without a row who are not deleted.",
    "actions": "Deletions by what became of them: `done`, `refused` (the profile is "
    "not as the export showed it, and was kept), `pending`; null of a plan.",
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
    "exit_code": "4 when a row differs or is absent, 130 or 143 after a signal, else "
    "0.",
    "rows": "`accepted`, `asked`, and the parts of `accepted`: `settled`, `differs`, "
    "`absent`, `not_yet`, `unverified`. `ambiguous` is a part of `unverified`: their "
    "phone is all that another row has.",
    "wrong_share_at_most": "Of the rows that can be asked for, at 95 % confidence.",
    "settled_after_s": "The longest time after its 202 at which a row, absent at an "
    "earlier look, was there; null when every row was there at once.",
    "fields": "Field → rows that differ in it.",
    "refusal": "Why nothing more could be read, else null.",
    "files": "`report`, and `differences` where there are any.",
}
RECONCILE_KEYS: Final = {
    "version": "Of this list of keys: 1.",
    "run_id": "Name of the comparison and of its folder.",
    "command": "`reconcile`.",
    "exit_code": "What the process ended with.",
    "source": "The files, in their order.",
    "against": "`name`, `workspace` (GUID, null for a file), `profiles`, "
    "`shared_identifiers` (profiles that share one with another), `complete`, "
    "`reasons` why it is not, `lacking` (fields that could not be compared), "
    "`unknown_columns`.",
    "baseline": "The file or run that both sides once were; null without one.",
    "rows": "`read` is the sum of `empty`, `blocked`, `folded` and `compared`; "
    "`compared` is the sum of `matched` and of each other class of a row but "
    "`only_in_crm`, which counts profiles. `differing` is a part of `matched`.",
    "disagreeing_share": "Of the rows compared: those that differ, are only in the "
    "source, or contradict a profile. `--fail-over` is compared with it.",
    "fields": "Field → `in_source` and `in_crm` (matched rows and their profiles with "
    "a value), and one number for each class.",
    "ignored": "Fields of `--ignore-fields`.",
    "repair_rows": "Rows of the repair file.",
    "files": "`differences` (CSV), `differences_parquet`, `report`, and `repair` where "
    "something would have to be sent.",
}
ROW_CLASSES: Final = {
    RowClass.MATCHED: "One row, one profile.",
    RowClass.ONLY_IN_SOURCE: "No profile has an identifier of the row.",
    RowClass.UNKNOWN: "The same, among profiles that are not shown to be all.",
    RowClass.SEVERAL_PROFILES: "The row meets more than one profile; a line for each.",
    RowClass.SEVERAL_ROWS: "Its only profile meets another row too.",
    RowClass.ONLY_IN_CRM: "A profile that no row met.",
}
FIELD_CLASSES: Final = {
    FieldClass.EQUAL: "The same; it has no line.",
    FieldClass.SOURCE_NEWER: "Changed in the source since the baseline.",
    FieldClass.CRM_EDITED: "Changed in the CRM since the baseline.",
    FieldClass.BOTH_CHANGED: "Changed in both, to different values.",
    FieldClass.ERASED: "Not changed in the source, and gone from the CRM.",
    FieldClass.MISSING: "Empty in the CRM; no baseline tells since when.",
    FieldClass.DIFFERS: "Other values; no baseline tells who changed.",
}
CERTIFICATE_KEYS: Final = {
    "version": "Of this list of keys: 2.",
    "complete": "Whether it is shown to be complete.",
    "evidence": "What shows it: `count` (as many distinct profiles as the service says "
    "there are, before and after), `partition` (every part of an exhaustive partition "
    "showed all that it holds; every profile that was there all the time is in the "
    "file), `named` (every row of `--by-identifiers` has an answer); else null.",
    "reasons": "Why it is not complete; empty when it is.",
    "words": "The certificate in sentences.",
    "profiles": "In the file, each id once.",
    "distinct": "Profiles that were seen.",
    "all_before": "Profiles that the question is about, as the service told before; "
    "null when it did not.",
    "all_after": "The same, afterwards.",
    "cap": "What one question shows at most; a total of just that is unknown.",
    "variation": "By how much the total went up and down meanwhile.",
    "question": "The filters, as the service was asked: `recognized`, `search`.",
    "roads": "In order: `list`, `pages` (`GET /v4/clients`), `windows`, `named`.",
    "search_means": "`contains`, `prefix` or `nothing of use`, probed with UUIDs that "
    "were seen; null when no search was needed.",
    "search_field": "The field of that search; null for a plain one.",
    "sort_fields": "What the list was sorted by.",
    "partition": "Leaves of the partition by UUIDs, when it holds; else null.",
    "passes": "Through the windows.",
    "cut_short": "Whether the search for more was given up.",
    "contradictions": "Of the service with itself; with one, nothing is complete.",
    "saturated": "Windows with more rows than the cap let them show.",
    "duplicates": "Rows that were shown again.",
    "drifts": "Pages that did not go on where the one before ended.",
    "gone": "Profiles that a list showed, and that were not there any more to be read "
    "in full.",
    "estimate": "Of the profiles there are, by two orders; never evidence.",
    "named": "Rows of the file of `--by-identifiers`; null without one.",
    "not_asked": "Row of that file → why nobody could be asked for.",
    "pages": "Passes of road 1: `n_pages`, `n_rows`, `n_new`, `refusal`.",
    "windows": "Every part that was read: `recognized`, `search`, `sort_field`, "
    "`is_descending`, and `matching`, `rows`, `new`, `saturated`, `drifts`, "
    "`repeated`, `leaf` of it.",
    "file": "`name`, `sha256`, `detail`; `json_columns`: columns with JSON in every "
    "cell, which `import` reads from here; `spreadsheet_safe`; `absent_rows`: rows of "
    "the file of identifiers whose profile is not there.",
    "workspace": "GUID of the workspace that was exported.",
}
COLUMNS_OF_AN_EXPORT: Final = (
    "A file has the same columns of the same types whatever the profiles hold: "
    "`clientId` is a whole number, `agreements.KEY` a truth value, `tags` a list of "
    "texts, everything else text; then one column for each attribute, in the order of"
    " their names. An attribute that is not a text in every profile is JSON in every "
    "cell of CSV and Parquet, and the certificate names its column; JSONL keeps every"
    " value as it is. Lists are JSON text in CSV. `import` maps such a file by "
    "itself: keep the certificate beside it."
)
GENERATED_VALUES: Final = (
    "What the platform makes is told apart. Left out: the attributes `correlationId` "
    "and `eventCreateTime`, `previousClients`, and an `avatarUrl` that is the "
    "gravatar of the profile's own e-mail. Marked, because it may be real: a "
    "`firstName` that equals the e-mail before the `@` stands in the column "
    "`_generated`. A field that `--fields` names is written as it is."
)
FILES_FOR_PEOPLE: Final = (
    "`--spreadsheet-safe` writes CSV for people: a byte order mark in front, and an "
    "apostrophe before texts that a spreadsheet would take for a formula or for a "
    "number (phones, codes with zeros). `import` refuses such a file."
)

ALERT_KEYS: Final = {
    "version": "Of this list of keys: 1.",
    "id": "The same for the same change.",
    "event": "`failing`, `changed` (fails in another way) or `recovered`.",
    "dataset": "Name of the job, or its paths.",
    "activity": "`import` (a resumption, too), `verify` or `export`.",
    "exit_code": "What runs end with now.",
    "exit_code_before": "What was told before.",
    "since": "When a run first ended so.",
    "last_ok": "When a run last ended with 0; null if none did.",
    "run_id": "The run that ended last; null when it sent nothing.",
    "rows": "State → rows of that run.",
    "text": "The same for people.",
}

DOCTOR_CHECKS: Final = {
    "versions": "Of the tool and of what it stands on.",
    "job": "The job file can be read.",
    "alerts, metrics": "An address is set, a folder can be written; nothing is sent.",
    "address": "The base URL; only when it is wrong.",
    "name": "The host has an address (DNS).",
    "connection": "Something listens on its port (TCP).",
    "encryption": "TLS 1.2 or newer, a certificate that is trusted and does not end in "
    "the next 14 days.",
    "network": "Instead of these three, under `--env-proxy`.",
    "credentials": "The service takes the key or the token.",
    "workspace": "Which one it is; a warning when it is not pinned.",
    "clock": "The `Date` of the service against ours; a warning beyond 30 s.",
    "import, create": "The permissions that the key has, as the service tells them.",
    "read": "A profile that does not exist is asked for.",
    "list": "A page of one row is asked for.",
    "service": "Only when it cannot be reached, so none of this is asked.",
    "work folder": "A folder can be made in it, and is removed again.",
    "space": "A warning below 1 GiB; fails below 4 MiB, which the journal needs.",
    "disk": "A warning on a network disk, where the system tells that it is one.",
    "durable writes": "A file is replaced and flushed.",
    "locks": "A lock keeps others out.",
    "journal": "SQLite keeps a write-ahead log there.",
}

LOG_KEYS: Final = {
    "time": "RFC 3339, UTC, milliseconds.",
    "level": "`debug`, `info`, `warning` or `error`.",
    "event": "`begun`, `mapping`, `workspace`, `resumed`; `checking` and `sending` "
    "every few seconds; `checked`; `ended`; `warning`, `error`; `said` (a sentence for "
    "people), `log` (under `-v`).",
    "run_id": "Null before the run has a name.",
    "text": "The same for people.",
    "rows": "State → rows, of `checking`, `sending` (beside `rows_to_send`), `checked` "
    "and `ended`.",
    "exit_code": "Of `ended` and `error`; `ended` has more keys of the summary.",
    "work_dir": "Of `begun`.",
    "guid": "Of `workspace`.",
    "logger": "Of `log`.",
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
    "least 32 characters. Without it, it is the file `key` of the work folder. "
    "Machines that share a state (`sync.state`) have to share it.",
    "CRM_PIPELINE_KEY_FILE": "A file that holds it, instead.",
    "SYNERISE_WORKSPACE_GUID": "Of the workspace; needed under `auth: basic` where the "
    "job has no `workspace.guid`.",
    "CRM_PIPELINE_LOG_FORMAT": "`json`: stderr is one JSON object a line; `text` is "
    "usual.",
    "CRM_PIPELINE_TELL": "`no`: neither alerts nor metrics, as for a try by hand.",
}


# Keys that the models do not describe, or that do less than their name says.
KEYS: Final = {
    "version": "Of this form of job file.",
    "mapping": "See below; without it, headers are taken as they are.",
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
    "The summary of a comparison": "the-summary-of-a-comparison",
    "Classes of a comparison": "classes-of-a-comparison",
    "Files of profiles": "files-of-profiles",
    "Exported files": "exported-files",
    "The certificate of an export": "the-certificate-of-an-export",
    "doctor": "doctor",
    "health.json": "healthjson",
    "Alerts": "alerts",
    "Metrics": "metrics",
    "JSON on stderr": "json-on-stderr",
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
OF_THE_DOCTOR: Final = (
    "`crm-pipeline doctor` prints a line for each check: `ok`, `warning` or `fails`, "
    "its name, and what to do; `--json` the same as `checks` with `name`, `level` and "
    "`told`, beside `version` and `exit_code`. It ends with what a run would end with "
    "first, by the table of exit codes; warnings alone end it with 0."
)
OF_THE_HEALTH: Final = (
    "In the work folder: how runs of each dataset ended, and what of it was told. One "
    "record for each dataset and activity, made from the ends of runs. An end with 80 "
    "is not counted, for another run is at work; one with 130 or 143 leaves the health "
    "as it was. It holds no value of a row. Removed, it begins anew."
)
OF_THE_ALERTS: Final = (
    "One document a change of health is posted to `notify.url`: when runs begin to "
    "fail, fail in another way, or end with 0 again. A run that ends like the one "
    "before is no news. Three tries, 5 s each; redirects are not followed. What was "
    "not taken is a warning and never changes the exit code; the next run tells it if "
    "it is still so. Where an answer was lost, the same alert may come twice, with the "
    "same `id`. `form: slack` posts `text` alone. A process that is killed, or whose "
    "job file cannot be read, tells nothing: watch the metrics, too."
)
OF_THE_METRICS: Final = (
    "The job key `metrics` names a file that is replaced as a whole when a run ends, "
    "readable by everybody, in the text format of Prometheus; all are gauges. Its "
    "name has to end in `.prom` for the node exporter. Labels are `dataset` and "
    "`activity` (`import`, `verify`, `export`), of rows `state`, too."
)
OF_THE_LOG: Final = (
    "With `CRM_PIPELINE_LOG_FORMAT=json`, everything on stderr is one JSON object a "
    "line: talk, progress, warnings, errors, and with `-v` what is logged. In `text`, "
    "what looks like a person or a secret is masked. Paths of files stay readable "
    "where their names are words and numbers. `--quiet` leaves warnings and errors."
)
OF_THE_COMPARISON: Final = (
    "Of `reconcile`: `summary.json` in the folder of the comparison, at `--summary "
    "FILE`, and on stdout with `--json`."
)
OF_THE_CLASSES: Final = (
    "`differences.csv` and `differences.parquet` have a line for each field that is "
    "not equal, and one without a field for each row that met no profile, or several: "
    "`source`, `row_no`, `profile_no` (in the export, from 1), `profile` (its surest "
    "identifier), `field`, `class`, and `source_value`, `crm_value`, `baseline_value` "
    "as JSON. A field that the source does not give is not compared."
)
OF_PROFILE_FILES: Final = (
    "What `--against` and `--baseline` take: CSV, Parquet, JSONL, or a JSON array of "
    "objects (`.json`), also compressed as sources may be. Columns and keys are taken "
    "by their native names, `attributes.NAME` and `agreements.NAME`, or as parts of "
    "the objects `attributes` and `agreements`; by the names of the platform below; an "
    "attribute of the source also by its bare name; then by the aliases of headers "
    "above. Tags may be a list, its JSON text, or a column `tags.NAME` of true and "
    "false for each. A column that is none of these is named and left out; a file "
    "without an identifier that the source has is refused (65).\n\n"
    "A field without a column is not compared, and named; only in an object "
    "`attributes` or `agreements` of JSON, a missing key is an empty field. A cell of "
    "CSV, and a text in an attribute of Parquet, has no type: `12` may be the number "
    "or the text, and is equal to both; what looks like JSON may be JSON."
)
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
        "## The summary of a comparison",
        OF_THE_COMPARISON,
        _table(("key", "meaning"), _coded(RECONCILE_KEYS)),
        "## Classes of a comparison",
        OF_THE_CLASSES,
        _table(("class of a row", "meaning"), _coded(ROW_CLASSES)),
        _table(("class of a field", "meaning"), _coded(FIELD_CLASSES)),
        "## Files of profiles",
        OF_PROFILE_FILES,
        _table(("platform", "field"), ((f"`{a}`", f"`{b}`") for a, b in _PORTAL)),
        "## Exported files",
        COLUMNS_OF_AN_EXPORT,
        GENERATED_VALUES,
        FILES_FOR_PEOPLE,
        "## The certificate of an export",
        OF_THE_CERTIFICATE,
        _table(("key", "meaning"), _coded(CERTIFICATE_KEYS)),
        *_operations(),
        "## JSON on stderr",
        OF_THE_LOG,
        _table(("key", "meaning"), _coded(LOG_KEYS)),
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


_PORTAL: Final = tuple(
    (column, field)
    for column, field in PORTAL_TO_NATIVE.items()
    if field not in READ_ONLY_NAMES or field == "clientId"
)


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
        "sync": parts["SyncSettings"],
        "sync.guards": parts["GuardSettings"],
        "sync.watermark": parts["WatermarkSettings"],
        "notify": parts["NotifySettings"],
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


def _operations() -> Iterator[str]:
    yield "## doctor"
    yield OF_THE_DOCTOR
    yield _table(("check", "what is looked at"), DOCTOR_CHECKS.items())
    yield "## health.json"
    yield OF_THE_HEALTH
    told = described(inspect.getdoc(Health) or "")
    last = described(inspect.getdoc(Ended) or "")
    told |= {f"last.{name}": meaning for name, meaning in last.items()}
    told = {key: told[key].replace("None", "null") for key in told}
    yield _table(("key", "meaning"), _coded(told))
    yield "## Alerts"
    yield OF_THE_ALERTS
    yield _table(("key", "meaning"), _coded(ALERT_KEYS))
    yield "## Metrics"
    yield OF_THE_METRICS
    yield _table(
        ("name", "meaning"),
        _coded({f"{PREFIX}{name}": meaning for name, meaning in FAMILIES.items()}),
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
