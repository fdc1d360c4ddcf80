"""Pass 2: each sendable row goes out once, in its lane; the late ones are told."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import InvariantError
from pipeline.outgoing import Outgoing
from pipeline.records import FOLDED_LANE, MAIN_LANE
from pipeline.spill import SliceStore
from test_checker import LONGEST_BYTES, checked

Sent = list[tuple[int, list[int]]]
Send = Callable[..., tuple[Sent, Outgoing]]
LINES = (
    "a@example.com,,Oslo,",
    "b@example.com,,Rome,",
    "nobody,,,",
    "a@example.com,,,",
    "c@example.com,,Bern,",
)


@pytest.fixture
def send(tmp_path: Path) -> Iterator[Send]:
    with SliceStore(tmp_path / "clean") as store:

        def run(*lines: str, lost: int = 0) -> tuple[Sent, Outgoing]:
            """Return lane and rows of what goes out, when pass 2 misses some rows."""
            check = checked(tmp_path, store, *lines)
            outgoing = Outgoing(check, LONGEST_BYTES, tmp_path / "held")
            frames = (frame.head(frame.height - lost) for frame in store.frames())
            sent = [
                (part.lane, part.frame["row_no"].to_list())
                for part in outgoing.encoded(frames)
                if part.frame.height
            ]
            return sent, outgoing

        yield run


def test_a_group_goes_out_once_behind_the_others(send: Send) -> None:
    sent, outgoing = send(*LINES)

    assert sent == [(MAIN_LANE, [2, 5]), (FOLDED_LANE, [4])]
    assert outgoing.exceptions().equals(outgoing.check.exceptions)


def test_rows_that_pass_2_does_not_find_are_missed(send: Send) -> None:
    with pytest.raises(InvariantError, match="found 4 clean rows, pass 2 3"):
        send(*LINES, lost=1)


def test_a_profile_that_grew_too_large_is_blocked_with_all_its_rows(send: Send) -> None:
    city = "x" * (LONGEST_BYTES - len('{"email":"a@example.com","city":""}'))
    sent, outgoing = send(
        f"a@example.com,,{city},", "b@example.com,,,", "a@example.com,,,1990-01-01"
    )

    assert sent == [(MAIN_LANE, [2])]
    assert outgoing.exceptions().select("row", "state", "code", "survivor").rows() == [
        (1, "blocked", "TOO_LARGE", None),
        (3, "blocked", "TOO_LARGE", None),
    ]
    assert outgoing.check.exceptions.filter(pl.col("state") == "folded").height == 1
