"""A field is gone from the CRM if and only if its cell erases, and the budget holds."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline import (
    Connector,
    Credentials,
    ImportRequest,
    Job,
    RemoteSettings,
    RunReport,
    Secret,
    run_import,
)
from pipeline.contract import BATCH_PATH
from pipeline.errors import LimitError, PipelineError
from pipeline.retrying import Clock
from pipeline.sandbox.server import (
    API_KEY,
    RunningSandbox,
    SandboxOptions,
    build_sandbox,
)
from sandbox_driver import FakeTime, Wire
from shell import Shell

KINDS = ("csv", "parquet", "jsonl")
POLICIES = ("omit", "erase", "block")
TOKEN = "(none)"
# What stands in the CRM before, what a row may bring, what is left when it is erased.
FIELDS: dict[str, tuple[Any, str, Any]] = {
    "city": ("Łódź", "Kraków", None),
    "birthDate": ("1980-02-03", "1990-12-31", None),
    "sex": ("FEMALE", "MALE", "NOT_SPECIFIED"),
    "countryCode": ("DE", "PL", None),
    "attributes.a": ("1", "2", None),
    "attributes.b c": ("x", "null", None),
}
# How a cell can be: a JSONL line alone can lack it.
STATES: dict[str, tuple[Any, ...]] = {
    "csv": ("", " ", TOKEN, f" {TOKEN} ", "value"),
    "parquet": (None, "", TOKEN, "value"),
    "jsonl": ("absent", None, "", TOKEN, "value"),
}
Row = dict[str, Any]


@dataclass
class Crm:
    """A service of one test, a folder for its files, and what was asked of it."""

    folder: Path
    time: FakeTime = field(default_factory=FakeTime)
    n_batches: int = 0
    on_batch: Callable[[int], None] = lambda _n: None

    def __post_init__(self) -> None:
        self.sandbox = build_sandbox(
            SandboxOptions(settle_s=0.0),
            clock=self.time.clock,
            wall_clock=self.time.wall,
            sleep=self.time.sleep,
        )

    def run(self, path: Path, **job: Any) -> RunReport:
        return self.run_request(self.request(path, **job))

    def request(self, path: Path, **job: Any) -> ImportRequest:
        told = Job.model_validate(
            {"source": {"path": str(path)}, "verify": "none"} | job
        )
        return ImportRequest(told, self.folder / "work")

    def run_request(self, request: ImportRequest) -> RunReport:
        remote = RemoteSettings(
            "http://127.0.0.1:1", Credentials(Secret(""), Secret(API_KEY))
        )
        clock = Clock(self.time.clock, self.sleep, lambda: 0.5)
        connector = Connector(remote, _Watched(self), clock)
        return asyncio.run(run_import(request, connector))

    async def sleep(self, seconds: float) -> None:
        self.time.now_s += seconds
        await asyncio.sleep(0)

    def profiles(self) -> dict[str, Row]:
        self.sandbox.settle()
        return {
            str(p["customId"]): p
            | {f"attributes.{key}": value for key, value in p["attributes"].items()}
            for p in self.sandbox.profiles()
        }


class _Watched(Wire):
    """The way to a service: counts batches, and tells of each before it arrives."""

    def __init__(self, crm: Crm) -> None:
        super().__init__(crm.sandbox)
        self.crm = crm

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            self.crm.n_batches += 1
            self.crm.on_batch(self.crm.n_batches)
        return await super().handle_async_request(request)


def write(path: Path, rows: list[Row]) -> Path:
    """Write rows in the form that the name says; a cell may be absent in JSONL."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".jsonl":
        lines = [{k: v for k, v in row.items() if v != "absent"} for row in rows]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path
    cells = {name: [row[name] for row in rows] for name in columns}
    frame = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String))
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, quote_style="always")
    return path


def before(path: Path, n_rows: int) -> Path:
    told = {name: first for name, (first, _, _) in FIELDS.items()}
    return write(path, [{"customId": f"c{n}"} | told for n in range(n_rows)])


def erases(cell: Any, policy: str) -> bool:
    if isinstance(cell, str) and cell.strip() == TOKEN:
        return True
    return policy == "erase" and (cell is None or cell.strip() == "")


def says_nothing(cell: Any) -> bool:
    return cell == "absent" or cell is None or cell.strip() == ""


ROWS = st.sampled_from(KINDS).flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.lists(
            st.fixed_dictionaries(dict.fromkeys(FIELDS, st.sampled_from(STATES[kind]))),
            min_size=1,
            max_size=20,
        ),
    )
)


