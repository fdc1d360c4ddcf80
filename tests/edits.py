"""
Generated edits on both sides of a comparison, and the class that each one has to get.

The truth comes from what was done, never from comparing values: a field was kept or
changed in the source, and kept, changed, erased, or changed alike in the CRM.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCE_EDITS = ("keep", "keep", "change")
CRM_EDITS = ("keep", "keep", "change", "erase", "alike")
TRUTH = {
    ("keep", "keep"): "equal",
    ("keep", "change"): "crm_edited",
    ("keep", "erase"): "erased",
    ("change", "keep"): "source_newer",
    ("change", "change"): "both_changed",
    ("change", "erase"): "both_changed",
    ("change", "alike"): "equal",
}
WITHOUT_BASELINE = {
    ("keep", "keep"): "equal",
    ("keep", "change"): "differs",
    ("keep", "erase"): "missing",
    ("change", "keep"): "differs",
    ("change", "change"): "differs",
    ("change", "erase"): "missing",
    ("change", "alike"): "equal",
}
Values = dict[str, Any]


def _name(draw: random.Random) -> str:
    letters = "abcdefgh\u0142\u00f3\u00df\u0301\u4e2d"
    return "N" + "".join(draw.choices(letters, k=6)) + str(draw.random())


MAKERS: dict[str, Callable[[random.Random], Any]] = {
    "firstName": _name,
    "city": lambda draw: f"Town {draw.random()}",
    "phone": lambda draw: f"+48600{draw.randrange(10**6):06}",
    "birthDate": lambda draw: f"19{draw.randrange(10, 99)}-0{draw.randrange(1, 9)}-11",
    "tags": lambda draw: sorted({f"t{draw.randrange(10**6)}" for _ in range(3)}),
    "agreements.sms": lambda draw: draw.random() < 0.5,
    "attributes.points": lambda draw: draw.randrange(10**6),
    "attributes.price": lambda draw: draw.randrange(10**6) / 100,
    "attributes.note": lambda draw: str(draw.randrange(10**6)),
}


@dataclass
class World:
    """Three states of the same people, and what was done to each field of them."""

    source: list[Values] = field(default_factory=list)
    crm: list[Values] = field(default_factory=list)
    baseline: list[Values] = field(default_factory=list)
    edits: dict[tuple[int, str], tuple[str, str]] = field(default_factory=dict)
    only_in_source: set[int] = field(default_factory=set)
    only_in_crm: set[str] = field(default_factory=set)

    def truth(self, *, has_baseline: bool) -> dict[tuple[int, str], str]:
        """Return row_no and field → class, of all that are not equal."""
        table = TRUTH if has_baseline else WITHOUT_BASELINE
        found = {key: table[edit] for key, edit in self.edits.items()}
        return {key: name for key, name in found.items() if name != "equal"}


def world(seed: int, n_people: int) -> World:
    """Make people, and edit them on both sides."""
    draw = random.Random(seed)  # noqa: S311 - a test's dice
    made = World()
    for n in range(1, n_people + 1):
        person = {"customId": f"C{n:05}", "email": f"p{n}@example.com"}
        kind = draw.random()
        if kind < 0.05:
            made.only_in_source.add(n)
            made.source.append(person | {"city": "Alone"})
            continue
        source, crm, then = dict(person), dict(person), dict(person)
        for name, make in MAKERS.items():
            if draw.random() < 0.2:
                continue  # nobody gives it
            base = make(draw)
            of_source, of_crm = _drawn_edits(draw)
            if name.startswith("agreements") and (of_source, of_crm) == ("change",) * 2:
                of_crm = "keep"  # two ways to change a truth value are one
            then[name] = base
            source[name] = base if of_source == "keep" else _other(make, draw, base)
            crm[name] = {
                "keep": base,
                "erase": None,
                "alike": source[name],
                "change": _other(make, draw, base, source[name]),
            }[of_crm]
            made.edits[n, name] = (of_source, of_crm)
        _hide_a_key(draw, crm)
        made.source.append(source)
        made.crm.append(crm)
        made.baseline.append(then)
    for n in range(n_people // 20):
        stranger = {"customId": f"S{n}", "email": f"s{n}@example.com"}
        made.only_in_crm.add(f"customId=S{n}")
        made.crm.append(stranger)
    draw.shuffle(made.crm)
    draw.shuffle(made.baseline)
    return made


def _drawn_edits(draw: random.Random) -> tuple[str, str]:
    of_source, of_crm = draw.choice(SOURCE_EDITS), draw.choice(CRM_EDITS)
    return of_source, "keep" if (of_source, of_crm) == ("keep", "alike") else of_crm


def _other(
    make: Callable[[random.Random], Any], draw: random.Random, *taken: Any
) -> Any:
    while (value := make(draw)) in taken:
        if isinstance(value, bool) and len(set(taken)) > 1:
            break  # there is no third one
    return value


def _hide_a_key(draw: random.Random, crm: Values) -> None:
    """Let some profiles be found by one identifier alone, in another case."""
    if draw.random() < 0.2:
        crm["email"] = crm["email"].upper()


def liberties(name: str, value: Any, draw: random.Random) -> Any:
    """Write a value as a CRM may: another text, the same meaning."""
    if value is None or draw.random() < 0.5:
        return value
    if name == "tags":
        return draw.sample(value, len(value))
    if name == "phone":
        return f"00{value[1:3]} {value[3:6]}-{value[6:]}"
    return f" {value} " if name in ("firstName", "city") else value


# -- files -------------------------------------------------------------------------

NAMES = ["customId", "email", *MAKERS]
JOB = """
mapping:
  customId: customId
  email: email
  firstName: firstName
  city: city
  phone: phone
  birthDate: birthDate
  tags: {column: tags, split: "|"}
  agreements: {sms: agreements.sms}
  attributes:
    points: {column: attributes.points, type: integer}
    price: {column: attributes.price, type: number}
    note: attributes.note
