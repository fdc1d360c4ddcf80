"""Work on the next slices while this one is used: a few threads, order kept."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(
    work: Callable[[T], R], items: Iterable[T], *, n_threads: int = 2
) -> Iterator[R]:
    """
    Apply *work* to each item, up to *n_threads* of them at once, results in order.

    polars leaves the interpreter free while it computes, so two slices use two cores.

    Bounds: *n_threads* items at work or done and not yet taken.

    Raises:
        Whatever *items* or *work* raises, at the place of the item concerned; what is
        at work then is finished and dropped.
    """
    with ThreadPoolExecutor(n_threads, thread_name_prefix="slice") as pool:
        ahead: deque[Future[R]] = deque()
        for item in items:
            ahead.append(pool.submit(work, item))
            if len(ahead) >= n_threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
