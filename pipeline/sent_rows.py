"""The accepted rows of a run, made again from their source as they went out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.identity import packed_row
from pipeline.line import encoded_slices
from pipeline.outcomes import CHUNK_ROWS, Assembly, Evidence
from pipeline.outgoing import Outgoing
from pipeline.records import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.checker import CheckResult
    from pipeline.line import Line
    from pipeline.records import BatchOutcome
    from pipeline.spill import SliceStore
    from pipeline.verify.sampling import Shape

# In the order of how surely they name one profile.
FINDERS: Final = ("customId", "email", "uuid", "phone", "clientId")
_JOIN: Final = "+"
_NESTED: Final = '"attributes":{'


@dataclass(frozen=True, slots=True)
class SentRow:
    """
    A row as it went out.

    Attributes:
        shape: The identifiers it has, of `FINDERS`.
        content: Its JSON object, parsed.
    """

    source_no: int
    row_no: int
    batch_no: int
    shape: Shape
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wave:
    """
    Rows to be asked for together.

    Attributes:
        sizes: Shape → accepted rows that these stand for; they are among them.
        n_ambiguous: Rows that were left out: asking for them proves nothing.
    """

    rows: Sequence[SentRow]
    sizes: Mapping[Shape, int]
    n_ambiguous: int


def accepted_frames(
    line: Line, check: CheckResult, store: SliceStore, batches: Sequence[BatchOutcome]
) -> Iterator[pl.DataFrame]:
    """
    Give the accepted rows in the order in which they went out.

    Args:
        check: Pass 1 of this very line.
        batches: What the journal knows of the run.

    Frame:
        out  source_no, row_no, batch_no UInt64, json String
    """
    assembly = Assembly(Evidence(check.exceptions, check.folded_lane, batches))
    outgoing = Outgoing(check, line.limits.max_row_bytes, line.scratch / "again")
    for encoded in outgoing.encoded(encoded_slices(line, store)):
        for (source_no,), frame in encoded.frame.group_by(
            "source_no", maintain_order=True
        ):
            known = accepted_rows(assembly, int(str(source_no)), frame["row_no"])
            keys = ["source_no", "row_no"]
            rows = frame.join(known, on=keys, how="inner", maintain_order="left")
            yield rows.select(*keys, "batch_no", "json")


def accepted_rows(
    assembly: Assembly, source_no: int, row_nos: pl.Series
) -> pl.DataFrame:
    """Look the outcomes up chunk by chunk: folded rows lie far apart."""
    found = []
    for chunk_no in (row_nos // CHUNK_ROWS).unique(maintain_order=True):
        inside = row_nos.filter(row_nos // CHUNK_ROWS == chunk_no)
        first, last = int(inside.min() or 0), int(inside.max() or 0)  # type: ignore[arg-type]
        chunk = assembly.chunk(source_no, first, last - first + 1)
        found.append(chunk.filter(pl.col("state") == State.ACCEPTED.value))
    return pl.concat(found).select("source_no", "row_no", "batch_no")


# -- what identifies them ----------------------------------------------------------


def shaped(rows: pl.DataFrame) -> pl.DataFrame:
    """
    Add `shape`, the identifiers that each row has, of `FINDERS`, joined.

    Frame:
        in   json String, as the encoder or `fold` writes it

    Cost: a search for each key, 0.03 CPU s for a million rows; 1.6 s where attributes
        bear the name of an identifier, or stand before it (both measured).
    """
    given = _given(rows, FINDERS)
    names = [pl.when(pl.col(name)).then(pl.lit(name)) for name in FINDERS]
    joined = given.select(
        pl.concat_str(*names, separator=_JOIN, ignore_nulls=True).alias("shape")
    )
    return rows.with_columns(joined["shape"])


def phones(rows: pl.DataFrame) -> pl.Series:
    """Return the phone of each row, null where it has none."""
    told = pl.col("json").str
    phone = (
        told.extract('"phone":"([^"]*)"')
        if _is_plain(_places(rows, ("phone",)), ("phone",))
        else told.json_path_match("$.phone")
    )
    return rows.select(phone.alias("phone")).to_series()


def _given(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return a Boolean column for each identifier: whether a row has it."""
    places = _places(rows, names)
    if _is_plain(places, names):
        return places.select(pl.col(name).is_not_null() for name in names)
    told = pl.col("json").str
    return rows.select(
        told.json_path_match(f"$.{name}").is_not_null().alias(name) for name in names
    )