@settings(max_examples=8)
@given(drawn=ROWS, policy=st.sampled_from(POLICIES))
@example(
    drawn=("jsonl", [dict.fromkeys(FIELDS, "absent") | {"attributes.b c": TOKEN}]),
    policy="block",
)
def test_a_field_is_gone_if_and_only_if_its_cell_erases(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[str, list[dict[str, Any]]],
    policy: str,
) -> None:
    kind, states = drawn
    crm = Crm(tmp_path_factory.mktemp("erase"))
    crm.run(before(crm.folder / "before.csv", len(states)))
    rows, wanted, counts = [], {}, Counter[str]()
    # What no line has is no column of the source, and blocks nothing.
    columns = [k for k in FIELDS if any(row[k] != "absent" for row in states)]
    for n, row in enumerate(states):
        is_blank = any(says_nothing(row[name]) for name in columns)
        is_blocked = policy == "block" and is_blank
        result = {}
        for name, (first, new, gone) in FIELDS.items():
            result[name] = first
            if is_blocked:
                continue
            if row[name] == "value":
                result[name] = new
            elif row[name] != "absent" and erases(row[name], policy):
                result[name] = gone
                counts[name] += 1
        wanted[f"c{n}"] = result
        cells = {k: FIELDS[k][1] if v == "value" else v for k, v in row.items()}
        rows.append({"customId": f"c{n}"} | cells)
    path = write(crm.folder / f"people.{kind}", rows)
    told: dict[str, Any] = {"blank": policy, "null_token": TOKEN}

    crm.n_batches = 0
    for name in sorted(counts)[:1]:  # one too few for one field: nothing is sent
        budget = {**counts, name: counts[name] - 1}
        refused = crm.run(path, rows={**told, "allow_erase": budget})
        assert isinstance(refused.error, LimitError)
        assert f"{name} in {counts[name]} (allowed" in str(refused.error)
        assert crm.n_batches == 0
    report = crm.run(path, rows={**told, "allow_erase": dict(counts)})

    assert report.error is None
    assert report.check.erased == report.erased == counts
    found = {
        no: {name: profile.get(name) for name in FIELDS}
        for no, profile in crm.profiles().items()
    }
    assert found == wanted


# Under each policy: what the rows of one profile bring, what is left, what was erased.
TWICE: dict[str, list[tuple[list[str], str | None, int]]] = {
    "fold": [
        ([TOKEN, "new"], "new", 0),
        (["new", TOKEN], None, 1),
        ([TOKEN, TOKEN], None, 1),
        ([TOKEN, ""], None, 1),
        (["", "new", TOKEN, ""], None, 1),
        ([TOKEN, "", "new"], "new", 0),
    ],
    "first": [([TOKEN, "new"], None, 1), (["new", TOKEN], "new", 0)],
    "last": [
        ([TOKEN, "new"], "new", 0),
        ([TOKEN, ""], "old", 0),
        (["new", TOKEN], None, 1),
    ],
    "block": [([TOKEN, TOKEN], "old", 0), ([TOKEN], None, 1)],
}


@pytest.mark.parametrize("duplicates", TWICE)
def test_rows_of_one_profile_erase_as_the_row_they_become(
    tmp_path: Path, duplicates: str
) -> None:
    name, profiles = "attributes.a", TWICE[duplicates]
    crm = Crm(tmp_path)
    first = [{"customId": f"c{n}", name: "old"} for n in range(len(profiles))]
    crm.run(write(tmp_path / "a.csv", first))
    rows = [
        {"customId": f"c{n}", name: cell}
        for n, (cells, _, _) in enumerate(profiles)
        for cell in cells
    ]
    path = write(tmp_path / "b.csv", rows)
    budget = {name: sum(n for _, _, n in profiles)}
    told: dict[str, Any] = {"duplicates": duplicates, "null_token": TOKEN}

    refused = crm.run(path, rows={**told, "allow_erase": {name: budget[name] - 1}})
    assert isinstance(refused.error, LimitError)
    request = crm.request(path, rows={**told, "allow_erase": budget})
    report = crm.run_request(replace(request, max_store_bytes=0))

    assert report.erased == budget
    assert [p.get(name) for _, p in sorted(crm.profiles().items())] == [
        left for _, left, _ in profiles
    ]


def test_rows_that_contradict_each_other_do_not_count(tmp_path: Path) -> None:
    rows = [
        {"customId": "1", "email": "a@example.com", "city": TOKEN},
        {"customId": "2", "email": "a@example.com", "city": TOKEN},
        {"customId": "3", "email": "b@example.com", "city": "x"},
    ]
    crm = Crm(tmp_path)

    report = crm.run(write(tmp_path / "a.csv", rows), rows={"null_token": TOKEN})

    assert report.counts.blocked == 2
    assert report.check.erased == report.erased == {}


