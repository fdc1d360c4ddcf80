"""Tables of the benchmarks, the page they fill, and the peers they name."""

import re
from itertools import pairwise
from pathlib import Path

from benchmarks import report, run, stages
from benchmarks.contest import BASELINE, PEERS, Peer, Standing
from benchmarks.measure import Cost
from benchmarks.report import Line, Results, at_least, into, picture, tables

ROOT = Path(__file__).parent.parent
PEER_FOLDER = ROOT / "benchmarks" / "peers"
STANDINGS = [
    Standing("crm-pipeline", Cost(2.0, 3.0, 450.4)),
    Standing("a script", Cost(5.0, 4.5, 40.0), "httpx 1"),
    Standing("a tool", None, "not measured: no tool here"),
]
RESULTS = Results(
    1000,
    [at_least("import", 2.0, 2.5), at_least("encode", 7.0, 6), Line("rows", "0")],
    STANDINGS,
    {"encode": 1.25},
    {},
)
ABOUT = {"date": "2026-01-01", "command": "make bench-full"}


def test_each_table_has_its_rows_and_no_row_more() -> None:
    text = tables(RESULTS, ABOUT)
    assert text.startswith("Made by `make bench-full`; date 2026-01-01.\n\n")
    assert "| import | 2.00 × | ≥ 2.5 × | **no** |\n" in text
    assert "| encode | 7.00 × | ≥ 6 × | yes |\n| rows | 0 |  |  |\n" in text
    assert "1,000 rows, every side:" in text
    assert "| crm-pipeline | 2.0 | 3.0 | 450 | 1.00 × | 1.00 × |  |\n" in text
    assert "| a script | 5.0 | 4.5 | 40 | 2.50 × | 1.50 × | httpx 1 |\n" in text
    assert "| a tool | – | – | – | – | – | not measured: no tool here |\n" in text
    assert text.endswith("| encode | 1.25 | 800 |")


def test_every_row_of_a_table_is_as_wide_as_its_head() -> None:
    rows = [line for line in tables(RESULTS, ABOUT).splitlines() if line[:1] == "|"]
    widths = [row.count("|") for row in rows]
    kinds = [next_ for now, next_ in pairwise([0, *widths]) if now != next_]
    assert kinds == [5, 8, 4]


def test_parts_that_did_not_run_leave_nothing() -> None:
    assert tables(Results(1, [], [], {}, {}), ABOUT).count("\n") == 0


def test_only_what_was_measured_is_drawn() -> None:
    text = picture(RESULTS)
    assert "a script" in text
    assert "a tool" not in text


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = f"before\n{report.BEGIN}\n\nold\n\n{report.END}\nafter\n"
    told = into(page, "new")
    assert told == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    assert into(told, "new") == told


def test_the_page_has_the_marks_once() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert page.count(report.BEGIN) == page.count(report.END) == 1


def test_every_script_of_a_peer_is_in_the_contest() -> None:
    assert {peer.script for peer in PEERS} == {p.name for p in PEER_FOLDER.glob("*.py")}
    assert BASELINE in {peer.name for peer in PEERS}


def test_what_a_peer_needs_is_in_the_extra_and_pinned() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.compile(r"^bench-peers = \[\n(.*?)^\]", re.MULTILINE | re.DOTALL)
    (extra,) = block.findall(project)
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0] for line in pins}
    named = set(re.findall(r'"([a-z-]+)', extra))
    assert {name for peer in PEERS for name in peer.needs} <= named <= pinned


def test_a_peer_without_its_library_says_so() -> None:
    peer = Peer("x", "x.py", ("polars", "no-such-distribution"))
    assert peer.missing() == ["no-such-distribution"]
    assert peer.versions().startswith("polars 2.")


def test_every_station_is_in_the_table() -> None:
    assert set(run.STAGES) == set(stages.STAGES)
