"""What an export is asked for, and what it came to."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.contract import LIST_CAP
from pipeline.errors import SettingsError
from pipeline.export.columns import check_fields
from pipeline.export.windows import Window
from pipeline.settings import MAX_CONCURRENCY
from pipeline.stopping import StopSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.connection import Workspace
    from pipeline.distributed.cluster import Cluster
    from pipeline.export.certificate import Certificate
    from pipeline.export.places import ObjectFolder
    from pipeline.settings import SourceFormat

RoadChoice = Literal["auto", "pages", "windows"]
Detail = Literal["list", "full"]
SUFFIXES: Final[dict[str, SourceFormat]] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
# What was seen longer ago is asked for again.
CONTINUES_FOR_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """
    What to export, and where to.

    Attributes:
        destination: Its suffix says the format. With `objects`, the bare name of it.
        work_dir: Where an interrupted export waits for its continuation.
        road: How to go beyond the cap; `auto` tries pages, then windows.
        detail: `list` is what the list holds, `full` has attributes and agreements.
        recognized: Only recognised profiles, or only anonymous ones; None for all.
        search: As the list is asked; None for all.
        fields: Columns, in this order; all when empty.
        names_path: A file that names the profiles; no list is asked then.
        spreadsheet_safe: Of CSV, see `writer.FileForm`.
        objects: Where the files go when they are whole; none stays here then.
        overwrite: Whether an existing file may be replaced.
        allow_incomplete: Whether the file keeps its name when it is not complete.
        is_fresh: Begin anew, whatever an interrupted export has seen.
        expected_guid: The pin.
        cap_rows: What one question shows at most.
        concurrency: Profiles asked for at a time, where they are asked for one by one.
        rate: Of these questions, a second.
        cluster: Whose workers ask these questions; this process, when not given. Then
            *concurrency* is of each worker, and *rate* of all together.
        on_rows: Told the profiles so far, and in all.
        on_workspace: Told before anything is asked.
        on_continued: Told the profiles that an interrupted export has left.
        on_written: May write further files beside the two, and names them; they go
            where those go. Until it returns, the export can be gone on with.
        stop: Asked to stop; the same export goes on later.
        wall: Seconds since 1970.
    """

    destination: Path
    work_dir: Path
    road: RoadChoice = "auto"
    detail: Detail = "list"
    recognized: bool | None = None
    search: str | None = None
    fields: tuple[str, ...] = ()
    names_path: Path | None = None
    spreadsheet_safe: bool = False
    objects: ObjectFolder | None = None
    overwrite: bool = False
    allow_incomplete: bool = False
    is_fresh: bool = False
    expected_guid: str | None = None
    cap_rows: int = LIST_CAP
    concurrency: int | None = None
    rate: float | None = None
    cluster: Cluster | None = None
    on_rows: Callable[[int, int | None], None] = lambda _n, _all: None
    on_workspace: Callable[[Workspace], None] = lambda _workspace: None
    on_continued: Callable[[int], None] = lambda _n: None
    on_written: Callable[[ExportReport], Sequence[Path]] = lambda _report: ()
    stop: StopSignal = field(default_factory=StopSignal)
    wall: Callable[[], float] = time.time

    @property
    def base(self) -> Window:
        """The question without any split."""
        half = {None: None, True: "RECOGNIZED", False: "ANONYMOUS"}[self.recognized]
        return Window(recognized=half, search=self.search or "")

    def question(self) -> dict[str, Any]:
        """Return what decides which profiles are exported, and from where."""
        return {
            "recognized": self.base.recognized,
            "search": self.base.search,
            "detail": self.detail,
            "road": self.road,
            "cap": self.cap_rows,
        }


@dataclass(frozen=True, slots=True)
class ExportReport:
    """
    What an export came to.

    Attributes:
        path: The file that was written; its name says so when it is not complete. It
            is there no more when it was uploaded.
        certificate_path: Of the certificate, beside it.
        sort_by: What the list was sorted by; None when the service refused to sort.
        absent_rows: Of the file of names: rows whose profile is not there.
        n_continued: Profiles that an interrupted export had left.
    """

    path: Path
    certificate: Certificate
    certificate_path: Path
    n_requests: int
    sort_by: str | None
    workspace: Workspace
    absent_rows: tuple[int, ...] = ()
    n_continued: int = 0
    objects: ObjectFolder | None = None

    def place_of(self, path: Path) -> str:
        """Return where a file of the export is, for people."""
        return str(path) if self.objects is None else self.objects.shown(path.name)


def check_request(request: ExportRequest) -> None:
    """
    Refuse what contradicts itself, before anything is asked.

    Raises:
        SettingsError: It does.
    """
    kind = format_of(request.destination)
    if request.spreadsheet_safe and kind != "csv":
        raise SettingsError("--spreadsheet-safe is for CSV; no other format needs it")
    is_filtered = request.recognized is not None or request.search is not None
    if request.names_path is not None and (is_filtered or request.road != "auto"):
        raise SettingsError(
            "--by-identifiers exports the profiles that the file names, and no "
            "others: leave --recognized, --search and --road out"
        )
    if request.road == "pages" and request.search is not None:
        raise SettingsError(
            "--road pages cannot search: GET /v4/clients knows no such question. "
            "Leave --road or --search out"
        )
    if request.search == "":
        raise SettingsError("--search is empty; leave it out to export all profiles")
    is_full = request.detail == "full" or request.names_path is not None
    check_fields(request.fields, is_full=is_full)
    if request.cluster is not None and not is_full:
        raise SettingsError(
            "--engine dask is for profiles that are asked for one by one, with "
            "--detail full or --by-identifiers; lists are read by this process alone, "
            "because each answer decides the next question"
        )
    concurrency, rate = request.concurrency, request.rate
    if concurrency is not None and not 1 <= concurrency <= MAX_CONCURRENCY:
        raise SettingsError(f"--concurrency is from 1 to {MAX_CONCURRENCY}")
    if rate is not None and not 0 < rate < math.inf:
        raise SettingsError("--rate is a number above 0")


def format_of(destination: Path) -> SourceFormat:
    """
    Return the format that a name asks for.

    Raises:
        SettingsError: None of ours.
    """
    found = SUFFIXES.get(destination.suffix.lower())
    if found is None:
        raise SettingsError(
            f"{destination.name}: the name must end in {', '.join(SUFFIXES)}, so that "
            "the format is known"
        )
    return found
