"""
The group of commands, and the one place where errors become messages and numbers.

A command's module is imported when the command is asked for: `--help` stays fast.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli.exit_codes import DEFECT, INTERRUPTED, exit_code_of
from pipeline.cli.talking import Surroundings, Voice, say, to_nowhere
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.cli.talking import Connect

# For the allocator of polars, before it is loaded. With one arena a thread takes what
# another has freed, and what is freed is kept for half a minute, large pieces too: a
# slice then lives in the memory of the one before (measured over a million rows: 1.5
# instead of 2.5 s of system time, 0.1 instead of 0.3 million page faults, same peak).
ALLOCATOR: Final = (
    "narenas:1,oversize_threshold:0,dirty_decay_ms:30000,muzzy_decay_ms:30000"
)
# While a thread reads and cuts, the loop that sends would wait five milliseconds for
# the interpreter: of ten requests of 100 ms, 1.4 % of what the service lets through.
SWITCH_S: Final = 0.0005
# An environment variable: the first words come before any job is read.
LOG_FORMAT: Final = "CRM_PIPELINE_LOG_FORMAT"
COMMANDS: Final = {
    "demo": ("demo", "Show the tool at work against an embedded sandbox."),
    "check": ("check", "Read a source to its end and say what would be sent."),
    "init": ("init", "Write a job file with a proposed mapping."),
    "import": ("import_", "Send a source to the CRM."),
    "resume": ("resume", "Go on with an interrupted import."),
    "plan": ("plan", "Say what differs from what was confirmed, row by row."),
    "apply": ("apply", "Send exactly the rows of a plan."),
    "sync": ("sync", "Send what changed: plan and apply, for cron."),
    "verify": ("verify", "Read accepted rows back and compare them."),
    "export": ("export", "Write the CRM's profiles to a file."),
    "reconcile": ("reconcile", "Compare a source with the CRM, per field."),
    "profile": ("profile", "Get, create, update or delete one profile."),
    "drill": ("drill", "Try your file and job in a storm, with kill -9."),
    "doctor": ("doctor", "Look at all that a run needs, and say what is wrong."),
    "runs": ("runs", "List runs, show one, remove what old ones left."),
    "sandbox": ("sandbox", "Serve a simulator of the API."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and loads the one asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which a newcomer needs them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the module of a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"pipeline.cli.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands without loading any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="crm-pipeline")
def group() -> None:
    """Move customer profiles between files and a CRM, and prove it."""


def main(arguments: list[str] | None = None, *, connect: Connect | None = None) -> None:
    """
    Run the command line and end the process with its exit code.

    Args:
        connect: Makes the way to the service; a test's own clock and transport.
    """
    if sys.platform == "win32":
        say("crm-pipeline runs on Linux and macOS; on Windows use WSL.")
        sys.exit(78)
    os.environ.setdefault("_RJEM_MALLOC_CONF", ALLOCATOR)
    sys.setswitchinterval(SWITCH_S)
    form = os.environ.get(LOG_FORMAT) or "text"
    voice = Voice(is_json=form == "json")
    if form not in ("text", "json"):
        voice.say(f"crm-pipeline: {LOG_FORMAT} is neither text nor json; correct it")
        sys.exit(78)
    around = Surroundings(voice, connect)
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments, around))


def _run(  # noqa: PLR0911 - one line a kind of end
    arguments: list[str], around: Surroundings
) -> int:
    voice = around.voice
    try:
        result: Any = group.main(arguments, standalone_mode=False, obj=around)
    except PipelineError as error:
        return _ended(voice, exit_code_of(error), f"crm-pipeline: {error}")
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        if voice.is_json:
            return _ended(voice, error.exit_code, error.format_message())
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _ended(
            voice,
            INTERRUPTED,
            "crm-pipeline: interrupted. What was answered is in the journal; the same "
            "command sends the rest, and repeats what arrived already.",
        )
    except BrokenPipeError:
        # The reader of our output has left; what was done stays done.
        to_nowhere(sys.stdout)
        return 0
    except Exception as error:  # noqa: BLE001 - the edge of the process
        return _ended(
            voice,
            DEFECT,
            f"crm-pipeline: a defect of the tool: {type(error).__name__} at "
            f"{_place(error)}. Please report it with this line; what the journal holds "
            "is safe.",
        )
    return result if isinstance(result, int) else 0


def _ended(voice: Voice, code: int, text: str) -> int:
    voice.say(text, event="error", level="error", exit_code=code)
    return code


def _place(error: BaseException) -> str:
    """Return file and line where *error* was raised; its text may hold a cell."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