"""


def write_source(path: Path, rows: list[Values]) -> None:
    """Write rows as a CSV for `JOB`."""
    cells = [{name: _text(row.get(name)) for name in NAMES} for row in rows]
    pl.DataFrame(cells, schema=dict.fromkeys(NAMES, pl.String)).write_csv(path)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(value)
    return "" if value is None else str(value)


PORTAL = {
    "customId": "custom_identify",
    "firstName": "firstname",
    "birthDate": "birthdate",
    "agreements.sms": "receive_smses",
    "attributes.points": "points",
    "attributes.price": "price",
    "attributes.note": "note",
}


def write_profiles(path: Path, rows: list[Values], form: str, seed: int) -> None:
    """Write profiles as an export of this tool would, or the portal's."""
    draw = random.Random(seed)  # noqa: S311 - a test's dice
    told = [
        {name: liberties(name, row.get(name), draw) for name in NAMES} for row in rows
    ]
    if form == "csv":
        _frame(told, as_text=True).write_csv(path)
    elif form == "parquet":
        _frame(told, as_text=False).write_parquet(path)
    elif form == "portal":
        _frame(told, as_text=True).rename(PORTAL).write_csv(path)
    else:
        objects = [_nested(row, n) for n, row in enumerate(told)]
        lines = [
            json.dumps(one, ensure_ascii=n % 2 == 0) for n, one in enumerate(objects)
        ]
        text = "\n".join(lines)
        if form == "json":
            text = json.dumps(objects, indent=2)
        path.write_text(text + "\n", encoding="utf-8")


def _nested(row: Values, n: int) -> Values:
    told: Values = {"clientId": n + 1, "attributes": {}, "agreements": {}}
    for name, value in row.items():
        parent, _, part = name.partition(".")
        if part:
            told[parent][part] = value
        else:
            told[name] = value
    return told


def _frame(rows: list[Values], *, as_text: bool) -> pl.DataFrame:
    types: dict[str, Any] = dict.fromkeys(NAMES, pl.String)
    if not as_text:
        types |= {
            "tags": pl.List(pl.String),
            "agreements.sms": pl.Boolean,
            "attributes.points": pl.Int64,
            "attributes.price": pl.Float64,
        }
    cells = [
        {name: _cell(value, as_text=as_text) for name, value in row.items()}
        for row in rows
    ]
    return pl.DataFrame(cells, schema=types)


def _cell(value: Any, *, as_text: bool) -> Any:
    if not as_text or value is None or isinstance(value, str):
        return value
    return json.dumps(value)
