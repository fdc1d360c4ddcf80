"""
Look at everything a run needs, before there is one; nothing is ever written there.

Of the service, only what reads is asked: who we are, which permissions the key has, one
profile that does not exist, and a page of one row. What updates or deletes cannot be
tried without doing it, so it is not.
"""

from __future__ import annotations

import json
import platform
import sqlite3
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline import contract
from pipeline.client import Client
from pipeline.connection import check_pin, patiently, workspace_in
from pipeline.continuing import versions_at_work
from pipeline.doctor.diagnosis import clock, failure, fine, gravest_of, warning
from pipeline.doctor.disk import look_at_disk
from pipeline.doctor.network import look_at_network
from pipeline.errors import AccessError, PipelineError, TokenRefusedError
from pipeline.pacing import Patience
from pipeline.retry_after import http_date

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from pipeline.connection import Connector
    from pipeline.doctor.diagnosis import Checked
    from pipeline.records import Reply

# A doctor does not wait until a storm is over.
PATIENCE: Final = Patience(attempts=3, seconds=10.0)
NOBODY: Final = "00000000-0000-4000-8000-000000000000"
_FOUND_OR_NOT: Final = frozenset((200, 404))


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """
    What to look at.

    Attributes:
        work_dir: Of the journal and the runs.
        base_url: Of the service, when there are no credentials to ask it with.
        connector: The service; None where the settings are not enough to ask it.
        pin: Of the workspace.
        before: What was found before, such as a job that cannot be read.
        now: Seconds since 1970.
    """

    work_dir: Path
    base_url: str
    connector: Connector | None
    pin: str | None = None
    before: tuple[Checked, ...] = ()
    now: Callable[[], float] = field(default=time.time)


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What was found, in the order in which it was looked at."""

    checks: tuple[Checked, ...]

    @property
    def gravest(self) -> BaseException | None:
        """What a run would end with first; None when it could begin."""
        return gravest_of(self.checks)


async def examine(
    request: DoctorRequest, *, on_check: Callable[[Checked], None] = lambda _: None
) -> DoctorReport:
    """
    Look at the versions, the network, the service and the disk.

    Args:
        on_check: Shown each finding as soon as it is made.

    Effects: a folder in the work folder, or where that would be, for a moment. The
        service may be asked for a token. A storm is waited for at most 10 s a call,
        30 s before the service was ever heard.
    """
    checks: list[Checked] = []

    def note(check: Checked) -> None:
        checks.append(check)
        on_check(check)

    note(_versions())
    for check in request.before:
        note(check)
    can_be_asked = True
    async for check in _network(request):
        can_be_asked = check.error is None
        note(check)
    if request.connector is not None and can_be_asked:
        async for check in _service(request.connector, request):
            note(check)
    elif request.connector is not None:
        note(warning("service", "not asked, because it cannot be reached"))
    for check in look_at_disk(request.work_dir):
        note(check)
    return DoctorReport(tuple(checks))


def _versions() -> Checked:
    found = versions_at_work() | {
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    return fine("versions", ", ".join(f"{name} {no}" for name, no in found.items()))


async def _network(request: DoctorRequest) -> AsyncIterator[Checked]:
    connector = request.connector
    if connector is not None and connector.transport is not None:
        return
    remote = None if connector is None else connector.remote
    if remote is not None and remote.env_proxy:
        yield fine("network", "not looked at: the proxy of the environment is used")
        return
    ca_bundle = None if remote is None else remote.ca_bundle
    async for check in look_at_network(request.base_url, ca_bundle):
        yield check


async def _service(
    connector: Connector, request: DoctorRequest
) -> AsyncIterator[Checked]:
    async with Client(
        connector.remote,
        transport=connector.transport,
        monotonic=connector.clock.now,
    ) as client:
        asking = _Asking(connector, client)
        reply = await asking.ask(client.workspace, "the question for the workspace")
        if isinstance(reply, PipelineError):
            yield failure("credentials", reply)
            return
        sent_at = request.now() - reply.elapsed_s / 2
        yield fine("credentials", "the service takes them")
        try:
            workspace = workspace_in(reply, connector.remote.base_url)
            check_pin(workspace, request.pin)
        except PipelineError as error:
            yield failure("workspace", error)
        else:
            pinned = "pinned" if request.pin else "not pinned: see workspace.guid"
            told = f"{workspace.name} ({workspace.guid}), {pinned}"
            yield (fine if request.pin else warning)("workspace", told)
        yield clock(http_date(reply.headers.get("date", "")), sent_at)
        async for check in _permissions(asking):
            yield check


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks the service one thing after the other, with little patience."""

    connector: Connector
    client: Client

    async def ask(
        self,
        call: Callable[[], Awaitable[Reply]],
        what: str,
        answers: frozenset[int] = frozenset((200,)),
    ) -> Reply | PipelineError:
        try:
            return await patiently(
                self.connector,
                self.client,
                call,
                what=what,
                answers=answers,
                patience=PATIENCE,
            )
        except PipelineError as error:
            return error


async def _permissions(asking: _Asking) -> AsyncIterator[Checked]:
    names = (contract.BATCH_PERMISSION, contract.CREATE_PERMISSION)
    client = asking.client
    reply = await asking.ask(
        lambda: client.permission_check(names), "the question for permissions"
    )
    granted = {} if isinstance(reply, PipelineError) else _granted(reply)
    batch, create = (granted.get(name) for name in names)
    if batch is False:
        yield failure(
            "import",
            TokenRefusedError(
                f"the key lacks the permission {names[0]}, so no import can send; give "
                "it the permission in the settings of the workspace"
            ),
        )
    elif batch:
        yield fine("import", f"the key has {names[0]}")
    else:
        yield warning("import", "the service does not say whether the key may send")
    if create is False:
        told = f"the key lacks {names[1]}, which `profile create` alone needs"
        yield warning("create", told)
    elif create:
        yield fine("create", f"the key has {names[1]}")
    reply = await asking.ask(
        lambda: client.get_profile("uuid", NOBODY), "a profile", _FOUND_OR_NOT
    )
    yield _readable("read", reply, "`verify` and `profile`")
    reply = await asking.ask(lambda: client.list_profiles(limit=1, offset=0), "a page")
    yield _readable("list", reply, "`export`")


def _readable(name: str, reply: Reply | PipelineError, who: str) -> Checked:
    if isinstance(reply, AccessError):
        return warning(name, f"the key may not; {who} will not work with it")
    if isinstance(reply, PipelineError):
        return warning(name, f"{reply}")
    return fine(name, f"the key may: {who} can work")


def _granted(reply: Reply) -> dict[str, bool]:
    """Return permission → whether the key has it; nothing of a form not known."""
    try:
        told = json.loads(reply.body)["permissions"]
        return {name: has for name, has in told.items() if isinstance(has, bool)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
