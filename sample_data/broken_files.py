"""
The files of small_broken/: one class of damage each, with what the tool says to it.

A record's expectation is its code, or "" when the row is sendable; files that stop
the tool as a whole have no records to speak of.
"""

import io
import json
import zlib
from dataclasses import dataclass
from typing import Final

import polars as pl

HEADER: Final = "email,customId,phone,firstName,city\n"
GOOD: Final = "ewa@example.com,K-1,+48600100200,Ewa,Łódź\n"
ALSO_GOOD: Final = "jan@example.org,K-2,,Jan,\n"
OK: Final = 0
PARTIAL: Final = 3
DATA: Final = 65
CONFIG: Final = 78


@dataclass(frozen=True)
class Broken:
    """One damaged file: its bytes, its story, the exit code, a code per record."""

    name: str
    content: bytes
    damage: str
    answer: str
    exit_code: int
    codes: tuple[str, ...] = ()


def csv(*lines: str, header: str = HEADER) -> bytes:
    """Join a header and lines as UTF-8."""
    return (header + "".join(lines)).encode()


def jsonl(*rows: object) -> bytes:
    """Write one JSON value a line; non-ASCII stays escaped."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(frame: pl.DataFrame) -> bytes:
    """Write a frame to the bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def gzip_stored(data: bytes) -> bytes:
    """Wrap bytes as an uncompressed gzip member, the same from every zlib."""
    packer = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    tail = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return head + packer.compress(data) + packer.flush() + tail


