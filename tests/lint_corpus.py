"""
Columns with known truth, for the linter: damaged ones of every kind, and sound ones.

Every column follows from its kind and number. `original` makes it as the system that
owns it would write it; what damages it is either a real spreadsheet, whose output is
kept in `expected/lint_roundtrip.parquet` (see `lint_roundtrip.py`), or `imitation`,
which does by hand what spreadsheets and careless programs were seen to do. Numbers
below `N_REAL` belong to the spreadsheet, the others to the imitation.

Not in here, because nothing in the cells could show it: numbers counted up from 1 that
were padded with zeros, and dates that were swapped and then all written in one order.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import polars as pl

from lint_words import NAMES, NOTES, PLACES
from pipeline.settings import ColumnMapping, FieldRule, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROUND_TRIP = Path(__file__).parent / "expected" / "lint_roundtrip.parquet"
N_REAL = 22
N_OF_KIND = 44
CLEAN = "CLEAN"
LANGUAGES = tuple(NAMES)


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column and what is true of it.

    Attributes:
        kind: A code of the linter, or `CLEAN`.
        is_real: Whether a spreadsheet made it.
    """

    kind: str
    rule: FieldRule
    cells: list[str]
    is_real: bool = False


def rule_of(field: str, column: str = "", **options: object) -> FieldRule:
    name = column or field.rpartition(".")[2]
    mapping = ColumnMapping.model_validate({"column": name, **options})
    return FieldRule(field, name, kind_of(field), mapping)


def seeded(*of: object) -> Random:
    return Random("/".join(map(str, of)))  # noqa: S311 - a corpus, not a secret


def digits(rng: Random, n_digits: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(n_digits))


def number(rng: Random, n_digits: int) -> str:
    return rng.choice("123456789") + digits(rng, n_digits - 1)


def day(rng: Random, first: int = 1945, last: int = 2005) -> dt.date:
    start = dt.date(first, 1, 1)
    return start + dt.timedelta(days=rng.randrange((last - first) * 365))


# -- what is damaged -------------------------------------------------------------------


def original(kind: str, number_of: int) -> Column:
    """Make the column *number_of* of a kind as it was before the damage."""
    rng = seeded(kind, number_of)
    rule, cells = _ORIGINALS[kind](rng, number_of)
    if number_of % 5 == 4 and kind not in ("BOM", "DAY_MONTH"):
        cells = [cell if rng.random() > 0.15 else "" for cell in cells]
    return Column(kind, rule, cells)


Made = tuple[FieldRule, list[str]]


def _zeros(rng: Random, no: int) -> Made:
    match no % 6:
        case 0:
            firsts = rng.choice(["0123456789", "01234", "0111222233455667789"])
            cells = [rng.choice(firsts) + digits(rng, 4) for _ in range(150)]
            return rule_of("zipCode", rng.choice(["zip", "plz", "kod"])), cells
        case 1:
            years = [f"{y:02d}" for y in (*range(50, 100), *range(12))]
            cells = [rng.choice(years) + digits(rng, 9) for _ in range(150)]
            return rule_of("attributes.pesel"), cells
        case 2:
            starts = ["590", "590", "400", "871", "761", "012"]
            cells = [rng.choice(starts) + digits(rng, 10) for _ in range(150)]
            return rule_of("attributes.ean", "EAN"), cells
        case 3:
            width = rng.randrange(7, 11)
            return rule_of("attributes.card"), [digits(rng, width) for _ in range(400)]
        case _:
            width = rng.randrange(6, 11)
            return rule_of("customId", "customer_no"), [
                digits(rng, width) for _ in range(450)
            ]


def _long(rng: Random, no: int) -> Made:
    """Make numbers that spreadsheets show in scientific notation."""
    match no % 4:
        case 0:
            cells = [f"48{number(rng, 9)}" for _ in range(100)]
            return rule_of("phone", "tel"), cells
        case 1:
            width = rng.randrange(12, 15)
            return rule_of("customId"), [number(rng, width) for _ in range(100)]
        case 2:
            return rule_of("attributes.account"), [number(rng, 26) for _ in range(90)]
        case _:
            return rule_of("customId"), [number(rng, 21) for _ in range(90)]


def _sixteen(rng: Random, no: int) -> Made:
    field = ("customId", "attributes.card", "attributes.order_id")[no % 3]
    width = rng.choice([16, 16, 17, 18, 19])
    return rule_of(field), [number(rng, width) for _ in range(80)]


