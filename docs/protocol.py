# ruff: noqa: INP001 - a script, not a package
"""
Write the parts of `design.md` that the code knows: the life of a batch.

`make docs` runs it. Every line of `verdict.TABLE` is one line of the table and part of
one edge of the diagram; a test compares the page with what is written here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.records import BatchState, Fault, Step
from pipeline.verdict import TABLE, Shape

if TYPE_CHECKING:
    from pipeline.verdict import Rule

DESIGN: Final = Path(__file__).with_name("design.md")
MARK: Final = "<!-- made by `make docs` -->"
BLOCK: Final = re.compile(
    rf"{re.escape(MARK)}\n(?P<name><!-- \w+ -->)\n.*?<!-- end -->", re.DOTALL
)
FAULTS: Final = {
    Fault.UNSENT: "nothing left",
    Fault.AMBIGUOUS: "no trustworthy answer",
    Fault.CERTIFICATE: "a wrong certificate",
    Fault.PROXY: "the proxy refuses",
}
CODES: Final = {"TLS_ERROR": "TLS fails", "NOT_HTTP": "not HTTP"}
# Where an edge of the diagram leads, and what happens on it.
AGAIN: Final = ("recorded", "again, the same bytes")
PARTS: Final = ("parts", "named rows out, or halves")
STOPPED: Final = ("pending", "the run stops")
EDGES: Final = {
    Step.AGAIN: AGAIN,
    Step.REFUSED: PARTS,
    Step.TOO_BIG: PARTS,
    Step.AUTH: STOPPED,
    Step.STOP: STOPPED,
}
HEAD: Final = """\
```mermaid
stateDiagram-v2
    [*] --> recorded: rows, digest and attempt are committed
    recorded --> sent: the bytes leave"""
TAIL: Final = """\
    sent --> recorded: the process died; the next one resumes
    recorded --> pending: patience ends, or a stop
    parts --> recorded: each part is a batch
    pending --> recorded: resume
    accepted --> [*]
    rejected --> [*]
```"""


def design(page: str) -> str:
    """Return *page* with its made parts as the code has them now."""
    made = {"<!-- diagram -->": diagram(), "<!-- table -->": table()}
    return BLOCK.sub(
        lambda found: (
            f"{MARK}\n{found['name']}\n\n{made[found['name']]}\n\n<!-- end -->"
        ),
        page,
    )


def diagram() -> str:
    """Return the states of a batch, its edges made of the table's lines."""
    edges: dict[tuple[str, str], list[str]] = {}
    for rule in TABLE:
        words = edges.setdefault(edge(rule), [])
        words += [word for word in [cause(rule)] if word not in words]
    lines = [
        f"    sent --> {state}: {what} ({', '.join(causes)})"
        for (state, what), causes in edges.items()
    ]
    return "\n".join([HEAD, *lines, TAIL])


def edge(rule: Rule) -> tuple[str, str]:
    """Return where a line of the table leads from `sent`, and how."""
    if rule.state in {BatchState.ACCEPTED, BatchState.REJECTED}:
        return rule.state.value, "its verdict is committed"
    return EDGES[rule.step]


def cause(rule: Rule) -> str:
    """Return what a line is about: statuses, or the end without an answer."""
    if rule.fault is not None:
        return " ".join(CODES[code] for code in rule.codes) or FAULTS[rule.fault]
    return statuses(rule.statuses)


def condition(rule: Rule) -> str:
    """Return what else a line asks for: of the request, and of the body."""
    size = [rule.size.value] if rule.size else []
    shapes = [" or ".join(shape.value for shape in rule.shapes)] if rule.shapes else []
    if rule.shapes == (Shape.PLACED, Shape.UNPLACED):
        shapes = ["errors"]
    return "; ".join(size + shapes)


def statuses(found: tuple[int, ...] | range) -> str:
    """Return statuses as people write them: 500, 502 to 504, 4xx."""
    if not found:
        return "any other status"
    if isinstance(found, range):
        return f"any other {found.start // 100}xx"
    runs: list[list[int]] = []
    for status in found:
        if runs and runs[-1][-1] == status - 1:
            runs[-1].append(status)
        else:
            runs.append([status])
    return ", ".join(
        f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run))  # noqa: PLR2004 - three in a row read better as a range
        for run in runs
    )


def table() -> str:
    """Return the verdict table, line by line, in its order."""
    lines = [
        "| answer | with | meaning | tries | the batch is |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {cause(rule)} | {condition(rule)} | {rule.meaning} "
        f"| {rule.max_tries or ''} | {rule.state.value} |"
        for rule in TABLE
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    DESIGN.write_text(design(DESIGN.read_text("utf-8")), encoding="utf-8")
