"""Damaged columns, as an operator meets them: told, and where need be, stopped."""

import csv
import json
from itertools import takewhile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lint_corpus import KINDS, Column, imitation
from pipeline.sandbox.server import RunningSandbox
from shell import Ended, Shell

ROOT = Path(__file__).parents[2]
LOST = [f"4{n}345678901234{zeros}" for n in range(10, 19) for zeros in ("0", "000")]
SHORT = [f"{n}.23457E+11" for n in range(1, 9)]
JOB = {"mapping": {"email": "mail", "customId": "no"}}
STOP = ["import", "people.csv", "-c", "job.yaml"]


def job_of(column: Column) -> dict[str, Any]:
    """Map one column beside another that identifies the rows."""
    rule = column.rule
    options = rule.options.model_dump(exclude_unset=True)
    mail = {"email": "mail"} if rule.name != "email" else {"uuid": "mail"}
    section, _, name = rule.name.rpartition(".")
    return {"mapping": {**mail, **({section: {name: options}} if section else
                                   {name: options})}}  # fmt: skip


def write(shell: Shell, ids: list[str], job: dict[str, Any] | None = None) -> None:
    lines = [f"a{n}@example.com,{cell}" for n, cell in enumerate(ids)]
    shell.write("people.csv", "\n".join(["mail,no", *lines, ""]))
    shell.write("job.yaml", json.dumps(job or JOB))


def nothing_was_sent(sandbox: RunningSandbox) -> bool:
    return not sandbox.sandbox.store.requests()


def shown_findings(ended: Ended) -> str:
    """Return what the terminal says of findings, on one line; none is too long."""
    lines = ended.err.splitlines()
    start = lines.index("findings about columns (findings.csv):") + 1
    shown = list(takewhile(lambda line: line.startswith("  "), lines[start:]))
    assert max(map(len, shown)) <= 80
    return " ".join(" ".join(shown).split())