def _short_id(rng: Random, no: int) -> Made:
    field = ("customId", "phone", "zipCode", "customId")[no % 4]
    width = 5 if field == "zipCode" else 9
    return rule_of(field), [number(rng, width) for _ in range(80)]


def _iso_dates(rng: Random, no: int) -> Made:
    rules = (
        rule_of("birthDate", "dob"),
        rule_of("attributes.signup", type="date"),
        rule_of("attributes.purchase_date"),
        rule_of("attributes.since", "Data zakupu"),
        rule_of("birthDate", format="%d.%m.%Y"),
    )
    return rules[no % 5], [day(rng).isoformat() for _ in range(80)]


def _day_first(rng: Random, no: int) -> Made:
    rules = (
        rule_of("birthDate", "dob"),
        rule_of("attributes.signup", type="date"),
        rule_of("attributes.last_order"),
    )
    return rules[no % 3], [day(rng).strftime("%d/%m/%Y") for _ in range(100)]


def _decimals(rng: Random, no: int) -> Made:
    rule = (
        rule_of("attributes.spent", type="number"),
        rule_of("attributes.height"),
        rule_of("attributes.points", type="integer"),
    )[no % 3]
    scale = rng.choice([10, 1000, 100_000])
    return rule, [f"{rng.uniform(0.1, 1) * scale:.2f}" for _ in range(80)]


def _texts(rng: Random, no: int) -> Made:
    language = ("pl", "de", "fr", "tr", "cs", "es")[no % 6]
    field = ("firstName", "city", "attributes.note", "company")[no % 4]
    return rule_of(field), texts(rng, language, field, 80)


def texts(rng: Random, language: str, field: str, n_cells: int) -> list[str]:
    """Give names, places or sentences of a language, for the field."""
    words = NAMES[language]
    if field in ("city", "address", "province"):
        words = PLACES[language]
    if "note" in field:
        words = NOTES[language]
    return [rng.choice(words) for _ in range(n_cells)]


_HIDDEN = "\u200b \u00ad \u200e \u2060 \u202c \ufeff \u2028 \u200d".split(" ")


def _hidden(rng: Random, no: int) -> Made:
    field = ("customId", "firstName", "attributes.note", "email", "tags")[no % 5]
    if field == "customId":
        cells = [f"K-{digits(rng, 6)}" for _ in range(80)]
    elif field == "email":
        cells = [f"{rng.choice(NAMES['en']).lower()}@example.com" for _ in range(80)]
    else:
        cells = texts(rng, LANGUAGES[no % 4], field, 80)
    # The repair of an e-mail removes the others.
    marks = ["\u00ad", "\u200e"] if field == "email" else _HIDDEN
    for place in rng.sample(range(80), 6):
        cell, at = cells[place], rng.randrange(1, len(cells[place]))
        cells[place] = cell[:at] + rng.choice(marks) + cell[at:]
    return rule_of(field), cells


def _first_cells(rng: Random, no: int) -> Made:
    field = ("firstName", "customId", "company", "city")[no % 4]
    if field == "customId":
        return rule_of(field), [f"K-{digits(rng, 6)}" for _ in range(60)]
    return rule_of(field), texts(rng, LANGUAGES[no % 5], field, 60)


_WORDS = "NULL null NaN nan #N/A N/A n/a None \\N (null) <NA> #REF! undefined".split()


def _nothing(rng: Random, no: int) -> Made:
    rule = (
        rule_of("firstName"),
        rule_of("attributes.points", type="integer"),
        rule_of("email"),
        rule_of("attributes.note"),
        rule_of("phone"),
        rule_of("birthDate"),
        rule_of("zipCode"),
    )[no % 7]
    cells = {
        "firstName": lambda: rng.choice(NAMES["pl"]),
        "attributes.points": lambda: str(rng.randrange(9000)),
        "email": lambda: f"a{digits(rng, 5)}@example.com",
        "attributes.note": lambda: rng.choice(NOTES["en"]),
        "phone": lambda: f"+48{number(rng, 9)}",
        "birthDate": lambda: day(rng).isoformat(),
        "zipCode": lambda: f"{digits(rng, 2)}-{digits(rng, 3)}",
    }
    word, share = _WORDS[no % len(_WORDS)], rng.choice([0.02, 0.1, 0.6])
    made = [cells[rule.name]() for _ in range(79)]
    return rule, [word, *(word if rng.random() < share else cell for cell in made)]


