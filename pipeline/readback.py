"""
A look at what arrived: the first accepted rows, asked for one by one and compared.

It is a sample for the eye, not a proof: the rows are the first ones, and a row that is
not visible yet counts as absent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline.connection import connected, patiently
from pipeline.encoder import encode
from pipeline.identity import packed_row
from pipeline.transform import transform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.connection import Connector
    from pipeline.importer import RunReport

_OK = 200
_ABSENT = 404
# In the order of how surely they name one profile.
_FINDERS = ("customId", "email", "uuid", "phone")


@dataclass(frozen=True, slots=True)
class ReadBack:
    """
    What a look at the CRM showed.

    Attributes:
        n_equal: Profiles whose sent fields all hold what was sent.
    """

    n_asked: int
    n_equal: int
    n_different: int
    n_absent: int


async def read_back(
    connector: Connector, report: RunReport, *, n_rows: int = 100
) -> ReadBack:
    """
    Ask for the first accepted rows of an import and compare every sent field.

    Raises:
        AccessError, RemoteError, ContractError: As the service answers.
        SourceError: The source cannot be read again.
    """
    tally = {"equal": 0, "different": 0, "absent": 0}
    async with connected(connector) as (client, _):
        for record in _sent_records(report, n_rows):
            field = next(name for name in _FINDERS if name in record)
            value = str(record[field])
            reply = await patiently(
                connector,
                client,
                lambda field=field, value=value: client.get_profile(field, value),  # type: ignore[misc]
                what="the question for a profile",
                answers={_OK, _ABSENT},
            )
            if reply.status == _ABSENT:
                tally["absent"] += 1
            elif _holds(json.loads(reply.body), record):
                tally["equal"] += 1
            else:
                tally["different"] += 1
    return ReadBack(
        sum(tally.values()), tally["equal"], tally["different"], tally["absent"]
    )


def _sent_records(report: RunReport, n_rows: int) -> Iterator[dict[str, Any]]:
    """Make the records of the first accepted rows again; folded ones are left out."""
    outcomes = pl.scan_parquet(report.files.paths["outcomes"])
    accepted = (
        outcomes.filter(pl.col("state") == "accepted")
        .select(packed_row())
        .filter(~pl.col("row").is_in(report.check.fates["row"].implode()))
        .head(n_rows)
        .collect()
    )
    n_left = accepted.height
    for piece in report.source.slices():
        clean = transform(piece, report.plan).clean.with_columns(packed_row())
        rows = clean.join(accepted, on="row", how="semi", maintain_order="left")
        for text in encode(rows.drop("row"), raw=report.plan.raw).frame["json"]:
            yield json.loads(text)
        n_left -= rows.height
        if n_left <= 0:
            return


def _holds(profile: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Say whether *profile* has everything that *record* gave."""
    return all(
        _holds(profile.get(name) or {}, value)
        if isinstance(value, dict)
        else profile.get(name) == value
        for name, value in record.items()
    )
