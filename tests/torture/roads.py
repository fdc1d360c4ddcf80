"""
Exports past the cap, drawn: complete where that is possible, and never by mistake.

Half of the workspaces can be shown in full by windows: searches find texts or their
beginnings, totals are honest, and the cap is any of the known kinds, while profiles
come, go and change. The other half cannot: searches find nothing or are refused their
order, or the totals lie. An export that calls itself complete is compared with the
truth: every profile that was there all the time must be in the file.
"""

import asyncio
import multiprocessing
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import polars as pl

from pipeline import ExportRequest, export_profiles
from pipeline.sandbox.server import SandboxOptions
from pipeline.sandbox.switches import Switches
from sandbox_driver import served
from torture.proof import Chapter, Figure

N_RUNS: Final = 500
N_WORKERS: Final = 2
CAP: Final = 500
N_PROFILES: Final = 2500
# Up to so many runs, the workspaces are small, too.
N_SMALL: Final = 20
SMALL_CAP: Final = 40
N_SMALL_PROFILES: Final = 120
MOST_CHURN: Final = 0.5
CAPS: Final = ("error", "empty_page", "clamp", "result")
LIES: Final = ("halved", "doubled", "both_halved")


@dataclass(frozen=True)
class Drawn:
    """What a seed draws."""

    seed: int
    is_possible: bool
    switches: dict[str, Any]

    @property
    def kind(self) -> str:
        told = {**self.switches}
        churn = "changing" if told.pop("churn_per_page") else "calm"
        return ", ".join([*(f"{k} {v}" for k, v in told.items()), churn])


@dataclass(frozen=True)
class Ended:
    """How an export ended; `n_missing` profiles that stayed are not in the file."""

    drawn: Drawn
    is_complete: bool
    n_missing: int
    n_requests: int
    evidence: str


def draw(seed: int) -> Drawn:
    dice = Random(f"road {seed}")  # noqa: S311 - repeatable
    is_possible = seed % 2 == 0
    switches: dict[str, Any] = {
        "list_cap": dice.choice(CAPS),
        "churn_per_page": dice.choice((0.0, dice.random() * MOST_CHURN)),
        "search_plain": dice.choice(("contains", "prefix")),
    }
    if not is_possible:
        way = dice.choice(("exact", "no search", "lie"))
        if way == "lie":
            switches["all_is"] = dice.choice(LIES)
        else:
            # Nothing that could be asked for shows what lies behind the cap.
            switches |= {"sort_works": False, "autocomplete_works": False}
            if way == "exact":
                switches["search_plain"] = "exact"
            else:
                del switches["search_plain"]
                switches["search_works"] = False
    return Drawn(seed, is_possible, switches)


def exported(seed: int) -> Ended:
    return asyncio.run(_exported(draw(seed), CAP, N_PROFILES))


def exported_small(seed: int) -> Ended:
    return asyncio.run(_exported(draw(seed), SMALL_CAP, N_SMALL_PROFILES))


async def _exported(drawn: Drawn, cap: int, n_profiles: int) -> Ended:
    options = SandboxOptions(
        switches=Switches(list_cap_rows=cap, **drawn.switches),
        seed_profiles=n_profiles,
        settle_s=0.0,
    )
    with (
        tempfile.TemporaryDirectory(prefix="roads-") as folder,
        served(options) as (sandbox, connector, _),
    ):
        before = {one["clientId"] for one in sandbox.profiles()}
        request = ExportRequest(
            Path(folder) / "out.parquet",
            Path(folder) / "work",
            road="windows",
            cap_rows=cap,
        )
        report = await export_profiles(request, connector)
        stayed = before & {one["clientId"] for one in sandbox.profiles()}
        known = set(pl.read_parquet(report.path, columns=["clientId"])["clientId"])
        evidence = report.certificate.evidence
        return Ended(
            drawn,
            report.certificate.is_complete,
            len(stayed - known),
            report.n_requests,
            "none" if evidence is None else evidence.name.lower(),
        )


def prove(n: int | None) -> Chapter:
    n_runs = N_RUNS if n is None else n
    is_small = n_runs <= N_SMALL
    run = exported_small if is_small else exported
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(N_WORKERS, mp_context=context) as pool:
        ends = list(pool.map(run, range(n_runs)))
    possible = [end for end in ends if end.drawn.is_possible]
    n_complete = sum(end.is_complete for end in possible)
    wrong = [end for end in ends if end.is_complete and end.n_missing]
    lucky = [end for end in ends if end.is_complete and not end.drawn.is_possible]
    evidence = Counter(end.evidence for end in possible)
    return Chapter(
        "Exports past the cap",
        f"{n_runs} workspaces of {N_SMALL_PROFILES if is_small else N_PROFILES:,} "
        f"profiles behind a cap of {SMALL_CAP if is_small else CAP}, drawn "
        "from seeds; in half of them windows can show everything. A defect would call "
        "an export complete that misses a profile which was there all the time, or "
        "would not find what can be found.",
        (
            Figure(
                "called complete, and a profile is missing",
                f"{len(wrong)} of {n_runs}",
                "0",
                not wrong,
            ),
            Figure(
                "complete where it is possible",
                f"{n_complete} of {len(possible)}",
                "≥ 95 %",
                n_complete >= 0.95 * len(possible),
            ),
            Figure(
                "complete where it is impossible",
                f"{len(lucky)} of {n_runs - len(possible)}",
                "0",
                not lucky,
            ),
            Figure(
                "requests, in the mean, where it is possible",
                f"{sum(e.n_requests for e in possible) / max(1, len(possible)):.0f}",
                "–",
                is_met=True,
            ),
        ),
        (
            ("evidence of the possible ones", "exports"),
            *((name, str(number)) for name, number in evidence.most_common()),
        ),
    )
