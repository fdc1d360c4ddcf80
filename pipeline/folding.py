"""
Rows of one profile become one row, member by member, on the JSON text they have.

The text of a value is carried over as it stands, so that folding cannot change a number
or a character. Of each field the last given value wins; an agreement or an attribute is
a field of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.digests import folded_digests
from pipeline.encoder import NESTED
from pipeline.records import FOLDED_LANE, ROW_KEY, Encoded

if TYPE_CHECKING:
    from collections.abc import Iterable

# Only the ends of values matter: a long number stays text, and need not be read.
_DECODER: Final = json.JSONDecoder(parse_float=str, parse_int=str)
_NESTED_KEYS: Final = frozenset(json.dumps(name) for name in NESTED)


def fold(held: pl.DataFrame) -> Encoded:
    """
    Join the rows of each group into its survivor.

    Frame:
        in   row, survivor, source_no, row_no, json (as the encoder writes it), and
             perhaps the columns of `delta.digests`
        out  `Encoded.frame`, with the key of the survivor, and digests as they come;
             sorted by survivor

    Rows: one per group, its last row being the survivor.

    Cost: a loop over rows in Python, about 20 µs each (measured); only rows that share
        a profile come here.
    """
    digests = folded_digests(held.columns)
    groups = (
        held.sort("row")
        .group_by("survivor", maintain_order=True)
        .agg(*(pl.col(name).last() for name in ROW_KEY), "json", *digests)
        .sort("survivor")
    )
    texts = [folded_text(rows) for rows in groups["json"]]
    frame = groups.with_columns(pl.Series("json", texts, dtype=pl.String)).select(
        *ROW_KEY,
        "json",
        pl.col("json").str.len_bytes().alias("n_bytes"),
        *(digest.meta.output_name() for digest in digests),
    )
    return Encoded(frame, FOLDED_LANE)


def folded_text(rows: Iterable[str]) -> str:
    """Return one object with the last given value of each member of *rows*."""
    folded: dict[str, str] = {}
    inner: dict[str, dict[str, str]] = {}
    for row in rows:
        members = members_of(row)
        for key in _NESTED_KEYS & members.keys():
            inner.setdefault(key, {}).update(members_of(members[key]))
            members[key] = _object(inner[key])
        folded |= members
    return _object(folded)


def picked_text(text: str, names: Iterable[str]) -> str:
    """
    Return a compact object with some of its members alone, in their order.

    Args:
        names: Dotted paths, as the columns of the encoder have them.
    """
    wanted = {json.dumps(name, ensure_ascii=False) for name in names}
    inner: dict[str, set[str]] = {}
    for name in names:
        parent, dot, child = name.partition(".")
        if dot and parent in NESTED:
            key = json.dumps(parent)
            inner.setdefault(key, set()).add(json.dumps(child, ensure_ascii=False))
    picked = {}
    for key, value in members_of(text).items():
        if key in inner:
            members = members_of(value)
            kept = {name: members[name] for name in members if name in inner[key]}
            if kept:
                picked[key] = _object(kept)
        elif key in wanted:
            picked[key] = value
    return _object(picked)


def members_of(text: str) -> dict[str, str]:
    """
    Return the members of a compact object as texts: key with quotes → value.

    Args:
        text: As the encoder writes it.
    """
    found: dict[str, str] = {}
    end = 1
    while text[end] != "}":
        begin = end + (text[end] == ",")
        _, key_end = _DECODER.raw_decode(text, begin)
        _, end = _DECODER.raw_decode(text, key_end + 1)
        found[text[begin:key_end]] = text[key_end + 1 : end]
    return found


def _object(members: dict[str, str]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in members.items()) + "}"