_ORIGINALS: dict[str, Callable[[Random, int], Made]] = {
    "LEADING_ZEROS_LOST": _zeros,
    "E_NOTATION": _long,
    "ROUNDED_15": _sixteen,
    "FLOAT_ID": _short_id,
    "SERIAL_DATE": _iso_dates,
    "DAY_MONTH": _day_first,
    "DECIMAL_COMMA": _decimals,
    "MOJIBAKE": _texts,
    "INVISIBLE": _hidden,
    "BOM": _first_cells,
    "NULL_WORD": _nothing,
}
KINDS = tuple(_ORIGINALS)


# -- what damages it -------------------------------------------------------------------


def imitation(kind: str, number_of: int) -> Column:
    """Damage a column by hand, as spreadsheets and programs were seen to do."""
    column = original(kind, number_of)
    rng = seeded("damage", kind, number_of)
    damage = _DAMAGES.get(kind)
    cells = damage(rng, number_of, column.cells) if damage else column.cells
    return Column(kind, column.rule, cells)


def _drop_zeros(_rng: Random, _no: int, cells: Sequence[str]) -> list[str]:
    return [str(int(cell)) if cell else "" for cell in cells]


def _show_short(rng: Random, _no: int, cells: Sequence[str]) -> list[str]:
    """Show numbers as a narrow cell of a spreadsheet does."""
    places, comma = rng.choice([2, 5, 5]), rng.random() < 0.4
    shown = [f"{float(cell):.{places}E}" if cell else "" for cell in cells]
    return [cell.replace(".", ",") if comma else cell for cell in shown]


def _keep_15(_rng: Random, _no: int, cells: Sequence[str]) -> list[str]:
    return [cell and cell[:15] + "0" * (len(cell) - 15) for cell in cells]


def _add_fraction(_rng: Random, _no: int, cells: Sequence[str]) -> list[str]:
    return [cell and f"{cell}.0" for cell in cells]


def _count_days(_rng: Random, _no: int, cells: Sequence[str]) -> list[str]:
    epoch = dt.date(1899, 12, 30)  # the 1900 system
    days = [cell and (dt.date.fromisoformat(cell) - epoch).days for cell in cells]
    return [str(n) for n in days]


def _swap(rng: Random, no: int, cells: Sequence[str]) -> list[str]:
    """Open day-first dates as a month-first spreadsheet does."""
    parts = [cell.split("/") for cell in cells]
    if no % 3 == 2 or rng.random() < 0.3:  # two offices, one file
        half = len(parts) // 2
        return [
            f"{d}/{m}/{y}" if n < half else f"{m}/{d}/{y}"
            for n, (d, m, y) in enumerate(parts)
        ]
    return [f"{y}-{d}-{m}" if int(d) <= 12 else f"{d}/{m}/{y}" for d, m, y in parts]


def _use_comma(rng: Random, _no: int, cells: Sequence[str]) -> list[str]:
    mark = rng.choice(["", ".", "\u00a0", "\u202f"])
    grouped = [cell and f"{float(cell):,.2f}" for cell in cells]
    return [c.replace(",", "_").replace(".", ",").replace("_", mark) for c in grouped]


_MISTAKES = (
    ("utf-8", "cp1252"),
    ("utf-8", "cp1250"),
    ("utf-8", "latin-1"),
    ("utf-8", "cp1254"),
    ("utf-8", "cp852"),
)


def mistake_of(no: int) -> tuple[str, str]:
    """Return how the text of a column is written, and as what it is read."""
    is_slavic = no % 6 in (0, 4)  # see `_texts`
    if is_slavic and no % 4 == 2:
        return "cp1250", "cp1252"
    return _MISTAKES[no % len(_MISTAKES)]


def _misread(_rng: Random, no: int, cells: Sequence[str]) -> list[str]:
    written, read = mistake_of(no)
    return [cell.encode(written, "replace").decode(read, "replace") for cell in cells]


def _join_files(rng: Random, no: int, cells: Sequence[str]) -> list[str]:
    mark = "\ufeff" if no % 2 else "ï»¿"
    at = rng.randrange(len(cells))
    return [mark + cell if n == at else cell for n, cell in enumerate(cells)]


