"""
What a process ends with: one table from error to number, and the order of precedence.

0 only when everything asked for is true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline import errors

if TYPE_CHECKING:
    from pipeline import RowCounts
    from pipeline.errors import PipelineError

OK: Final = 0
PARTIAL: Final = 3
DIFFERENT: Final = 4
INCOMPLETE: Final = 5
NOTHING_TO_DO: Final = 9
DEFECT: Final = 70
NO_SERVICE: Final = 69
INTERRUPTED: Final = 130
TERMINATED: Final = 143
# Somebody ended the run; that says nothing of the source or the service.
STOPPED: Final = (INTERRUPTED, TERMINATED)

EXIT_CODES: Final[dict[type[PipelineError], int]] = {
    errors.SettingsError: 78,
    errors.LimitError: 6,
    errors.SourceMissingError: 66,
    errors.SourceUnusableError: 65,
    errors.SourceReadError: 74,
    errors.SourceChangedError: 81,
    errors.UnreachableError: NO_SERVICE,
    errors.PatienceEndedError: 75,
    errors.TokenRefusedError: 77,
    errors.WrongWorkspaceError: 78,
    errors.ContractError: 76,
    errors.InterruptedRunError: INTERRUPTED,
    errors.TerminatedRunError: TERMINATED,
    errors.LockedError: 80,
    errors.StaleRunError: 82,
    errors.JournalDamagedError: 74,
    errors.CannotWriteError: 73,
    errors.InvariantError: DEFECT,
}


def exit_code_of(error: BaseException) -> int:
    """Return the number that *error* ends the process with."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return DEFECT


def exit_code_of_run(
    counts: RowCounts,
    error: PipelineError | None,
    n_wrong: int = 0,
    *,
    error_on_empty: bool = False,
) -> int:
    """
    Return the number for a run: what stopped it, else how its rows ended.

    Args:
        n_wrong: Rows that were read back and are not as they were sent.

    Rows that are pending without a reason are a defect: the run did not do what was
    asked, and nobody knows why.
    """
    if error is not None:
        return exit_code_of(error)
    if counts.pending:
        return DEFECT
    if error_on_empty and not counts.read:
        return NOTHING_TO_DO
    if n_wrong:
        return DIFFERENT
    return PARTIAL if counts.blocked + counts.rejected else OK
