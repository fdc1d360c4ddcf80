"""Bad tables: rows of a wrong shape, and headers; I7 to I9 and I12 to I14."""

from typing import Final

from torture.bad_bytes import CONFIG, DATA, EWA, GOOD, HEADER, JAN, PARTIAL
from torture.bad_files import BadFile, files, frame

QUOTES: Final = "Put the whole cell in quotes"


def widths() -> list[BadFile]:
    second = HEADER + "iga@example.net,K-3\n"
    wide = GOOD + "iga@example.net,K-3,Iga,\n"

    def wide_one(name: str, content: str, row: str, *codes: str) -> BadFile:
        return BadFile("I7", name, files(people_csv=content), PARTIAL, (row,), codes)

    def short(name: str, content: str, row: str, *codes: str) -> BadFile:
        return BadFile("I8", name, files(people_csv=content), PARTIAL, (row,), codes)

    return [
        wide_one("a delimiter more", wide, "row 3 (line 4)", "", "", "ROW_TOO_WIDE"),
        wide_one(
            "a comma in an address", HEADER + "ewa@example.com,,Ewa, z domu\n" + JAN,
            "row 1 (line 2)", "ROW_TOO_WIDE", "",
        ),
        wide_one(
            "two records in one line", HEADER + EWA.strip() + "," + JAN + JAN,
            "row 1 (line 2)", "ROW_TOO_WIDE", "",
        ),
        wide_one(
            "behind a cell of two lines", HEADER + 'ewa@example.com,,"E\nwa"\n' + EWA
            .replace("ewa", "iga").replace("K-1", "") + JAN.strip() + ",,,\n",
            "row 3 (line 5)", "", "", "ROW_TOO_WIDE",
        ),
        short("a delimiter less", GOOD + "iga@example.net,K-3\n", "row 3 (line 4)",
              "", "", "ROW_TOO_SHORT"),
        short("cut at the end of the file", GOOD + "iga@exa", "row 3 (line 4)",
              "", "", "ROW_TOO_SHORT"),
        short("a remark", GOOD + "-- 2 rows exported --\n", "row 3 (line 4)",
              "", "", "ROW_TOO_SHORT"),
        short("a record in two lines", HEADER + "ewa@example.com,\nK-1,Ewa\n" + JAN,
              "row 1 (line 2)", "ROW_TOO_SHORT", "ROW_TOO_SHORT", ""),
        BadFile(
            "I8", "in the second of two files", files(a_csv=GOOD, b_csv=second),
            PARTIAL, ("b.csv row 1 (line 2)",), ("", "", "ROW_TOO_SHORT"),
            arguments=("a.csv", "b.csv"),
        ),
    ]  # fmt: skip


def quotes() -> list[BadFile]:
    def row(name: str, line: str) -> BadFile:
        made = files(people_csv=HEADER + EWA + line + "\n")
        place = ("row 2 (line 3)", "unreadable.txt")
        return BadFile("I9", name, made, PARTIAL, place, ("", "ROW_QUOTE"))

    def lost(name: str, lines: str, *words: str) -> BadFile:
        made = files(people_csv=HEADER + EWA + lines)
        return BadFile("I9", name, made, DATA, ("line 3", *words))

    return [
        row("inside a bare cell", 'jan@example.org,K-2,Jan "J" Jan'),
        row("one inch", 'jan@example.org,K-2,5"'),
        row("text behind a closing one", 'jan@example.org,K-2,"Jan"ek'),
        row("a blank before one", 'jan@example.org,K-2, "Jan"'),
        lost(
            "which may go on in the next line",
            'jan@example.org,K-2,"Jan "J\niga@example.net,K-3,J"\n', "not", QUOTES,
        ),
        row("two inside a quoted cell", 'jan@example.org,K-2,"Jan "J" "'),
        lost("an odd number inside a quoted cell", 'jan@example.org,K-2,"Jan "J"\n'
             "iga@example.net,K-3,Iga\n", "not certain", QUOTES),
        lost("one before the last cell", 'jan@example.org,"K-2,Jan\n', "never closes"),
    ]  # fmt: skip


