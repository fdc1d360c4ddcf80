"""
What a run shows of itself while it works: a bar, or a line now and then, or nothing.

A view that fails never stops a run: output that goes nowhere is dropped.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Never, TextIO

LINE_EVERY_S: Final = 5.0


class Sent(Protocol):
    """What the sending view reads from a delivery report."""

    @property
    def rows_accepted(self) -> int: ...  # noqa: D102 - see DeliveryReport
    @property
    def rows_rejected(self) -> int: ...  # noqa: D102
    @property
    def rows_pending(self) -> int: ...  # noqa: D102


class ProgressView(Protocol):
    """Shows the two long parts of a run."""

    def checking(self) -> AbstractContextManager[Callable[[int], None]]:
        """Open the view of pass 1; it is told how many rows went by."""

    def sending(self, n_rows: int) -> AbstractContextManager[Callable[[Sent], None]]:
        """Open the view of pass 2; it is told the counts so far."""

    def exporting(self) -> AbstractContextManager[Callable[[int, int | None], None]]:
        """Open the view of an export; told the profiles so far, and in all."""


class Bars:
    """
    Bars on a terminal; elsewhere a line every few seconds.

    Args:
        stream: Where to show; stderr by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    @contextmanager
    def checking(self) -> Iterator[Callable[[int], None]]:
        """Show rows read and rows per second."""
        with self._bar("checking", None) as bar:
            yield lambda n: _advance(bar, n)

    @contextmanager
    def sending(self, n_rows: int) -> Iterator[Callable[[Sent], None]]:
        """Show rows with an answer, rows per second, rejected ones, time left."""
        with self._bar("sending", n_rows) as bar:

            def show(sent: Sent) -> None:
                done = sent.rows_accepted + sent.rows_rejected
                told = {"accepted": sent.rows_accepted}
                if sent.rows_rejected:
                    told["rejected"] = sent.rows_rejected
                if sent.rows_pending:
                    told["pending"] = sent.rows_pending
                with suppress(OSError):
                    bar.set_postfix(told, refresh=False)
                _advance(bar, done - int(bar.n))

            yield show

    @contextmanager
    def exporting(self) -> Iterator[Callable[[int, int | None], None]]:
        """Show profiles seen, and an estimate of what is left."""
        with self._bar("exporting", None) as bar:

            def show(n_rows: int, n_all: int | None) -> None:
                bar.total = None if n_all is None else max(n_all, n_rows)
                _advance(bar, n_rows - int(bar.n))

            yield show

    @contextmanager
    def _bar(self, name: str, n_rows: int | None) -> Iterator[tqdm[Never]]:
        is_terminal = self._stream.isatty()
        bar: tqdm[Never] = tqdm(
            total=n_rows,
            desc=name,
            unit=" rows",
            unit_scale=True,
            file=self._stream if is_terminal else _Lines(self._stream),
            mininterval=0.1 if is_terminal else LINE_EVERY_S,
            dynamic_ncols=is_terminal,
            ncols=None if is_terminal else 100,
            leave=is_terminal,
            delay=0 if is_terminal else LINE_EVERY_S,
        )
        try:
            yield bar
        finally:
            with suppress(OSError):
                bar.close()


class Events:
    """
    A record every few seconds and at the end of a part, for programs.

    Args:
        tell: Takes the name of the part and its counts.
        now: Seconds; never goes back.
    """

    def __init__(
        self, tell: Callable[..., None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._now = now

    @contextmanager
    def checking(self) -> Iterator[Callable[[int], None]]:
        """Tell the rows read so far."""
        n_rows, next_s = 0, self._now() + LINE_EVERY_S

        def show(n: int) -> None:
            nonlocal n_rows, next_s
            n_rows += n
            if self._now() >= next_s:
                next_s = self._now() + LINE_EVERY_S
                self._tell("checking", rows={"read": n_rows})

        yield show
        self._tell("checked", rows={"read": n_rows})

    @contextmanager
    def sending(self, n_rows: int) -> Iterator[Callable[[Sent], None]]:
        """Tell the rows with an answer so far, of all that are to be sent."""
        next_s = self._now() + LINE_EVERY_S

        def show(sent: Sent) -> None:
            nonlocal next_s
            if self._now() >= next_s:
                next_s = self._now() + LINE_EVERY_S
                rows = {
                    "accepted": sent.rows_accepted,
                    "rejected": sent.rows_rejected,
                    "pending": sent.rows_pending,
                }
                self._tell("sending", rows=rows, rows_to_send=n_rows)

        yield show

    @contextmanager
    def exporting(self) -> Iterator[Callable[[int, int | None], None]]:
        """Tell the profiles seen so far, and how many the service says there are."""
        next_s = self._now() + LINE_EVERY_S

        def show(n_rows: int, n_all: int | None) -> None:
            nonlocal next_s
            if self._now() >= next_s:
                next_s = self._now() + LINE_EVERY_S
                self._tell("exporting", rows={"exported": n_rows}, rows_in_all=n_all)

        yield show


class _Lines:
    """A stream that ends each repainted bar with a line break instead of a return."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        shown = text.strip("\r\n ")
        if shown:
            with suppress(OSError):
                self._stream.write(f"{shown}\n")
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _Nothing:
    """Shows nothing."""

    @contextmanager
    def checking(self) -> Iterator[Callable[[int], None]]:
        yield lambda _: None

    @contextmanager
    def sending(self, n_rows: int) -> Iterator[Callable[[Sent], None]]:
        del n_rows
        yield lambda _: None

    @contextmanager
    def exporting(self) -> Iterator[Callable[[int, int | None], None]]:
        yield lambda _n, _all: None


NO_PROGRESS: Final = _Nothing()


def _advance(bar: tqdm[Never], n: int) -> None:
    with suppress(OSError):
        bar.update(n)
