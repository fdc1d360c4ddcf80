"""
A mutant for everything that a row of the table of verdicts decides, made from its text.

The table is read as a syntax tree, so a row that is added is attacked without anybody
writing a mutant for it. Each step and state becomes its nearest neighbour: the change
that is easiest to make by mistake, not the one that is easiest to see.
"""

import ast
from collections.abc import Iterator
from typing import Final

from torture.planting import Mutant, StaleMutantError

MODULE: Final = "verdict.py"
TESTS: Final = ("test_verdict.py",)
NEXT_STEP: Final = {
    "DONE": "AGAIN",
    "AGAIN": "STOP",
    "STOP": "AGAIN",
    "AUTH": "STOP",
    "REFUSED": "AGAIN",
    "TOO_BIG": "REFUSED",
}
NEXT_STATE: Final = {
    "_ACCEPTED": "_UNKNOWN",
    "_UNKNOWN": "_PENDING",
    "_PENDING": "_UNKNOWN",
    "_REJECTED": "_PENDING",
}


def rule_mutants(source: str) -> Iterator[Mutant]:
    """
    Give the mutants of each row of `TABLE`: its step, state, code and tries.

    Raises:
        StaleMutantError: The table is not written as it was.
    """
    for n, rule in enumerate(_rules(source), 1):
        text = ast.get_source_segment(source, rule) or ""
        for what, old, new in _changes(source, rule):
            if text.count(old) != 1:
                raise StaleMutantError(f"row {n} of TABLE: {old!r} is not in it once")
            name = f"row {n}: {what}"
            yield Mutant(name, MODULE, text, text.replace(old, new), TESTS)


def n_rules(source: str) -> int:
    """Return how many rows the table has."""
    return len(_rules(source))


def _rules(source: str) -> list[ast.Call]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TABLE":
            rows = node.value.elts if isinstance(node.value, ast.Tuple) else []
            return [row for row in rows if isinstance(row, ast.Call)]
    raise StaleMutantError(f"{MODULE} has no TABLE")


def _changes(source: str, rule: ast.Call) -> Iterator[tuple[str, str, str]]:
    """Give what is changed, the text that is changed, and its new text."""
    whom = _whom(rule)
    for node in ast.walk(rule):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Step":
            new = NEXT_STEP[node.attr]
            yield f"{whom}: {node.attr} → {new}", f"Step.{node.attr}", f"Step.{new}"
        if isinstance(node, ast.Name) and node.id in NEXT_STATE:
            new = NEXT_STATE[node.id]
            told = f"{node.id[1:]} → {new[1:]}"
            yield f"{whom}: {told}", node.id, new
    for word in rule.keywords:
        if word.arg == "code":
            old = ast.get_source_segment(source, word) or ""
            yield f"{whom}: no code of its own", old, 'code=""'
        if word.arg == "max_tries":
            old = ast.get_source_segment(source, word) or ""
            yield f"{whom}: tries without end", old, "max_tries=None"


def _whom(rule: ast.Call) -> str:
    """Return what a row is about, in the words of the table."""
    told = [
        ast.unparse(word.value)
        for word in rule.keywords
        if word.arg in ("statuses", "fault", "codes", "shapes", "size")
    ]
    return ", ".join(told) or "all else"
