"""
What must happen to each row of the sample customers, worked out a second time.

Written from the API contract (identifiers, forbidden characters, text rule, dates)
and the design (states, repairs, folding), for the one job of
configs/migrate-customers.yaml, row by row and slowly on purpose. It imports nothing
from `pipeline` and shares no table or pattern with it: a rule misread there cannot be
misread here by the same line, so that agreement of the two means something. Polars
only opens Parquet files. A difference is settled by the documents, not by either code.
"""

import datetime as dt
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import phonenumbers
import polars as pl
from email_validator import EmailNotValidError, validate_email

CELL_LIMIT = 256 * 1024
ROW_LIMIT = 1_000_000 - 2
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
NO_WHITE = "\x1c\x1d\x1e\x1f"  # white for Python only, not for Unicode
WHITE = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and c not in NO_WHITE)
ASCII_OR_NBSP = "\t\n\v\f\r \xa0"
CELL = re.compile(r'(?:"([^"]*+(?:""[^"]*+)*+)"([^,\n]*)|([^",\n][^,\n]*|))(,|\n|\Z)')
FORBIDDEN_IN_ID = re.compile(
    "[\0\r\n\u2028\u2029\xad\ufe00-\ufe0f\ud800-\udfff\U00010000-\U0010ffff]"
)
E_MAIL = re.compile(
    r'(([^<>()\[\]\\.,;:\s@"]+(\.[^<>()\[\]\\.,;:\s@"]+)*)|(".+"))'
    r"@((\[\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\])|(([a-zA-Z\-0-9]+\.)+[a-zA-Z]{2,}))"
)
TEXT_FIELDS = {
    "firstName": "first_name", "lastName": "last_name", "company": "company",
    "address": "street", "city": "city", "zipCode": "postcode",
}  # fmt: skip
# phonenumbers knows all of ISO 3166-1 but seven places without phones of their own,
# and three islands and a state that ISO does not list.
NO_PHONES = {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}
COUNTRIES = phonenumbers.SUPPORTED_REGIONS - {"AC", "TA", "XK"} | NO_PHONES
Flat = dict[tuple[str, ...], object]


class Row(NamedTuple):
    """One physical record; `fault` is the code of a record that cannot be split."""

    row_no: int
    cells: dict[str, str]
    fault: str = ""


class Fate(NamedTuple):
    """Where a row ended."""

    row_no: int
    state: str
    code: str = ""
    folded_into: int | None = None


class Invalid(Exception):  # noqa: N818 - it is a fact about a cell, not an error
    """A value that cannot be sent; its text is the code."""


def split_records(text: str) -> Iterator[tuple[list[str], str]]:
    """Cut text into (cells, fault) by RFC 4180; an empty line has no cells."""
    at = 0
    while at < len(text):
        cells, fault, end, start = [], "", ",", at
        while end == ",":
            found = CELL.match(text, at)
            if found is None:
                raise ValueError("a quote is never closed")
            quoted, rest, end = found[1], found[2] or found[3] or "", found[4]
            rest = rest.removesuffix("\r") if end == "\n" else rest
            if '"' in rest or (quoted is not None and rest):
                fault = "ROW_QUOTE"
            cells.append((quoted or "").replace('""', '"') + rest)
            at = found.end()
        is_empty = text[start:at].strip("\r\n") == ""
        yield ([], "EMPTY") if is_empty else (cells, fault)


def read_rows(path: Path) -> list[Row]:
    """Read all physical records of a CSV, JSON lines or Parquet file."""
    if path.suffix == ".csv":
        return list(read_csv(path.read_bytes().decode("utf-8-sig")))
    if path.suffix == ".jsonl":
        lines = path.read_bytes().decode().removesuffix("\n").split("\n")
        return [read_object(n, line) for n, line in enumerate(lines, start=1)]
    records = pl.read_parquet(path).rows(named=True)
    return [typed_row(n, record) for n, record in enumerate(records, start=1)]


