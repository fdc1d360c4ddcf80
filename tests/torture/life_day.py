"""A day in the life of a job: the service, and what happens in the middle of it."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import httpx

from pipeline.contract import BATCH_PATH
from pipeline.sandbox.server import Sandbox
from sandbox_driver import Wire


@dataclass
class Truth:
    """
    What the service has taken, kept beside its own store.

    Attributes:
        crm: Key → value, as it must be now.
        applied: Every key with every value it ever got.
        bodies: How often each was accepted.
    """

    sandbox: Sandbox
    crm: dict[str, str] = field(default_factory=dict)
    applied: set[tuple[str, str]] = field(default_factory=set)
    bodies: Counter[bytes] = field(default_factory=Counter)


class Side(StrEnum):
    """Where in a request something happens."""

    BEFORE = "before the service has it"
    BEHIND = "before its answer arrives"


class Day(Wire):
    """The sandbox of the machine; *act* happens at the n-th batch, once."""

    def __init__(
        self, truth: Truth, n: int, act: Callable[[], None], side: Side
    ) -> None:
        super().__init__(truth.sandbox)
        self._truth = truth
        self._n = n
        self._act = act
        self._side = side
        self.is_down = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != BATCH_PATH:
            self._fail_when_down(request)
            return await super().handle_async_request(request)
        self._n -= 1
        is_moment = self._n == 0
        if is_moment and self._side is Side.BEFORE:
            self._act()
        self._fail_when_down(request)
        response = await super().handle_async_request(request)
        if response.status_code == httpx.codes.ACCEPTED:
            self._truth.bodies[request.content] += 1
            for row in json.loads(request.content):
                tier = row["attributes"]["tier"]
                self._truth.crm[row["customId"]] = tier
                self._truth.applied.add((row["customId"], tier))
        if is_moment and self._side is Side.BEHIND:
            self._act()
            if self.is_down:
                raise httpx.ReadError("torn", request=request)
        return response

    def _fail_when_down(self, request: httpx.Request) -> None:
        if self.is_down:
            raise httpx.ConnectError("down", request=request)