def _places(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return where each key first occurs in a row, and where attributes begin."""
    told = pl.col("json").str
    return rows.select(
        told.find(_NESTED, literal=True).alias(_NESTED),
        *(told.find(_key(name), literal=True).alias(name) for name in names),
    )


def _is_plain(places: pl.DataFrame, names: Sequence[str]) -> bool:
    """
    Return whether these keys, where they occur, are of the rows themselves.

    Attributes are the only nested object that can hold a text, and a quote inside a
    text is escaped: only behind their beginning a key may belong to them.
    """
    inside = [pl.col(name) > pl.col(_NESTED) for name in names]
    return not places.select(pl.any_horizontal(inside).any()).item()


def _key(name: str) -> str:
    """Return how its member begins; an agreement of this name is no text."""
    return f'"{name}":' if name == "clientId" else f'"{name}":"'


# -- which of them can be asked for ------------------------------------------------


def ambiguous_phones(frames: Iterable[pl.DataFrame], rows: pl.Series) -> pl.Series:
    """
    Return the phones of rows that have nothing else and share it with others.

    The API may take such a row for the profile of another one, or not, by the order in
    which they are applied (API 5.2): of any row with this phone nobody can say what its
    profile has to hold.

    Args:
        frames: source_no, row_no and json of rows.
        rows: Packed, of `CheckResult.shared_phones`.
    """
    found = [
        phones(frame.filter(packed_row().is_in(rows.implode()))) for frame in frames
    ]
    return pl.concat([pl.Series("phone", [], pl.String), *found]).unique()


def clear_of(rows: pl.DataFrame, ambiguous: pl.Series) -> pl.DataFrame:
    """Return the rows that can be asked for: those without an ambiguous phone."""
    if ambiguous.is_empty():
        return rows
    return rows.filter(~phones(rows).is_in(ambiguous.implode()).fill_null(False))  # noqa: FBT003 - the API of polars


def whole_waves(frames: Iterable[pl.DataFrame], ambiguous: pl.Series) -> Iterator[Wave]:
    """
    Give one wave for each frame of `accepted_frames`, with all of its rows.

    Args:
        ambiguous: Phones whose rows are left out.

    Cost: memory of one frame.
    """
    for frame in frames:
        clear = shaped(clear_of(frame, ambiguous))
        n_ambiguous = frame.height - clear.height
        yield Wave(sent_rows(clear), shape_sizes(clear), n_ambiguous)


def shape_sizes(rows: pl.DataFrame) -> dict[Shape, int]:
    """Return shape → rows, of rows that are `shaped`."""
    counted = rows["shape"].value_counts()
    return {parts_of(shape): n for shape, n in counted.iter_rows()}


def sent_rows(rows: pl.DataFrame) -> list[SentRow]:
    """Return frames of source_no, row_no, batch_no, shape and json as records."""
    columns = ["source_no", "row_no", "batch_no", "shape", "json"]
    return [
        SentRow(source_no, row_no, batch_no, parts_of(shape), json.loads(text))
        for source_no, row_no, batch_no, shape, text in rows[columns].iter_rows()
    ]


def parts_of(shape: str) -> Shape:
    """Return the identifiers that a joined shape names."""
    return tuple(shape.split(_JOIN)) if shape else ()


def joined(shape: Shape) -> str:
    """Return a shape as `shaped` writes it."""
    return _JOIN.join(shape)