def headers() -> list[BadFile]:
    row = "ewa@example.com,K-1,Ewa\n"

    def one(name: str, header: str, *words: str) -> BadFile:
        made = files(people_csv=header + "\n" + row)
        return BadFile("I13", name, made, DATA, ("line 1", *words))

    return [
        BadFile(
            "I12", "semicolons, read as commas",
            files(people_csv=GOOD.replace(",", ";")), CONFIG,
            ("no column is mapped to an identifier", "names 1.", "delimiter"),
            arguments=("people.csv", "--delimiter", ","),
        ),
        BadFile(
            "I12", "two that fit",
            files(people_csv="email;customId,firstName;city\newa@example.com;1,E;L\n"),
            DATA, ("the delimiter is not certain", "comma 1", "semicolon 2",
            "--delimiter"),
        ),
        BadFile(
            "I12", "one that changes on the way",
            files(people_csv=HEADER + "ewa@example.com;K-1;Ewa\n" * 3), DATA,
            ("the delimiter is not certain", "--delimiter"),
        ),
        BadFile(
            "I12", "one that nobody looks for",
            files(people_csv=GOOD.replace(",", "^")), CONFIG,
            ("no column is mapped", "check the delimiter"),
        ),
        BadFile(
            "I12", "no column of an identifier", files(people_csv="firstName\nEwa\n"),
            CONFIG, ("no column is mapped to an identifier", "check the delimiter"),
        ),
        one("a name twice", "email,email,firstName", "'email'", "Rename or remove"),
        one("a name twice, but for case", "email,city,City", "'City'", "Rename"),
        one("a name twice, but for a blank", "email,city,city ", "'city '", "Rename"),
        one("no name", "email,,firstName", "column 2 has no name", "Name every"),
        one("a name of blanks", "email,customId, ", "column 3 has no name"),
        one("a name of ours", "email,row_no,firstName", "'row_no'", "Rename"),
        BadFile(
            "I13", "no header, but rows", files(people_csv=row * 3), DATA,
            ("column 1 has an e-mail address or a phone number for a name",
             "Put a line that names the columns on top"),
        ),
        BadFile(
            "I13", "no header, but rows, in a job's file",
            files(people_csv="7;+48 600 100 200\n" * 3, job_yaml="version: 1\n"
                  "source: {path: people.csv}\nmapping: {customId: no}\n"), DATA,
            ("line 1: column 2",), arguments=("-c", "job.yaml"),
        ),
        BadFile(
            "I13", "an empty first line", files(people_csv="\n" + GOOD), DATA,
            ("its first line is empty", "The first line names the columns"),
        ),
        BadFile(
            "I13", "names twice in Parquet, but for case",
            frame(email=["a@b.pl"], City=["x"], city=["y"]), DATA,
            ("people.parquet: the columns 'City'", "Rename"),
            arguments=("people.parquet",),
        ),
        BadFile(
            "I13", "two columns for one field",
            files(people_csv="email,E-Mail\na@b.pl,c@d.pl\n"), CONFIG, ("email",),
        ),
    ]  # fmt: skip


def unknown_columns() -> list[BadFile]:
    extra = "Add --extra-columns ignore"
    people = files(people_csv="email,shoeSize\newa@example.com,38\n")
    job = "version: 1\nsource: {path: people.csv}\nmapping: {email: mail}\n"
    return [
        BadFile("I14", "in a CSV file", people, CONFIG, ("shoeSize", extra)),
        BadFile(
            "I14", "in Parquet", frame(email=["a@b.pl"], shoeSize=[38]), CONFIG,
            ("shoeSize", extra), arguments=("people.parquet",),
        ),
        BadFile(
            "I14", "in the last line alone", files(
                people_jsonl='{"email": "a@b.pl"}\n' * 50 + '{"shoeSize": 38}\n'),
            CONFIG, ("shoeSize", extra), arguments=("people.jsonl",),
        ),
        BadFile(
            "I14", "mapped, but not there",
            files(people_csv=GOOD, job_yaml=job), CONFIG, ("'mail'", "mapping"),
            arguments=("-c", "job.yaml"),
        ),
        BadFile(
            "I14", "in one of two files",
            files(a_csv="email\na@b.pl\n", b_csv="email,city\nc@d.pl,L\n"), DATA,
            ("b.csv", "a.csv", "'city'", "same columns"),
            arguments=("a.csv", "b.csv"),
        ),
        BadFile(
            "I14", "with another type", lambda folder: (
                frame(email=["a@b.pl"], points=[1])(folder),
                (folder / "people.parquet").rename(folder / "a.parquet"),
                frame(email=["a@b.pl"], points=["1"])(folder)),
            DATA, ("'points'", "another type"),
            arguments=("a.parquet", "people.parquet"),
        ),
        BadFile(
            "I14", "two kinds of files",
            files(a_csv="email\na@b.pl\n", b_jsonl='{"email": "c@d.pl"}\n'), DATA,
            ("a.csv is csv, b.jsonl is jsonl", "one after the other"),
            arguments=("a.csv", "b.jsonl"),
        ),
    ]  # fmt: skip


def cases() -> list[BadFile]:
    return [*widths(), *quotes(), *headers(), *unknown_columns()]
