"""Many drawn lives of a job, and what they came to."""

import traceback
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from pipeline.errors import PipelineError
from torture.life import Life, Told
from torture.proof import Chapter, Figure

N_LIVES: Final = 300
COMMANDS: Final = 12


def lived(n_lives: int) -> Told:
    """Run the machine; an assertion fails where a life goes wrong."""
    Life.told = Told()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=n_lives,
            stateful_step_count=COMMANDS,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Life.told


def prove(n: int | None) -> Chapter:
    """Live *n* lives."""
    n_lives = n or N_LIVES
    n_broken = 0
    try:
        lived(n_lives)
    except (AssertionError, PipelineError, Flaky, BaseExceptionGroup):
        n_broken = 1
        traceback.print_exc()  # with the shortest sequence that shows it
    told = Life.told
    n_commands = told.commands.total()
    rules = {rule.function.__name__ for rule in Life.setup_state().rules}
    least = min(told.commands[name] for name in rules)
    # Of a few lives nobody can ask that every rule was drawn.
    wanted = 1 if n_lives >= N_LIVES else 0
    is_met = least >= wanted
    return Chapter(
        "The life of a job",
        f"{n_lives} drawn sequences of commands, each with something that happens in "
        "the middle of it. After every command the CRM holds what the service "
        "accepted, nothing is called accepted that the service has not, every row is "
        "counted once, and no more batches arrive twice than were in flight; at the "
        "end the plain command brings everything in. A broken promise ends the "
        "machine with the shortest sequence that shows it.",
        (
            Figure("commands", f"{n_commands:,}", "", n_commands > 0),
            Figure("lives that broke a promise", str(n_broken), "0", n_broken == 0),
            Figure(
                "the rarest rule was used", f"{least:,} times", f"≥ {wanted}", is_met
            ),
        ),
        (
            ("rule", "used"),
            *((name, f"{count:,}") for name, count in sorted(told.commands.items())),
            *((f"ended with {name}", f"{count:,}") for name, count in _ends(told)),
        ),
    )


def _ends(told: Told) -> list[tuple[str, int]]:
    return sorted(
        (name.replace("NoneType", "all done"), n) for name, n in told.ends.items()
    )
