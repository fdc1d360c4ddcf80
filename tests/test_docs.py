"""The docs tell the truth: every command runs and ends as told, nothing is stale."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cli.main import COMMANDS, group, main
from pipeline.cli.render_plan import plan_figures
from pipeline.contract import LINT_CODES
from pipeline.delta.plan import Figures, Plan
from pipeline.sandbox.facts import API_KEY
from pipeline.sandbox.server import SandboxOptions, running_sandbox
from pipeline.sandbox.weather import parse_weather
from pipeline.verdict import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GENERATED: dict[str, Any] = runpy.run_path(str(DOCS / "generate.py"))
PROTOCOL: dict[str, Any] = runpy.run_path(str(DOCS / "protocol.py"))
RUNNABLE = [
    ROOT / "README.md",
    DOCS / "tutorial.md",
    *sorted((DOCS / "howto").glob("*.md")),
    DOCS / "scale.md",
]
WRITTEN = [
    *RUNNABLE,
    DOCS / "design.md",
    DOCS / "glossary.md",
    ROOT / "CHANGELOG.md",
    ROOT / "tests" / "README.md",
]
# `make test` runs the first page only, the slow tests run them all.
PAGES = [
    RUNNABLE[0],
    *(pytest.param(page, marks=pytest.mark.slow) for page in RUNNABLE[1:]),
]
MAX_README_LINES = 150
# Of Dask's own commands, in the recipes for clusters.
FOREIGN_FLAGS = {"--nthreads", "--port", "--protocol"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLAIM = re.compile(r"\s+# exits with (\d+)$")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
CALL = re.compile(r"(?:`|\$ )crm-pipeline ((?:[a-z]+)(?: [a-z]+)?)")
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)]*)?\)")
NEEDS_A_SHELL = re.compile(r"[*<>|&;]")
# What differs from run to run, or from machine to machine.
VARYING = (
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"[\d.,]+ s, [\d,]+ rows/s"), "SPEED"),
    (re.compile(r"\d+ requests, (\d+ repeated, )?[\d.]+ (bytes|kB|MB)"), "REQUESTS"),
    (re.compile(r"[\d,]+ profiles\b"), "N profiles"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command or a program of a page, and what the page shows of its output."""

    code: str
    exit_code: int
    shown: tuple[str, ...]
    is_python: bool = False


def steps_of(page: Path) -> Iterator[Step]:
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            yield Step(body, 0, (), is_python=True)
        elif language == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, *shown = part.replace("\\\n", " ").splitlines()
                claim = CLAIM.search(command)
                code = int(claim[1]) if claim else 0
                yield Step(CLAIM.sub("", command), code, tuple(shown))


def plain(line: str) -> str:
    for pattern, word in VARYING:
        line = pattern.sub(word, line)
    return line.strip()


def missing_lines(shown: tuple[str, ...], said: str) -> list[str]:
    """
    Return the shown lines that the output does not have, in this order.

    A line of dots stands for lines left out, dots at an end for the rest of a line.
    """
    rest = iter([plain(line) for line in said.splitlines()])
    wanted = [plain(line) for line in shown if line.strip() not in ("", "...")]
    return [line for line in wanted if not any(map(partial(is_shown, line), rest))]


def is_shown(wanted: str, said: str) -> bool:
    if wanted.endswith(" ..."):
        return said.startswith(wanted.removesuffix(" ..."))
    return said == wanted


def commands() -> dict[tuple[str, ...], click.Command]:
    return {path[1:]: command for path, command in GENERATED["walk"](group)}