def whole_files() -> list[Broken]:
    """Make the files that are no table at all, or cut, or hardly one."""
    frame = pl.DataFrame({"email": [f"a{i}@example.com" for i in range(40)]})
    body = csv(GOOD, ALSO_GOOD)
    packed = gzip_stored(body)
    return [
        Broken("empty_file.csv", b"", "0 bytes", "stops: empty file", DATA),
        Broken(
            "header_only.csv", csv(), "a header, no record",
            "0 rows, says so loudly", OK,
        ),
        Broken(
            "csv_named.parquet", body, "a CSV called .parquet",
            "stops: content is not what the name says", DATA,
        ),
        Broken(
            "truncated.parquet", parquet(frame)[:-100],
            "a Parquet file without its end", "stops: no footer", DATA,
        ),
        Broken(
            "truncated.csv.gz", packed[: len(packed) // 2], "a gzip file cut in half",
            "stops: compressed data end early", DATA,
        ),
        Broken(
            "unclosed_quote.csv", csv(GOOD, 'jan@example.org,K-2,,"Jan,Kraków\n', GOOD),
            "a quote that is never closed",
            "stops: names the line the quote opens on; no row is sent", DATA,
        ),
        Broken(
            "unsure_delimiter.csv",
            csv(
                "ewa@example.com;K-1,Ewa;Łódź\n", "jan@example.org;K-2,Jan;Kraków\n",
                header="email;customId,firstName;city\n",
            ),
            "comma and semicolon both cut every line evenly",
            "stops: asks for --delimiter", DATA,
        ),
    ]  # fmt: skip


def encodings() -> list[Broken]:
    """Make the files whose bytes or line ends are foreign."""
    text = HEADER + GOOD + ALSO_GOOD
    latin = text.replace("Łódź", "Köln")
    wrong = "stops: offset of the first bad byte, suggests --encoding"
    mixed = HEADER + GOOD.replace("\n", "\r\n") + ALSO_GOOD
    return [
        Broken("cp1250.csv", text.encode("cp1250"), "Windows-1250", wrong, DATA),
        Broken("latin1.csv", latin.encode("latin-1"), "ISO 8859-1", wrong, DATA),
        Broken(
            "utf16_bom.csv", b"\xff\xfe" + text.encode("utf-16-le"),
            "UTF-16 with a byte order mark", "stops: suggests --encoding utf-16", DATA,
        ),
        Broken(
            "utf8_bom.csv", b"\xef\xbb\xbf" + text.encode(),
            "UTF-8 with a byte order mark", "harmless: the mark is not a part of the "
            "first header", OK, ("", ""),
        ),
        Broken(
            "cr_only.csv", text.replace("\n", "\r").encode(), "lines end in CR alone",
            "stops: says that line ends are CR", DATA,
        ),
        Broken(
            "mixed_line_ends.csv", mixed.encode(), "LF and CRLF in one file",
            "harmless: no CR ends up in a value", OK, ("", ""),
        ),
        Broken(
            "trailing_0x1a.csv", text.encode() + b"\x1a",
            "the end-of-file byte of DOS as a last line", "that line is blocked",
            PARTIAL, ("", "", "ROW_TOO_SHORT"),
        ),
    ]  # fmt: skip


def headers() -> list[Broken]:
    """Make the files whose header stops everything."""
    stop = "stops: shows the header"
    return [
        Broken(
            "no_identifier_column.csv", csv("Ewa,Łódź\n", header="firstName,city\n"),
            "no column that can find a profile", "stops: shows the columns", CONFIG,
        ),
        Broken(
            "duplicate_header.csv",
            csv("ewa@example.com,Łódź,Kraków\n", header="email,city,city\n"),
            "one header name twice", stop, DATA,
        ),
        Broken(
            "empty_header_name.csv",
            csv("ewa@example.com,x,Łódź\n", header="email,,city\n"),
            "a column without a name", stop, DATA,
        ),
        Broken(
            "case_only_headers.csv",
            csv("ewa@example.com,Łódź,Kraków\n", header="email,city,City\n"),
            "two header names that differ in case only", stop, DATA,
        ),
        Broken(
            "unknown_columns.csv",
            csv("ewa@example.com,9,blue\n", header="email,shoeSize,favouriteColour\n"),
            "columns nobody mapped", "stops: names --extra-columns", CONFIG,
        ),
        Broken(
            "late_key.jsonl",
            jsonl(
                *({"email": f"a{i}@example.com"} for i in range(1, 50)),
                {"email": "a50@example.com", "favouriteColour": "red"},
                *({"email": f"a{i}@example.com"} for i in range(51, 56)),
            ),
            "an unmapped key that first appears on line 50",
            "stops: an extra column is not lost because it comes late; names "
            "--extra-columns", CONFIG,
        ),
    ]  # fmt: skip


def shapes() -> list[Broken]:
    """Make the files in which some records have a wrong shape."""
    blocked = "that row is blocked, the others are sendable"
    huge = "x" * (300 * 1024)
    return [
        Broken(
            "row_too_wide.csv", csv(GOOD, "jan@example.org,K-2,,Jan,Las,Łąka\n", GOOD
            .replace("ewa", "iga").replace("K-1", "K-3")), "a record with a cell more",
            blocked, PARTIAL, ("", "ROW_TOO_WIDE", ""),
        ),
        Broken(
            "row_too_short.csv", csv(GOOD, "jan@example.org,K-2\n"),
            "a record with missing cells", blocked, PARTIAL, ("", "ROW_TOO_SHORT"),
        ),
        Broken(
            "stray_quote.csv", csv(GOOD, 'jan@example.org,K-2,,Jan "Janek" J,Żory\n'),
            "quotes inside an unquoted cell", blocked, PARTIAL, ("", "ROW_QUOTE"),
        ),
        Broken(
            "text_after_quote.csv", csv(GOOD, 'jan@example.org,K-2,,"Jan"ek,Żory\n'),
            "text after a closing quote", blocked, PARTIAL, ("", "ROW_QUOTE"),
        ),
        Broken(
            "blank_lines.csv", csv("\n", GOOD, "\n\n", ALSO_GOOD, "\n"),
            "empty lines, also the first and the last",
            "counted as empty, never sent", OK,
            ("EMPTY", "", "EMPTY", "EMPTY", "", "EMPTY"),
        ),
        Broken(
            "broken_line.jsonl",
            jsonl({"email": "ewa@example.com"}) + b'{"email": "jan@example.org", "ci\n'
            + b"\n" + jsonl(["iga@example.com"], {"email": "ola@example.net"}),
            "a line cut short, an empty line, a line that is no object",
            "those lines are blocked or empty", PARTIAL,
            ("", "ROW_JSON", "EMPTY", "ROW_JSON", ""),
        ),
        Broken(
            "huge_cell.csv", csv(GOOD, f"jan@example.org,K-2,,{huge},Żory\n"),
            "a cell of 300 KiB", blocked, PARTIAL, ("", "TOO_LARGE"),
        ),
        Broken(
            "empty_cells.csv",
            csv(GOOD, ",K-2,,,\n", 'jan@example.org,,,"",\n', ",,+48600100201,,\n"),
            "cells that are empty, also as two quotes",
            "omitted: no empty string and no null is sent", OK, ("", "", "", ""),
        ),
    ]  # fmt: skip


def characters() -> list[Broken]:
    """Make the files that hold characters the API forbids."""
    rows = "those rows are blocked"
    return [
        Broken(
            "nul_in_cell.csv",
            csv(GOOD, "jan@example.org,K-2,,J\0n,\n", "iga@example.net,K\0-3,,Iga,\n"),
            "U+0000 in a text and in a customId", rows, PARTIAL,
            ("", "TEXT", "CUSTOM_ID"),
        ),
        Broken(
            "control_characters.csv",
            csv(
                "a@example.com,K-1,,bell\a,\n", 'b@example.com,"K\n-2",,B,\n',
                "c@example.com,K\u00ad-3,,C,\n", "d@example.com,K\u2028-4,,D,\n",
                "e@example.com,K-5,,\ufe0f,\n", "f@example.com,K-6,,❤\ufe0f,\n",
                "g\u00adg@example.com,K-7,,G,\n",
            ),
            "control characters, line breaks, soft hyphens, lone variation selectors",
            "what the API forbids is blocked; a bell in a text is its own business",
            PARTIAL, ("", *("CUSTOM_ID",) * 3, "TEXT", "", "EMAIL"),
        ),
        Broken(
            "lone_surrogate.jsonl",
            jsonl(
                {"email": "a@example.com", "firstName": "A\ud83c"},
                {"email": "b@example.com", "customId": "K-\udf3b"},
                {"email": "c@example.com", "firstName": "C\ud83c\udf3b"},
            ),
            "escaped halves of a surrogate pair, and a whole pair",
            "a half is no text: blocked; the pair is a sunflower", PARTIAL,
            ("ROW_JSON", "ROW_JSON", ""),
        ),
        Broken(
            "emoji_custom_id.csv", csv(GOOD, "jan@example.org,K-🌻,,Jan 🌻,\n"),
            "an emoji in a customId", rows, PARTIAL, ("", "CUSTOM_ID"),
        ),
    ]  # fmt: skip


def values() -> list[Broken]:
    """Make the files in which some values cannot be sent."""
    rows = "those rows are blocked"
    return [
        Broken(
            "invalid_identifiers.csv",
            csv(
                GOOD.replace("\n", ",\n"), "anna@,K-2,,A,,\n", "brak,,,B,,\n",
                "c@example.com,,12 34,C,,\n", "d@example.com,,600 100 200,D,,\n",
                "e@example.com,,,E,,not-a-uuid\n", "g@example.com,,+48 12,G,,\n",
                ",,,F,,\n", ",,,,,\n",
                header="email,customId,phone,firstName,city,uuid\n",
            ),
            "e-mails, phones and a UUID that are none; rows without any identifier",
            "those rows are blocked; a national number needs --region", PARTIAL,
            ("", "EMAIL", "EMAIL", "PHONE_REGION", "PHONE_REGION", "UUID", "PHONE",
             "NO_ID", "NO_ID"),
        ),
        Broken(
            "birth_dates.csv",
            csv(
                "a@example.com,1980-05-17\n", "b@example.com,1899-12-31\n",
                "c@example.com,17.05.1980\n", "d@example.com,1980-02-30\n",
                header="email,birthDate\n",
            ),
            "a date before 1900, a foreign format, a day that never was", rows, PARTIAL,
            ("", "DATE", "DATE", "DATE"),
        ),
        Broken(
            "unknown_words.csv",
            csv(
                "a@example.com,FEMALE,yes,PL\n", "b@example.com,kobieta,yes,PL\n",
                "c@example.com,MALE,może,PL\n", "d@example.com,MALE,no,Polska\n",
                header="email,sex,agreements.email,countryCode\n",
            ),
            "words outside sex, agreements and countryCode", rows, PARTIAL,
            ("", "VALUE", "VALUE", "VALUE"),
        ),
        Broken(
            "id_conflicts.csv",
            csv(
                "a@example.com,K-1,,Ada,\n", "A@example.com ,,,,Łódź\n",
                "b@example.com,K-2,,Bea,\n", "b@example.com,K-3,,Bea,\n",
                "c@example.com,K-4,,Cay,\n", "c@example.com,,,Cay,\n",
                "d@example.com,K-4,,Dan,\n",
            ),
            "rows of one profile; some of them contradict each other",
            "rows 1 and 2 are folded, the others are blocked", PARTIAL,
            ("FOLDED", "", *("ID_CONFLICT",) * 5),
        ),
    ]  # fmt: skip


def numbers() -> list[Broken]:
    """Make the files that tempt a reader to guess types."""
    return [
        Broken(
            "text_numbers.csv",
            csv(
                "a@example.com,007,01067\n", "b@example.com,1e5,00950\n",
                "c@example.com,12345678901234567890,1.0\n", "d@example.com,7,+1\n",
                header="email,customId,zipCode\n",
            ),
            "leading zeros, 1e5, numbers longer than 64 bits",
            "harmless: every cell stays the text it is", OK, ("", "", "", ""),
        ),
        Broken(
            "identifier_float.parquet",
            parquet(pl.DataFrame({
                "email": ["a@example.com", "b@example.com", None],
                "customId": [7.0, None, 1e17],
            })),
            "a customId stored as a float", "blocked: its digits cannot be trusted",
            PARTIAL, ("TYPE", "", "TYPE"),
        ),
        Broken(
            "not_finite.parquet",
            parquet(pl.DataFrame({
                "email": [f"{c}@example.com" for c in "abcd"],
                "attributes.score": [1.5, float("nan"), float("inf"), None],
            })),
            "NaN and infinity in a float column", "those rows are blocked",
            PARTIAL, ("", "TYPE", "TYPE", ""),
        ),
    ]  # fmt: skip


def all_files() -> list[Broken]:
    """Make every damaged file, ordered by name."""
    files = whole_files() + encodings() + headers() + shapes()
    files += characters() + values() + numbers()
    return sorted(files, key=lambda file: file.name)
