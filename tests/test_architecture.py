"""The laws of the house: floors, purity, no cycles, no hidden imports, short files."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pipeline"

FLOORS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "vocabulary",
        frozenset(
            {
                "contract",
                "credentials",
                "errors",
                "plain_text",
                "records",
                "settings",
                "settings_sync",
            }
        ),
    ),
    (
        "core",
        frozenset(
            {
                "addresses",
                "breaker",
                "chunker",
                "comparison",
                "doctor.diagnosis",
                "delta.canary",
                "delta.changes",
                "delta.digests",
                "delta.guards",
                "delta.plan",
                "delta.selecting",
                "delta.shown",
                "delta.watermark",
                "distributed.hub",
                "distributed.pace",
                "distributed.partitions",
                "encoder",
                "folding",
                "endings",
                "erasing",
                "findings",
                "health",
                "identifiers",
                "identity",
                "journal_tables",
                "json_cells",
                "json_values",
                "lint",
                "mapping",
                "metrics",
                "naming",
                "outcomes",
                "pacing",
                "rates",
                "rebatch",
                "references",
                "report",
                "reconcile.bucket",
                "reconcile.canonical",
                "reconcile.columns",
                "reconcile.compare",
                "reconcile.matching",
                "reconcile.report",
                "resuming",
                "retry_after",
                "verify.sampling",
                "splitting",
                "tokens",
                "transform",
                "typed_values",
                "values",
                "verdict",
            }
        ),
    ),
    (
        "edges",
        frozenset(
            {
                "authorities",
                "client",
                "config",
                "environment",
                "extras",
                "faults",
                "files",
                "journal",
                "journal_file",
                "journal_writer",
                "locks",
                "logs",
                "objects",
                "notify",
                "progress",
                "reader",
                "retrying",
                "sources",
                "spill",
                "writer",
            }
        ),
    ),
    (
        "flows",
        frozenset(
            {
                "checker",
                "connection",
                "continuing",
                "delivery",
                "doctor",
                "delta",
                "distributed",
                "erasures",
                "export",
                "feed",
                "history",
                "importer",
                "line",
                "lookahead",
                "outgoing",
                "profiles",
                "proposal",
                "reconcile",
                "reporting",
                "reporting_plans",
                "retention",
                "run_end",
                "run_files",
                "sender",
                "sent_rows",
                "spool",
                "stopping",
                "tally",
                "terms",
                "tracing",
                "turnstile",
                "verify",
                "workers",
            }
        ),
    ),
    ("facade", frozenset({""})),
    ("shell", frozenset({"__main__", "cli"})),
)
SANDBOX = "sandbox"
PURE_FLOORS = 2
EDGES = 2
IMPURE = frozenset(
    "asyncio click fcntl httpx io.open logging os pathlib random secrets shutil signal "
    "socket sqlite3 subprocess tempfile tenacity threading time tqdm".split()
)
# What an edge may use beside its own floor's general ones.
EDGE_FRIENDS = frozenset({"extras", "files", "logs"})
EDGE_EXCEPTIONS = {
    "client": frozenset({"authorities", "faults"}),
    "config": frozenset({"environment"}),
    "journal": frozenset({"journal_file", "journal_writer", "locks"}),
    "journal_writer": frozenset({"journal_file"}),
    "notify": frozenset({"authorities"}),
    "reader": frozenset({"sources"}),
    "sources": frozenset({"objects", "sources"}),
}
SHELL_MAY_USE = frozenset(
    {"", "config", "environment", "logs", "progress", "errors", "cli"}
)
VOCABULARY_FOR_SHELL = frozenset({"records", "contract", "plain_text", "settings"})
LAZY_MODULES = frozenset({"", "cli.main"})
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
FLOOR_OF = {name: floor for floor, (_, names) in enumerate(FLOORS) for name in names}


def top(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def floor_of(module: str) -> int:
    """Return the floor of a module: its own, else that of its package."""
    return FLOOR_OF.get(module, FLOOR_OF.get(top(module), len(FLOORS)))


def imported(tree: ast.AST, module: str) -> Iterator[str]:
    """All modules named by import statements, relative ones made absolute."""
    package = (
        module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = ["pipeline", *package.split(".")] if package else ["pipeline"]
                kept = parts[: len(parts) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            names = [f"{base}.{alias.name}" for alias in node.names]
            known = [n for n in names if n.removeprefix("pipeline.") in MODULES]
            yield from known if len(known) == len(names) else [base, *known]


def source_of(module: str) -> str:
    return MODULES[module].read_text()


def own_imports(module: str, source: str) -> set[str]:
    names = set(imported(ast.parse(source), module))
    own = {n.removeprefix("pipeline.") for n in names if n.startswith("pipeline.")}
    return own | ({""} if "pipeline" in names else set())


CLIENT_SIDE = sorted(m for m in MODULES if top(m) != SANDBOX)


def test_every_module_has_a_floor() -> None:
    assert {top(m) for m in CLIENT_SIDE} <= set(FLOOR_OF)


# Each law returns what breaks it, so that a planted violation can be shown to it.


def upward(module: str, source: str) -> set[str]:
    if top(module) == SANDBOX:
        return set()
    own = floor_of(module)
    targets = {t for t in own_imports(module, source) if top(t) != SANDBOX}
    return {t for t in targets if floor_of(t) > own}


def sideways(module: str, source: str) -> set[str]:
    if floor_of(module) != EDGES:
        return set()
    allowed = EDGE_FRIENDS | EDGE_EXCEPTIONS.get(top(module), frozenset())
    targets = {top(t) for t in own_imports(module, source)} - {top(module)}
    return {t for t in targets if FLOOR_OF.get(t) == EDGES} - allowed


def business_in_the_shell(module: str, source: str) -> set[str]:
    if top(module) != "cli":
        return set()
    allowed = SHELL_MAY_USE | VOCABULARY_FOR_SHELL | {SANDBOX}
    return {top(t) for t in own_imports(module, source)} - allowed


def across_the_sandbox_wall(module: str, source: str) -> set[str]:
    targets = own_imports(module, source)
    if top(module) == SANDBOX:
        return {t for t in targets if top(t) != SANDBOX}
    if top(module) == "cli":
        return set()
    return {t for t in targets if top(t) == SANDBOX}


def impure(module: str, source: str) -> set[str]:
    if floor_of(module) >= PURE_FLOORS:
        return set()
    tree = ast.parse(source)
    calls = {
        n.func.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    names = {n.split(".", maxsplit=1)[0] for n in imported(tree, module)}
    return (names & IMPURE) | (calls & {"open", "input", "print"})


def hidden_imports(module: str, source: str) -> set[str]:
    if module in LAZY_MODULES:
        return set()
    functions = [
        n
        for n in ast.walk(ast.parse(source))
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {
        f.name
        for f in functions
        for n in ast.walk(f)
        if isinstance(n, ast.Import | ast.ImportFrom)
    }


LAWS = (
    upward,
    sideways,
    business_in_the_shell,
    across_the_sandbox_wall,
    impure,
    hidden_imports,
)


@pytest.mark.parametrize("law", LAWS)
def test_the_law_holds_everywhere(law: Callable[[str, str], set[str]]) -> None:
    broken = {m: found for m in MODULES if (found := law(m, source_of(m)))}

    assert broken == {}


@pytest.mark.parametrize(
    ("module", "planted", "law"),
    [
        ("encoder", "from pipeline import client", upward),
        ("encoder", "from . import client", upward),
        ("encoder", "from .client import Client", upward),
        ("encoder", "import pipeline.client", upward),
        ("records", "from pipeline.encoder import encode", upward),
        ("journal", "from pipeline.client import Client", sideways),
        ("cli.main", "from pipeline.journal import Journal", business_in_the_shell),
        ("encoder", "from pipeline.sandbox import facts", across_the_sandbox_wall),
        ("sandbox.facts", "from pipeline import contract", across_the_sandbox_wall),
        ("pacing", "import time", impure),
        ("settings", "from os import environ", impure),
        ("mapping", "open('x')", impure),
        ("reconcile.compare", "import time", impure),
        ("reconcile.compare", "from pipeline.reconcile import sides", upward),
        ("encoder", "def f():\n    import json", hidden_imports),
    ],
)
def test_a_planted_violation_is_caught(
    module: str, planted: str, law: Callable[[str, str], set[str]]
) -> None:
    assert law(module, source_of(module)) == set()
    assert law(module, f"{source_of(module)}\n\n{planted}\n") != set()


def test_imports_have_no_cycle() -> None:
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for target in own_imports(module, source_of(module)) & set(MODULES):
                visit(target, (*trail, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())
    assert done == set(MODULES)


def test_dask_is_known_in_one_place() -> None:
    found = {
        module
        for module in MODULES
        for name in imported(ast.parse(source_of(module)), module)
        if top(name) in ("dask", "distributed")
    }

    assert found == {"distributed.dask_engine"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_and_functions_are_short(module: str) -> None:
    text = MODULES[module].read_text()
    functions = [
        (n.name, (n.end_lineno or 0) - n.lineno + 1)
        for n in ast.walk(ast.parse(text))
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert [
        (name, lines) for name, lines in functions if lines > MAX_FUNCTION_LINES
    ] == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_is_a_drawer(module: str) -> None:
    assert {"utils", "util", "helpers", "common", "misc"} & set(
        module.split(".")
    ) == set()


def tracked_texts() -> Iterator[tuple[str, str]]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listing.stdout.split("\0")):
        try:
            yield name, (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue


def test_the_tree_names_no_registry_and_no_machine() -> None:
    forbidden = re.compile(
        r"p[y]pi\.org|p[y]thonhosted\.org|registry\.n[p]m|f[i]le:///|/[w]ork/|/[h]ome/\w"
        r"|/[r]oot/"
    )

    assert [n for n, text in tracked_texts() if forbidden.search(text)] == []
