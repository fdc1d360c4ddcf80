"""`drill`: the user's own file and job in a storm, with kill -9."""

from __future__ import annotations

import os
import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline import rows_of, shared_phones
from pipeline.cli.drilling import (
    BATCHES_A_KILL,
    ChildError,
    Course,
    Ground,
    rows_that_differ,
    strikes_for,
    through_the_storm,
    torn_down_by_signals,
    undisturbed,
)
from pipeline.cli.exit_codes import OK
from pipeline.cli.options import (
    found_job,
    job_of,
    job_option,
    json_option,
    pace_options,
    row_options,
    source_options,
    talk_of,
    talk_options,
)
from pipeline.cli.render import show_json
from pipeline.cli.talking import say
from pipeline.errors import InvariantError
from pipeline.sandbox.comparing import Differences, differences
from pipeline.sandbox.server import SandboxOptions, running_sandbox
from pipeline.sandbox.weather import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.drilling import Kill
    from pipeline.cli.options import Talk
    from pipeline.settings import Job

# Presets whose troubles pass: every row must be there in the end.
WEATHERS: Final = ("calm", "rain", "storm", "worst")
SHOWN_ROWS: Final = 20
_FORWARDED: Final = (
    "config",
    "format_",
    "encoding",
    "delimiter",
    "extra_columns",
    "blank",
    "duplicates",
    "region",
    "max_bytes",
)
_PACE: Final = ("concurrency", "rate")