_DAMAGES: dict[str, Callable[[Random, int, Sequence[str]], list[str]]] = {
    "LEADING_ZEROS_LOST": _drop_zeros,
    "E_NOTATION": _show_short,
    "ROUNDED_15": _keep_15,
    "FLOAT_ID": _add_fraction,
    "SERIAL_DATE": _count_days,
    "DAY_MONTH": _swap,
    "DECIMAL_COMMA": _use_comma,
    "MOJIBAKE": _misread,
    "BOM": _join_files,
}


def damaged() -> list[Column]:
    """Give `N_OF_KIND` damaged columns of each kind, half by a real spreadsheet."""
    kept = pl.read_parquet(ROUND_TRIP)
    real = {
        (kind, number_of): cells
        for kind, number_of, cells in kept.select("kind", "no", "cells").iter_rows()
    }
    return [
        Column(kind, original(kind, no).rule, real[kind, no], is_real=True)
        if no < N_REAL
        else imitation(kind, no)
        for kind in KINDS
        for no in range(N_OF_KIND)
    ]


# -- what is sound ---------------------------------------------------------------------


def clean() -> list[Column]:
    """Give sound columns: every maker with a few seeds, text in every language."""
    columns = [
        Column(CLEAN, *make(seeded(CLEAN, place, seed)))
        for place, make in enumerate(_SOUND)
        for seed in range(4)
    ]
    for language in LANGUAGES:
        for field in ("firstName", "lastName", "city", "attributes.note", "address"):
            rng = seeded(CLEAN, language, field)
            cells = texts(rng, language, field, 200)
            if field == "address":
                cells = [f"{cell} {rng.randrange(1, 300)}" for cell in cells]
            columns.append(Column(CLEAN, rule_of(field), cells))
            if field == "lastName":
                columns.append(
                    Column(CLEAN, rule_of("company"), [c.upper() for c in cells])
                )
    return columns


def _many(make: Callable[[Random], str], **rule: object) -> Callable[[Random], Made]:
    """Turn a maker of cells into one of columns of 60 to 500 cells, some blank."""

    def column(rng: Random) -> Made:
        n_cells, blank = rng.choice([60, 150, 500]), rng.choice([0, 0, 0.2])
        cells = ["" if rng.random() < blank else make(rng) for _ in range(n_cells)]
        return rule_of(**rule), cells  # type: ignore[arg-type]

    return column


