"""
Damages columns with a real spreadsheet, and keeps what comes out.

    python tests/lint_roundtrip.py

needs `soffice` (LibreOffice) on the path and rewrites
`expected/lint_roundtrip.parquet`; the tests read that file and need no spreadsheet. The
file in the tree was made by LibreOffice 7.4.7.2 on Debian 12.

A column goes in as text, becomes a workbook and comes out as CSV, as shown on the
screen. Between the two, the format of the cells may be set, as a user would in a menu;
that is one number in the styles of the workbook. Words for nothing and invisible
characters only pass through: a spreadsheet carries them, and neither makes nor mends
them.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lint_corpus import KINDS, N_REAL, ROUND_TRIP, mistake_of, original

# LibreOffice's numbers of character sets and languages in its CSV filter.
CHARSETS = {
    "utf-8": 76,
    "cp1252": 1,
    "cp1250": 33,
    "cp1254": 36,
    "cp852": 5,
    "latin-1": 12,
}
US, UK = 1033, 2057
_LOCALE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry"
 xmlns:xs="http://www.w3.org/2001/XMLSchema"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<item oor:path="/org.openoffice.Setup/L10N">
<prop oor:name="ooSetupSystemLocale" oor:op="fuse"><value>{locale}</value></prop></item>
</oor:items>
"""


@dataclass(frozen=True, slots=True)
class Trip:
    """
    One way through the spreadsheet.

    Attributes:
        language: In which it reads the file.
        shown: Format that the cells are given, None leaves it to the spreadsheet.
        locale: Of the user who exports.
        written: Encoding of the file; `read` is what the user says it is.
    """

    language: int = US
    shown: str | None = None
    locale: str = "en-US"
    written: str = "utf-8"
    read: str = "utf-8"


def trips_of(kind: str, no: int) -> tuple[Trip, ...]:
    """Return the ways of a column; of two, each carries one half of the rows."""
    if kind == "E_NOTATION" and no % 4 in (0, 1):
        shown = ("0.00E+00", "0.00000E+00")[no // 4 % 2]
        return (Trip(shown=shown, locale=("en-US", "de-DE")[no // 2 % 2]),)
    if kind == "DAY_MONTH" and no % 3 == 2:  # two offices, one file
        return Trip(UK, shown="dd/mm/yyyy"), Trip(UK)
    if kind == "DAY_MONTH":
        return (Trip(shown="yyyy-mm-dd") if no % 2 else Trip(UK),)
    if kind == "MOJIBAKE":
        written, read = mistake_of(no)
        return (Trip(written=written, read=read),)
    simple = {
        "E_NOTATION": Trip(locale=("en-US", "pl-PL")[no // 4 % 2]),
        "ROUNDED_15": Trip(shown="0"),
        "FLOAT_ID": Trip(shown="0.0"),
        "SERIAL_DATE": Trip(shown="General"),
        "DECIMAL_COMMA": Trip(
            shown=("0.00", "#,##0.00", "General")[no // 3 % 3],
            locale=("de-DE", "pl-PL", "fr-FR")[no % 3],
        ),
        "BOM": Trip(written="utf-8-sig", read="cp1252"),
    }
    return (simple.get(kind, Trip()),)


def soffice(profile: Path, *arguments: str) -> None:
    told = ["soffice", f"-env:UserInstallation={profile.as_uri()}", "--headless"]
    subprocess.run([*told, *arguments], check=True, capture_output=True, timeout=300)


def profile_of(folder: Path, locale: str) -> Path:
    profile = folder / locale
    if not profile.exists():
        (profile / "user").mkdir(parents=True)
        text = _LOCALE.format(locale=locale)
        (profile / "user" / "registrymodifications.xcu").write_text(text)
    return profile


def set_format(workbook: Path, shown: str) -> None:
    """Give every cell of a workbook the number format *shown*."""
    with zipfile.ZipFile(workbook) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    styles = parts["xl/styles.xml"].decode()
    if shown == "General":
        number = "0"
    else:
        number = "399"
        formats = f'<numFmts count="1"><numFmt numFmtId="399" formatCode="{shown}"/>'
        styles = re.sub(r"<numFmts.*?</numFmts>", "", styles, flags=re.DOTALL)
        styles = re.sub(r"(<styleSheet[^>]*>)", rf"\1{formats}</numFmts>", styles)
    before, cells, after = re.split(r"(<cellXfs.*?</cellXfs>)", styles, flags=re.DOTALL)
    cells = re.sub(r'numFmtId="\d+"', f'numFmtId="{number}"', cells)
    parts["xl/styles.xml"] = (before + cells + after).encode()
    with zipfile.ZipFile(workbook, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)


def travel(trip: Trip, columns: list[list[str]], folder: Path) -> list[list[str]]:
    """Send columns through the spreadsheet side by side."""
    folder.mkdir()
    height = max(map(len, columns))
    rows = list(
        zip(*(cells + ["~"] * (height - len(cells)) for cells in columns), strict=True)
    )
    source = folder / "columns.csv"
    with source.open("w", encoding=trip.written, errors="replace", newline="") as file:
        csv.writer(file).writerows(rows)
    reading = f"44,34,{CHARSETS[trip.read]},1,,{trip.language},false,true"
    soffice(
        profile_of(folder.parent, "en-US"),
        f"--infilter=Text - txt - csv (StarCalc):{reading}",
        *("--convert-to", "xlsx", "--outdir", str(folder), str(source)),
    )
    workbook = folder / "columns.xlsx"
    if trip.shown is not None:
        set_format(workbook, trip.shown)
    soffice(
        profile_of(folder.parent, trip.locale),
        *("--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true"),
        *("--outdir", str(folder / "out"), str(workbook)),
    )
    with (folder / "out" / "columns.csv").open(encoding="utf-8", newline="") as file:
        back = list(zip(*csv.reader(file), strict=True))
    return [[cell for cell in cells if cell != "~"] for cells in back]


def damage(kind: str, folder: Path) -> dict[int, list[str]]:
    """Send all columns of a kind; those with the same way travel together."""
    ways: dict[tuple[Trip, int], list[int]] = {}
    for no in range(N_REAL):
        # A byte order mark stands once in a file: in its first cell.
        alone = no if kind == "BOM" else -1
        for trip in trips_of(kind, no):
            ways.setdefault((trip, alone), []).append(no)
    parts: dict[int, list[list[str]]] = {}
    for place, ((trip, _), numbers) in enumerate(ways.items()):
        originals = [original(kind, no).cells for no in numbers]
        back = travel(trip, originals, folder / f"{kind}-{place}")
        for no, cells in zip(numbers, back, strict=True):
            parts.setdefault(no, []).append(cells)
    return {no: joined(found) for no, found in parts.items()}


def joined(parts: list[list[str]]) -> list[str]:
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    half = len(first) // 2
    return first[:half] + second[half:]


def main() -> None:
    kept: list[tuple[str, int, list[str]]] = []
    with tempfile.TemporaryDirectory() as name:
        for kind in KINDS:
            found = damage(kind, Path(name))
            kept += [(kind, no, found[no]) for no in sorted(found)]
            sys.stdout.write(f"{kind}: {len(found)} columns\n")
    frame = pl.DataFrame(
        kept,
        schema={"kind": pl.String, "no": pl.Int64, "cells": pl.List(pl.String)},
        orient="row",
    )
    frame.write_parquet(ROUND_TRIP, compression="zstd", compression_level=19)
    sys.stdout.write(f"{frame.height} columns, {ROUND_TRIP.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