@pytest.mark.parametrize("number", [22, 24])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_damage_is_told(shell: Shell, kind: str, number: int) -> None:
    column = imitation(kind, number)
    with (shell.folder / "people.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["mail", column.rule.column])
        rows.writerows([f"a{n}@example.com", c] for n, c in enumerate(column.cells))
    shell.write("job.yaml", json.dumps(job_of(column)))

    ended = shell.run("check", "people.csv", "-c", "job.yaml", "--json")

    told = {finding["code"]: finding for finding in ended.json["findings"]}
    finding = told[kind]
    is_fatal = any(finding["is_fatal"] for finding in told.values())
    assert (ended.code == 65) is is_fatal
    assert (finding["column"], finding["field"]) == (
        column.rule.column,
        column.rule.name,
    )
    assert not finding["is_accepted"]
    start = f"{kind}: column {column.rule.column}: {finding['n_cells']} cell"
    assert start in shown_findings(ended)
    listed = pl.read_csv(ended.json["files"]["findings"]).filter(code=kind)
    assert set(listed["field"]) == {column.rule.name}
    assert set(listed["source"]) == {"people.csv"}
    assert listed["row_no"].is_between(1, len(column.cells)).all()
    assert listed.height <= finding["n_cells"]


def test_a_mark_before_the_name_of_a_column_is_told(shell: Shell) -> None:
    shell.write("people.csv", "mail,\ufeffno\na@example.com,7\n")
    shell.write("job.yaml", json.dumps({"mapping": {"email": "mail"}}))

    ended = shell.run(
        "check", "people.csv", "-c", "job.yaml", "--extra-columns", "ignore", "--json"
    )

    assert ended.code == 0
    (finding,) = ended.json["findings"]
    assert (finding["code"], finding["field"]) == ("BOM", None)
    assert "BOM: column 2: its name begins with a byte order mark" in shown_findings(
        ended
    )
    (line,) = pl.read_csv(ended.json["files"]["findings"]).iter_rows(named=True)
    assert (line["source"], line["row_no"]) == ("people.csv", 0)


@pytest.mark.parametrize(("ids", "code"), [(SHORT, "E_NOTATION"), (LOST, "ROUNDED_15")])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_lost_identifiers_stop_the_run_before_anything_is_sent(
    shell: Shell, sandbox: RunningSandbox, ids: list[str], code: str, dry: list[str]
) -> None:
    write(shell, ids)

    ended = shell.run(*STOP, *dry, "--json", "--work-dir", "w")

    assert ended.code == ended.json["exit_code"] == 65
    assert nothing_was_sent(sandbox)
    said = ended.err.splitlines()
    last = " ".join(" ".join(said[-12:]).split())
    assert f"people.csv, column no: {len(ids)} cells" in last
    assert "export again. See rows 1, 2, 3, 4, 5 and" in last
    assert "This command sent nothing." in last
    assert f"--accept-finding {code}:no" in last
    assert f'rows.accept_findings: ["{code}:no"]' in last
    assert not [cell for cell in ids if cell in ended.err]
    rows = ended.json["rows"]
    assert rows["planned"] + rows["blocked"] == rows["read"] == len(ids)
    paths = ended.json["files"]
    summary = Path(paths["outcomes"]).parent / "summary.json"
    assert json.loads(summary.read_text()) == ended.json
    assert set(pl.read_csv(paths["findings"])["code"]) == {code}
    assert nothing_was_sent(sandbox)


ACCEPTED: list[tuple[list[str], list[str]]] = [
    (["--accept-finding", "ROUNDED_15"], []),
    (["--accept-finding", "BOM", "--accept-finding", "ROUNDED_15:no"], []),
    ([], ["ROUNDED_15"]),
    ([], ["ROUNDED_15:no"]),
]


@pytest.mark.parametrize(("flags", "key"), ACCEPTED)
def test_an_accepted_finding_is_told_and_stops_nothing(
    shell: Shell, sandbox: RunningSandbox, flags: list[str], key: list[str]
) -> None:
    write(shell, LOST, JOB | {"rows": {"accept_findings": key}})

    ended = shell.run(*STOP, *flags, "--json")

    assert ended.code == 0, ended.err
    assert ended.json["rows"]["accepted"] == len(LOST)
    (finding,) = ended.json["findings"]
    assert finding["is_fatal"]
    assert finding["is_accepted"]
    assert "ROUNDED_15 (accepted): column no" in shown_findings(ended)
    assert sandbox.sandbox.store.batches() != []


def test_accepting_something_else_is_not_enough(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    write(shell, LOST)

    ended = shell.run(*STOP, "--accept-finding", "ROUNDED_15:mail")

    assert ended.code == 65
    assert nothing_was_sent(sandbox)


def test_what_lost_its_digits_is_not_sent_even_when_accepted(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    write(shell, [*SHORT, "C-1", "C-2"])

    ended = shell.run(*STOP, "--accept-finding", "E_NOTATION", "--json")

    assert ended.code == 3
    assert ended.json["codes"] == {"E_NOTATION": len(SHORT)}
    sandbox.sandbox.settle()
    assert {p["customId"] for p in sandbox.sandbox.profiles()} == {"C-1", "C-2"}


@pytest.mark.parametrize(
    ("cell", "code"), [("4.86E+10", "E_NOTATION"), ("#N/A", "NULL_WORD")]
)
def test_a_single_lost_identifier_blocks_its_row(
    shell: Shell, sandbox: RunningSandbox, cell: str, code: str
) -> None:
    write(shell, ["C-1", f" {cell}", "C-2", cell])

    ended = shell.run(*STOP, "--json")

    assert ended.code == 3
    assert ended.json["codes"] == {code: 2}
    rejected = pl.read_csv(ended.json["files"]["rejected"])
    assert rejected.select("_row_no", "_code").rows() == [(2, code), (4, code)]
    told = {finding["code"]: finding for finding in ended.json["findings"]}
    assert not told[code]["is_fatal"]
    sandbox.sandbox.settle()
    assert {p["customId"] for p in sandbox.sandbox.profiles()} == {"C-1", "C-2"}


def test_a_lost_identifier_can_be_left_out(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    ids = {"column": "no", "on_invalid": "omit"}
    write(shell, [*SHORT, "NULL"], {"mapping": {"email": "mail", "customId": ids}})

    ended = shell.run(*STOP, "--json")

    assert ended.code == 0
    assert ended.json["omitted_invalid"] == len(SHORT) + 1
    sandbox.sandbox.settle()
    assert [p.get("customId") for p in sandbox.sandbox.profiles()] == [None] * 9


@pytest.mark.parametrize(
    ("flags", "key", "words"),
    [
        (["--accept-finding", "TYPO"], [], "TYPO is none of E_NOTATION,"),
        (["--accept-finding", "BOM:nr"], [], "'nr'"),
        ([], ["TYPO:no"], "line 3: rows.accept_findings.0: TYPO:no is none of"),
        ([], ["BOM:no", "BOM:nr"], "names a column 'nr' that the source does not"),
    ],
)
def test_what_cannot_be_accepted_is_refused(
    shell: Shell,
    sandbox: RunningSandbox,
    flags: list[str],
    key: list[str],
    words: str,
) -> None:
    write(shell, ["C-1"])
    job = f"mapping: {{email: mail, customId: no}}\nrows:\n  accept_findings: {key}\n"
    shell.write("job.yaml", job)

    ended = shell.run(*STOP, *flags)

    assert ended.code == 78
    assert words in " ".join(ended.err.split())
    assert nothing_was_sent(sandbox)


# -- other kinds of files ----------------------------------------------------------


def jsonl_of(ids: list[Any]) -> str:
    people = [{"mail": f"a{n}@example.com", "no": v} for n, v in enumerate(ids)]
    return "".join(f"{json.dumps(person)}\n" for person in people)


@pytest.mark.parametrize(
    ("ids", "codes", "blocked"),
    [
        ([*SHORT, 7], {"E_NOTATION"}, {"E_NOTATION": 8}),
        ([*map(int, LOST), "C-1"], {"ROUNDED_15"}, {}),
        (LOST, {"ROUNDED_15"}, {}),
    ],
)
def test_lost_identifiers_of_jsonl_stop_the_run(
    shell: Shell,
    sandbox: RunningSandbox,
    ids: list[Any],
    codes: set[str],
    blocked: dict[str, int],
) -> None:
    write(shell, [])
    shell.write("people.jsonl", jsonl_of(ids))

    ended = shell.run("import", "people.jsonl", "-c", "job.yaml", "--json")

    assert ended.code == 65
    assert {finding["code"] for finding in ended.json["findings"]} == codes
    assert ended.json["codes"] == blocked
    assert nothing_was_sent(sandbox)


def test_numbers_of_jsonl_are_no_damage(shell: Shell) -> None:
    job = {"mapping": {"email": "mail", "attributes": {"no": "no"}}}
    write(shell, [], job)
    shell.write("people.jsonl", jsonl_of([1.5e11, 7, "a", True, [1], 43831.0] * 9))

    ended = shell.run("check", "people.jsonl", "-c", "job.yaml", "--json")

    assert (ended.code, ended.json["findings"]) == (0, [])


@pytest.mark.parametrize(
    ("ids", "codes", "blocked"),
    [
        (SHORT, {"E_NOTATION"}, {"E_NOTATION": 8}),
        ([int(cell) for cell in LOST], {"ROUNDED_15"}, {}),
        ([1e17, 2e17, 3e17, 4e17], {"ROUNDED_15", "FLOAT_ID"}, {"TYPE": 4}),
    ],
)
def test_lost_identifiers_of_parquet_stop_the_run(
    shell: Shell,
    sandbox: RunningSandbox,
    ids: list[Any],
    codes: set[str],
    blocked: dict[str, int],
) -> None:
    write(shell, [])
    mails = [f"a{n}@example.com" for n in range(len(ids))]
    pl.DataFrame({"mail": mails, "no": ids}).write_parquet("people.parquet")

    ended = shell.run("import", "people.parquet", "-c", "job.yaml", "--json")

    assert ended.code == 65
    assert {finding["code"] for finding in ended.json["findings"]} == codes
    assert ended.json["codes"] == blocked
    assert nothing_was_sent(sandbox)


# -- no false alarm ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_sample_shows_what_was_planted_and_nothing_stops_it(
    shell: Shell, kind: str
) -> None:
    job = ROOT / "configs/migrate-customers.yaml"
    ended = shell.run(
        "check", ROOT / f"sample_data/customers.{kind}", "-c", job,
        "--format", kind, "--work-dir", "w", "--json",
    )  # fmt: skip

    assert ended.code == 3
    found = {(f["code"], f["field"]): f["n_cells"] for f in ended.json["findings"]}
    assert found == {
        ("E_NOTATION", "phone"): 8,
        ("FLOAT_ID", "customId"): 1,
        ("NULL_WORD", "attributes.points"): 1,
        ("NULL_WORD", "firstName"): 15,
        ("NULL_WORD", "company"): 16,
        ("DECIMAL_COMMA", "attributes.points"): 1,
        ("INVISIBLE", "email"): 1,
        ("INVISIBLE", "customId"): 5,
        ("INVISIBLE", "firstName"): 16,
    }
    assert not any(f["is_fatal"] for f in ended.json["findings"])
    assert shown_findings(ended).endswith("and 4 more findings")


def test_findings_of_the_job_stay_accepted_beside_those_of_a_flag(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    write(shell, LOST, JOB | {"rows": {"accept_findings": ["ROUNDED_15"]}})

    ended = shell.run(*STOP, "--accept-finding", "BOM")

    assert ended.code == 0, ended.err
    assert not nothing_was_sent(sandbox)
