"""The part of a job that only `plan`, `apply` and `sync` obey."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

PLAN_MAX_AGE_S: Final = 86_400.0
LAG_S: Final = 3_600.0
MAX_LAG_S: Final = 10 * 366 * 86_400.0
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_ADDRESS: Final = re.compile(r"(s3|gs|az)://[^/\s@?#]+(/[^\s?#]*)?")
LOOKUP_BUDGET: Final = 1_000
_Share = Annotated[float, Field(ge=0, le=1)]
SyncMode = Literal["upsert", "update-only", "create-only", "mirror"]


class GuardSettings(BaseModel, extra="forbid", frozen=True):
    """
    What a night may be like; one that is otherwise is planned, and not applied.

    What is usual is the middle of the last seven nights.

    Attributes:
        least_rows: Rows of the source at least, as a share of what is usual.
        most_rows: Rows at most, as a multiple of what is usual.
        max_changed: Share of the persons that may be new or changed.
        max_lost: Of each field, share of those who had it that may lose it.
        max_null_rise: Of each field, how far the share of persons without it may lie
            above what is usual.
        max_unsendable: How far the share of blocked and folded rows may lie above what
            is usual.
        accepted_values: Field → all values that it may have.
    """

    least_rows: _Share = 0.9
    most_rows: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.5
    max_changed: _Share = 0.3
    max_lost: _Share = 0.2
    max_null_rise: _Share = 0.1
    max_unsendable: _Share = 0.05
    accepted_values: dict[str, tuple[str | int | float | bool, ...]] = {}


class WatermarkSettings(BaseModel, extra="forbid", frozen=True):
    """
    Which rows of a query are not read again.

    Attributes:
        column: Of the query: a date-time that it sets whenever it touches a row.
        lag: Seconds before the last confirmed moment from which rows are read again,
            because a row may become visible later than its moment says.
    """

    column: Annotated[str, Field(min_length=1)]
    lag: Annotated[float, Field(ge=0, le=MAX_LAG_S)] = LAG_S


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise PydanticCustomError(
            "address",
            "must be s3://BUCKET/PREFIX, gs:// or az://, without credentials: these "
            "are taken from the environment",
        )
    return text


class SyncSettings(BaseModel, extra="forbid", frozen=True):
    """
    What `plan`, `apply` and `sync` do beside an import.

    Attributes:
        mode: Whom rows may be sent of: everybody, only persons that the CRM has
            already, or only persons that it does not have. `mirror` sends everybody,
            and deletes whom this tool made and who has no row any more.
        lookup_budget: Persons that the CRM may be asked for, where a mode depends on
            them and neither the state nor `--crm` knows.
        max_deletes: Profiles that a plan may delete; one more, and nothing of it is
            applied.
        fields: Of a changed row, `all` of its fields are sent, or its identifiers and
            the `changed` ones alone.
        plan_max_age: Seconds after which a plan is not begun any more.
        canary: Whether a few rows of every shape are sent and read back before the
            others; of more than 100 rows.
        guards: What stops a `sync` before it sends.
        state: `s3://BUCKET/PREFIX`, `gs://` or `az://`, where what was confirmed is
            kept for several machines; without it, in the work folder.
        watermark: See below; without it, the whole source is read.
    """

    mode: SyncMode = "upsert"
    lookup_budget: Annotated[int, Field(ge=0)] = LOOKUP_BUDGET
    max_deletes: Annotated[int, Field(ge=0)] = 0
    fields: Literal["all", "changed"] = "all"
    plan_max_age: _Seconds = PLAN_MAX_AGE_S
    canary: bool = True
    guards: GuardSettings = GuardSettings()
    state: Annotated[str, AfterValidator(_address)] | None = None
    watermark: WatermarkSettings | None = None