def _orders(field: str) -> Callable[[Random], Made]:
    def column(rng: Random) -> Made:
        """Draw from numbers that grew from somewhere to somewhere."""
        end = int(10 ** rng.uniform(3, 8))
        start = rng.choice([1, end // 50, end // 3])
        n_cells = rng.choice([150, 400, 900])
        return rule_of(field), [str(rng.randint(start, end)) for _ in range(n_cells)]

    return column


def _counted(rng: Random) -> Made:
    n_cells = rng.choice([99, 500, 1000, 1203])
    return rule_of("customId"), [str(n + 1) for n in range(n_cells)]


def _iban(rng: Random) -> str:
    return f"{rng.choice(['PL', 'DE', 'GB'])}{digits(rng, 24)}"


def _card(rng: Random) -> str:
    return f"4{digits(rng, 15)}"


_D = dt.date.isoformat
_SOUND: tuple[Callable[[Random], Made], ...] = (
    _orders("customId"),
    _orders("attributes.order"),
    _orders("attributes.invoice"),
    _counted,
    _many(lambda r: f"C-{digits(r, 8)}", field="customId"),
    _many(lambda r: digits(r, 8), field="customId"),
    _many(lambda r: number(r, 8), field="customId"),
    _many(lambda r: f"{r.getrandbits(64):016x}", field="customId"),
    _many(lambda r: f"{r.getrandbits(28):07x}", field="attributes.commit"),
    _many(lambda r: number(r, 18), field="customId"),
    _many(_card, field="attributes.card"),
    _many(_iban, field="attributes.iban"),
    _many(lambda r: digits(r, 13), field="attributes.ean"),
    _many(lambda r: f"{r.randint(1, 99)}E{r.randint(1, 9)}", field="attributes.sku"),
    _many(lambda r: str(uuid.UUID(int=r.getrandbits(128))), field="uuid"),
    _many(lambda r: f"a.{digits(r, 4)}+x@example.com", field="email"),
    _many(lambda r: f"+48{number(r, 9)}", field="phone"),
    _many(lambda r: number(r, 9), field="phone", region="PL"),
    _many(lambda r: f"0{number(r, 10)}", field="phone", region="DE"),
    _many(lambda r: f"(0{number(r, 2)}) {digits(r, 6)}", field="phone", region="PL"),
    _many(lambda r: f"{digits(r, 3)} {digits(r, 3)}", field="attributes.phone_2"),
    _many(lambda r: f"{digits(r, 2)}-{digits(r, 3)}", field="zipCode"),
    _many(lambda r: digits(r, 5), field="zipCode"),
    _many(lambda r: number(r, 4), field="zipCode"),
    _many(lambda r: number(r, 6), field="zipCode"),
    _many(lambda r: r.choice([number(r, 4), digits(r, 5)]), field="zipCode"),
    _many(lambda r: f"{number(r, 4)} {r.choice('ABX')}Z", field="zipCode"),
    _many(lambda r: _D(day(r)), field="birthDate"),
    _many(lambda r: _D(day(r)), field="attributes.since", type="date"),
    _many(lambda r: _D(day(r)), field="attributes.purchase_date"),
    _many(lambda r: _D(day(r).replace(day=1)), field="attributes.m", type="date"),
    _many(lambda r: f"{_D(day(r))}T10:00:00Z", field="attributes.t", type="datetime"),
    _many(lambda r: day(r).strftime("%d.%m.%Y"), field="birthDate", format="%d.%m.%Y"),
    _many(
        lambda r: day(r).strftime("%m/%d/%Y"),
        field="attributes.due",
        type="date",
        format="%m/%d/%Y",
    ),
    _many(lambda r: day(r).strftime("%d.%m.%Y"), field="attributes.said"),
    _many(lambda r: str(r.randint(1940, 2024)), field="attributes.birth_year"),
    _many(lambda r: str(r.randint(-5000, 50_000)), field="attributes.points"),
    _many(lambda r: str(r.randint(0, 10**6)), field="attributes.n", type="integer"),
    _many(lambda r: f"{r.uniform(0, 9999):.2f}", field="attributes.a", type="number"),
    _many(lambda r: f"{r.uniform(-1, 1):.6e}", field="attributes.b", type="number"),
    _many(lambda r: f"{r.uniform(0, 99):.2f}", field="attributes.price"),
    _many(
        lambda r: f"{r.uniform(0, 99):.2f}".replace(".", ","),
        field="attributes.paid",
        type="number",
        decimal=",",
    ),
    _many(lambda r: f"{r.uniform(0, 9999):,.2f} USD", field="attributes.money"),
    _many(lambda r: f"{r.randint(1, 9)},{r.randint(100, 999)}", field="attributes.k"),
    _many(lambda r: f"{r.randint(0, 23)}:{r.randint(10, 59)}", field="attributes.hour"),
    _many(lambda r: f"{r.randint(1, 9)}.{r.randint(0, 20)}.1", field="attributes.ver"),
    _many(
        lambda r: f"10.0.{r.randint(0, 99)}.{r.randint(0, 9)}", field="attributes.ip"
    ),
    _many(lambda r: f"{r.randint(1, 9)}/{r.randint(10, 20)}", field="attributes.part"),
    _many(lambda r: f"https://example.com/?q={digits(r, 5)}", field="avatarUrl"),
    _many(lambda r: r.choice(["PL", "DE", "NA", "TR"]), field="countryCode"),
    _many(
        lambda r: r.choice(["tak", "nie", "NULL"]),
        field="agreements.email",
        values={"tak": True, "nie": False, "NULL": False},
    ),
    _many(lambda r: r.choice(["vip|b2b", "new"]), field="tags", split="|"),
    _many(lambda r: r.choice(["true", "false"]), field="attributes.f", type="boolean"),
    _many(lambda r: f'{{"a":{r.randint(0, 9)}}}', field="attributes.j", type="json"),
    _many(lambda r: r.choice(["Null", "Nan", "Na", "None-Smith"]), field="lastName"),
    _many(lambda r: r.choice(["A+", "0-", "AB+", "B-"]), field="attributes.blood"),
    _many(lambda r: r.choice(["👍", "👩‍👩‍👧", "❤️ ok", "-"]), field="attributes.mood"),
    _many(lambda r: r.choice(["38.5", "40", "XL", "½"]), field="attributes.size"),
)