def read_csv(text: str) -> Iterator[Row]:
    """Number the records after the header and compare their widths with it."""
    records = split_records(text)
    header, _ = next(records)
    for row_no, (cells, fault) in enumerate(records, start=1):
        over = len(cells) - len(header)
        shape = ("", "ROW_TOO_WIDE", "ROW_TOO_SHORT")[(over > 0) - (over < 0)]
        yield Row(row_no, dict(zip(header, cells, strict=False)), fault or shape)


def read_object(row_no: int, line: str) -> Row:
    """Read one line of JSON; half a surrogate pair is no text (RFC 8259, 8.2)."""
    try:
        record = json.loads(line)
        json.dumps(record, ensure_ascii=False).encode()
        return typed_row(row_no, record)
    except ValueError:
        return Row(row_no, {}, "ROW_JSON" if line.strip("\r") else "EMPTY")


def typed_row(row_no: int, record: object) -> Row:
    """Take texts as they are and integers as digits; this job has no other types."""
    if not isinstance(record, dict):
        return Row(row_no, {}, "ROW_JSON")
    given = {name: value for name, value in record.items() if value is not None}
    fault = "" if {*map(type, given.values())} <= {str, int} else "TYPE"
    return Row(row_no, {name: str(value) for name, value in given.items()}, fault)


def tidy(text: str) -> str:
    """Drop zero-width characters anywhere, and white space outside."""
    return text.translate(dict.fromkeys(map(ord, ZERO_WIDTH))).strip(WHITE)


def email(text: str) -> str:
    """Repair an e-mail, then hold it against the pattern of the API."""
    text = unicodedata.normalize("NFC", tidy(text).lower())
    if not text:
        return ""
    local, at, domain = text.rpartition("@")
    if not domain.isascii():
        try:
            found = validate_email("x@" + domain, check_deliverability=False)
        except EmailNotValidError:
            raise Invalid("EMAIL") from None
        domain = found.ascii_domain or ""
    if FORBIDDEN_IN_ID.search(text) or not E_MAIL.fullmatch(local + at + domain):
        raise Invalid("EMAIL")
    return local + at + domain


def phone(text: str) -> str:
    """Write a phone number as E.164; letters and extensions would be lost: invalid."""
    if not (text := tidy(text)):
        return ""
    try:
        number = phonenumbers.parse(re.sub("^00", "+", text), "PL")
    except phonenumbers.NumberParseException:
        raise Invalid("PHONE") from None
    has_more = number.extension or any(c.isalpha() for c in text)
    if has_more or not phonenumbers.is_valid_number(number):
        raise Invalid("PHONE")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def plain(text: str) -> str:
    """Strip a text and apply text rule T; half a surrogate pair is no character."""
    text = text.strip(ASCII_OR_NBSP)
    if re.search("[\0\ud800-\udfff]", text) or re.fullmatch("[\ufe00-\ufe0f]+", text):
        raise Invalid("TEXT")
    return text


def birth_date(text: str) -> str:
    """Read a day as dd.mm.yyyy; it must be later than 1900-01-01."""
    parts = re.fullmatch(r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})", text)
    try:
        day = dt.date(*map(int, parts.groups()[::-1])) if parts else dt.date.min
    except ValueError:
        day = dt.date.min
    if day <= dt.date(1900, 1, 1):
        raise Invalid("DATE")
    return day.isoformat()


def word(text: str, words: dict[str, object]) -> object:
    """Look a word up in the `values` of the job."""
    if text not in words:
        raise Invalid("VALUE")
    return words[text]


def integer(text: str) -> int:
    """Read a 64-bit integer."""
    if not re.fullmatch(r"[+-]?[0-9]+", text) or abs(int(text)) >= 2**63:
        raise Invalid("TYPE")
    return int(text)


def identifiers(cells: dict[str, str]) -> Flat:
    """Read e-mail, phone and customId; an invalid phone is omitted unless it is all."""
    mail, number = email(cells.get("e_mail", "")), ""
    own_no = cells.get("customer_no", "").strip(WHITE)
    bad_no = FORBIDDEN_IN_ID.search(own_no)
    try:
        number = phone(cells.get("tel", ""))
    except Invalid:
        if not mail and (bad_no or not own_no):
            raise
    if bad_no:
        raise Invalid("CUSTOM_ID")
    if not (mail or number or own_no):
        raise Invalid("NO_ID")
    return {("email",): mail, ("phone",): number, ("customId",): own_no}


