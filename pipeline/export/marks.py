"""
Marks of JSON in the bytes of a page, counted without reading it.

The bytes become a column, where a comparison is a few instructions for 64 of them:
all counts of a page cost a fifth of `bytes.count`, which looks at one byte at a time
(measured on pages of 330 bytes a profile).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

_LONGEST = 3  # bytes of the longest mark


@dataclass(frozen=True, slots=True)
class Marks:
    """
    How often each mark stands in a body.

    Attributes:
        quotes: `"`, escaped ones too.
        keys: `":`, as JSON without white space has it behind a key.
        nulls: `":n`.
        trues: `":t`.
        falses: `":f`.
        has_point_zero: Whether `.0` stands anywhere.
    """

    quotes: int
    keys: int
    nulls: int
    trues: int
    falses: int
    has_point_zero: bool


def marks_of(body: bytes) -> Marks:
    """Count; cost: some 0.1 ms a MB, and three times the memory of the body."""
    padded = body + b" " * _LONGEST
    n_bytes = len(padded)
    told = pl.Series([padded], dtype=pl.Binary).bin.reinterpret(
        dtype=pl.Array(pl.UInt8, n_bytes), endianness="little"
    )
    first = told.reshape((-1,))
    n_marks = n_bytes - _LONGEST
    second = first.slice(1, n_marks)
    third = first.slice(2, n_marks)
    first = first.slice(0, n_marks)
    is_quote = first == ord('"')
    is_key = is_quote & (second == ord(":"))
    return Marks(
        quotes=int(is_quote.sum()),
        keys=int(is_key.sum()),
        nulls=int((is_key & (third == ord("n"))).sum()),
        trues=int((is_key & (third == ord("t"))).sum()),
        falses=int((is_key & (third == ord("f"))).sum()),
        has_point_zero=((first == ord(".")) & (second == ord("0"))).any(),
    )