class Terminal:
    """Runs the steps of one page, one after the other, in one folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        for name in [name for name in os.environ if name.startswith("SYNERISE_")]:
            monkeypatch.delenv(name)
        scripts = Path(sys.executable).parent
        self.export("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")

    def export(self, name: str, value: str) -> None:
        self._monkeypatch.setenv(name, value)

    def run(self, step: Step) -> tuple[int, str]:
        words = shlex.split(step.code, comments=True) if not step.is_python else []
        if words[:1] == ["crm-pipeline"] and not NEEDS_A_SHELL.search(step.code):
            return self._in_this_process(words[1:])
        program = [sys.executable] if step.is_python else [shutil.which("bash") or ""]
        ended = subprocess.run(
            [*program, "-c", step.code],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
            check=False,
        )
        return ended.returncode, ended.stdout

    def _in_this_process(self, words: list[str]) -> tuple[int, str]:
        """Start nothing anew: a second is saved for each command."""
        said = StringIO()
        with (
            chdir(self._folder),
            redirect_stdout(said),
            redirect_stderr(said),
            pytest.raises(SystemExit) as ended,
        ):
            main(words)
        code = ended.value.code
        return code if isinstance(code, int) else 0, said.getvalue()


@contextmanager
def sandbox_for(page: Path, terminal: Terminal) -> Iterator[None]:
    """Serve the sandbox that the page starts in its other terminal; calm if none."""
    weather = "calm"
    for step in steps_of(page):
        if step.code.startswith("crm-pipeline sandbox"):
            context = commands()[("sandbox",)].make_context(
                "sandbox",
                shlex.split(step.code)[2:],
                help_option_names=["-h", "--help"],
            )
            weather = context.params["weather"]
    options = SandboxOptions(weather=parse_weather(weather), settle_s=0.0)
    with running_sandbox(options) as running:
        terminal.export("SYNERISE_BASE_URL", running.base_url)
        terminal.export("SYNERISE_API_KEY", running.api_key)
        yield


def check_export(code: str) -> None:
    """The page names the address and the key that every sandbox has."""
    assert code in (
        "export SYNERISE_BASE_URL=http://127.0.0.1:8765",
        f"export SYNERISE_API_KEY={API_KEY}",
    )


def check_make(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_is_what_happens(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sample_data", "configs"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(".*", "__*")
        )
    terminal = Terminal(tmp_path, monkeypatch)
    with sandbox_for(page, terminal):
        for step in steps_of(page):
            if step.code.startswith("export "):
                check_export(step.code)
                continue
            if step.code.startswith("crm-pipeline sandbox"):
                continue
            run = step
            if step.code.startswith("make "):
                check_make(step.code.removeprefix("make "))
                if step.code != "make demo":
                    continue
                run = Step("crm-pipeline demo", step.exit_code, step.shown)
            code, said = terminal.run(run)

            assert code == step.exit_code, f"{step.code}\n{said}"
            assert not missing_lines(step.shown, said), f"{step.code}\n{said}"


def test_every_page_has_something_to_run() -> None:
    assert all(list(steps_of(page)) for page in RUNNABLE)


@pytest.mark.parametrize("name", ["reference.md", "job.schema.json"])
def test_generated_pages_are_not_stale(name: str) -> None:
    pages: dict[Path, str] = GENERATED["pages"]()

    assert (DOCS / name).read_text(encoding="utf-8") == pages[DOCS / name], "make docs"


def test_the_design_shows_the_table_that_is_at_work() -> None:
    page = (DOCS / "design.md").read_text(encoding="utf-8")
    made: str = PROTOCOL["design"](page)

    assert page == made, "make docs"
    assert all(f"| {rule.meaning} |" in page for rule in TABLE)
    arrows = re.findall(r"^    \S+ --> \S+", page, re.MULTILINE)
    states = {arrow.split()[2].rstrip(":") for arrow in arrows} - {"[*]"}
    assert states == {"recorded", "sent", "parts", "accepted", "rejected", "pending"}


def test_a_usage_is_the_one_that_the_tool_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    shown = re.findall(r"^Usage: crm-pipeline (.*)$", text, re.MULTILINE)
    terminal = Terminal(tmp_path, monkeypatch)
    calls = [shlex.join(["crm-pipeline", *words, "--help"]) for words in commands()]
    said = [terminal.run(Step(call, 0, ()))[1].splitlines()[0] for call in calls]

    # In this process, the program has the name of the one that runs the tests.
    assert len(shown) == len(said)
    for usage, line in zip(shown, said, strict=True):
        assert line.endswith(f" {usage}")
        assert line.startswith("Usage: ")


def test_the_schema_takes_the_job_of_the_sample() -> None:
    schema = json.loads((DOCS / "job.schema.json").read_text(encoding="utf-8"))

    assert set(schema["properties"]) >= {"source", "mapping", "rows", "delivery"}
    assert schema["additionalProperties"] is False


def test_documented_keys_are_those_of_a_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ROOT / "sample_data" / "small_broken" / "row_too_wide.csv"
    Terminal(tmp_path, monkeypatch).run(
        Step(f"crm-pipeline check {source} --summary told.json", 3, ())
    )
    told = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    documented = {key for key in GENERATED["SUMMARY_KEYS"] if "." not in key}

    assert documented == set(told)


def test_documented_keys_are_those_of_a_plan() -> None:
    plan = Plan("", 0, 0, "", "", None, "", {}, "", 0, 0, (), {}, Figures())

    assert list(plan_figures(plan)) == list(GENERATED["PLAN_KEYS"])


def test_every_finding_has_a_remedy() -> None:
    assert list(GENERATED["REMEDIES"]) == list(LINT_CODES)


def test_documented_variables_are_those_the_code_reads() -> None:
    readers = ("config.py", "environment.py", "references.py", "cli/main.py")
    source = "".join(
        (ROOT / "pipeline" / name).read_text(encoding="utf-8") for name in readers
    )
    read = set(re.findall(r"(?:SYNERISE|CRM_PIPELINE)_[A-Z_]+", source))

    assert {v for v in GENERATED["VARIABLES"] if not v.endswith("_FILE")} == {
        v for v in read if not v.endswith("_FILE")
    }


def test_the_readme_fits_its_budget() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= MAX_README_LINES


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.name))
def test_every_command_and_flag_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {
        option
        for command in commands().values()
        for parameter in command.params
        for option in parameter.opts
    } | {"--help", "--version", *FOREIGN_FLAGS}
    calls = {tuple(call.split()) for call in CALL.findall(text)}

    assert not set(FLAG.findall(text)) - known
    assert not {words[0] for words in calls} - set(COMMANDS)
    assert not {
        words for words in calls if words[0] == "profile" and words not in commands()
    }


@pytest.mark.parametrize(
    "page", [*WRITTEN, DOCS / "reference.md"], ids=lambda page: str(page.name)
)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    relative = [path for path, _ in links if path and "://" not in path]

    assert not [path for path in relative if not (page.parent / path).exists()]