def fields(row: Row) -> Flat:
    """Turn the cells of one row into the fields that are given, in mapping order."""
    if row.fault:
        raise Invalid(row.fault)
    cells = row.cells
    sizes = [len(text.encode("utf-8", "surrogatepass")) for text in cells.values()]
    if max(sizes, default=0) > CELL_LIMIT:
        raise Invalid("TOO_LARGE")
    out = identifiers(cells)
    cut = {name: text.strip(ASCII_OR_NBSP) for name, text in cells.items()}
    if text := cut.get("dob"):
        out["birthDate",] = birth_date(text)
    if text := cut.get("gender"):
        out["sex",] = word(text, {"K": "FEMALE", "M": "MALE"})
    if text := cut.get("newsletter"):
        out["agreements", "email"] = word(text, {"tak": True, "nie": False})
    out["attributes", "tier"] = plain(cells.get("tier", ""))
    if text := cut.get("pts"):
        out["attributes", "points"] = integer(text)
    out["tags",] = [tag for t in cells.get("tags", "").split("|") if (tag := plain(t))]
    for name, column in TEXT_FIELDS.items():
        out[name,] = plain(cells.get(column, ""))
    if text := cut.get("country"):
        out["countryCode",] = word(text, {code: code for code in COUNTRIES})
    given = {key: value for key, value in out.items() if value not in ("", [])}
    if len(json.dumps(nested(given), ensure_ascii=False).encode()) > ROW_LIMIT:
        raise Invalid("TOO_LARGE")
    return given


def links(row: Flat) -> set[tuple[str, object]]:
    """Name what ties a row to others; a phone does only when it stands alone."""
    keys = {(name, row[name,]) for name in ("email", "customId") if (name,) in row}
    return keys or {("phone", row["phone",])}


def groups(clean: dict[int, Flat]) -> list[list[int]]:
    """Collect rows that share a link, directly or through others."""
    owner: dict[tuple[str, object], list[int]] = {}
    for row_no, row in clean.items():
        known = {n for key in links(row) for n in owner.get(key, ())}
        merged = [*sorted(known), row_no]
        for member in merged:
            owner |= dict.fromkeys(links(clean[member]), merged)
    return [list(rows) for rows in {tuple(rows) for rows in owner.values()}]


def decide(rows: list[Row]) -> tuple[list[Fate], dict[int, Flat]]:
    """Give every row its fate, and every accepted row its fields."""
    fates: dict[int, Fate] = {}
    clean: dict[int, Flat] = {}
    for row in rows:
        try:
            clean[row.row_no] = fields(row)
        except Invalid as error:
            state = "empty" if str(error) == "EMPTY" else "blocked"
            fates[row.row_no] = Fate(row.row_no, state, str(error))
    accepted: dict[int, Flat] = {}
    for group in groups(clean):
        keys = set[tuple[str, object]]().union(*(links(clean[n]) for n in group))
        if len({name for name, _ in keys}) < len(keys):
            fates |= {n: Fate(n, "blocked", "ID_CONFLICT") for n in group}
            continue
        *earlier, last = group
        fates |= {n: Fate(n, "folded", "FOLDED", last) for n in earlier}
        fates[last] = Fate(last, "accepted")
        accepted[last] = {key: v for n in group for key, v in clean[n].items()}
    return [fates[row.row_no] for row in rows], accepted


def classify(rows: list[Row]) -> list[Fate]:
    """Say where each row ends under the job configs/migrate-customers.yaml."""
    return decide(rows)[0]


def nested(flat: Flat) -> dict[str, object]:
    """Write flat fields as the JSON object of one profile."""
    out: dict[str, Any] = {}
    for (name, *inner), value in flat.items():
        out[name] = {**out.get(name, {}), inner[0]: value} if inner else value
    return out


def expected_profiles(path: Path) -> list[dict[str, object]]:
    """Return what POST /v4/clients/batch must be sent, one object an accepted row."""
    accepted = decide(read_rows(path))[1]
    return [nested(accepted[row_no]) for row_no in sorted(accepted)]
