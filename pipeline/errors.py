"""
Everything that can stop a run, ordered by who can repair it.

    PipelineError
    ├── UsageError          the operator changes the job, a flag or the mapping
    │   ├── SettingsError
    │   └── LimitError
    ├── SourceError         the file has to change
    │   ├── SourceMissingError
    │   ├── SourceUnusableError
    │   ├── SourceReadError
    │   └── SourceChangedError
    ├── RemoteError         come back later
    │   ├── UnreachableError
    │   └── PatienceEndedError
    ├── AccessError         rights and workspaces
    │   ├── TokenRefusedError
    │   └── WrongWorkspaceError
    ├── ContractError       the service answered what the contract does not know
    ├── StoppedError        somebody asked the run to stop
    │   ├── InterruptedRunError
    │   └── TerminatedRunError
    ├── StateError          journal and disk
    │   ├── LockedError
    │   ├── StaleRunError
    │   ├── JournalDamagedError
    │   └── CannotWriteError
    └── InvariantError      a defect of this tool: the rows do not balance

A row never raises: it fails as data, with a code (`contract.ROW_CODES`).
An exception ends a run, and its message says what happened, where, and what to do;
it never holds a cell value. Which exit code belongs to a class is known to the shell
alone (`cli/exit_codes.py`).
"""


class PipelineError(Exception):
    """The root; only its leaves are raised. `str()` is the whole message."""


class UsageError(PipelineError):
    """The operator can repair this by changing the job, a flag or the mapping."""


class SettingsError(UsageError):
    """A job file, a flag, a mapping or the environment is wrong; nothing was sent."""


class LimitError(UsageError):
    """A safety limit stopped the run."""


class SourceError(PipelineError):
    """The file has to change before it can be used."""


class SourceMissingError(SourceError):
    """There is no readable file under this name; nothing was sent."""


class SourceUnusableError(SourceError):
    """The file or the query cannot be read as a whole; nothing of it was sent."""


class SourceReadError(SourceError):
    """The disk, the drive or the database broke off; no further row is sent."""


class SourceChangedError(SourceError):
    """The file is not the one that was checked; no further row of it is sent."""


class RemoteError(PipelineError):
    """The service could not do its part now; the same command may work later."""


class UnreachableError(RemoteError):
    """Nothing answers under the base URL, or at the source; nothing was sent."""


class PatienceEndedError(RemoteError):
    """Retries are used up; the rows concerned are pending, never rejected."""


class AccessError(PipelineError):
    """The key does not open this door."""


class TokenRefusedError(AccessError):
    """Credentials are missing or refused."""


class WrongWorkspaceError(AccessError):
    """The key belongs to another workspace than the pinned one; nothing was sent."""


class ContractError(PipelineError):
    """The service answered in a way that `contract.py` does not know."""


class StoppedError(PipelineError):
    """A signal ended the run; what was in flight is recorded, nothing is lost."""


class InterruptedRunError(StoppedError):
    """SIGINT, such as Ctrl-C."""


class TerminatedRunError(StoppedError):
    """SIGTERM, such as from a service manager."""


class StateError(PipelineError):
    """The journal or the disk."""


class LockedError(StateError):
    """Another run holds this work folder or its state, or writes to the workspace."""


class StaleRunError(StateError):
    """A newer run of the same dataset has begun; an older one cannot go on."""


class JournalDamagedError(StateError):
    """The journal or the delta state cannot be trusted."""


class CannotWriteError(StateError):
    """A file exists already or cannot be written."""


class InvariantError(PipelineError):
    """A defect of this tool, found by its own arithmetic; please report it."""
