"""
One seeded maker of customers, for every measurement here.

A row follows from its number alone, so ten million rows are made in chunks, and the
same number of rows is the same file on any machine. Each chunk exists twice: *dirty*,
as a source would hold it, and *clean*, the values that the job is to make of it; the
second is made first and by other code than the tool's, so it can judge the tool.

Every 200th row repeats a person of before, so exactly `n_folded(rows)` rows fold.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from benchmarks import words

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(__file__).parent / "data"
CHUNK_ROWS: Final = 100_000
ONE_REPEATS: Final = 200
SEED: Final = 20_240_229

N: Final = pl.col("n")
PERSON: Final = pl.col("person")

# Source column → field, in the order of the file.
COLUMNS: Final = {
    "e_mail": "email",
    "tel": "phone",
    "customer_no": "customId",
    "guid": "uuid",
    "first_name": "firstName",
    "last_name": "lastName",
    "street": "address",
    "city": "city",
    "postcode": "zipCode",
    "country": "countryCode",
    "dob": "birthDate",
    "gender": "sex",
    "newsletter": "agreements.email",
    "pts": "attributes.points",
    "spent": "attributes.spent",
    "note": "attributes.note",
    "tags": "tags",
}
BLANK_PERCENT: Final = {
    "email": 15,
    "phone": 40,
    "customId": 5,
    "uuid": 60,
    "firstName": 8,
    "lastName": 10,
    "address": 30,
    "city": 20,
    "zipCode": 30,
    "countryCode": 10,
    "birthDate": 40,
    "sex": 20,
    "agreements.email": 15,
    "attributes.points": 25,
    "attributes.spent": 45,
    "attributes.note": 55,
    "tags": 60,
}
OF_THE_PERSON: Final = ("email", "phone", "customId", "uuid")

JOB: Final = """\
version: 1
name: benchmark
mapping:
  email: e_mail
  phone: {column: tel, region: PL}
  customId: customer_no
  uuid: guid
  firstName: first_name
  lastName: last_name
  address: street
  city: city
  zipCode: postcode
  countryCode: country
  birthDate: dob
  sex: {column: gender, values: {K: FEMALE, M: MALE}}
  agreements: {email: NEWSLETTER}
  attributes: {points: POINTS, spent: SPENT, note: note}
  tags: {column: tags, split: "|"}
