"""
Mutants: one defect at a time in a copy of the tree, and the tests that have to find it.

A mutant is caught when its tests are collected, run, and one of them fails; the same
command has to pass on the copy without it. One that does not even import, or hangs
beyond the tests' own timeout, has survived. Hypothesis draws from a fixed seed and
remembers nothing, so no mutant is caught by an example that another one left behind.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Final
from xml.etree import ElementTree as ET

from torture.mutant_list import OTHERS, TWELVE
from torture.mutant_rules import MODULE, rule_mutants
from torture.planting import Mutant
from torture.proof import Chapter, Figure

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("pipeline", "tests", "benchmarks", "pyproject.toml")
N_PLACES: Final = 2
LONGEST_S: Final = 150.0
PYTEST: Final = (
    *("-m", "pytest", "-x", "-q", "-p", "no:randomly", "-m", "not slow"),
    *("--hypothesis-seed=0", "--hypothesis-profile=first"),
)
WORDS: Final = """\
One small defect at a time is put into a copy of the tree, and the tests of that place
are run: twelve classic defects of importers by name, everything that each row of the
table of verdicts decides (read from the table by a script), and others. Caught means
that a test was run and failed; a mutant that cannot be imported or hangs has survived.
The same commands pass without a defect. A defect that no test notices would stand here
as survived."""


@dataclass(frozen=True)
class Outcome:
    """
    What a run of tests said.

    Attributes:
        failed: The first test that failed; empty when none did.
        broken: Why the run proves nothing; empty when it does.
    """

    failed: str = ""
    broken: str = ""

    @property
    def has_passed(self) -> bool:
        return not (self.failed or self.broken)

    @property
    def has_caught(self) -> bool:
        return bool(self.failed) and not self.broken


def prove(n: int | None) -> Chapter:
    """Plant the first *n* mutants, or all of them."""
    return prove_these(all_mutants()[:n])


def all_mutants() -> list[Mutant]:
    """Return the twelve, those of the table of verdicts, and the others."""
    table = (ROOT / "pipeline" / MODULE).read_text(encoding="utf-8")
    return [*TWELVE, *rule_mutants(table), *OTHERS]


def prove_these(mutants: list[Mutant]) -> Chapter:
    """Plant mutants in copies of the tree, `N_PLACES` at a time."""
    for mutant in mutants:  # a stale one is told before the first is run
        mutant.planted(_source(ROOT, mutant))
    commands = sorted({mutant.tests for mutant in mutants})
    with _copies() as trees, ThreadPoolExecutor(N_PLACES) as pool:

        def run(tests: tuple[str, ...], mutant: Mutant | None = None) -> Outcome:
            tree = trees.get()
            try:
                return _run(tree, tests, mutant)
            finally:
                trees.put(tree)

        sound = list(pool.map(run, commands))
        outcomes = list(pool.map(run, [m.tests for m in mutants], mutants))
    return _chapter(mutants, outcomes, dict(zip(commands, sound, strict=True)))


@contextmanager
def _copies() -> Iterator[SimpleQueue[Path]]:
    """Give copies of the tree, each for one run at a time."""
    with TemporaryDirectory(prefix="mutants-") as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for n in range(N_PLACES):
            tree = Path(folder, str(n))
            for name in COPIED:
                if (ROOT / name).is_dir():
                    ignored = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / name, tree / name, ignore=ignored)
                else:
                    shutil.copy(ROOT / name, tree / name)
            trees.put(tree)
        yield trees


def _source(tree: Path, mutant: Mutant) -> str:
    return (tree / "pipeline" / mutant.module).read_text(encoding="utf-8")


def _run(tree: Path, tests: tuple[str, ...], mutant: Mutant | None) -> Outcome:
    """Run tests in a copy, with a mutant in it or without."""
    if mutant is None:
        return _tested(tree, tests)
    sound = _source(tree, mutant)
    path = tree / "pipeline" / mutant.module
    path.write_text(mutant.planted(sound), encoding="utf-8")
    try:
        return _tested(tree, tests)
    finally:
        path.write_text(sound, encoding="utf-8")


def _tested(tree: Path, tests: tuple[str, ...]) -> Outcome:
    report = tree / "report.xml"
    report.unlink(missing_ok=True)
    shutil.rmtree(tree / ".hypothesis" / "examples", ignore_errors=True)
    process = subprocess.Popen(
        [sys.executable, *PYTEST, f"--junit-xml={report}", *_below_tests(tests)],
        cwd=tree,
        env=_environment(tree),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = process.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        return Outcome(broken=f"hung for {LONGEST_S:.0f} s")
    finally:
        with suppress(ProcessLookupError):  # also what the tests themselves began
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return _read(report, code) if report.exists() else Outcome(broken=f"exit {code}")


def _below_tests(tests: Iterable[str]) -> list[str]:
    return [f"tests/{name}" for name in tests]


def _environment(tree: Path) -> dict[str, str]:
    """Return an environment in which `pipeline` is that of the copy."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))}
    # Two versions of a file within one second would share their compiled form.
    return {**kept, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


def _read(report: Path, code: int) -> Outcome:
    """Read what pytest wrote; only a test that failed is a failure."""
    cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314 - our own
    failed = [_name(case) for case in cases if case.find("failure") is not None]
    n_errors = sum(case.find("error") is not None for case in cases)
    if n_errors or not cases or code != bool(failed):
        return Outcome(broken=f"exit {code}, {len(cases)} tests, {n_errors} errors")
    return Outcome(failed=failed[0] if failed else "")


def _name(case: ET.Element) -> str:
    """Return file and test; which of its parameters is too long to be read."""
    module = case.get("classname", "").split(".")[-1]
    return f"{module}::{case.get('name', '').partition('[')[0]}"


def _kinds(mutants: list[Mutant]) -> str:
    n_named = sum(mutant in TWELVE for mutant in mutants)
    n_others = sum(mutant in OTHERS for mutant in mutants)
    n_ruled = len(mutants) - n_named - n_others
    return f"{len(mutants)}: {n_named} by name, {n_ruled} of the table, {n_others} more"


def _chapter(
    mutants: list[Mutant],
    outcomes: list[Outcome],
    sound: dict[tuple[str, ...], Outcome],
) -> Chapter:
    caught = [
        outcome.has_caught and sound[mutant.tests].has_passed
        for mutant, outcome in zip(mutants, outcomes, strict=True)
    ]
    n_sound = sum(outcome.has_passed for outcome in sound.values())
    n_left = caught.count(False)
    figures = (
        Figure("mutants planted", _kinds(mutants), "> 0", bool(mutants)),
        Figure("mutants caught", str(sum(caught)), "all", is_met=n_left == 0),
        Figure("mutants survived", str(n_left), "0", is_met=n_left == 0),
        Figure(
            "test commands that pass without a mutant",
            f"{n_sound} of {len(sound)}",
            "all",
            is_met=n_sound == len(sound),
        ),
    )
    table = [("mutant", "file", "caught by")]
    for mutant, outcome, is_caught in zip(mutants, outcomes, caught, strict=True):
        told = outcome.failed
        if not is_caught:
            told = f"SURVIVED {outcome.broken or sound[mutant.tests].broken}".strip()
        table.append((mutant.name, mutant.module, f"`{told}`" if is_caught else told))
    return Chapter("Mutants", WORDS, figures, tuple(table))
