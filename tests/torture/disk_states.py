"""
What a disk may hold after the power went: a model of files over a recorded log.

A flushed file holds what was written before the flush. Of later writes each sector (or
page) holds any of the contents it had since, independent of all others; a size may be
any that the file had since. A name (a file made, renamed or removed) is certain once
its folder was flushed after it; in the milder way of ext4 any flush makes all earlier
names certain, and of later ones those up to some point. Pure.
"""

import random
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import PurePath
from typing import Final

ENTRY: Final = struct.Struct("=IIQQII")
SECTOR: Final = 512
PAGE: Final = 4096


class What(IntEnum):
    """Kinds of entries of a log; the numbers of the C source."""

    CREATED = 1
    WRITTEN = 2
    SIZED = 3
    FLUSHED = 4
    RENAMED = 5
    LINKED = 6
    REMOVED = 7
    MADE = 8
    MARK = 9


NAMES: Final = frozenset(
    {What.CREATED, What.RENAMED, What.LINKED, What.REMOVED, What.MADE}
)
DATA: Final = frozenset({What.WRITTEN, What.SIZED})


class Names(StrEnum):
    """When a name is certain."""

    STRICT = "a name is certain with its folder"
    ORDERED = "names are certain with any flush"


class Fate(StrEnum):
    """What became of writes that were not flushed."""

    GONE = "gone"
    KEPT = "kept"
    PAGES = "some pages"
    SECTORS = "some sectors"


@dataclass(frozen=True)
class Op:
    """One entry; `file` is 0 for a folder, `place` an offset or a size."""

    what: What
    file: int
    place: int
    data: bytes
    first: str
    second: str


def read_log(log: bytes, root: str, hollow: tuple[str, ...] = ()) -> list[Op]:
    """
    Return the entries of a log, with paths relative to *root*, which was there before.

    Args:
        hollow: Ends of names of files whose content does not matter; they are empty.
    """
    found, at, empty = [], 0, set()
    while at < len(log):
        kind, file, place, length, n_first, n_second = ENTRY.unpack_from(log, at)
        at += ENTRY.size
        texts = [log[at : at + n_first], log[at + n_first : at + n_first + n_second]]
        at += n_first + n_second
        what = What(kind)
        data = log[at : at + length] if what is What.WRITTEN else b""
        at += len(data)
        first, second = (text.decode() for text in texts)
        if what is not What.MARK:
            first, second = _below(root, first), _below(root, second)
        if what is What.CREATED and first.endswith(hollow):
            empty.add(file)
        if what not in DATA or file not in empty:
            found.append(Op(what, file, place, data, first, second))
    return found


def _below(root: str, path: str) -> str:
    return path and str(PurePath(path).relative_to(root))


@dataclass
class _File:
    """A file as it certainly is, and what may have come since."""

    sure: bytearray = field(default_factory=bytearray)
    since: list[Op] = field(default_factory=list)

    def flush(self) -> None:
        for op in self.since:
            _apply(self.sure, op)
        self.since.clear()


def _apply(content: bytearray, op: Op) -> None:
    if op.what is What.SIZED:
        if op.place < len(content):
            del content[op.place :]
        content.extend(bytes(op.place - len(content)))
        return
    end = op.place + len(op.data)
    content.extend(bytes(max(0, end - len(content))))
    content[op.place : end] = op.data


def whole(file: _File) -> bytes:
    """Return the content that the program saw."""
    content = bytearray(file.sure)
    for op in file.since:
        _apply(content, op)
    return bytes(content)


def after(file: _File, fate: Fate, chance: random.Random) -> bytes:
    """
    Return one content that a file may have.

    Cost: memory of two contents, however much was written since.
    """
    if fate is Fate.GONE:
        return bytes(file.sure)
    if fate is Fate.KEPT:
        return whole(file)
    sizes = [len(file.sure)]
    for op in file.since:
        end = op.place + len(op.data)
        sizes.append(op.place if op.what is What.SIZED else max(sizes[-1], end))
    moments = range(len(sizes))
    size = sizes[chance.choice(moments)]
    unit = PAGE if fate is Fate.PAGES else SECTOR
    chosen = defaultdict(list)
    for at in range(0, size, unit):
        chosen[chance.choice(moments)].append(at)
    content, mixed = bytearray(file.sure), bytearray(size)
    for moment in moments:
        if moment:
            _apply(content, file.since[moment - 1])
        for at in chosen[moment]:
            # A part that was never written up to here reads as zeros.
            found = content[at : min(at + unit, size)]
            mixed[at : at + len(found)] = found
    return bytes(mixed)


class Disk:
    """The disk of a recorded run; it goes forward, and any time the power may go."""

    def __init__(self, names: Names) -> None:
        self._rule = names
        self._files: dict[int, _File] = {}
        self._sure: dict[str, int] = {}
        self._now: dict[str, int] = {}
        self._waiting: list[tuple[Op, int]] = []

    def do(self, op: Op) -> None:
        """Do the next operation of the log."""
        if op.what in DATA:
            self._files.setdefault(op.file, _File()).since.append(op)
        elif op.what in NAMES:
            number = self._number_for(op)
            _rename(self._now, op, number)
            self._waiting.append((op, number))
        elif op.what is What.FLUSHED:
            if op.file:
                self._files.setdefault(op.file, _File()).flush()
            self._settle_names(op)

    def _number_for(self, op: Op) -> int:
        if op.what is What.CREATED:
            return op.file
        return self._now.get(op.first, 0)

    def _settle_names(self, flush: Op) -> None:
        left = []
        for op, number in self._waiting:
            folder = str(PurePath(op.second or op.first).parent)
            is_sure = self._rule is Names.ORDERED or (
                not flush.file and flush.first == folder
            )
            if is_sure:
                _rename(self._sure, op, number)
            else:
                left.append((op, number))
        self._waiting = left

    def now(self) -> dict[str, bytes | None]:
        """Return path → content as the program saw it; None is a folder."""
        return {
            path: whole(self._files.get(number, _File())) if number else None
            for path, number in self._now.items()
        }

    def lose_power(self, fate: Fate, chance: random.Random) -> dict[str, bytes | None]:
        """Return one state that the disk may be in: path → content, None a folder."""
        names = dict(self._sure)
        for op, number in self._chosen(fate, chance):
            _rename(names, op, number)
        return {
            path: after(self._files.get(number, _File()), fate, chance)
            if number
            else None
            for path, number in sorted(names.items())
            if _is_reachable(path, names)
        }

    def _chosen(self, fate: Fate, chance: random.Random) -> Iterator[tuple[Op, int]]:
        """Give those of the uncertain names that reached the disk."""
        waiting = self._waiting
        if fate is Fate.GONE:
            return
        if fate is Fate.KEPT:
            yield from waiting
        elif self._rule is Names.ORDERED:
            yield from waiting[: chance.randint(0, len(waiting))]
        else:
            yield from (each for each in waiting if chance.random() < 0.5)


def _rename(names: dict[str, int], op: Op, number: int) -> None:
    if op.what in (What.CREATED, What.MADE):
        names[op.first] = number
    elif op.what is What.LINKED:
        names[op.second] = number
    elif op.what is What.REMOVED:
        names.pop(op.first, None)
    else:
        if names.get(op.first) == number:
            del names[op.first]
        names[op.second] = number


def _is_reachable(path: str, names: dict[str, int]) -> bool:
    """Return whether no folder above was lost."""
    return all(
        names.get(str(above)) == 0 for above in PurePath(path).parents if above.name
    )
