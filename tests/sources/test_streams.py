"""Compressed files: by magic, in a stream, never cut short silently, never a bomb."""

import gzip
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from pipeline.errors import (
    SourceChangedError,
    SourceMissingError,
    SourceUnusableError,
)
from pipeline.sources.streams import FileStream, ReadLimits

LIMITS = ReadLimits(block_bytes=100_000)
TEXT = b"".join(b"%d,%x\n" % (n, n * n * 7919) for n in range(60_000))


def unframed_zstd(data: bytes) -> bytes:
    """Write zstd without the length of the content in the header."""
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as writer:
        writer.write(data)
    return out.getvalue()


PACKERS = [
    pytest.param(gzip.compress, id="gzip"),
    pytest.param(zstandard.compress, id="zstd"),
    pytest.param(unframed_zstd, id="zstd-without-length"),
    pytest.param(
        lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:]),
        id="gzip-members",
    ),
    pytest.param(
        lambda data: zstandard.compress(data[:999]) + zstandard.compress(data[999:]),
        id="zstd-frames",
    ),
    pytest.param(lambda data: gzip.compress(data) + bytes(512), id="gzip-zero-padded"),
]
Packer = Callable[[bytes], bytes]


@pytest.mark.parametrize("pack", PACKERS)
def test_a_compressed_file_is_read_whatever_its_name(
    tmp_path: Path, pack: Packer
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(packed := pack(TEXT))
    stream = FileStream(path, LIMITS)

    blocks = list(stream.blocks())

    assert b"".join(blocks) == TEXT
    assert len(blocks) > 1
    assert max(map(len, blocks)) <= 3 * (1 << 20)
    assert stream.fingerprint is not None
    assert stream.fingerprint.sha256 == hashlib.sha256(packed).hexdigest()
    assert stream.fingerprint.size_bytes == len(packed)


@pytest.mark.parametrize("pack", PACKERS[:3])
@pytest.mark.parametrize("n_cut", [1, 5, 20, 5000])
def test_a_cut_file_is_refused(tmp_path: Path, pack: Packer, n_cut: int) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(pack(TEXT)[:-n_cut])

    with pytest.raises(SourceUnusableError, match="damaged or cut short"):
        list(FileStream(path, LIMITS).blocks())


@pytest.mark.parametrize("pack", PACKERS[:3])
def test_rubbish_behind_the_end_is_refused(tmp_path: Path, pack: Packer) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(pack(TEXT) + b"and more")

    with pytest.raises(SourceUnusableError, match="damaged or cut short"):
        list(FileStream(path, LIMITS).blocks())


@pytest.mark.parametrize("pack", PACKERS[:3])
def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path, pack: Packer) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(pack(bytes(20_000_000)))
    n_bytes = 0

    with pytest.raises(SourceUnusableError, match="decompression bomb"):  # noqa: PT012
        for block in FileStream(path, replace(LIMITS, free_bytes=2_000_000)).blocks():
            n_bytes += len(block)
    assert n_bytes <= 2_000_000


def test_a_dense_small_file_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(bytes(20_000_000)))

    assert sum(map(len, FileStream(path, LIMITS).blocks())) == 20_000_000


def test_there_is_an_absolute_cap(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(TEXT))

    with pytest.raises(SourceUnusableError, match="decompression bomb"):
        list(FileStream(path, replace(LIMITS, inflated_bytes=500_000)).blocks())


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    with pytest.raises(SourceMissingError, match="not a regular file"):
        list(FileStream(path, LIMITS).blocks())


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT)
    stream = FileStream(path, LIMITS)

    with pytest.raises(SourceChangedError, match="changed while it was"):  # noqa: PT012
        for block in stream.blocks():
            if block:
                with path.open("ab") as file:
                    file.write(b"more")
    assert stream.fingerprint is None


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(TEXT[:150_000] + b"!" + TEXT[150_001:], id="one-byte"),
        pytest.param(TEXT[:-1], id="shorter-in-the-last-block"),
        pytest.param(TEXT[:200_000], id="shorter-by-blocks"),
        pytest.param(TEXT + b"more", id="longer"),
    ],
)
def test_a_second_pass_stops_before_the_first_block_that_differs(
    tmp_path: Path, changed: bytes
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT)
    first = FileStream(path, LIMITS)
    blocks = list(first.blocks())
    path.write_bytes(changed)
    given: list[bytes] = []

    with pytest.raises(SourceChangedError):
        given.extend(FileStream(path, LIMITS, first.marks).blocks())
    assert given == blocks[: len(given)]
