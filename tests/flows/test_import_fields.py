"""Every accepted row stands in the CRM with the values that the reference expects."""

import csv
import json
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from marks import slow
from pipeline.sandbox.server import (
    RunningSandbox,
    SandboxOptions,
    running_sandbox,
)
from reference import expected_profiles
from shell import Ended, Shell

ROOT = Path(__file__).parents[2]
JOB = ROOT / "configs" / "migrate-customers.yaml"
KINDS = ("csv", "parquet", "jsonl")
# One of them for `make test`; the others have a twin that compares all three.
ONE_OF_KINDS = [
    "csv",
    *slow(*KINDS[1:]),
]
Profile = dict[str, Any]


def import_sample(shell: Shell, kind: str, *flags: str) -> Ended:
    source = ROOT / "sample_data" / f"customers.{kind}"
    return shell.run(
        "import", source, "-c", JOB, "--format", kind, "--work-dir", "work",
        "--json", "--concurrency", "1", "--verify=none", *flags,
    )  # fmt: skip


def key_of(profile: Profile) -> tuple[str, str]:
    name = next(n for n in ("customId", "email", "phone") if profile.get(n))
    value = str(profile[name])
    return name, value.lower() if name == "email" else value


def shared_phones(profiles: list[Profile]) -> set[str]:
    """Phones of rows that have nothing else, and that stand on other rows as well."""
    alone = {p["phone"] for p in profiles if key_of(p)[0] == "phone"}
    return alone & {
        p["phone"] for p in profiles if p.get("phone") and key_of(p)[0] != "phone"
    }


def holds(profile: Profile, record: Profile) -> bool:
    return all(
        holds(profile[name], value)
        if isinstance(value, dict)
        else profile[name] == value
        for name, value in record.items()
    )


@pytest.mark.parametrize("kind", ONE_OF_KINDS)
def test_all_fields_of_all_rows_are_in_the_crm(
    shell: Shell, sandbox: RunningSandbox, kind: str
) -> None:
    expected = expected_profiles(ROOT / "sample_data" / f"customers.{kind}")

    ended = import_sample(shell, kind)

    assert ended.code == 3, ended.err
    assert ended.json["rows"]["accepted"] == len(expected)
    sandbox.sandbox.settle()
    found = {key_of(profile): profile for profile in sandbox.sandbox.profiles()}
    # A phone that is all a row has may find somebody else who has it (API 5.8): these
    # rows are sent and told as a finding; what they become is not ours to foresee.
    shared = shared_phones(expected)
    certain = [p for p in expected if p.get("phone") not in shared]
    assert 0 < len(expected) - len(certain) < 30
    wrong = [
        (p, found.get(key_of(p)))
        for p in certain
        if not holds(found.get(key_of(p), {}), p)
    ]
    assert wrong == []
    generated = {"eventCreateTime", "correlationId"}
    surplus = [
        set(found[key_of(p)]["attributes"])
        - generated
        - set(cast("Profile", p.get("attributes", {})))
        for p in certain
    ]
    assert not any(surplus)
    assert len(found) <= len(expected)


def fates(path: Path) -> dict[int, tuple[str, str, str]]:
    with path.open() as file:
        return {
            int(row["row_no"]): (row["state"], row["code"], row["folded_into"])
            for row in csv.DictReader(file)
        }


@pytest.mark.parametrize("kind", ONE_OF_KINDS)
def test_every_row_ends_as_it_was_planted(
    shell: Shell, sandbox: RunningSandbox, kind: str
) -> None:
    truth = "customers.csv" if kind == "csv" else "customers_parquet.csv"

    ended = import_sample(shell, kind)

    outcomes = pl.read_parquet(ended.json["files"]["outcomes"])
    columns = ("row_no", "state", "code", "folded_into")
    found = {
        row_no: (state, code or "", str(folded_into or ""))
        for row_no, state, code, folded_into in outcomes.select(columns).iter_rows()
    }
    assert found == fates(ROOT / "tests" / "expected" / truth)
    accepted = outcomes.filter(pl.col("state") == "accepted")
    assert accepted["batch_no"].null_count() == 0
    batches = sandbox.sandbox.store.batches()
    assert sum(batch.n_items for batch in batches) == accepted.height


def test_the_three_kinds_give_the_same_crm(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    crms = []
    for kind in KINDS:
        with running_sandbox(SandboxOptions(settle_s=0.0)) as running:
            monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
            monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)
            import_sample(shell, kind)
            running.sandbox.settle()
            profiles = list(running.sandbox.profiles())
        for profile in profiles:
            for name in ("uuid", "lastActivityDate"):
                profile.pop(name)
            for name in ("eventCreateTime", "correlationId"):
                profile["attributes"].pop(name)
        crms.append(profiles)

    assert crms[0] == crms[1] == crms[2]


# What a person would put right; a row may have more than one fault.
ALWAYS = {
    "dob": "01.02.1980",
    "gender": "K",
    "newsletter": "tak",
    "country": "PL",
    "pts": "5",
    **dict.fromkeys(("first_name", "last_name", "company", "city"), "Ewa"),
    **dict.fromkeys(("tier", "tags", "tel"), "x"),
}
NEW_IDENTITY = {"EMAIL", "PHONE", "CUSTOM_ID", "ID_CONFLICT", "NO_ID"}
CODES = NEW_IDENTITY | {"DATE", "VALUE", "TYPE", "TEXT"}


def repaired(rejected: pl.DataFrame) -> pl.DataFrame:
    fixed = rejected.with_row_index("n").with_columns(
        **{column: pl.lit(text) for column, text in ALWAYS.items()}
    )
    is_new = pl.col("_code").is_in(NEW_IDENTITY)
    fresh_no = pl.concat_str(pl.lit("F-"), pl.col("n"))
    fresh_mail = pl.concat_str(pl.lit("fixed"), pl.col("n"), pl.lit("@example.org"))
    return fixed.with_columns(
        pl.when(is_new).then(fresh_no).otherwise("customer_no").alias("customer_no"),
        pl.when(is_new).then(fresh_mail).otherwise("e_mail").alias("e_mail"),
    ).drop("n")


@pytest.mark.parametrize("kind", ONE_OF_KINDS)
def test_rejected_rows_fixed_go_in_with_the_same_job(
    shell: Shell, sandbox: RunningSandbox, kind: str
) -> None:
    first = import_sample(shell, kind)
    path = Path(first.json["files"]["rejected"])
    readers = {
        "csv": lambda: pl.read_csv(path, infer_schema=False),
        "parquet": lambda: pl.read_parquet(path),
        "jsonl": lambda: pl.read_ndjson(path, infer_schema_length=None),
    }
    rejected = readers[kind]()
    assert set(rejected["_code"]) == CODES
    assert rejected["_source"].unique().to_list() == [f"customers.{kind}"]
    assert rejected["_message"].null_count() == 0
    fixed = repaired(rejected)
    target = shell.folder / f"fixed.{kind}"
    if kind == "csv":
        fixed.write_csv(target)
    elif kind == "parquet":
        fixed.write_parquet(target)
    else:
        target.write_text(
            "".join(
                json.dumps({k: v for k, v in row.items() if v is not None}) + "\n"
                for row in fixed.iter_rows(named=True)
            )
        )

    ended = shell.run(
        "import", target, "-c", JOB, "--format", kind, "--work-dir", "work", "--json"
    )

    assert ended.code == 0, ended.err
    assert ended.json["rows"]["blocked"] == 0
    assert ended.json["rows"]["accepted"] == rejected.height
    assert sandbox.sandbox.store.count_profiles() > 0


def test_a_thousand_households_stay_a_thousand_profiles(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    lines = [f"member{n}@example.com,+48600100200" for n in range(1000)]
    source = shell.write("homes.csv", "email,phone\n" + "\n".join(lines) + "\n")

    ended = shell.run("import", source, "--work-dir", "work", "--json")

    assert ended.code == 0, ended.err
    assert ended.json["rows"]["folded"] == ended.json["rows"]["blocked"] == 0
    sandbox.sandbox.settle()
    assert sandbox.sandbox.store.count_profiles() == 1000
