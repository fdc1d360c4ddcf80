"""
Keyed digests of persons and of their fields, beside the rows they are of.

A person is named by the strongest identifier of a row: HMAC-SHA-256 of its tagged text,
cut to 128 bits. A field is told by xxh3 of key, name, kind of value and text, 64 bits.
A cell that is not given has no digest, and says nothing of its field; one that erases
its field has the digest of "erased". Nothing here depends on a version of polars or of
the encoder, for these digests are compared with those of another year.

Two of ten million persons share a name with a chance of 1.5e-25; a changed value looks
unchanged with one of 5e-20.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

import polars as pl
import polars_hash as plh

from pipeline.records import ROW_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KEY_COLUMNS: Final = ("key_hi", "key_lo")
# Which identifier names the person: its place in `NAMING`.
KIND: Final = "key_kind"
FIELD_PREFIX: Final = "d:"
N_BUCKETS: Final = 64
# The strongest first; all rows of one profile that carry one agree in it.
NAMING: Final = ("customId", "email", "uuid", "clientId", "phone")
_TAG: Final = "\x1f"  # stands in no name of a field


def field_columns(columns: Iterable[str]) -> list[str]:
    """Return the columns of a frame that hold digests of fields."""
    return [name for name in columns if name.startswith(FIELD_PREFIX)]


def field_of(column: str) -> str:
    """Return the dotted path of the field that a column has the digests of."""
    return column.removeprefix(FIELD_PREFIX)


def key_id(key: str) -> str:
    """Return what tells two keys apart and gives neither away."""
    return hmac.new(key.encode(), b"key", hashlib.sha256).hexdigest()[:16]


def bucket_of() -> pl.Expr:
    """Return the bucket of a person, from 0 to `N_BUCKETS` - 1."""
    return (pl.col("key_hi") // (2**64 // N_BUCKETS)).cast(pl.UInt32).alias("bucket")


def is_in(buckets: range) -> pl.Expr:
    """Return whether a person is in one of some buckets that follow each other."""
    return bucket_of().is_between(buckets.start, buckets.stop, closed="left")


def digests_of(
    clean: pl.DataFrame,
    identifiers: Sequence[str],
    key: str,
    *,
    raw: frozenset[str] = frozenset(),
    erased: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """
    Return the digest columns of clean rows, in their order.

    Args:
        clean: As `encoder.encode` takes it; each row has an identifier.
        identifiers: Fields that can find a profile in this workspace.
        raw: String columns that hold JSON.
        erased: Fields with a mark where a cell erases.

    Frame:
        out  `KIND` UInt8, `KEY_COLUMNS` UInt64, and for each field a UInt64 column
             named `d:` and its dotted path; null where it is not given

    Cost: about 0.9 CPU s for the names of a million persons, and 0.25 for a field of
        all of them (measured).
    """
    marks = {} if erased is None else erased.to_dict()
    names = _hashed(clean.select(_kind(identifiers), _name(identifiers)), key)
    fields = clean.select(
        _field_digest(clean[name], key, is_raw=name in raw, erased=marks.get(name))
        for name in clean.columns
        if name not in ROW_KEY
    )
    return names.hstack(fields)


def named_by(field: str, values: pl.Series, key: str) -> pl.DataFrame:
    """
    Return the persons that an identifier names, as `digests_of` does.

    Frame:
        out  `KEY_COLUMNS`; null where there is no value

    Rows: count and order unchanged.
    """
    named = values.rename(field).to_frame().select(_name((field,)))
    return _hashed(named, key)


def digests_of_texts(field: str, values: pl.Series, key: str) -> pl.Series:
    """Return the digests of a field of texts, as `digests_of` does."""
    frame = values.rename(field).to_frame()
    digest = _field_digest(frame[field], key, is_raw=False, erased=None)
    return frame.select(digest).to_series()


def folded_digests(columns: Iterable[str]) -> list[pl.Expr]:
    """
    Return how the digests of several rows of one person become those of one row.

    As its values do: of each field the last given one counts. The name is the one of
    the strongest identifier that any of the rows has.
    """
    columns = list(columns)
    if KIND not in columns:
        return []
    named = [pl.col(name).sort_by(KIND).first() for name in (KIND, *KEY_COLUMNS)]
    given = [pl.col(name).drop_nulls().last() for name in field_columns(columns)]
    return named + given


def digest_of(key: str, name: str, value: str | float | bool | None) -> int:  # noqa: FBT001 - any value
    """
    Return the digest of a value of a field, or of its being erased (None).

    Frame expressions and this give the same number: so what a row withdraws or erases
    is known without its text.
    """
    cells = pl.Series(name, [value], pl.Boolean() if value is None else None)
    erased = pl.Series([value is None])
    digest = _field_digest(cells, key, is_raw=False, erased=erased)
    return int(cells.to_frame().select(digest).item())


def accepted_digests(
    told: Mapping[str, Iterable[str | float | bool]], key: str
) -> dict[str, list[int]]:
    """
    Return digest column → digests of the values that its field may have.

    A number may stand in a column of text as well, and a whole one among fractions.
    """
    return {
        f"{FIELD_PREFIX}{name}": [
            digest_of(key, name, form) for value in values for form in _forms(value)
        ]
        for name, values in told.items()
    }


def _forms(value: str | float | bool) -> tuple[str | float | bool, ...]:  # noqa: FBT001 - any value
    is_number = not isinstance(value, str | bool)
    return (value, float(value), str(value)) if is_number else (value,)


def _hashed(named: pl.DataFrame, key: str) -> pl.DataFrame:
    """Replace `name` by `KEY_COLUMNS`."""
    digest = plh.col("name").chash.hmac_sha256(key=key).alias("name")
    halves = [
        pl.col("name")
        .str.slice(16 * n, 16)
        .str.to_integer(base=16, dtype=pl.UInt64)
        .alias(column)
        for n, column in enumerate(KEY_COLUMNS)
    ]
    return named.with_columns(digest).with_columns(halves).drop("name")


def _kind(identifiers: Sequence[str]) -> pl.Expr:
    present = [name for name in NAMING if name in identifiers]
    return pl.coalesce(
        pl.when(pl.col(name).is_not_null()).then(
            pl.lit(NAMING.index(name), dtype=pl.UInt8)
        )
        for name in present
    ).alias(KIND)


def _name(identifiers: Sequence[str]) -> pl.Expr:
    present = [name for name in NAMING if name in identifiers]
    return pl.coalesce(
        pl.lit(f"{name}{_TAG}") + pl.col(name).cast(pl.String) for name in present
    ).alias("name")


def _field_digest(
    cells: pl.Series, key: str, *, is_raw: bool, erased: pl.Series | None
) -> pl.Expr:
    kind, text = _canonical(cells, is_raw=is_raw)
    prefix = f"{key}{_TAG}{cells.name}{_TAG}"
    # The plugin's own concat_str returns an expression that knows `nchash`.
    keyed = plh.concat_str(pl.lit(f"{prefix}{kind}{_TAG}"), text)
    digest = keyed.nchash.xxh3_64(seed=0)
    if erased is not None:
        gone = plh.concat_str(pl.lit(f"{prefix}erased")).nchash.xxh3_64(seed=0)
        digest = pl.when(erased).then(gone.first()).otherwise(digest)
    return digest.alias(f"{FIELD_PREFIX}{cells.name}")


def _canonical(cells: pl.Series, *, is_raw: bool) -> tuple[str, pl.Expr]:
    """Return the kind of value and its text: 5 and "5" are two values."""
    dtype, column = cells.dtype, pl.col(cells.name)
    if dtype == pl.String():
        return ("json" if is_raw else "text"), column
    if dtype.is_nested():
        text = column.struct.json_encode()
        return "json", pl.when(column.is_not_null()).then(text)
    kind = "boolean" if dtype == pl.Boolean() else "number"
    return kind, column.cast(pl.String)
