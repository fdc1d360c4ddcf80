"""
The bytes of a file: opened once, hashed as they pass, decompressed within a cap.

Compression is known by its magic number, never by the name. The decompressor is ours
so that a bomb is stopped by what has come out so far: nothing here trusts a length
that a file claims, and no step produces more than a few tens of megabytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from pipeline.errors import (
    SourceChangedError,
    SourceMissingError,
    SourceUnusableError,
)
from pipeline.files import unreadable
from pipeline.records import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

_MIB = 1 << 20
# What one step of a decompressor is fed. zstd can turn 4 bytes into 128 KiB, and its
# interface has no cap on the output of a step, so its steps are small.
_LEAST_READ_BYTES = 64 * 1024  # a magic number is never cut in two
_GZIP_STEP_BYTES = 64 * 1024
_ZSTD_STEP_BYTES = 1024
_GZIP_OUTPUT_BYTES = _MIB
_GZIP_WITH_HEADER = 31


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """
    How much of a file is held at once, and what is too much of it.

    Attributes:
        block_bytes: Read and parsed at once; cut back to whole records. Several blocks
            and slices are in the works at a time, so these two decide the memory of a
            run: twice as much of either takes 170 MB more.
        slice_rows: Physical records in a slice at most.
        record_bytes: A record or line longer than this ends the run.
        free_bytes: Decompressed bytes that are not yet judged by their ratio.
        ratio: Decompressed bytes per compressed byte, at most.
        inflated_bytes: Decompressed bytes of one file, at most.
    """

    block_bytes: int = 3 * _MIB
    slice_rows: int = 32_768
    record_bytes: int = 16 * _MIB
    free_bytes: int = 64 * _MIB
    ratio: int = 100
    inflated_bytes: int = 1 << 38


_Step = tuple[int, bytes]  # compressed bytes taken, decompressed bytes given


class FileStream:
    """
    A pass over the bytes of one file.

    The file is opened once and read from that descriptor to its end. Then `fingerprint`
    is set, from the very bytes that were given out.

    Attributes:
        marks: Digest of all bytes up to the end of each block read so far.
    """

    def __init__(
        self, path: Path, limits: ReadLimits, expected: Sequence[bytes] = ()
    ) -> None:
        """
        Prepare a pass.

        Args:
            expected: The marks of an earlier pass with the same limits. A block that
                differs stops this pass before any byte of it is given out.
        """
        self.path = path
        self.limits = limits
        self.marks: list[bytes] = []
        self._expected = expected
        self.compression: str | None = None
        self.fingerprint: Fingerprint | None = None

    def blocks(self) -> Iterator[bytes]:
        """
        Give the decompressed bytes in order, in blocks of about `limits.block_bytes`.

        Raises:
            SourceMissingError: No regular file, or no permission.
            SourceUnusableError: The compression is damaged, cut short or a bomb.
            SourceChangedError: Size or time of the file changed while it was read.
        """
        raw = self._raw()
        head = next(raw, b"")
        if head.startswith(GZIP_MAGIC):
            self.compression = "gzip"
            return self._gathered(self._inflated(_chain(head, raw), _gunzip))
        if head.startswith(ZSTD_MAGIC):
            self.compression = "zstd"
            return self._gathered(self._inflated(_chain(head, raw), _unzstd))
        return _chain(head, raw)

    def _raw(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        with open_regular(self.path) as handle:
            before = os.fstat(handle.fileno())
            n_left = before.st_size
            n_bytes = max(self.limits.block_bytes, _LEAST_READ_BYTES)
            while block := handle.read(n_bytes):
                n_left -= len(block)
                if n_left < 0:
                    raise _changed(self.path)
                digest.update(block)
                self.marks.append(digest.digest())
                self._refuse_change(len(self.marks))
                yield block
            after = os.fstat(handle.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise _changed(self.path)
        self._refuse_change(max(len(self.marks), len(self._expected)))
        self.fingerprint = Fingerprint(
            str(self.path), after.st_size, after.st_mtime_ns, digest.hexdigest()
        )

    def _refuse_change(self, n_blocks: int) -> None:
        if self._expected and self.marks[-1:] != list(
            self._expected[n_blocks - 1 : n_blocks]
        ):
            raise _changed(self.path)

    def _inflated(
        self,
        raw: Iterator[bytes],
        inflate: Callable[[Iterator[bytes]], Iterator[_Step]],
    ) -> Iterator[bytes]:
        limits = self.limits
        n_in = n_out = 0
        try:
            for n_taken, block in inflate(raw):
                n_in += n_taken
                n_out += len(block)
                too_dense = n_out > limits.free_bytes and n_out > limits.ratio * n_in
                if too_dense or n_out > limits.inflated_bytes:
                    raise SourceUnusableError(
                        f"{self.path} unpacks to more than {n_out // _MIB} MiB from "
                        f"{n_in} bytes, which looks like a decompression bomb. "
                        "If it is genuine, unpack it yourself and pass the result."
                    )
                yield block
        except (zlib.error, zstandard.ZstdError, EOFError) as error:
            raise SourceUnusableError(
                f"{self.path} is damaged or cut short: its {self.compression} data "
                f"breaks off after {n_in} bytes. Copy the file again from its source."
            ) from error

    def _gathered(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        parts: list[bytes] = []
        n_bytes = 0
        for block in blocks:
            parts.append(block)
            n_bytes += len(block)
            if n_bytes >= self.limits.block_bytes:
                yield b"".join(parts)
                parts, n_bytes = [], 0
        if n_bytes:
            yield b"".join(parts)


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """
    Open *path* for reading in the block.

    Raises:
        SourceMissingError: It is missing, forbidden, or a folder, pipe or device.
        SourceReadError: The disk fails, also while the block reads.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceMissingError(
                f"{path} is not a regular file (it is a folder, a pipe or a device). "
                "Write the rows to a file and pass that."
            )
        with path.open("rb") as handle:
            yield handle
    except OSError as error:
        raise unreadable(path, error) from error


def _changed(path: Path) -> SourceChangedError:
    return SourceChangedError(
        f"{path} changed while it was read or since it was checked. "
        "Wait until it is written completely, then start again."
    )


def _gunzip(raw: Iterator[bytes]) -> Iterator[_Step]:
    member = zlib.decompressobj(_GZIP_WITH_HEADER)
    for data in _steps(raw, _GZIP_STEP_BYTES):
        n_taken, rest, out = len(data), data, b""
        # A full output may hide more behind it, even when the input is used up.
        while rest or len(out) == _GZIP_OUTPUT_BYTES:
            if member.eof:
                rest = rest.lstrip(b"\0")  # tapes pad with zeros, and gzip allows it
                if not rest:
                    break
                member = zlib.decompressobj(_GZIP_WITH_HEADER)
            out = member.decompress(rest, _GZIP_OUTPUT_BYTES)
            yield n_taken, out
            n_taken, rest = 0, member.unconsumed_tail or member.unused_data
    if not member.eof:
        raise EOFError


def _unzstd(raw: Iterator[bytes]) -> Iterator[_Step]:
    frame = zstandard.ZstdDecompressor().decompressobj()
    for data in _steps(raw, _ZSTD_STEP_BYTES):
        n_taken, rest = len(data), data
        while rest:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            out = frame.decompress(rest)
            yield n_taken, out
            n_taken, rest = 0, frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError


def _steps(blocks: Iterator[bytes], n_bytes: int) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), n_bytes):
            yield block[start : start + n_bytes]


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest
