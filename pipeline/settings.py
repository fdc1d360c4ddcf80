"""
What a run is told: frozen values, validated, handed down.

The models are the job file: their fields are its keys, their defaults its defaults, and
`Job.model_json_schema()` is its published schema. Nothing here reads a file or the
environment; `config.py` does. Units are in the names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline.contract import (
    AGREEMENTS,
    DEFAULT_BATCH_BYTES,
    FIELD_BY_NAME,
    LINT_CODES,
    MAX_BATCH_BYTES,
    MAX_BATCH_ROWS,
    FieldKind,
)
from pipeline.settings_sync import SyncSettings

SourceFormat = Literal["csv", "parquet", "jsonl"]
Duplicates = Literal["fold", "first", "last", "block"]
ExtraColumns = Literal["attributes", "ignore", "refuse"]
Blank = Literal["omit", "erase", "block"]
AttributeType = Literal[
    "text", "integer", "number", "boolean", "date", "datetime", "json"
]
KEEP_RUNS_DAYS: Final = 30
VERIFY_ROWS: Final = 300  # without a fault: at most 1 % are wrong, at 95 %
VERIFY_SETTLE_S: Final = 600.0
MAX_CONCURRENCY: Final = 32
DEFAULT_MAX_WAIT_S: Final = 900.0
STANDARD_INPUT: Final = "-"
VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Section(BaseModel):
    """A part of the job file: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def is_elsewhere(path: str) -> bool:
    """Return whether a path of a source names no file of this machine."""
    return path == STANDARD_INPUT or "://" in path


