"""Disks that are full, broken or gone: I25 to I27."""

from pathlib import Path
from typing import Final

from torture.bad_bytes import CHANGED, GOOD, IO, MISSING
from torture.bad_files import BadFile, Make, files

CANNOT_WRITE: Final = 73
ROOM: Final = ("Check the folder", "the space left")
# A namespace of its own, in which this user may mount; the kernel may forbid it.
_ALONE: Final = ("unshare", "--user", "--map-root-user", "--mount")


def _limited(n_kib: int) -> tuple[str, ...]:
    """No file may grow beyond that; every user can make this."""
    return ("bash", "-c", f'ulimit -f {n_kib}; exec "$@"', "limited")


def _small_disk(n_kib: int) -> tuple[str, ...]:
    mount = f"mkdir -p small && mount -t tmpfs -o size={n_kib}k none small"
    return (*_ALONE, "bash", "-c", f'{mount} && exec "$@"', "small")


def _read_only() -> tuple[str, ...]:
    mount = "mkdir -p small && mount -t tmpfs -o ro none small"
    return (*_ALONE, "bash", "-c", f'{mount} && exec "$@"', "read-only")


def _linked(target: str, name: str = "people.csv") -> Make:
    return lambda folder: (folder / name).symlink_to(target)


def full() -> list[BadFile]:
    few = files(people_csv=GOOD)
    many = "email,customId\n" + "".join(f"a{n}@b.pl,{n}\n" for n in range(20_000))
    made = files(people_csv=many)
    small = ("people.csv", "--work-dir", "small")

    def one(
        name: str,
        wrapper: tuple[str, ...],
        *words: str,
        made: Make = made,
        is_sent: bool = False,
    ) -> BadFile:
        return BadFile(
            "I25", name, made, CANNOT_WRITE, words, is_sent=is_sent, wrapper=wrapper,
            arguments=small if "small" in wrapper else ("people.csv",),
        )  # fmt: skip

    return [
        one("no file may have a byte", _limited(0), "cannot be written"),
        one("no file may have 40 KiB", _limited(40), "cannot be written"),
        one("no file may have 2 MiB", _limited(2048), "journal", made=few,
            is_sent=True),
        one("a disk of 4 KiB", _small_disk(4), "No space left"),
        one("a disk of 64 KiB", _small_disk(64), "No space left"),
        one("a disk of 1 MiB", _small_disk(1024), "No space left"),
        one("a disk of 3 MiB", _small_disk(3072), "journal", made=few, is_sent=True),
    ]  # fmt: skip


def broken() -> list[BadFile]:
    made = files(people_csv=GOOD)

    def with_work(name: str, lay: Make, code: int, *words: str) -> BadFile:
        def make(folder: Path) -> None:
            made(folder)
            lay(folder)

        return BadFile(
            "I26", name, make, code, words, is_sent=True,
            arguments=("people.csv", "--work-dir", "work"),
        )  # fmt: skip

    def journal(content: bytes) -> Make:
        def lay(folder: Path) -> None:
            (folder / "work").mkdir()
            (folder / "work/journal.sqlite").write_bytes(content)

        return lay

    def in_work(name: str) -> Make:
        def lay(folder: Path) -> None:
            (folder / "work" / name).mkdir(parents=True)

        return lay

    def file_for_runs(folder: Path) -> None:
        (folder / "work").mkdir()
        (folder / "work/runs").write_text("")

    return [
        with_work("a journal of noise", journal(b"noise" * 2000), IO, "journal"),
        with_work(
            "a journal that was cut", journal(b"SQLite format 3\0" + bytes(900)), IO,
            "journal",
        ),
        with_work("a folder for a journal", in_work("journal.sqlite"), CANNOT_WRITE,
                  "journal"),
        with_work("a folder for a lock", in_work("lock"), CANNOT_WRITE, "lock"),
        with_work("a folder for a .gitignore", in_work(".gitignore"), CANNOT_WRITE,
                  "cannot be written"),
        with_work(
            "a file for a work folder",
            lambda folder: (folder / "work").write_text(""), CANNOT_WRITE, "work",
            "Choose another",
        ),
        with_work(
            "a file for the folder of runs", file_for_runs,
            CANNOT_WRITE, "runs", "Choose another",
        ),
        BadFile(
            "I26", "a work folder in /proc", made, CANNOT_WRITE,
            ("/proc/work", "Choose another"),
            arguments=("people.csv", "--work-dir", "/proc/work"),
        ),
        BadFile(
            "I26", "a disk that is read-only", made, CANNOT_WRITE,
            ("Read-only file system",), wrapper=_read_only(),
            arguments=("people.csv", "--work-dir", "small/work"),
        ),
        BadFile(
            "I26", "no folder for the summary", made, CANNOT_WRITE,
            ("nowhere/s.json", "Check the folder"), ("", ""), is_sent=True,
            arguments=("people.csv", "--summary", "nowhere/s.json"),
        ),
    ]  # fmt: skip


def gone() -> list[BadFile]:
    """
    A file of the kernel stands for a drive that fails: its first byte is EIO.

    Not makeable here: an error in the middle of a file, or of a flush; both are proven
    over an injected file layer.
    """
    words = ("could not be read to its end (Input/output error)", "Check the disk")
    return [
        BadFile("I27", "a read error in CSV", _linked("/proc/self/mem"), IO,
                ("people.csv", *words)),
        BadFile(
            "I27", "a read error in Parquet",
            _linked("/proc/self/mem", "people.parquet"), IO,
            ("people.parquet", *words), arguments=("people.parquet",),
        ),
        BadFile(
            "I27", "a read error in JSONL",
            _linked("/proc/self/mem", "people.jsonl"), IO,
            ("people.jsonl", *words), arguments=("people.jsonl", "--format", "jsonl"),
        ),
        BadFile(
            "I27", "more bytes than the file says to have", _linked("/proc/cpuinfo"),
            CHANGED, ("people.csv changed while it was read", "Wait until"),
            arguments=("people.csv", "--delimiter", ":"),
        ),
        BadFile(
            "I27", "gone while it is sent", files(people_csv=GOOD), MISSING,
            ("cannot be found any more", "Bring it back"), ("", ""), is_sent=True,
            moment="sending", then=lambda folder: (folder / "people.csv").unlink(),
        ),
    ]  # fmt: skip


def cases() -> list[BadFile]:
    return [*full(), *broken(), *gone()]
