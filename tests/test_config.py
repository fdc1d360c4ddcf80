"""Job files without YAML's surprises; every fault is told, with its line."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import WORK_DIR, JobFile, no_job, read_job, work_dir
from pipeline.errors import SettingsError
from pipeline.mapping import resolve_mapping
from pipeline.settings import ColumnMapping, Job

# Section 5 of the design, to the letter.
EXAMPLE = """\
version: 1
name: customers
work_dir: ./.crm-pipeline
source: {path: ../sample_data/customers.csv, format: csv, encoding: utf-8, delimiter: ","}
workspace: {guid: null, auth: login, unique_email: true, email_attribute: null, timezone: Europe/Warsaw}
mapping:
  email: e_mail
  customId: customer_no
  phone: {column: tel, region: PL, on_invalid: omit}
  birthDate: {column: dob, format: "%d.%m.%Y"}
  sex: {column: gender, values: {K: FEMALE, M: MALE}}
  agreements: {email: {column: newsletter, values: {tak: true, nie: false}}}
  attributes: {tier: tier, points: {column: pts, type: integer}}
  tags: {column: tags, split: "|"}
rows: {blank: omit, duplicates: fold, extra_columns: refuse}
delivery: {concurrency: null, rate: null}
verify: sample
"""  # noqa: E501 - as it stands in the design
# The same; TOML has no null, so what is null is left out.
EXAMPLE_TOML = """\
version = 1
name = "customers"
work_dir = "./.crm-pipeline"
source = {path = "../sample_data/customers.csv", format = "csv", encoding = "utf-8", delimiter = ","}
workspace = {auth = "login", unique_email = true, timezone = "Europe/Warsaw"}
rows = {blank = "omit", duplicates = "fold", extra_columns = "refuse"}
verify = "sample"
[mapping]
email = "e_mail"
customId = "customer_no"
phone = {column = "tel", region = "PL", on_invalid = "omit"}
birthDate = {column = "dob", format = "%d.%m.%Y"}
sex = {column = "gender", values = {K = "FEMALE", M = "MALE"}}
agreements = {email = {column = "newsletter", values = {tak = true, nie = false}}}
attributes = {tier = "tier", points = {column = "pts", type = "integer"}}
tags = {column = "tags", split = "|"}
"""  # noqa: E501


def read(folder: Path, text: str, name: str = "job.yaml") -> Job:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    found = read_job(path)
    assert found == JobFile(found.job, path, folder)
    return found.job


def refuse(folder: Path, text: str, name: str = "job.yaml") -> str:
    """Return what is said of a wrong job file, after its name."""
    with pytest.raises(SettingsError) as caught:
        read(folder, text, name)
    prefix = f"the job file {folder / name}"
    told = str(caught.value)
    assert told.startswith(prefix)
    return told.removeprefix(prefix)


# -- the example -----------------------------------------------------------------------


def test_the_example_of_the_design_is_a_job(tmp_path: Path) -> None:
    job = read(tmp_path, EXAMPLE)

    assert job.source.paths == ("../sample_data/customers.csv",)
    assert job.workspace.timezone == "Europe/Warsaw"
    assert job.mapping is not None
    assert job.mapping.order == (
        *("email", "customId", "phone", "birthDate", "sex"),
        *("agreements", "attributes", "tags"),
    )
    assert job.mapping.agreements == {
        "email": ColumnMapping(column="newsletter", values={"tak": True, "nie": False})
    }
    assert job.mapping.birthDate == ColumnMapping(column="dob", format="%d.%m.%Y")
    columns = "e_mail customer_no tel dob gender newsletter tier pts tags".split()
    assert len(resolve_mapping(columns, job).rules) == 9


def test_toml_says_the_same(tmp_path: Path) -> None:
    yaml_job, toml_job = read(tmp_path, EXAMPLE), read(tmp_path, EXAMPLE_TOML, "j.toml")

    assert toml_job == yaml_job
    assert toml_job.mapping is not None
    assert yaml_job.mapping is not None
    assert toml_job.mapping.order == yaml_job.mapping.order


def test_the_smallest_jobs(tmp_path: Path) -> None:
    assert read(tmp_path, "version: 1") == Job()
    assert read(tmp_path, "\ufeff{}") == Job()
    assert read(tmp_path, "", "j.toml") == Job()
    assert no_job() == JobFile(Job(), None, Path())


# -- what is text ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [
        *("NO", "no", "Yes", "on", "OFF", "y", "True", "FALSE", "Null", "2024-01-01"),
        *("2024-01-01 10:00:00", "007", "0o17", "0x1F", "1_000", "1e3", ".5", "5."),
        *("+1", ".inf", ".nan", "12:30:45", "1.2.3", "=", "<<"),
    ],
)
def test_a_word_stays_a_word(tmp_path: Path, word: str) -> None:
    job = read(tmp_path, f"workspace:\n  email_attribute: {word}\n")

    assert job.workspace.email_attribute == word


@pytest.mark.parametrize("value", ["1.10", "2024", "-3", "true", "1.0"])
def test_a_number_where_text_belongs_is_refused_not_rewritten(
    tmp_path: Path, value: str
) -> None:
    told = refuse(tmp_path, f"name: {value}\nmapping: {{email: {value}}}\n")

    quotes = "must be text; a number or a word such as true needs quotes"
    assert f"line 1: name: {quotes}" in told
    assert f"line 2: mapping.email: {quotes}" in told
    assert len(told.splitlines()) == 3
    assert read(tmp_path, f"name: '{value}'").name == value


@pytest.mark.parametrize("nothing", ["null", "~", ""])
def test_null_is_written_in_three_ways(tmp_path: Path, nothing: str) -> None:
    assert read(tmp_path, f"name: {nothing}\n").name is None


def test_values_keep_their_types_and_keys_are_always_text(tmp_path: Path) -> None:
    told = "{NO: a, 1: b, 1.10: c, true: d, null: e, 2024-01-01: f, ~: g}"
    kinds = "{a: 1, b: 1.10, c: -2, d: false, e: NO, f: 1.10.0, g: 0.5}"
    job = read(
        tmp_path,
        "mapping:\n  attributes:\n"
        f"    x: {{column: c, values: {told}}}\n"
        f"    y: {{column: c, values: {kinds}}}\n",
    )

    def values_of(name: str) -> dict[str, Any]:
        assert job.mapping is not None
        entry = job.mapping.attributes[name]
        assert isinstance(entry, ColumnMapping)
        return entry.values or {}

    keys = ["NO", "1", "1.10", "true", "null", "2024-01-01", "~"]
    assert list(values_of("x")) == keys
    assert values_of("y") == {
        "a": 1,
        "b": 1.1,
        "c": -2,
        "d": False,
        "e": "NO",
        "f": "1.10.0",
        "g": 0.5,
    }
    assert type(values_of("y")["a"]) is int


# -- faults ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version: 1\nname: a\nname: b\n", ": line 3: the key 'name' stands twice"),
        ("rows:\n  blank: omit\n  blank: block\n", ": line 3: the key 'blank' stands"),
        ("? [a]\n: b\n", ": line 1: a key must be text"),
        ("a: b: c\n", " is not YAML at line 1, column 5: mapping values"),
        ("name: 'a\n", " is not YAML at line 2, column 1: found unexpected end"),
        ("name: a\n---\nname: b\n", " is not YAML at line 2, column 1: but found"),
        ("name: !!python/name:os.system\n", " is not YAML at line 1, column 7: could"),
        ("a: &a {x: *a}\n", " is not YAML at line 1, column 4: found unconstructable"),
        ("name: \x07\n", " cannot be parsed: unacceptable character #x0007"),
        ("- a\n- b\n", " must be a mapping of keys"),
        ("", " must be a mapping of keys"),
        ("just text", " must be a mapping of keys"),
        ("[" * 500, " is nested too deeply"),
        ("<<: {a: 1}\n", " is wrong:\n  line 1: <<: unknown key"),
        ("version: 2\n", " is wrong:\n  line 1: version: Input should be 1"),
    ],
)
def test_a_file_that_is_no_job_says_where(tmp_path: Path, text: str, told: str) -> None:
    assert refuse(tmp_path, text).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = 'a'\nname = 'b'\n", " cannot be parsed: Cannot overwrite a value"),
        ("name: a\n", " cannot be parsed: Expected '=' after a key"),
        ("[rows]\nblank = 'x'\n", " is wrong:\n  rows.blank: Input should be 'omit'"),
        ("colour = 1\n", " is wrong:\n  colour: unknown key"),
    ],
)
def test_toml_has_the_same_faults(tmp_path: Path, text: str, told: str) -> None:
    assert refuse(tmp_path, text, "job.toml").startswith(told)


def test_all_faults_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    told = refuse(
        tmp_path,
        """\
version: 1
colour: red
mapping:
  phone: {colunm: tel}
  e-mail: x
  agreements: {fax: x}
  attributes:
    str: {column: 3}
    a:
      column: c
      kind: number
    b: {column: c, values: {x: null, y: [1]}}
rows: {blank: wipe}
source:
  path: [a.csv, 3]
delivery: {concurrency: 99}
""",
    )

    quotes = "must be text; a number or a word such as true needs quotes"
    seven = "Input should be 'email', 'sms', 'push', 'webPush', 'bluetooth', 'rfid' or"
    seven = f"{seven} 'wifi'"
    assert told.startswith(" is wrong:\n")
    assert sorted(told.splitlines()[1:]) == sorted(
        [
            "  line 2: colour: unknown key",
            "  line 4: mapping.phone.column: this key is needed",
            "  line 4: mapping.phone.colunm: unknown key",
            "  line 5: mapping.e-mail: unknown key",
            f"  line 6: mapping.agreements.fax: {seven}",
            f"  line 8: mapping.attributes.str.column: {quotes}",
            "  line 11: mapping.attributes.a.kind: unknown key",
            f"  line 12: mapping.attributes.b.values.x: {quotes}",
            f"  line 12: mapping.attributes.b.values.y: {quotes}",
            "  line 13: rows.blank: Input should be 'omit', 'erase' or 'block'",
            f"  line 15: source.path.1: {quotes}",
            "  line 16: delivery.concurrency: Input should be less than or equal to 32",
        ]
    )


def test_a_section_that_is_no_mapping_is_told_so(tmp_path: Path) -> None:
    told = refuse(tmp_path, "rows: 5\nmapping: [a]\nsource: {path: {a: 1}}\n")

    assert "line 1: rows: Input should be a valid dictionary" in told
    assert "line 2: mapping: Input should be a valid dictionary" in told
    assert "line 3: source.path: must be text" in told
    assert len(told.splitlines()) == 4


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"cannot read the job file .*: No such file"
    ):
        read_job(tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match=r"cannot read the job file .*: Is a dir"):
        read_job(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: Łódź".encode("iso8859-2"))
    with pytest.raises(SettingsError, match=re.escape("latin.yaml is not UTF-8 text")):
        read_job(path)


# -- the environment -------------------------------------------------------------------


def test_variables_are_put_in_wherever_there_is_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_TEST_FOLDER", "/data/$x")
    monkeypatch.setenv("CRM_TEST_N", "7")

    job = read(
        tmp_path,
        "name: ${CRM_TEST_N}-${CRM_TEST_N}\n"
        "source: {path: ['${CRM_TEST_FOLDER}/a.csv', $CRM_TEST_N, '${}', '$${x']}\n"
        "delivery: {concurrency: '${CRM_TEST_N}', max_rows: 5}\n",
    )

    assert job.name == "7-7"
    assert job.source.paths == ("/data/$x/a.csv", "$CRM_TEST_N", "${}", "$${x")
    assert (job.delivery.concurrency, job.delivery.max_rows) == (7, 5)


def test_an_unset_variable_is_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRM_TEST_UNSET", raising=False)

    told = refuse(tmp_path, "name: ${CRM_TEST_UNSET}\n")

    assert told == ": the variable CRM_TEST_UNSET that it refers to is not set"


@pytest.mark.parametrize("name", ["SYNERISE_API_KEY", "SYNERISE_TOKEN"])
def test_a_job_never_refers_to_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "canary")

    told = refuse(tmp_path, f"name: a${{{name}}}\n")

    assert told.startswith(f": ${{{name}}} is a secret")
    assert "canary" not in told


# -- the work folder -------------------------------------------------------------------


def test_the_work_folder_is_the_flag_the_key_or_beside_the_job() -> None:
    told = JobFile(Job(work_dir="../state"), Path("jobs/a.yaml"), Path("jobs"))
    silent = JobFile(Job(), Path("jobs/a.yaml"), Path("jobs"))
    absolute = JobFile(Job(work_dir="/state"), Path("jobs/a.yaml"), Path("jobs"))

    assert work_dir("mine", told) == Path("mine")
    assert work_dir(None, told) == Path("jobs/../state")
    assert work_dir(None, absolute) == Path("/state")
    assert work_dir(None, silent) == Path("jobs") / WORK_DIR
    assert work_dir(None, no_job()) == Path(WORK_DIR)
