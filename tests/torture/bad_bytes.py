"""Bad files by their bytes: I1 to I6, I10, I11, I19 and I24."""

import gzip
import io
import os
import struct
import zlib
from base64 import b64decode
from pathlib import Path
from typing import Final

import polars as pl
import zstandard

from torture.bad_files import BadFile, Make, files, frame

HEADER: Final = "email,customId,firstName\n"
EWA: Final = "ewa@example.com,K-1,Ewa\n"
JAN: Final = "jan@example.org,K-2,Jan\n"
GOOD: Final = HEADER + EWA + JAN
MISSING, DATA, CHANGED, CONFIG, PARTIAL, IO = 66, 65, 81, 78, 3, 74
AGAIN: Final = "Copy the file again"
NOBODY: Final = ("setpriv", "--reuid=65534", "--clear-groups", "--no-new-privs")


def _nothing(_folder: Path) -> None:
    pass


def _parquet(n_rows: int = 400) -> bytes:
    people = pl.DataFrame(
        {
            "email": [f"a{i}@example.com" for i in range(n_rows)],
            "firstName": ["Ewa"] * n_rows,
        }
    )
    buffer = io.BytesIO()
    people.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def _changed_in(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def no_file() -> list[BadFile]:
    def fifo(folder: Path) -> None:
        os.mkfifo(folder / "people.csv")

    def forbidden(folder: Path) -> None:
        files(people_csv=GOOD)(folder)
        folder.chmod(0o777)
        (folder / "people.csv").chmod(0)

    def linked(target: str) -> Make:
        return lambda folder: (folder / "people.csv").symlink_to(target)

    opened = ("people.csv cannot be opened", "Check the path")
    no_regular = ("people.csv is not a regular file", "Write the rows to a file")
    return [
        BadFile("I1", "nothing there", _nothing, MISSING, opened),
        BadFile("I1", "a link to nowhere", linked("gone.csv"), MISSING, opened),
        BadFile("I1", "a link to itself", linked("people.csv"), MISSING, opened),
        BadFile(
            "I1", "a pattern that matches nothing", files(people_csv=GOOD), MISSING,
            ("*.parquet", "Check the pattern"), arguments=("*.parquet",),
        ),
        BadFile(
            "I1", "an empty folder", lambda folder: (folder / "in").mkdir(), MISSING,
            ("The folder in holds no file", "Fill it"), arguments=("in",),
        ),
        BadFile(
            "I1", "a file in the place of a folder", files(people_csv=GOOD), MISSING,
            ("people.csv/more.csv cannot be opened", "Check the path"),
            arguments=("people.csv/more.csv",),
        ),
        BadFile("I1", "a pipe", fifo, MISSING, no_regular),
        BadFile(
            "I1", "a device", _nothing, MISSING, ("/dev/zero is not a regular",
            "Write the rows"), arguments=("/dev/zero",),
        ),
        BadFile(
            "I1", "a file of somebody else", forbidden, MISSING,
            ("people.csv cannot be opened (Permission denied)", "permissions"),
            wrapper=NOBODY,
        ),
    ]  # fmt: skip


def no_content() -> list[BadFile]:
    words = ("people.csv is empty", "Was the export that wrote it finished?")
    zipped = tuple(word.replace(".csv", ".csv.gz") for word in words)
    bom = b"\xef\xbb\xbf"
    no_rows = ("the source has no rows; nothing was sent",)
    return [
        BadFile("I2", "0 bytes", files(people_csv=""), DATA, words),
        BadFile(
            "I2", "0 bytes of Parquet", files(people_parquet=""), DATA,
            ("people.parquet is empty",), arguments=("people.parquet",),
        ),
        BadFile(
            "I2", "nothing, packed", files(people_csv_gz=gzip.compress(b"")), DATA,
            zipped, arguments=("people.csv.gz",),
        ),
        BadFile("I2", "a byte order mark alone", files(people_csv=bom), DATA, words),
        BadFile(
            "I2", "one of two is empty", files(a_csv=GOOD, b_csv=""), DATA,
            ("b.csv is empty",), arguments=("a.csv", "b.csv"),
        ),
        BadFile(
            "I2", "allowed", files(people_csv=""), 0, ("0 bytes; nothing to do",),
            arguments=("people.csv", "--allow-empty"),
        ),
        BadFile("I3", "a header", files(people_csv=HEADER), 0, no_rows, ()),
        BadFile(
            "I3", "a header without an end", files(people_csv=HEADER[:-1]), 0,
            no_rows, (),
        ),
        BadFile(
            "I3", "a table without rows", frame(email=pl.Series([], dtype=pl.String)),
            0, no_rows, (), arguments=("people.parquet",),
        ),
        BadFile(
            "I3", "a header, and that is an error", files(people_csv=HEADER), 9,
            no_rows, (), arguments=("people.csv", "--error-on-empty"),
        ),
        BadFile(
            "I3", "a header and blank lines", files(people_csv=HEADER + "\n\n"), 0,
            ("2 rows read = 2 empty",), ("EMPTY", "EMPTY"),
        ),
    ]  # fmt: skip


# One row, and a footer that says otherwise: polars 2.1 panics over it.
PANIC: Final = (
    "eNp9kc9qwkAQxiepFQ8WcnCCgRyCYFAqVrdKkoLQtYqVShuFVnprNEkVYiLG+qdP0yfooU/Y3cVDT/1g"
    "Z5j5fTMLuy6dNDGDJSyNUEYAuGDHuw0O3modBfV5skJABZUaowpmMQsgM4cswRnmtTZkFa14Hqy8ZYSg"
    "ymqsxmbPzIGmqz0kKnOirNXuM5sk2aIMmC/DyV6Gkc6wKmu6pps/kv7fOvVbwgKwUjZzalwAtr+Yp5PJ"
    "0/QmnS+Yv/glXXGRFmXq82DvWH0Yn2rReqA0pXcij+mly/h+z/tDSt//+kSwOD8KLuCACvRM+XB3SLsi"
    "9/k+JuGj1P1kQ3ZfIH714GX7Oo1SSjsdKD66SeRtUqOyPm4XSVw1dsEmXSaxQerNesOozD6WkW9YodMg"
    "M/86DH1ihaFN/GaLWLbXcDzitMOQhJYX+A6pajp/wDcJwGWf+AsvRmW8"
)


def broken_parquet() -> list[BadFile]:
    whole = _parquet()
    n_footer = struct.unpack("<I", whole[-8:-4])[0]
    footer = len(whole) - 8 - n_footer
    p = ("people.parquet",)

    def one(
        kind: str, name: str, data: bytes, *words: str, wrapper: tuple[str, ...] = ()
    ) -> BadFile:
        told = ("people.parquet", *words)
        made = files(people_parquet=data)
        return BadFile(kind, name, made, DATA, told, arguments=p, wrapper=wrapper)

    return [
        one("I4", "cut at the end", whole[:-100], "offset", AGAIN),
        one("I4", "cut in the middle", whole[:200], "offset 200", AGAIN),
        one("I4", "its magic alone", b"PAR1", "offset 4", AGAIN),
        one("I4", "a CSV called Parquet", GOOD.encode(), "its name says", "Rename"),
        one("I4", "encrypted", whole[:-4] + b"PARE", "encrypted", "Decrypt"),
        one("I4", "a ZIP called Parquet", b"PK\x03\x04" + whole, "ZIP", "Save"),
        one(
            "I4", "a footer longer than the file",
            whole[:-8] + struct.pack("<I", 10**6) + b"PAR1", "footer", AGAIN,
        ),
        BadFile(
            "I4", "Parquet called CSV", files(people_csv=whole), DATA,
            ("its name says CSV", "Rename"),
        ),
        one("I5", "a bit of the footer", _flipped(whole, footer), "footer", AGAIN),
        one("I5", "a bit of a packed page", _flipped(whole, 60), "row", AGAIN),
        one(
            "I5", "a hole of zeros", _changed_in(whole, 20, bytes(300)), "rows from 1",
            AGAIN,
        ),
        one(
            "I5", "a footer that makes polars panic", zlib.decompress(b64decode(PANIC)),
            "damaged", AGAIN, wrapper=("env",),
        ),
    ]  # fmt: skip


def cut_text() -> list[BadFile]:
    packed = gzip.compress(GOOD.encode() * 400, mtime=0)
    zstd = zstandard.compress(GOOD.encode() * 400)

    def one(name: str, content: str | bytes, *words: str) -> BadFile:
        return BadFile("I6", name, files(people_csv=content), DATA, words)

    return [
        one("an open quote", GOOD + 'iga@example.net,K-3,"Iga\n' + EWA,
            "line 4", "never closes", "Close it"),
        one("an open quote at the end", GOOD + 'iga@example.net,K-3,"I', "line 4",
            "never closes"),
        one("an open quote in the header", 'email,"customId,firstName\n' + EWA,
            "line 1", "Repair the header"),
        one("half a character at the end", GOOD.encode() + b"iga@example.net,,\xc5",
            "offset 90", "--encoding"),
        BadFile(
            "I6", "half of a gzip", files(people_csv_gz=packed[: len(packed) // 2]),
            DATA, ("people.csv.gz", "breaks off after", AGAIN),
            arguments=("people.csv.gz",),
        ),
        BadFile(
            "I6", "half of a zstd", files(people_csv_zst=zstd[: len(zstd) // 2]), DATA,
            ("people.csv.zst", "breaks off after", AGAIN),
            arguments=("people.csv.zst",),
        ),
        BadFile(
            "I6", "a gzip with other bytes in it",
            files(people_csv_gz=_flipped(packed, len(packed) // 2)), DATA,
            ("people.csv.gz", AGAIN), arguments=("people.csv.gz",),
        ),
        BadFile(
            "I6", "not one whole line of JSON",
            files(people_jsonl='{"email": "ewa@example.com"'), DATA,
            ("none of its 1 lines is a JSON object", "Write one object a line"),
            arguments=("people.jsonl", "--format", "jsonl"),
        ),
        BadFile(
            "I6", "half a line of JSON", files(
                people_jsonl='{"email": "ewa@example.com"}\n{"email": "jan@exam'),
            PARTIAL, ("row 2 (line 2)",), ("", "ROW_JSON"),
            arguments=("people.jsonl",),
        ),
    ]  # fmt: skip


def encodings() -> list[BadFile]:
    text = HEADER + "ewa@example.com,K-1,Świętosława\n" * 3
    far = GOOD + "".join(f"a{i}@example.com,,Anna\n" for i in range(5000))

    def one(name: str, content: bytes, *words: str, more: str = "") -> BadFile:
        arguments = ("people.csv", *more.split())
        made = files(people_csv=content)
        return BadFile("I10", name, made, DATA, words, arguments=arguments)

    return [
        one("cp1250", text.encode("cp1250"), "offset", "--encoding cp1250"),
        one("ISO 8859-2", text.replace("Ś", "Ć").encode("iso8859-2"),
            "offset 45", "--encoding iso8859-2"),
        one("UTF-16", text.encode("utf-16"), "utf-16", "Add --encoding utf-16"),
        one("UTF-16 without a mark", text.encode("utf-16-le"), "NUL bytes",
            "add --encoding utf-16-le"),
        one("UTF-32", text.encode("utf-32"), "utf-32", "Add --encoding utf-32"),
        one("one byte, far behind", far.encode() + b"\xb3ona@example.com,,\n",
            f"offset {len(far)}", "--encoding"),
        one("declared, and not so", text.encode(), "is not ascii", "offset",
            "Declare", more="--encoding ascii"),
        one("a mark that contradicts", b"\xef\xbb\xbf" + text.encode(), "mark of utf-8",
            "Add --encoding utf-8", more="--encoding cp1250"),
    ]  # fmt: skip


def line_ends() -> list[BadFile]:
    ends = GOOD.replace("\n", "\r")
    return [
        BadFile(
            "I11", "carriage returns alone", files(people_csv=ends), DATA,
            ("people.csv", "carriage returns", "tr '\\r' '\\n'"),
        ),
        BadFile(
            "I11", "a carriage return in the header",
            files(people_csv="email,cust\romId\n" + EWA), DATA, ("line 1", "Repair"),
        ),
        BadFile(
            "I11", "mixed", files(people_csv=HEADER + EWA.replace("\n", "\r\n") + JAN),
            0, ("2 accepted",), ("", ""),
        ),
        BadFile(
            "I11", "0x1A at the end", files(people_csv=GOOD + "\x1a"), PARTIAL,
            ("row 3 (line 4)", "unreadable.txt"), ("", "", "ROW_TOO_SHORT"),
        ),
        BadFile(
            "I11", "blank lines", files(people_csv=HEADER + "\n" + EWA + "\r\n\n"), 0,
            ("3 empty",), ("EMPTY", "", "EMPTY", "EMPTY"),
        ),
        BadFile(
            "I11", "a lone carriage return in a row",
            files(people_csv=HEADER + EWA + "jan@example.org,K-\r2,Jan\n"), PARTIAL,
            ("row 2 (line 3)",), ("", "CUSTOM_ID"),
        ),
    ]  # fmt: skip


def large() -> list[BadFile]:
    wide = ",".join(f"attributes.a{n}" for n in range(5))
    cells = ",".join(["x" * 250_000] * 5)
    endless = '{"email": "ewa@example.com", "firstName": "' + "x" * 22_000_000
    return [
        BadFile(
            "I19", "a cell of 300 KiB",
            files(people_csv=GOOD + f"iga@example.net,,{'x' * 300_000}\n"), PARTIAL,
            ("row 3 (line 4)", "256 KiB"), ("", "", "TOO_LARGE"),
        ),
        BadFile(
            "I19", "a row larger than a request",
            files(people_csv=f"email,{wide}\newa@example.com,{cells}\n"), PARTIAL,
            ("row 1 (line 2)",), ("TOO_LARGE",),
        ),
        BadFile(
            "I19", "a JSON value of 300 KiB", files(
                people_jsonl='{"email":"ewa@example.com"}\n{"email":"jan@example.org",'
                f'"firstName":"{"x" * 300_000}"}}\n'),
            PARTIAL, ("row 2 (line 2)",), ("", "TOO_LARGE"),
            arguments=("people.jsonl",),
        ),
        BadFile(
            "I19", "a line of 22 MB", files(people_jsonl=endless), DATA,
            ("line 1", "longer than 16 MiB", "Write one object a line"),
            arguments=("people.jsonl", "--format", "jsonl"),
        ),
        BadFile(
            "I19", "a record of 17 MB",
            files(people_csv=GOOD + 'iga@example.net,,"' + "x" * 17_000_000), DATA,
            ("line 4",),
        ),
        BadFile(
            "I19", "a folded profile larger than a request", files(
                people_csv=f"email,{wide}\n" + "".join(
                    "ewa@example.com" + "," * n + "x" * 250_000 + "," * (6 - n) + "\n"
                    for n in range(1, 6)).replace(",\n", "\n")),
            PARTIAL, ("TOO_LARGE",), ("TOO_LARGE",) * 5,
        ),
    ]  # fmt: skip


def bombs() -> list[BadFile]:
    def rows() -> bytes:
        cell = "x" * 200_000
        return (
            "email,firstName\n" + "".join(f"a{n}@b.pl,{cell}\n" for n in range(400))
        ).encode()

    def gzipped(folder: Path) -> None:
        (folder / "people.csv.gz").write_bytes(gzip.compress(rows(), 1))

    def zipped_twice(folder: Path) -> None:
        packed = zstandard.compress(rows())
        (folder / "people.csv.zst").write_bytes(packed)

    def parquet(folder: Path) -> None:
        cell = "x" * 200_000
        people = pl.DataFrame({"email": [f"a{n}@b.pl{cell}" for n in range(400)]})
        people.write_parquet(folder / "people.parquet", compression="zstd")

    def lying(folder: Path) -> None:
        """A group that claims more bytes than it has."""
        parquet(folder)

    words = ("bomb", "If it is genuine")
    return [
        BadFile("I24", "gzip", gzipped, DATA, ("people.csv.gz", *words, "unpack it"),
                arguments=("people.csv.gz",)),
        BadFile("I24", "zstd", zipped_twice, DATA, ("people.csv.zst", *words),
                arguments=("people.csv.zst",)),
        BadFile("I24", "Parquet", parquet, DATA,
                ("people.parquet", *words, "without compression"),
                arguments=("people.parquet",)),
    ]  # fmt: skip


def cases() -> list[BadFile]:
    return [
        *no_file(), *no_content(), *broken_parquet(), *cut_text(), *encodings(),
        *line_ends(), *large(), *bombs(),
    ]  # fmt: skip
