"""The sample is what its README says, and the reference gives every row its fate."""

import csv
import functools
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import yaml

from reference import Fate, classify, expected_profiles, read_rows

PROJECT = Path(__file__).resolve().parents[1]
DATA = PROJECT / "sample_data"
EXPECTED = PROJECT / "tests" / "expected"
CUSTOMERS = {
    "customers.csv": "customers.csv",
    "customers.jsonl": "customers_parquet.csv",
    "customers.parquet": "customers_parquet.csv",
}
STRUCTURAL = {"ROW_TOO_WIDE", "ROW_TOO_SHORT", "ROW_QUOTE", "EMPTY"}
CODES_OF_A_CSV = {
    *STRUCTURAL - {"EMPTY"}, "NO_ID", "EMAIL", "PHONE", "CUSTOM_ID", "DATE", "VALUE",
    "TYPE", "TEXT", "ID_CONFLICT",
}  # fmt: skip


def table(name: str) -> list[dict[str, str]]:
    with (EXPECTED / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@functools.cache
def profiles_of(name: str) -> list[dict[str, object]]:
    return expected_profiles(DATA / name)


def small_broken() -> dict[str, list[dict[str, str]]]:
    files: dict[str, list[dict[str, str]]] = {}
    for row in table("small_broken.csv"):
        files.setdefault(row["file"], []).append(row)
    return files


def csv_of(path: Path, *lines: str) -> Path:
    header = "customer_no,e_mail,tel,first_name,tier,pts,tags"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8", newline="")
    return path


def test_the_script_writes_the_committed_files_again(tmp_path: Path) -> None:
    script = DATA / "make_sample_data.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True)
    written = [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()]
    here = [p for p in (*DATA.rglob("*"), *EXPECTED.rglob("*")) if p.is_file()]
    made = {p.relative_to(PROJECT) for p in here if p.suffix not in {".py", ".pyc"}}
    made.discard(Path("tests/expected/lint_roundtrip.parquet"))  # a spreadsheet's
    assert set(written) == made
    for path in written:
        ours, theirs = PROJECT / path, tmp_path / path
        # Parquet names its writer, and packs as the installed version does.
        if path.suffix != ".parquet" or path.stem == "csv_named":
            assert ours.read_bytes() == theirs.read_bytes(), path
        elif path.stem == "truncated":
            assert ours.read_bytes()[:4] == theirs.read_bytes()[:4] == b"PAR1"
        else:
            assert pl.read_parquet(ours).equals(pl.read_parquet(theirs)), path


@pytest.mark.parametrize(("data", "expected"), CUSTOMERS.items())
def test_planter_and_reference_agree_on_every_row(data: str, expected: str) -> None:
    planted = [
        Fate(
            int(row["row_no"]),
            row["state"],
            row["code"],
            int(row["folded_into"]) if row["folded_into"] else None,
        )
        for row in table(expected)
    ]
    assert classify(read_rows(DATA / data)) == planted


def test_the_three_kinds_give_the_same_profiles() -> None:
    n_accepted = sum(row["state"] == "accepted" for row in table("customers.csv"))
    assert len(profiles_of("customers.csv")) == n_accepted
    assert profiles_of("customers.jsonl") == profiles_of("customers.csv")
    assert profiles_of("customers.parquet") == profiles_of("customers.csv")


def test_the_twins_hold_texts_and_no_empty_cell() -> None:
    frame = pl.read_parquet(DATA / "customers.parquet")
    assert set(frame.dtypes) == {pl.String}
    assert not any((frame[name] == "").any() for name in frame.columns)
    assert '""' not in (DATA / "customers.jsonl").read_text(encoding="utf-8")


def test_two_to_three_rows_in_a_hundred_are_bad() -> None:
    states = Counter(row["state"] for row in table("customers.csv"))
    n_records = states.total() - states["empty"]
    assert n_records == 5_000
    assert 0.02 <= states["blocked"] / n_records <= 0.03
    assert states["empty"] == 7


def test_every_code_a_csv_can_show_occurs() -> None:
    blocked = {r["code"] for r in table("customers.csv") if r["state"] == "blocked"}
    assert blocked == CODES_OF_A_CSV


def test_no_profile_holds_an_empty_value_or_anothers_identifier() -> None:
    profiles = profiles_of("customers.csv")
    assert not [
        p for p in profiles for v in p.values() if v is None or v in ("", [], {})
    ]
    for name in ("email", "customId"):
        seen = Counter(p[name] for p in profiles if name in p)
        assert max(seen.values()) == 1
    phones = Counter(p["phone"] for p in profiles if "phone" in p)
    assert sum(n > 1 for n in phones.values()) >= 100  # households, left apart


def test_every_damaged_file_has_its_line() -> None:
    names = sorted(path.name for path in (DATA / "small_broken").iterdir())
    readme = (
        (DATA / "README.md").read_text(encoding="utf-8").split("## small_broken")[1]
    )
    lines = re.findall(r"^\| `(\S+)` \|.*\| (\d+) \| (.*) \|$", readme, re.MULTILINE)
    assert sorted(name for name, _, _ in lines) == names
    files = small_broken()
    assert sorted(files) == names
    for name, exit_code, rows in lines:
        assert {row["exit_code"] for row in files[name]} == {exit_code}
        codes = [f"{r['row_no']} `{r['code']}`" for r in files[name] if r["code"]]
        assert ", ".join(codes) == rows.strip()


def readable_texts() -> list[str]:
    return [
        name
        for name, rows in small_broken().items()
        if name.endswith((".csv", ".jsonl")) and rows[0]["exit_code"] in {"0", "3"}
    ]


@pytest.mark.parametrize("name", readable_texts())
def test_damage_to_the_shape_is_seen_by_the_reference_too(name: str) -> None:
    path, rows = DATA / "small_broken" / name, small_broken()[name]
    if not rows[0]["row_no"]:
        assert read_rows(path) == []
        return
    found = [(str(row.row_no), row.fault) for row in read_rows(path)]
    is_json = path.suffix == ".jsonl"
    shapes = STRUCTURAL | ({"ROW_JSON"} if is_json else set())
    planted = [(r["row_no"], r["code"] if r["code"] in shapes else "") for r in rows]
    assert found == planted


@pytest.mark.parametrize("name", ["unclosed_quote", "cp1250", "latin1", "utf16_bom"])
def test_a_file_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"never closed|decode"):
        read_rows(DATA / "small_broken" / f"{name}.csv")