class SourceSettings(_Section):
    """
    Where rows come from.

    Attributes:
        path: A file, a folder, a glob, or several of them; one source all the same.
            `-` is standard input; `s3://`, `gs://` and `az://` name objects.
        query: SQL that gives the rows, instead of a path.
        connection: Where the query runs, as a URL. Its password stands in the
            environment or in a file, and is named as `${NAME}`.
        spool_of: Written by the tool: the digest of the query whose rows `path` holds.
        format: Taken from the content when not given.
        encoding: Of CSV and JSONL; UTF-8 when not given, anything else is declared.
        delimiter: Of CSV; found by consistency when not given, refused when unsure.
    """

    path: str | tuple[str, ...] | None = None
    query: Annotated[str, Field(min_length=1)] | None = None
    connection: SecretStr | None = None
    spool_of: str | None = None
    format: SourceFormat | None = None
    encoding: str | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None

    @model_validator(mode="after")
    def _path_or_query(self) -> SourceSettings:
        if self.query is None and self.connection is None:
            return self
        if self.query is None:
            raise PydanticCustomError("query", "`connection` needs a `query`")
        if self.connection is None:
            raise PydanticCustomError("query", "`query` needs a `connection`")
        if self.path is not None:
            raise PydanticCustomError("query", "`path` and `query` exclude each other")
        told = {"format": self.format, "encoding": self.encoding}
        idle = [name for name, value in told.items() if value is not None]
        if idle or self.delimiter is not None:
            what = {"name": (*idle, "delimiter")[0]}
            raise PydanticCustomError("query", "`{name}` is for files, not rows", what)
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths, in the order given."""
        if self.path is None:
            return ()
        return (self.path,) if isinstance(self.path, str) else self.path


class WorkspaceSettings(_Section):
    """
    What is known of the workspace.

    Attributes:
        guid: The pin; a key of another workspace is refused before anything is sent.
        auth: `login` exchanges the key for a token, `basic` sends it with each call.
        unique_email: False where the workspace runs in non-unique-emails mode; then an
            e-mail identifies nobody and travels in `email_attribute`.
        timezone: Of date-times without an offset, as an IANA name.
    """

    guid: str | None = None
    auth: Literal["login", "basic"] = "login"
    unique_email: bool = True
    email_attribute: str | None = None
    timezone: str | None = None


class ColumnMapping(_Section):
    """
    How one column becomes one field.

    Attributes:
        values: Words of the source and what they mean; a word outside is blocked.
        format: Of dates, in strptime letters.
        type: Of an attribute read from text.
        decimal: The decimal separator of `type: number`.
        split: The separator of a list, for tags.
        region: ISO 3166 alpha-2 region of national phone numbers.
        zone: IANA zone of date-times without an offset.
        on_invalid: `block` the row, or `omit` the cell, count it and list it.
        trim: Whether outer white space is removed from text.
        case: `lower` or `keep`, of e-mails.
    """

    column: str
    values: dict[str, str | int | float | bool] | None = None
    format: str | None = None
    type: AttributeType | None = None
    decimal: Literal[".", ","] = "."
    split: Annotated[str, Field(min_length=1)] | None = None
    region: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None
    zone: str | None = None
    on_invalid: Literal["block", "omit"] = "block"
    trim: bool = True
    case: Literal["lower", "keep"] = "lower"


MappingEntry = str | ColumnMapping


class MappingSettings(_Section):
    """
    Which column becomes which field; a bare name stands for `{column: NAME}`.

    The order of the job file is kept: the first fault of a row, in this order, names
    its code.
    """

    _order: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _keep_order(cls, data: Any, handler: Any) -> MappingSettings:  # noqa: ANN401
        read: MappingSettings = handler(data)
        read._order = tuple(data) if isinstance(data, dict) else data.order
        return read

    @property
    def order(self) -> tuple[str, ...]:
        """The keys given, as they stand in the job file."""
        return self._order

    email: MappingEntry | None = None
    phone: MappingEntry | None = None
    customId: MappingEntry | None = None  # noqa: N815 - the API's own spelling
    uuid: MappingEntry | None = None
    clientId: MappingEntry | None = None  # noqa: N815
    firstName: MappingEntry | None = None  # noqa: N815
    lastName: MappingEntry | None = None  # noqa: N815
    displayName: MappingEntry | None = None  # noqa: N815
    company: MappingEntry | None = None
    address: MappingEntry | None = None
    city: MappingEntry | None = None
    province: MappingEntry | None = None
    zipCode: MappingEntry | None = None  # noqa: N815
    countryCode: MappingEntry | None = None  # noqa: N815
    birthDate: MappingEntry | None = None  # noqa: N815
    sex: MappingEntry | None = None
    avatarUrl: MappingEntry | None = None  # noqa: N815
    tags: MappingEntry | None = None
    agreements: dict[Literal[AGREEMENTS], MappingEntry] = {}  # type: ignore[valid-type]
    attributes: dict[str, MappingEntry] = {}


def _known_finding(name: str) -> str:
    if name.partition(":")[0] not in LINT_CODES:
        told = {"name": name, "codes": ", ".join(LINT_CODES)}
        raise PydanticCustomError("finding", "{name} is none of {codes}", told)
    return name


class RowSettings(_Section):
    """
    What happens to blank cells, to several rows of one profile, to unknown columns.

    Attributes:
        blank: `omit` leaves the field alone; `erase` erases it, as far as `allow_erase`
            goes; `block` blocks the row.
        null_token: A text that erases the field, under every `blank`; compared as a
            whole, without outer white space where the field trims it.
        allow_erase: Field → cells of it that may erase in a run; a field that is not
            named here is never erased, and one cell more stops the run before anything
            is sent.
        duplicates: `fold` joins rows of one profile, `first` and `last` choose one,
            `block` sends none of them.
        extra_columns: Unmapped columns become `attributes`, or are ignored, or stop
            the run before anything is sent.
        region: ISO 3166 alpha-2 region of national phone numbers, where the mapping
            names none.
        accept_findings: Findings that somebody has seen and that stop nothing: a code,
            or `CODE:column`.
    """

    blank: Blank = "omit"
    null_token: Annotated[str, Field(pattern=r"^\S(.*\S)?$")] | None = None
    allow_erase: dict[str, Annotated[int, Field(ge=0)]] = {}
    duplicates: Duplicates = "fold"
    extra_columns: ExtraColumns = "refuse"
    region: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None
    accept_findings: tuple[Annotated[str, AfterValidator(_known_finding)], ...] = ()


class DeliverySettings(_Section):
    """
    How fast, in what portions, and when to end early with rows pending.

    Attributes:
        concurrency: Requests in flight, fixed; without it the tool starts with 4
            and finds its own number up to 16.
        rate: Requests per second at most.
        max_rows: Rows in a batch at most.
        max_bytes: Bytes in a request body at most, brackets included.
        max_rejects: Rows that the API may refuse; one more ends the run with 6. When
            not given, the larger of 100 rows and 1 % of the rows to send.
        max_wait: Seconds that the API may be down, or may ask to wait, before the run
            ends with 75.
        max_duration: Seconds of sending after which the run ends with 75; without it,
            there is no end.
    """

    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] | None = None
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_rows: Annotated[int, Field(ge=1, le=MAX_BATCH_ROWS)] = MAX_BATCH_ROWS
    max_bytes: Annotated[int, Field(ge=1000, le=MAX_BATCH_BYTES)] = DEFAULT_BATCH_BYTES
    max_rejects: Annotated[int, Field(ge=0)] | None = None
    max_wait: _Seconds = DEFAULT_MAX_WAIT_S
    max_duration: _Seconds | None = None


def _reference(text: str) -> str:
    if not VARIABLE.fullmatch(text):
        # The text is not shown: it may be the address, which is a secret.
        raise PydanticCustomError("reference", "must be ${NAME}, a variable, alone")
    return text


class NotifySettings(_Section):
    """
    Where a change of health is told.

    Attributes:
        url: `${NAME}`: the variable that holds the address, or `NAME_FILE` a file with
            it; the address is a secret and stands nowhere else.
        form: `json`, or `slack` for what reads the webhooks of Slack.
    """

    url: Annotated[str, AfterValidator(_reference)]
    form: Literal["json", "slack"] = "json"


class Job(_Section):
    """
    A job file, or what the flags alone amount to.

    Attributes:
        name: Names the dataset together with the workspace.
        work_dir: Journal and run folders; relative to the job file.
        keep_runs_days: How long `runs purge` leaves the files of a run alone.
        notify: See below; without it, nobody is told.
        metrics: A file for Prometheus, as its node exporter reads `*.prom`; one a job.
        verify: How much of what was accepted is read back at the end of an import, and
            of `apply` and `sync`.
        verify_rows: Of the sample; 300 without a fault show that about 1 % of all rows
            are wrong at most.
        settle: Seconds after its 202 in which a row may appear; later it is absent.
    """

    version: Literal[1] = 1
    name: str | None = None
    work_dir: str | None = None
    source: SourceSettings = SourceSettings()
    workspace: WorkspaceSettings = WorkspaceSettings()
    mapping: MappingSettings | None = None
    rows: RowSettings = RowSettings()
    delivery: DeliverySettings = DeliverySettings()
    sync: SyncSettings = SyncSettings()
    keep_runs_days: Annotated[int, Field(ge=0)] = KEEP_RUNS_DAYS
    verify: Literal["sample", "all", "none"] = "sample"
    verify_rows: Annotated[int, Field(ge=1)] = VERIFY_ROWS
    settle: Annotated[float, Field(ge=0, allow_inf_nan=False)] = VERIFY_SETTLE_S
    notify: NotifySettings | None = None
    metrics: str | None = None


@dataclass(frozen=True, slots=True)
class FieldRule:
    """
    One mapped field: the resolved form of a mapping entry.

    Attributes:
        name: Dotted path in the API's object, such as `attributes.tier`.
        column: The source column it is read from.
    """

    name: str
    column: str
    kind: FieldKind
    options: ColumnMapping


@dataclass(frozen=True, slots=True)
class Mapping:
    """
    What happens to every column of a source.

    Attributes:
        rules: In the order in which faults of a row are looked at.
        ignored: Columns left out on purpose: read-only names, the tool's own columns,
            and unmapped ones under `extra_columns: ignore`.
        extra: Unmapped columns; non-empty only while nobody has decided about them.
    """

    rules: tuple[FieldRule, ...]
    ignored: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def rule(self, name: str) -> FieldRule | None:
        """Return the rule of the field *name*, if it is mapped."""
        return next((rule for rule in self.rules if rule.name == name), None)


def kind_of(name: str) -> FieldKind:
    """Return how the field with the dotted path *name* is read and written."""
    if name.startswith("attributes."):
        return FieldKind.ATTRIBUTE
    if name.startswith("agreements."):
        return FieldKind.AGREEMENT
    return FIELD_BY_NAME[name].kind
