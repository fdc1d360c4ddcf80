"""Sources that change while they are used: I21, and I23 as far as one run sees it."""

import os
import shutil
from pathlib import Path
from typing import Final

import polars as pl

from torture.bad_bytes import CHANGED, EWA, GOOD, HEADER, JAN, MISSING
from torture.bad_files import BadFile, Make, files

BACK: Final = ("is not the file that was checked", "run the command anew")


def _write(name: str, content: str) -> Make:
    return lambda folder: (folder / name).write_text(content)


def _same_length(folder: Path) -> None:
    """One letter differs, the length does not."""
    (folder / "people.csv").write_text(GOOD.replace("Jan", "Jen"))


def _swapped(folder: Path) -> None:
    """Another file takes the place, by a rename, as sync tools do it."""
    _write("new.csv", HEADER + JAN)(folder)
    (folder / "new.csv").replace(folder / "people.csv")


def _gone(folder: Path) -> None:
    (folder / "people.csv").unlink()


def _folder_instead(folder: Path) -> None:
    _gone(folder)
    (folder / "people.csv").mkdir()


def _touched(folder: Path) -> None:
    os.utime(folder / "people.csv", ns=(1, 1))


def _flipped(folder: Path) -> None:
    path = folder / "people.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:9] + bytes([data[9] ^ 1]) + data[10:])


def _parquet(folder: Path) -> None:
    people = pl.DataFrame({"email": [f"a{n}@b.pl" for n in range(40)]})
    people.write_parquet(folder / "people.parquet", compression="uncompressed")


def between() -> list[BadFile]:
    def one(
        name: str,
        then: Make,
        *,
        words: tuple[str, ...] = BACK,
        code: int = CHANGED,
        made: Make | None = None,
        source: str = "people.csv",
    ) -> BadFile:
        return BadFile(
            "I21", f"before pass 2: {name}", made or files(people_csv=GOOD), code,
            (source, *words) if words else (), is_sent=True, moment="between",
            then=then, arguments=(source,),
        )  # fmt: skip

    return [
        one("a row more", _write("people.csv", GOOD + "iga@example.net,,\n")),
        one("a letter of the same length", _same_length),
        one("another file by a rename", _swapped),
        one("cut to nothing", _write("people.csv", "")),
        one("a bit of Parquet", _flipped, made=_parquet, source="people.parquet"),
        one(
            "gone", _gone, code=MISSING,
            words=("cannot be found any more", "Bring it back"),
        ),
        one(
            "a folder in its place", _folder_instead,
            words=("people.csv",), code=MISSING,
        ),
        BadFile(
            "I21", "before pass 2: only its time", files(people_csv=GOOD), 0,
            ("2 accepted",), ("", ""), moment="between", then=_touched,
        ),
    ]  # fmt: skip


def sending() -> list[BadFile]:
    def one(name: str, then: Make, *words: str, code: int = CHANGED) -> BadFile:
        return BadFile(
            "I21", f"while it is sent: {name}", files(people_csv=GOOD), code,
            ("people.csv", *words), ("", ""), is_sent=True, moment="sending", then=then,
        )  # fmt: skip

    return [
        one("a row more", _write("people.csv", GOOD + EWA), *BACK),
        one("a letter of the same length", _same_length, *BACK),
        one("gone", lambda folder: (folder / "people.csv").unlink(), "Bring it back",
            code=MISSING),
    ]  # fmt: skip


def partitions() -> list[BadFile]:
    """The list of files is made once: what comes later is not a part of this run."""
    two = files(a_csv=GOOD, b_csv="email,customId,firstName\niga@example.net,K-3,Iga\n")

    def folder_of(folder: Path) -> None:
        two(folder)
        (folder / "in").mkdir()
        for name in ("a.csv", "b.csv"):
            shutil.move(folder / name, folder / "in" / name)

    return [
        BadFile(
            "I23", "a file more in the folder, too late", folder_of, 0, ("3 accepted",),
            ("", "", ""), moment="between", then=_write("in/c.csv", GOOD),
            arguments=("in",),
        ),
        BadFile(
            "I23", "a file of the pattern is gone", two, MISSING,
            ("b.csv", "cannot be found any more", "Bring it back"), is_sent=True,
            moment="between", then=lambda folder: (folder / "b.csv").unlink(),
            arguments=("*.csv",),
        ),
        BadFile(
            "I23", "a file of the pattern is another", two, CHANGED, ("b.csv", *BACK),
            is_sent=True, moment="between", then=_write("b.csv", GOOD),
            arguments=("*.csv",),
        ),
    ]  # fmt: skip


def reopened() -> list[BadFile]:
    """What a resumption asks of the files of the interrupted run."""
    two = files(a_csv=GOOD, b_csv="email,customId,firstName\niga@example.net,K-3,Iga\n")
    more_or_less = ("The source has", "Pass the same files", "run the command anew")

    def one(
        kind: str,
        name: str,
        then: Make,
        *,
        words: tuple[str, ...] = BACK,
        code: int = CHANGED,
        made: Make | None = None,
        arguments: tuple[str, ...] = ("people.csv",),
    ) -> BadFile:
        return BadFile(
            kind, f"before it is resumed: {name}", made or files(people_csv=GOOD), code,
            words, arguments=arguments, moment="resume", then=then,
        )  # fmt: skip

    def renamed(folder: Path) -> None:
        (folder / "b.csv").rename(folder / "c.csv")

    def fewer(folder: Path) -> None:
        (folder / "b.csv").unlink()

    glob = ("*.csv",)
    return [
        one("I22", "a letter of the same length", _same_length),
        one("I22", "another file by a rename", _swapped),
        one("I22", "a bit of Parquet", _flipped, made=_parquet,
            arguments=("people.parquet",)),
        one("I22", "only its time", _touched, words=(), code=0),
        one("I23", "a file more", _write("c.csv", GOOD), words=more_or_less, made=two,
            arguments=glob),
        one("I23", "a file less", fewer, words=more_or_less, made=two, arguments=glob),
        one("I23", "another name", renamed, words=more_or_less, made=two,
            arguments=glob),
    ]  # fmt: skip


def cases() -> list[BadFile]:
    return [*between(), *sending(), *partitions(), *reopened()]