def test_a_row_that_is_too_large_does_not_count(tmp_path: Path) -> None:
    rows = [
        {
            "customId": "1",
            "city": TOKEN,
            "attributes.a": "x" * 2000,
            "attributes.b": "",
        },
        {"customId": "2", "city": TOKEN, "attributes.a": "x" * 600, "attributes.b": ""},
        {"customId": "2", "city": "", "attributes.a": "", "attributes.b": "x" * 600},
        {"customId": "3", "city": TOKEN, "attributes.a": "", "attributes.b": ""},
    ]
    crm = Crm(tmp_path)
    told = {"null_token": TOKEN, "allow_erase": {"city": 2}}
    small: dict[str, Any] = {"rows": told, "delivery": {"max_bytes": 1000}}

    alone = crm.run(write(tmp_path / "a.csv", [rows[0], rows[3]]), **small)
    report = crm.run(write(tmp_path / "b.csv", rows), **small)

    assert alone.counts.blocked == 1
    assert alone.check.erased == alone.erased == {"city": 1}
    # What only folding makes too large is found after the budget was looked at.
    assert report.counts.blocked == 3
    assert report.check.erased == {"city": 2}
    assert report.erased == {"city": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_comes_back_erases_when_it_is_fed_again(
    tmp_path: Path, kind: str
) -> None:
    crm = Crm(tmp_path)
    old = {"city": "old", "attributes.a": "old", "attributes.b": "old"}
    crm.run(write(tmp_path / "a.csv", [{"customId": f"c{n}"} | old for n in range(3)]))
    nothing = "absent" if kind == "jsonl" else "x"
    rows = [
        {"customId": "c0", "attributes.b": nothing, "city": "", "birthDate": "?"},
        {"customId": "c1", "attributes.b": TOKEN, "city": "x", "birthDate": "?"},
        {"customId": "c2", "attributes.b": "x", "city": "x", "birthDate": "1990-01-01"},
    ]
    absent: list[Any] = [None if kind != "csv" else "", TOKEN, "x"]
    rows = [
        row | {"attributes.a": cell} for row, cell in zip(rows, absent, strict=True)
    ]
    budget = {"city": 1, "attributes.a": 2, "attributes.b": 1}
    told = {"blank": "erase", "null_token": TOKEN, "allow_erase": budget}

    first = crm.run(write(tmp_path / f"b.{kind}", rows), rows=told)

    assert first.counts.blocked == 2
    assert first.check.erased == {}
    rejected = first.files.paths["rejected"]
    mended = tmp_path / f"c.{kind}"
    if kind == "parquet":
        frame = pl.read_parquet(rejected)
        frame.with_columns(pl.lit("1999-09-09").alias("birthDate")).write_parquet(
            mended
        )
    else:
        mended.write_text(rejected.read_text().replace("?", "1999-09-09"))
    second = crm.run(mended, rows=told)

    assert second.counts.accepted == 2
    assert second.erased == budget
    found = crm.profiles()
    cells = ("city", "attributes.a", "attributes.b", "birthDate")
    assert [[found[no].get(cell) for cell in cells] for no in ("c0", "c1")] == [
        [None, None, "old" if kind == "jsonl" else "x", "1999-09-09"],
        ["x", None, None, "1999-09-09"],
    ]


def test_a_key_that_no_line_has_is_a_column_when_it_is_fed_again(
    tmp_path: Path,
) -> None:
    crm = Crm(tmp_path)
    job = {
        "mapping": {"customId": "no", "city": "city", "birthDate": "born"},
        "rows": {"blank": "erase"},
    }
    path = tmp_path / "a.jsonl"
    path.write_text('{"no":"1","city":"x"}\n{"no":"2","born":"?"}\n')

    first = crm.run(path, **job)
    line = first.files.paths["rejected"].read_text()
    path.write_text(line.replace("?", "1999-09-09"))
    second = crm.run(path, **job)

    told = json.loads(line)
    assert "city" not in told
    assert told["_columns"][:3] == ["no", "city", "born"]
    assert second.counts.accepted == 1
    assert second.erased == {}


def test_what_is_not_proven_is_not_counted_and_a_resumption_counts_all(
    tmp_path: Path,
) -> None:
    rows = [{"customId": f"c{n}", "city": TOKEN} for n in range(9)]
    rows += [{"customId": f"c{n}", "city": cell} for n, cell in ((1, "x"), (8, TOKEN))]
    crm = Crm(tmp_path)
    told: dict[str, Any] = {
        "rows": {"null_token": TOKEN, "allow_erase": {"city": 8}},
        "delivery": {"max_rows": 2, "concurrency": 1},
    }
    path = write(tmp_path / "a.csv", rows)
    request = crm.request(path, **told)

    def stop(n: int) -> None:
        if n == 2:
            request.stop.request()

    crm.on_batch = stop
    first = crm.run_request(request)
    crm.on_batch = lambda _n: None
    second = crm.run(path, **told)

    assert isinstance(first.error, PipelineError)
    assert first.check.erased == {"city": 8}
    assert first.counts.accepted == 4
    assert first.erased == {"city": 4}
    assert second.run_id == first.run_id
    assert second.erased == {"city": 8}


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_counts_in_a_source_that_changed(tmp_path: Path, kind: str) -> None:
    rows = [{"customId": f"c{n}", "city": TOKEN} for n in range(9)]
    crm = Crm(tmp_path)
    path = write(tmp_path / f"a.{kind}", rows)
    request = crm.request(
        path,
        rows={"null_token": TOKEN, "allow_erase": {"city": 9}},
        delivery={"max_rows": 2, "concurrency": 1},
    )

    def change(n: int) -> None:
        if n == 2:
            write(path, [row | {"city": "x"} for row in rows])
            request.stop.request()

    crm.on_batch = change
    report = crm.run_request(request)

    assert 0 < report.counts.accepted < 9
    assert report.erased is None


# -- the shell -----------------------------------------------------------------------

PEOPLE = "email,city,attributes.a\na@example.com,,1\nb@example.com,,(none)\n"


def test_over_the_budget_nothing_is_sent(shell: Shell, sandbox: RunningSandbox) -> None:
    shell.write("people.csv", PEOPLE)
    flags = ("--blank", "erase", "--null-token", "(none)", "--allow-erase", "city=1")

    checked = shell.run("check", "people.csv", *flags, "--json")
    ended = shell.run("import", "people.csv", *flags)

    assert (checked.code, ended.code) == (6, 6)
    assert checked.json["erased"]["planned"] == {"city": 2, "attributes.a": 1}
    assert checked.json["exit_code"] == 6
    assert "rows that would erase a field: city 2, attributes.a 1" in checked.err
    for said in (checked.err, ended.err):
        told = " ".join(said.split())
        assert "city in 2 (allowed: 1), attributes.a in 1 (allowed: 0)" in told
        assert "--allow-erase city=2 --allow-erase attributes.a=1" in told
    assert list(sandbox.sandbox.profiles()) == []
    assert not any(event.name == "batch" for event in sandbox.sandbox.truth())


def test_flags_and_job_make_one_budget(shell: Shell, sandbox: RunningSandbox) -> None:
    shell.write("people.csv", PEOPLE)
    shell.write(
        "job.yaml",
        "rows: {blank: erase, null_token: (none), allow_erase: {city: 2}}\n",
    )
    allowed = ("--allow-erase", "attributes.a=1", "--json")

    ended = shell.run("import", "people.csv", "-c", "job.yaml", *allowed)

    assert ended.code == 0, ended.err
    counts = {"city": 2, "attributes.a": 1}
    assert ended.json["erased"] == {"planned": counts, "accepted": counts}
    assert "accepted rows that erase a field: city 2, attributes.a 1" in ended.err
    assert len(list(sandbox.sandbox.profiles())) == 2


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--allow-erase", "city=1"], 78, "--blank erase"),
        (["--allow-erase", "city"], 2, "city=20"),
        (["--allow-erase", "city=-1"], 2, "city=20"),
        (["--allow-erase", "email=1", "--blank", "erase"], 78, "email cannot be"),
        (["--allow-erase", "town=1", "--blank", "erase"], 78, "names town"),
        (["--null-token", ""], 78, "null_token"),
    ],
)
def test_a_flag_that_cannot_mean_what_it_says_is_refused(
    shell: Shell, flags: list[str], code: int, told: str
) -> None:
    shell.write("people.csv", PEOPLE)

    ended = shell.run("check", "people.csv", *flags)

    assert ended.code == code
    assert told in " ".join(ended.err.split())


def test_only_the_small_null_of_yaml_is_no_text(shell: Shell) -> None:
    shell.write("people.csv", PEOPLE.replace("(none)", "NULL"))
    shell.write("job.yaml", "rows: {null_token: NULL}\n")

    loose = shell.run("check", "people.csv", "--json")
    ended = shell.run("check", "people.csv", "-c", "job.yaml", "--json")

    assert (loose.code, ended.code) == (0, 6)
    told = [
        [finding["code"] for finding in end.json["findings"]] for end in (loose, ended)
    ]
    assert told == [["NULL_WORD"], []]  # a declared word is no doubt
