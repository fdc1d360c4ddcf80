"""An object store in memory, with a clock, for tests of what is built on one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Info:
    """As `objects.ObjectInfo`, whose module needs a package that may not be there."""

    key: str
    tag: str
    modified_s: float = field(compare=False)


@dataclass
class MemoryObjects:
    """
    Does what `ObjectStore` promises.

    Attributes:
        failure: Raised by every call while it is set.
        deaf: The answer to the next write on a condition is lost, and the write
            repeated, as the library does it.
        before_write: Called before the next write on a condition, once.
    """

    root: str = "s3://lake"
    now_s: float = 1000.0
    failure: PipelineError | None = None
    deaf: bool = False
    before_write: Callable[[], None] | None = None
    held: dict[str, tuple[bytes, Info]] = field(default_factory=dict)
    n_written: int = 0
    _one: threading.RLock = field(default_factory=threading.RLock)

    def head(self, key: str) -> Info | None:
        found = self.get(key)
        return None if found is None else found[1]

    def list(self, prefix: str) -> Iterator[Info]:
        self._ask()
        yield from [
            info
            for key, (_, info) in sorted(self.held.items())
            if key.startswith(f"{prefix}/")
        ]

    def get(self, key: str) -> tuple[bytes, Info] | None:
        self._ask()
        return self.held.get(key)

    def parts(self, known: Info) -> Iterator[bytes]:
        self._ask()
        yield self.held[known.key][0]

    def put(self, key: str, content: bytes) -> None:
        self._ask()
        self._write(key, content)

    def put_new(self, key: str, content: bytes) -> Info | None:
        return self._on_condition(key, content, lambda: key not in self.held)

    def put_over(self, known: Info, content: bytes) -> Info | None:
        def is_same() -> bool:
            return self.head(known.key) == known

        return self._on_condition(known.key, content, is_same)

    def delete(self, key: str) -> None:
        self._ask()
        self.held.pop(key, None)

    def _on_condition(
        self, key: str, content: bytes, is_met: Callable[[], bool]
    ) -> Info | None:
        before, self.before_write = self.before_write, None
        if before is not None:
            before()
        with self._one:
            self._ask()
            if not is_met():
                return None
            written = self._write(key, content)
        deaf, self.deaf = self.deaf, False
        return None if deaf else written

    def _write(self, key: str, content: bytes) -> Info:
        self.n_written += 1
        info = Info(key, f"t{self.n_written}", self.now_s)
        self.held[key] = content, info
        return info

    def _ask(self) -> None:
        if self.failure is not None:
            raise self.failure
