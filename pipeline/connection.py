"""
The first words with the service: who are we, and in whose house.

Every flow that talks to the service starts here, so no write can happen before the
workspace is known and compared with the pin.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipeline.client import Client
from pipeline.endings import fatal
from pipeline.errors import ContractError, UnreachableError, WrongWorkspaceError
from pipeline.logs import printable
from pipeline.pacing import FIRST_CONTACT, Patience, Tries
from pipeline.records import Step
from pipeline.retrying import SYSTEM_CLOCK, Clock, persist
from pipeline.stopping import StopSignal
from pipeline.verdict import READ_ANSWERS, NoReplyError, classify, of_fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from collections.abc import Set as AbstractSet

    import httpx

    from pipeline.credentials import RemoteSettings
    from pipeline.records import Reply, Verdict

Result = TypeVar("Result")
USUAL: Final = Patience()


@dataclass(frozen=True, slots=True)
class Workspace:
    """
    The workspace that the credentials open.

    Attributes:
        host: Where it was asked.
    """

    guid: str
    name: str
    host: str


@dataclass(frozen=True, slots=True)
class Connector:
    """
    How to reach the service; the parts that a test replaces.

    Attributes:
        transport: Instead of real sockets.
        was_heard: Whether somebody else heard the service: its silence may pass then.
    """

    remote: RemoteSettings
    transport: httpx.AsyncBaseTransport | None = None
    clock: Clock = SYSTEM_CLOCK
    was_heard: bool = False


@asynccontextmanager
async def connected(
    connector: Connector,
    expected_guid: str | None = None,
    *,
    stop: StopSignal | None = None,
) -> AsyncIterator[tuple[Client, Workspace]]:
    """
    Open a client and find out which workspace it talks to.

    Args:
        expected_guid: The pin.
        stop: Ends the question at once when somebody asks.

    Raises:
        StoppedError: Somebody asked to stop before the answer was there.
        WrongWorkspaceError: It is not the pinned one; nothing was written.
        UnreachableError: Nothing answers.
        AccessError, ContractError: As the client says.
    """
    async with Client(
        connector.remote,
        transport=connector.transport,
        monotonic=connector.clock.now,
    ) as client:
        try:
            reply = await patiently(
                connector,
                client,
                client.workspace,
                what="the question for the workspace",
                stop=stop,
            )
        except UnreachableError as error:
            raise UnreachableError(f"{connector.remote.base_url}: {error}") from None
        workspace = workspace_in(reply, connector.remote.base_url)
        check_pin(workspace, expected_guid)
        yield client, workspace


async def patiently(
    connector: Connector,
    client: Client,
    call: Callable[[], Awaitable[Reply]],
    *,
    what: str,
    answers: AbstractSet[int] = READ_ANSWERS,
    patience: Patience = USUAL,
    stop: StopSignal | None = None,
) -> Reply:
    """
    Make one call that may be repeated, until it has an answer or patience ends.

    Args:
        what: The call, for a message; without any value.
        answers: Statuses that answer this call as the contract says.
        patience: Of a service that was heard before.
        stop: Ends the call, and the wait before the next, when somebody asks.

    Raises:
        StoppedError: Somebody asked to stop.
        UnreachableError: Nothing was ever heard of the service.
        PatienceEndedError: A cause that may pass did not.
        AccessError, ContractError: As `verdict.fatal` says.
    """
    replies: list[Reply] = []
    tries = Tries()
    clock = connector.clock
    began_s = clock.now()

    def was_heard() -> bool:
        return connector.was_heard or client.was_heard

    async def attempt() -> Verdict:
        try:
            replies.append(await call())
            verdict = classify(replies[-1], answers=answers)
        except NoReplyError as error:
            verdict = of_fault(error)
        tries.count(verdict)
        return verdict

    def is_over(verdict: Verdict, wait_s: float) -> bool:
        unheard = verdict.status is None and not was_heard()
        spent_s = clock.now() - began_s
        allowed = FIRST_CONTACT if unheard else patience
        return tries.is_over(verdict, allowed, spent_s=spent_s, wait_s=wait_s)

    verdict = await unless_stopped(
        persist(attempt, clock=clock, is_over=is_over), stop or StopSignal()
    )
    if verdict.step is not Step.DONE:
        raise fatal(verdict, what, tries.n, heard=was_heard(), of_rows=False)
    return replies[-1]


async def unless_stopped(work: Coroutine[Any, Any, Result], stop: StopSignal) -> Result:
    """
    Wait for something, or end it when somebody asks.

    Raises:
        StoppedError: Somebody asked to stop.
    """
    task = asyncio.ensure_future(work)

    def give_up() -> None:
        task.cancel()

    with stop.listening(give_up):
        try:
            return await task
        except asyncio.CancelledError:
            if stop.n_requests:
                raise stop.error() from None
            raise


def check_pin(workspace: Workspace, expected_guid: str | None) -> None:
    """
    Compare the workspace with the pin, if there is one.

    Raises:
        WrongWorkspaceError: It is another one.
    """
    if expected_guid and _plain(expected_guid) != _plain(workspace.guid):
        raise WrongWorkspaceError(
            f"these credentials open the workspace {workspace.name!r} "
            f"({workspace.guid}), but {expected_guid} is pinned. Nothing was sent. "
            "Use the right key, or change the pin"
        )


def workspace_in(reply: Reply, host: str) -> Workspace:
    """
    Read an answer to the question for the workspace.

    Raises:
        ContractError: It names none.
    """
    try:
        read = json.loads(reply.body)
        return Workspace(
            str(read["businessProfileGuid"]), printable(str(read["name"])), host
        )
    except (ValueError, KeyError, TypeError):
        raise ContractError(
            f"{host} answered {reply.status} without naming a workspace; nothing was "
            "sent; check the base URL."
        ) from None


def _plain(guid: str) -> str:
    return guid.strip("{}() ").lower()


async def workspace_of(
    connector: Connector, expected_guid: str | None = None
) -> Workspace:
    """
    Ask which workspace the credentials open.

    Raises:
        As `connected`.
    """
    async with connected(connector, expected_guid) as (_, workspace):
        return workspace