@click.command("drill", short_help="Try your file and job in a storm.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@job_option
@source_options
@row_options
@pace_options
@click.option(
    "--kills",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    metavar="N",
    help="How often the import is killed.",
)
@click.option(
    "--weather",
    type=click.Choice(WEATHERS),
    default="storm",
    show_default=True,
    help="What the sandbox does meanwhile.",
)
@click.option("--seed", type=int, help="Of weather and kills; drawn when not given.")
@json_option
@talk_options
def command(sources: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """
    Import SOURCE into a sandbox in bad weather, kill -9 and resume, count what is lost.

    The same import runs undisturbed into a second sandbox, and the two are compared,
    profile by profile. It needs no credentials, and touches neither a CRM nor your
    work folder. Ends with 0 when nothing is lost, else with 70.
    """
    talk = talk_of(
        as_json=flags["as_json"], verbose=flags["verbose"], quiet=flags["quiet"]
    )
    job, _ = job_of(found_job(flags["config"]), sources, flags)
    seed = random.randrange(10**6) if flags["seed"] is None else flags["seed"]  # noqa: S311 - dice
    with torn_down_by_signals():
        try:
            return _drill(Plan(sources, flags, job, seed), talk)
        except ChildError as ended:
            say(str(ended))
            return ended.code if ended.code > 0 else 128 - ended.code


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drilled: sources as they were named, flags, and the job of both."""

    sources: tuple[str, ...]
    flags: dict[str, Any]
    job: Job
    seed: int

    def options(self, weather: str, database: Path) -> SandboxOptions:
        """Return a sandbox whose workspace is the one that the job expects."""
        guid = self.job.workspace.guid or os.environ.get("SYNERISE_WORKSPACE_GUID", "")
        sky = replace(PRESETS[weather], seed=self.seed, workspace=guid)
        return SandboxOptions(weather=sky, database=str(database))

    def words(self, names: tuple[str, ...], **more: object) -> tuple[str, ...]:
        """Return flags as the user would type them."""
        given = {name: self.flags[name] for name in names} | more
        return tuple(
            f"--{name.strip('_').replace('_', '-')}={value}"
            for name, value in given.items()
            if value is not None
        )


def _drill(plan: Plan, talk: Talk) -> int:
    began_s = time.monotonic()
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="crm-pipeline-drill-")
        folder = Path(stack.enter_context(temporary))

        def ground(name: str, weather: str, max_rows: int | None) -> Ground:
            options = plan.options(weather, folder / f"{name}.sqlite")
            sandbox = stack.enter_context(running_sandbox(options))
            words = plan.words(_FORWARDED, max_rows=max_rows)
            pace = plan.words(_PACE)
            return Ground(folder / name, sandbox, plan.sources, words, pace)

        talk.say("a drill against a sandbox; nothing leaves this machine\n")
        calm = ground("calm", "calm", plan.flags["max_rows"])
        expected = undisturbed(calm)
        n_sent = expected.states.get("accepted", 0)
        talk.say(
            f"1. undisturbed, in calm weather: {sum(expected.states.values()):,} rows "
            f"read, {n_sent:,} accepted"
        )
        n_kills, max_rows = plan.flags["kills"], _batch_rows(plan, n_sent)
        weather = plan.flags["weather"]
        talk.say(
            f"2. weather {weather}, {n_kills} kills, seed {plan.seed}, "
            f"{max_rows:,} rows a batch"
        )
        stormy = ground("storm", weather, max_rows)
        dice = random.Random(plan.seed)  # noqa: S311 - repeatable
        n_batches = ceil(n_sent / max_rows)
        strikes = strikes_for(n_kills, n_batches, expected.first_batch_s, dice)
        course = through_the_storm(stormy, strikes, _teller(talk, n_kills, n_sent))
        found = differences(
            calm.sandbox.sandbox.store,
            stormy.sandbox.sandbox.store,
            ambiguous_phones=shared_phones(plan.job),
        )
        rows = _rows(plan, found, rows_that_differ(calm, stormy))
        n_again = stormy.taken().n_items_again
    seconds = time.monotonic() - began_s
    result = Result(plan, course, found, rows, n_again, seconds)
    return conclude(result, talk)


def _batch_rows(plan: Plan, n_sent: int) -> int:
    """Return rows a batch that leave several batches to each kill."""
    given: int = plan.job.delivery.max_rows
    n_kills: int = plan.flags["kills"]
    if plan.flags["max_rows"] is not None or not n_kills:
        return given
    return min(given, max(1, ceil(n_sent / (BATCHES_A_KILL * n_kills))))


def _teller(talk: Talk, n_kills: int, n_sent: int) -> Callable[[Kill], None]:
    numbers = iter(range(1, n_kills + 1))

    def tell(kill: Kill) -> None:
        talk.say(
            f"   kill {next(numbers):>2} after {kill.after_s:5.1f} s, {kill.phase:<14} "
            f"{kill.n_rows:>9,} of {n_sent:,} rows arrived"
        )

    return tell


@dataclass(frozen=True, slots=True)
class Result:
    """
    What a drill came to.

    Attributes:
        rows: Numbers of the rows that are not as they should be.
        n_again: Rows that arrived once more.
    """

    plan: Plan
    course: Course
    found: Differences
    rows: list[int]
    n_again: int
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether both sandboxes hold the same, and both runs tell the same."""
        return not (self.found.lost or self.found.n_added or self.rows)


def _rows(plan: Plan, found: Differences, differing: list[int]) -> list[int]:
    """Return the numbers of the rows that are not as they should be."""
    wanted: dict[str, set[str]] = {}
    for name in found.lost:
        wanted.setdefault(name.field, set()).add(name.value)
    lost = [ref.row_no for ref in rows_of(plan.job, wanted)] if wanted else []
    return sorted({*lost, *differing})


def conclude(result: Result, talk: Talk) -> int:
    """
    Tell what a drill came to, and return the exit code.

    Raises:
        InvariantError: Something is lost; only numbers are told.
    """
    course, found = result.course, result.found
    n_kills, n_lost = len(course.kills), len(found.lost)
    if n_kills < result.plan.flags["kills"]:
        talk.say(
            f"   it ended after {n_kills} kills; --max-rows makes more and smaller "
            "batches"
        )
    talk.say(
        f"3. the end: {course.n_starts} starts, {course.n_gave_up} gave up and were "
        f"resumed, {result.seconds:.1f} s\n"
    )
    talk.say(f"{sum(course.states.values()):>11,}  rows read")
    for state, n in course.states.items():
        talk.say(f"{n:>11,}  {state}")
    talk.say(f"{result.n_again:>11,}  rows arrived once more, the same bytes: harmless")
    talk.say(f"{found.n_equal:>11,}  profiles equal in both sandboxes")
    if found.n_left_out:
        talk.say(
            f"{found.n_left_out:>11,}  profiles not compared: rows with nothing but "
            "their phone may\n             join them, by chance"
        )
    talk.say(f"ROWS LOST: {n_lost:,}")
    if talk.as_json:
        show_json(_summary(result))
    if result.is_good:
        return OK
    shown = ", ".join(map(str, result.rows[:SHOWN_ROWS])) or "unknown"
    raise InvariantError(
        f"the two sandboxes differ: {len(found.missing):,} profiles are missing, "
        f"{len(found.altered):,} have other content, {found.n_added:,} are too many; "
        f"{len(result.rows):,} rows concerned: {shown}. Please report this, with seed "
        f"{result.plan.seed}"
    )


def _summary(result: Result) -> dict[str, Any]:
    course, found, flags = result.course, result.found, result.plan.flags
    return {
        "version": 1,
        "command": "drill",
        "weather": flags["weather"],
        "seed": result.plan.seed,
        "kills": [
            {"after_s": round(k.after_s, 3), "phase": k.phase, "rows_arrived": k.n_rows}
            for k in course.kills
        ],
        "starts": course.n_starts,
        "gave_up": course.n_gave_up,
        "rows": {"read": sum(course.states.values()), **course.states},
        "rows_arrived_again": result.n_again,
        "rows_lost": len(found.lost),
        "profiles_equal": found.n_equal,
        "profiles_not_compared": found.n_left_out,
        "profiles_missing": len(found.missing),
        "profiles_altered": len(found.altered),
        "profiles_added": found.n_added,
        "rows_concerned": result.rows,
        "seconds": round(result.seconds, 3),
    }