def test_all_mail_goes_to_domains_reserved_for_examples() -> None:
    wrong = set()
    for path in DATA.rglob("*"):
        if path.suffix in {".csv", ".jsonl", ".md"}:
            text = path.read_bytes().decode("utf-8", "ignore").lower()
            for domain in re.findall(r"@([\w.\-]*[a-z])", text):
                if not re.fullmatch(r"(.*\.)?example\.(com|org|net)", domain):
                    wrong.add((path.name, domain))
    assert wrong == set()


def test_the_job_maps_every_column_once() -> None:
    text = (PROJECT / "configs" / "migrate-customers.yaml").read_text(encoding="utf-8")
    job = yaml.safe_load(text)
    assert list(job) == [
        "version", "name", "work_dir", "source", "workspace", "mapping", "rows",
        "delivery", "verify",
    ]  # fmt: skip
    columns: list[str] = []

    def collect(value: object) -> None:
        if isinstance(value, str):
            columns.append(value)
        elif isinstance(value, dict) and "column" in value:
            columns.append(value["column"])
        elif isinstance(value, dict):
            for part in value.values():
                collect(part)

    collect(job["mapping"])
    header = (DATA / "customers.csv").read_text(encoding="utf-8").split("\n", 1)[0]
    assert sorted(columns) == sorted(header.split(","))


def test_the_reference_folds_field_by_field(tmp_path: Path) -> None:
    path = csv_of(
        tmp_path / "fold.csv",
        "0007, JO\u0301ZEF@Łódź.example.org,600 100 200,Józef,brąz,1,vip",
        ",józef@xn--d-uga0v4h.example.org\u200b,12,,złoto,,",
        '\u00a00007,,,"Jó ""J"" zef",,0,a| b |',
    )
    assert classify(read_rows(path)) == [
        Fate(1, "folded", "FOLDED", 3),
        Fate(2, "folded", "FOLDED", 3),
        Fate(3, "accepted"),
    ]
    assert expected_profiles(path) == [
        {
            "email": "józef@xn--d-uga0v4h.example.org",
            "phone": "+48600100200",
            "customId": "0007",
            "attributes": {"tier": "złoto", "points": 0},
            "tags": ["a", "b"],
            "firstName": 'Jó "J" zef',
        }
    ]


def test_the_reference_links_by_phone_only_what_has_nothing_else(
    tmp_path: Path,
) -> None:
    path = csv_of(
        tmp_path / "phones.csv",
        ",,600 100 200,Ewa,,,",
        ",,0048600100200,,,,",
        ",jan@example.com,600-100-200,Jan,,,",
        ",iga@example.com,+48600100200,Iga,,,",
        ",,12,,,,",
    )
    assert [(fate.state, fate.code) for fate in classify(read_rows(path))] == [
        ("folded", "FOLDED"),
        ("accepted", ""),
        ("accepted", ""),
        ("accepted", ""),
        ("blocked", "PHONE"),
    ]
