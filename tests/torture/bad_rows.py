"""Rows that cannot be sent in tables that can be read; I15 to I18 and I20."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from torture.bad_bytes import CONFIG, PARTIAL
from torture.bad_files import BadFile, Make, files, frame

PARQUET: Final = ("people.parquet",)
JSONL: Final = ("people.jsonl",)


def _job(mapping: str) -> str:
    return f"version: 1\nsource: {{path: people.csv}}\nmapping: {mapping}\n"


def _one(
    kind: str,
    name: str,
    make: Make,
    codes: Sequence[str],
    *words: str,
    arguments: tuple[str, ...] = ("people.csv",),
) -> BadFile:
    is_fine = all(code in ("", "EMPTY", "FOLDED", "SUPERSEDED") for code in codes)
    code = 0 if is_fine else PARTIAL
    return BadFile(kind, name, make, code, words, tuple(codes), arguments)


def types() -> list[BadFile]:
    mails = ["a@b.pl", "c@d.pl", "e@f.pl"]
    points = "attributes: {points: {column: points, type: integer}}"
    typed = "email,points\na@b.pl,12\nc@d.pl,1e5\ne@f.pl,twelve\n"
    return [
        _one(
            "I15", "numbers that are words",
            files(people_csv=typed, job_yaml=_job(f"{{email: email, {points}}}")),
            ("", "TYPE", "TYPE"), "row 2 (line 3)", arguments=("-c", "job.yaml"),
        ),
        _one(
            "I15", "an identifier that is a float",
            frame(email=mails, customId=[7.0, None, 1e17]), ("TYPE", "", "TYPE"),
            arguments=PARQUET,
        ),
        _one(
            "I15", "an identifier above 2^53", frame(customId=[2**53 + 1, 2**63 - 1]),
            ("", ""), arguments=PARQUET,
        ),
        _one(
            "I15", "leading zeros and 1e5",
            files(people_csv="email,customId\na@b.pl,007\nc@d.pl,1e5\n"), ("", ""),
        ),
        BadFile(
            "I15", "a type that has no JSON", frame(email=mails, city=[b"x"] * 3),
            CONFIG, ("city",), arguments=PARQUET,
        ),
        BadFile(
            "I15", "a date-time without a zone", frame(
                email=mails, **{"attributes.at": pl.Series(
                    ["2024-01-01T00:00:00"] * 3).str.to_datetime()}),
            CONFIG, ("zone", "attributes.at"), arguments=PARQUET,
        ),
    ]  # fmt: skip


def characters() -> list[BadFile]:
    def one(name: str, cell: str, code: str) -> BadFile:
        made = files(people_csv=f'email,customId\na@b.pl,7\nc@d.pl,"{cell}"\n')
        return _one("I16", name, made, ("", code), "row 2 (line 3)")

    return [
        one("NUL in an identifier", "7\0", "CUSTOM_ID"),
        one("a line break in an identifier", "7\n8", "CUSTOM_ID"),
        one("an emoji in an identifier", "7\U0001f33b", "CUSTOM_ID"),
        one("a soft hyphen in an identifier", "7\u00ad8", "CUSTOM_ID"),
        _one(
            "I16", "NUL in a text", files(people_csv="email,city\na@b.pl,x\0y\n"),
            ("TEXT",),
        ),
        _one(
            "I16", "half a surrogate", files(
                people_jsonl='{"email":"a@b.pl","city":"\\ud83c"}\n{"email":"c@d.pl"}\n'),
            ("ROW_JSON", ""), "row 1 (line 1)", arguments=JSONL,
        ),
        _one(
            "I16", "NaN and Infinity in Parquet", frame(
                email=["a@b.pl", "c@d.pl"],
                **{"attributes.x": [float("nan"), float("inf")]}),
            ("TYPE", "TYPE"), arguments=PARQUET,
        ),
        _one(
            "I16", "NaN in JSON", files(
                people_jsonl='{"email":"a@b.pl","attributes":{"x":NaN}}\n'
                '{"email":"c@d.pl"}\n'),
            ("ROW_JSON", ""), arguments=JSONL,
        ),
    ]  # fmt: skip


def values() -> list[BadFile]:
    def one(name: str, header: str, cells: str, code: str) -> BadFile:
        made = files(people_csv=f"{header}\n{cells}\n")
        return _one("I17", name, made, (code,), "row 1 (line 2)")

    return [
        one("no identifier", "email,firstName", ",Ewa", "NO_ID"),
        one("an e-mail without a host", "email", "anna@", "EMAIL"),
        one("an e-mail in words", "email,customId", "brak,7", "EMAIL"),
        one("two e-mails in a cell", "email,customId", "a@b.pl;c@d.pl,7", "EMAIL"),
        one("half a phone", "email,phone", "a@b.pl,+48 12", "PHONE"),
        one("a national phone", "email,phone", "a@b.pl,501 234 567", "PHONE_REGION"),
        one("a uuid that is none", "email,uuid", "a@b.pl,7", "UUID"),
        one("born before 1900", "email,birthDate", "a@b.pl,1899-12-31", "DATE"),
        one("born on 30 February", "email,birthDate", "a@b.pl,1980-02-30", "DATE"),
        one("born in another format", "email,birthDate", "a@b.pl,3.5.80", "DATE"),
        one("a sex in Polish", "email,sex", "a@b.pl,kobieta", "VALUE"),
        one("a country in words", "email,countryCode", "a@b.pl,Polska", "VALUE"),
        one("consent: perhaps", "email,agreements.email", "a@b.pl,perhaps", "VALUE"),
    ]  # fmt: skip


def blanks() -> list[BadFile]:
    cells = 'email,customId,city\na@b.pl,,\n,7,""\nc@d.pl,8,x\n'
    null = '{"email":"a@b.pl","city":null}\n{"customId":"7","city":""}\n'
    block = ("people.csv", "--blank", "block")
    return [
        _one("I18", "in CSV", files(people_csv=cells), ("", "", "")),
        _one("I18", "that block", files(people_csv=cells), ("BLANK", "BLANK", ""),
             arguments=block),
        _one("I18", "null and empty in JSON", files(people_jsonl=null), ("", ""),
             arguments=JSONL),
        _one("I18", "null and empty in Parquet",
             frame(email=["a@b.pl", "c@d.pl"], city=[None, ""]), ("", ""),
             arguments=PARQUET),
        _one("I18", "blanks of other kinds",
             files(people_csv="email,city\na@b.pl, \u00a0\t\n"), ("",)),
        _one("I18", "nothing but delimiters", files(people_csv="email,city\n,\n"),
             ("NO_ID",), "row 1 (line 2)"),
    ]  # fmt: skip


def profiles() -> list[BadFile]:
    household = "email,phone\n" + "".join(
        f"a{n}@b.pl,+48501234567\n" for n in range(20)
    )
    twice = "email,customId\na@b.pl,7\nA@B.pl ,\n"

    def conflict(name: str, header: str, *rows: str) -> BadFile:
        made = files(people_csv="\n".join((header, *rows)) + "\n")
        return _one("I20", name, made, ("ID_CONFLICT",) * len(rows), "row 1")

    return [
        conflict("one e-mail, two customIds", "email,customId", "a@b.pl,7", "a@b.pl,8"),
        conflict("one customId, two e-mails", "email,customId", "a@b.pl,7", "c@d.pl,7"),
        conflict(
            "a chain of three", "email,customId", "a@b.pl,7", "a@b.pl,", "c@d.pl,7",
        ),
        _one("I20", "one profile in two spellings", files(people_csv=twice),
             ("FOLDED", "")),
        _one("I20", "to be refused", files(people_csv=twice), ("DUPLICATE",) * 2,
             "row 1", arguments=("people.csv", "--duplicates", "block")),
        _one("I20", "a household with one phone", files(people_csv=household),
             ("",) * 20),
        _one("I20", "in two files",
             files(a_csv="email,customId\na@b.pl,7\n",
                   b_csv="email,customId\na@b.pl,8\n"),
             ("ID_CONFLICT",) * 2, "a.csv row 1", arguments=("a.csv", "b.csv")),
    ]  # fmt: skip


def cases() -> list[BadFile]:
    return [*types(), *characters(), *values(), *blanks(), *profiles()]