rows: {duplicates: fold}
"""
# Text needs to be told what it means; Parquet has types.
JOB_WORDS: Final = {
    "csv": {
        "NEWSLETTER": "{column: newsletter, values: {tak: true, nie: false}}",
        "POINTS": "{column: pts, type: integer}",
        "SPENT": "{column: spent, type: number}",
    },
    "parquet": {"NEWSLETTER": "newsletter", "POINTS": "pts", "SPENT": "spent"},
}


def n_folded(n_rows: int) -> int:
    """Return how many of the first *n_rows* rows repeat a person."""
    return n_rows // ONE_REPEATS


def noise(of: pl.Expr, stream: int) -> pl.Expr:
    """Return 64 random bits for each number: the finaliser of SplitMix64."""

    def u64(number: int) -> pl.Expr:
        return pl.lit(number % 2**64, dtype=pl.UInt64)

    mixed = of * u64(0x9E3779B97F4A7C15) + u64((SEED + stream) * 0xD1342543DE82EF95)
    mixed = (mixed ^ (mixed // u64(2**30))) * u64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed // u64(2**27))) * u64(0x94D049BB133111EB)
    return mixed ^ (mixed // u64(2**31))


def pick(values: list[str], bits: pl.Expr) -> pl.Expr:
    """Choose one of *values* by random bits."""
    return pl.lit(pl.Series(values)).gather(bits % len(values))


def digits(number: pl.Expr, width: int) -> pl.Expr:
    """Write a number with leading zeros."""
    return number.cast(pl.String).str.zfill(width)


def percent(of: pl.Expr, stream: int) -> pl.Expr:
    """Return a number from 0 to 99, the same for the same input and stream."""
    return noise(of, 1000 + stream) % 100


# -- what is true ----------------------------------------------------------------------


def clean_frame(first: int, n_rows: int) -> pl.DataFrame:
    """
    Make the true values of some rows.

    Frame:
        out  n, person, then a column per field of `COLUMNS`, null = blank
    """
    numbers = pl.int_range(first, first + n_rows, dtype=pl.UInt64, eager=True)
    return clean_rows(numbers)


def clean_rows(numbers: pl.Series) -> pl.DataFrame:
    """Make the true values of the rows of these *numbers*, as `clean_frame` does."""
    rows = numbers.alias("n").to_frame()
    # A repeated row takes a person of this or an earlier group of 200, never the one
    # of another repeated row: the last place of a group has no person of its own.
    group = noise(N, 1) % (N // ONE_REPEATS + 1)
    place = noise(N, 2) % (ONE_REPEATS - 1)
    repeats = N % ONE_REPEATS == ONE_REPEATS - 1
    person = pl.when(repeats).then(group * ONE_REPEATS + place).otherwise(N)
    rows = rows.with_columns(person.alias("person"))
    full = rows.with_columns(
        values.alias(name) for name, values in (_identity() | _facts()).items()
    )
    return full.with_columns(_or_blank(name) for name in COLUMNS.values())


def _or_blank(name: str) -> pl.Expr:
    is_given = _is_given(name)
    if name == "uuid":  # everybody has something that finds him
        is_given |= ~(_is_given("email") | _is_given("customId"))
    return pl.when(is_given).then(pl.col(name)).alias(name)


def _is_given(name: str) -> pl.Expr:
    stream = 100 + list(COLUMNS.values()).index(name)
    of = PERSON if name in OF_THE_PERSON else N
    return percent(of, stream) >= BLANK_PERCENT[name]


def _identity() -> dict[str, pl.Expr]:
    hexes = [f"{number:04x}" for number in range(2**16)]
    parts = [
        pick(hexes, noise(PERSON, 10 + n // 4) // 2 ** (16 * (n % 4))) for n in range(8)
    ]
    dash = pl.lit("-")
    email = pl.concat_str(
        pick(words.MAIL_NAMES, noise(PERSON, 20)),
        pl.lit("."),
        PERSON.cast(pl.String),
        pl.lit("@"),
        pick(words.MAIL_HOSTS, noise(PERSON, 21)),
    )
    phone = pl.concat_str(
        pl.lit("+48"),
        pick(words.MOBILE_PREFIXES, noise(PERSON, 22)),
        digits(noise(PERSON, 23) % 1_000_000, 6),
    )
    return {
        "email": email,
        "phone": phone,
        "customId": pl.concat_str(pl.lit("C-"), digits(PERSON, 8)),
        "uuid": pl.concat_str(
            *parts[:2], dash, parts[2], dash, parts[3], dash, parts[4], dash, *parts[5:]
        ),
    }


def _facts() -> dict[str, pl.Expr]:
    house = (noise(N, 30) % 120 + 1).cast(pl.String)
    flat = (noise(N, 31) % 60 + 1).cast(pl.String)
    street = pick(words.STREETS, noise(N, 32))
    born = pl.lit(dt.date(1940, 1, 1)) + pl.duration(days=noise(N, 33) % 24_000)
    code = noise(N, 34) % 100_000
    cents = noise(N, 47) % 2_000_000
    n_tags = noise(N, 35) % 3 + 1
    tags = pl.concat_list(
        pick(words.TAGS[place::3], noise(N, 36 + place)) for place in range(3)
    )
    return {
        "firstName": pick(words.FIRST_NAMES, noise(N, 40)),
        "lastName": pick(words.LAST_NAMES, noise(N, 41)),
        "address": pl.concat_str(street, pl.lit(" "), house, pl.lit(", m. "), flat),
        "city": pick(words.CITIES, noise(N, 42)),
        "zipCode": pl.concat_str(
            digits(code // 1000, 2), pl.lit("-"), digits(code % 1000, 3)
        ),
        "countryCode": pick(words.COUNTRIES, noise(N, 43)),
        "birthDate": born.dt.to_string("%Y-%m-%d"),
        "sex": pick(["FEMALE", "MALE"], noise(N, 44)),
        "agreements.email": noise(N, 45) % 2 == 0,
        "attributes.points": (noise(N, 46) % 250_000).cast(pl.Int64) - 5_000,
        # Through text: polars divides by a constant with an error of one digit.
        "attributes.spent": pl.concat_str(
            (cents // 100).cast(pl.String), pl.lit("."), digits(cents % 100, 2)
        ).cast(pl.Float64),
        "attributes.note": pl.concat_str(
            pick(words.NOTES, noise(N, 48)),
            pl.lit(" "),
            (noise(N, 49) % 10_000).cast(pl.String),
        ),
        "tags": tags.list.head(n_tags),
    }


# -- what a source holds ---------------------------------------------------------------


def dirty_frame(clean: pl.DataFrame, *, is_typed: bool) -> pl.DataFrame:
    """
    Spell clean rows as people and systems do.

    Args:
        is_typed: For Parquet: dates, numbers and truths keep their types.
    """
    spelled = {
        "email": _mail(pl.col("email")),
        "phone": _phone(pl.col("phone")),
        "uuid": _at(60, 5, pl.col("uuid").str.to_uppercase(), pl.col("uuid")),
        "firstName": _spaced(61, pl.col("firstName")),
        "lastName": _spaced(62, pl.col("lastName")),
        "city": _spaced(63, pl.col("city")),
        "sex": pl.col("sex").replace_strict({"FEMALE": "K", "MALE": "M"}),
        "tags": pl.col("tags").list.join("|"),
    }
    if is_typed:
        spelled["birthDate"] = pl.col("birthDate").str.to_date()
    else:
        told = pl.when(pl.col("agreements.email"))
        said = told.then(pl.lit("tak")).when(~pl.col("agreements.email"))
        spelled["agreements.email"] = said.then(pl.lit("nie"))
    return clean.select(
        spelled.get(field, pl.col(field)).alias(column)
        for column, field in COLUMNS.items()
    )


def _at(stream: int, share: int, then: pl.Expr, otherwise: pl.Expr) -> pl.Expr:
    return pl.when(percent(N, stream) < share).then(then).otherwise(otherwise)


def _spaced(stream: int, text: pl.Expr) -> pl.Expr:
    return _at(stream, 2, text + pl.lit("\u00a0"), text)


def _mail(mail: pl.Expr) -> pl.Expr:
    mail = _at(64, 6, mail.str.to_titlecase(), mail)
    return _at(65, 3, pl.lit(" ") + mail + pl.lit(" "), mail)


def _phone(phone: pl.Expr) -> pl.Expr:
    first, second = phone.str.slice(3, 3), phone.str.slice(6, 3)
    third = phone.str.slice(9, 3)
    blank, dash = pl.lit(" "), pl.lit("-")
    spellings = [
        (50, phone),
        (75, pl.concat_str(first, blank, second, blank, third)),
        (90, pl.concat_str(pl.lit("+48 "), first, dash, second, dash, third)),
        (97, pl.lit("00") + phone.str.slice(1)),
        (100, pl.concat_str(pl.lit("(48) "), first, second, third)),
    ]
    kind = percent(N, 66)
    return pl.coalesce(pl.when(kind < upto).then(text) for upto, text in spellings)


# -- files -----------------------------------------------------------------------------


def chunks(n_rows: int) -> Iterator[pl.DataFrame]:
    """Give the clean rows in order, a chunk at a time."""
    for first in range(0, n_rows, CHUNK_ROWS):
        yield clean_frame(first, min(CHUNK_ROWS, n_rows - first))


def make(n_rows: int, kind: str) -> Path:
    """
    Write a file of *n_rows* customers and the job beside it, unless they are there.

    Args:
        kind: `csv`, `parquet`, or `clean`: the true values as Parquet.

    Returns:
        The file.
    """
    FOLDER.mkdir(exist_ok=True)
    suffix = "csv" if kind == "csv" else "parquet"
    path = FOLDER / f"{'clean' if kind == 'clean' else 'customers'}-{n_rows}.{suffix}"
    if kind in JOB_WORDS:
        job = JOB
        for word, told in JOB_WORDS[kind].items():
            job = job.replace(word, told)
        path.with_suffix(f".{kind}.yaml").write_text(job, encoding="utf-8")
    if path.exists():
        return path
    unfinished = path.with_suffix(".part")
    if kind == "csv":
        _write_csv(n_rows, unfinished)
    else:
        _write_parquet(n_rows, kind, unfinished)
    return unfinished.replace(path)


def _write_csv(n_rows: int, path: Path) -> None:
    with path.open("wb") as file:
        for number, clean in enumerate(chunks(n_rows)):
            dirty = dirty_frame(clean, is_typed=False)
            dirty.write_csv(file, include_header=number == 0)


def _write_parquet(n_rows: int, kind: str, path: Path) -> None:
    """Write chunk by chunk, then join them without holding them all."""
    folder = path.with_suffix(".chunks")
    folder.mkdir(exist_ok=True)
    parts = []
    for number, clean in enumerate(chunks(n_rows)):
        part = folder / f"{number:06d}.parquet"
        frame = clean if kind == "clean" else dirty_frame(clean, is_typed=True)
        frame.write_parquet(part, compression="lz4")
        parts.append(part)
    pl.scan_parquet(parts).sink_parquet(path, compression="zstd")
    for part in parts:
        part.unlink()
    folder.rmdir()


def main() -> None:
    """Make one file and print its path."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("rows", type=int)
    parser.add_argument("kind", choices=["csv", "parquet", "clean"])
    told = parser.parse_args()
    print(make(told.rows, told.kind))


if __name__ == "__main__":
    main()
