"""
Files and places that no import may trip over: one table, in classes I1 to I27.

I1 no readable file, I2 no byte, I3 no row, I4 cut or misnamed Parquet, I5 flipped bits,
I6 a file that stops in the middle, I7 and I8 rows too wide and too short, I9 stray
quotes, I10 foreign encodings, I11 foreign line ends, I12 a wrong delimiter, I13 headers
that name nothing or one thing twice, I14 columns nobody decided about, I15 types, I16
characters that the API forbids, I17 invalid values, I18 empty cells, I19 too large,
I20 several rows of one profile, I21 to I23 a source that changes, I24 bombs, I25 a full
disk, I26 a broken one, I27 a drive that vanishes.

Each case says what it must come to; `run_case` holds the tool to that. The cases
themselves stand in `bad_bytes`, `bad_tables`, `bad_rows`, `bad_changes`, `bad_disks`.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, chdir
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from pipeline.cli.exit_codes import exit_code_of
from pipeline.errors import PipelineError
from pipeline.reader import open_source
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.settings import SourceSettings
from torture.command import KEY, Ended, Service, between_the_passes, in_pass_2, run

MOST_S: Final = 2.0
Make = Callable[[Path], object]
# No message may hold what stands in a cell, nor the name of a class or a library.
CELLS: Final = (
    "@example", "600100", "600 100", "Ewa", "Jan", "Łódź", "Kraków", "K-1", "K-2",
)  # fmt: skip
_JARGON: Final = re.compile(
    r"Traceback|\b\w+(?:Error|Exception|Panic)\b|polars|pydantic|httpx|sqlite3|\bNone\b"
    r"|object at 0x|\[Errno"
)
# After these words a message says what to do.
_FILE_STOPS: Final = frozenset({65, 66, 69, 70, 73, 74, 76, 77, 78, 81})


@dataclass(frozen=True)
class BadFile:
    """
    One bad file or place, and what an import of it must come to.

    Attributes:
        kind: The class, `I1` to `I27`.
        make: Lays out the folder that the command runs in.
        words: Of the message: what, where, and what to do.
        codes: Row by row, "" for a row that is accepted; None when none is read.
        arguments: Of the import.
        moment: When *then* happens: `between` the passes, while `sending`, or before
            the files are opened again to `resume`; then no command runs.
        then: Happens to the folder while the command runs.
        is_sent: Whether the service may have been talked to although the run stops.
        wrapper: A command around a process of its own; none: it runs in this one.
    """

    kind: str
    name: str
    make: Make
    exit_code: int
    words: tuple[str, ...] = ()
    codes: tuple[str, ...] | None = None
    arguments: tuple[str, ...] = ("people.csv",)
    moment: str = ""
    then: Make = lambda _folder: None
    is_sent: bool = False
    wrapper: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def is_slow(self) -> bool:
        return self.wrapper[:1] not in ((), ("env",)) or self.kind == "I24"

    @property
    def is_makeable(self) -> bool:
        """Whether this machine can make it; some need a namespace, or a stranger."""
        return not self.wrapper or _works(self.wrapper)


@cache
def _works(wrapper: tuple[str, ...]) -> bool:
    with TemporaryDirectory() as folder:
        try:
            tried = subprocess.run(
                [*wrapper, sys.executable, "-c", "import pipeline"],
                cwd=folder,
                capture_output=True,
                check=False,
            )
        except OSError:
            return False
        return tried.returncode == 0


def files(**named: bytes | str) -> Make:
    """Return a maker of files: `people_csv` is called people.csv."""

    def make(folder: Path) -> None:
        for name, content in named.items():
            stem, _, rest = name.partition("_")
            data = content if isinstance(content, bytes) else content.encode()
            (folder / f"{stem}.{rest.replace('_', '.')}").write_bytes(data)

    return make


def frame(**columns: object) -> Make:
    """Return a maker of people.parquet."""
    return lambda folder: pl.DataFrame(columns).write_parquet(folder / "people.parquet")


@dataclass(frozen=True)
class Result:
    """What became of a case; `faults` are sentences, none when all is as promised."""

    case: BadFile
    ended: Ended
    faults: tuple[str, ...]


def run_case(case: BadFile, folder: Path, sandbox: RunningSandbox | None) -> Result:
    """
    Import a bad file, and look at everything that it must and must not do.

    Args:
        folder: Empty.
        sandbox: For a case that needs a process of its own.
    """
    case.make(folder)
    n_requests = 0
    if case.moment == "resume":
        ended = _opened_again(case, folder)
    elif case.wrapper:
        assert sandbox is not None
        before = len(sandbox.sandbox.store.requests())
        ended = _process(case, folder, sandbox)
        n_requests = len(sandbox.sandbox.store.requests()) - before
    else:
        service = Service(before=_hook(case, folder))
        try:
            ended = run(
                folder,
                *("import", "--verify=none", *case.arguments),
                environment=KEY | dict(case.environment),
                connect=service.connect,
            )
        finally:
            service.close()
        n_requests = service.n_requests
    faults = [*_words_faults(case, ended), *_rows_faults(case, folder, ended)]
    if n_requests and not case.is_sent and case.codes is None and case.exit_code:
        faults.append(f"{n_requests} requests were made")
    if ended.seconds > MOST_S + bool(case.wrapper):
        faults.append(f"it took {ended.seconds:.1f} s")
    return Result(case, ended, tuple(faults))


def _hook(case: BadFile, folder: Path) -> Callable[..., None]:
    if not case.moment:
        return lambda _request: None
    hooks = {"between": between_the_passes, "sending": in_pass_2}
    return hooks[case.moment](lambda: case.then(folder))


def _opened_again(case: BadFile, folder: Path) -> Ended:
    """Compare files with those of a run that was interrupted, as a resumption does."""
    with chdir(folder):
        settings = SourceSettings(path=case.arguments)
        source = open_source(settings)
        for _ in source.slices():
            pass
        known = source.fingerprints()
        case.then(folder)
        try:
            open_source(settings).check_unchanged(known)
        except PipelineError as error:
            return Ended(exit_code_of(error), "", f"crm-pipeline: {error}\n", 0.0)
    return Ended(0, "", "", 0.0)


def _process(case: BadFile, folder: Path, sandbox: RunningSandbox) -> Ended:
    command = [*case.wrapper, sys.executable, "-m", "pipeline", "import"]
    command += ["--verify=none"]
    told = subprocess.run(
        [*command, *case.arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env=dict(os.environ)
        | {
            "SYNERISE_BASE_URL": sandbox.base_url,
            "SYNERISE_API_KEY": sandbox.api_key,
        }
        | dict(case.environment),
    )
    return Ended(told.returncode, told.stdout, told.stderr, 0.0)


def _words_faults(case: BadFile, ended: Ended) -> Iterator[str]:
    if ended.code != case.exit_code:
        yield f"it ended with {ended.code}, not with {case.exit_code}"
    said = ended.out + ended.err
    for cell in CELLS:
        if cell in said:
            yield f"{cell!r} of a cell was shown"
    if found := _JARGON.search(said):
        yield f"{found[0]!r} is no word for an operator"
    text = ended.err
    if case.exit_code in _FILE_STOPS:
        text = ended.last_words
        if not text.startswith("crm-pipeline: "):
            yield "the last line is not the message"
        if ended.out:
            yield "stdout holds more than data"
    for word in case.words:
        if word not in text:
            yield f"the message lacks {word!r}"


def _rows_faults(case: BadFile, folder: Path, ended: Ended) -> Iterator[str]:
    found = sorted(folder.glob("**/runs/*/outcomes.parquet"))
    if case.codes is None:
        if found and not case.is_sent:
            yield "rows have outcomes although the file was refused"
        return
    if not found:
        yield "no row has an outcome"
        return
    outcomes = pl.read_parquet(found[-1])
    summary = json.loads(found[-1].with_name("summary.json").read_text())
    if summary["rows"]["accepted"] != (outcomes["state"] == "accepted").sum():
        yield "the summary counts otherwise"
    yield from _outcomes_faults(case, outcomes, ended)


def _outcomes_faults(
    case: BadFile, outcomes: pl.DataFrame, ended: Ended
) -> Iterator[str]:
    codes = tuple(code or "" for code in outcomes["code"])
    if codes != case.codes:
        yield f"the rows ended as {codes}"
    states = outcomes["state"].to_list()
    for state, code in zip(states, codes, strict=True):
        if (state == "accepted") != (code == ""):
            yield f"a row is {state} with the code {code!r}"
    for code in {code for code in codes if code not in ("", "EMPTY", "FOLDED")}:
        row_no = outcomes["row_no"][codes.index(code)]
        if f"{code}: " not in ended.err or f"row {row_no}" not in ended.err:
            yield f"the message does not name row {row_no} with {code}"
    if "blocked" in states and "to do: repair " not in ended.err:
        yield "the message does not say what to do"


def run_all(cases: tuple[BadFile, ...]) -> list[Result]:
    """Run all cases that this machine can make."""
    results: list[Result] = []
    with ExitStack() as stack:
        sandbox: RunningSandbox | None = None
        for case in cases:
            if not case.is_makeable:
                continue
            if case.wrapper and sandbox is None:
                options = SandboxOptions(settle_s=0.0)
                sandbox = stack.enter_context(running_sandbox(options))
            with TemporaryDirectory() as folder:
                results.append(run_case(case, Path(folder), sandbox))
    return results
