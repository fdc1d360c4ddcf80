"""
What cannot be read twice, or lies elsewhere, is copied first, and read from the copy.

A query and a Delta table become one Parquet file; standard input and objects are copied
byte by byte. The copy (the spool) lies in the folder of its run, readable by its owner
only, as long as the run can be resumed or verified: neither asks the database again.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from pipeline.delta.plan import PLAN_NAME
from pipeline.errors import SettingsError
from pipeline.extras import extra_module
from pipeline.files import make_private_dir, replacing, using
from pipeline.settings import STANDARD_INPUT, is_elsewhere
from pipeline.sources.folders import DELTA_LOG
from pipeline.sources.query import newer_rows, open_rows
from pipeline.writer import FileForm, write_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import polars as pl

    from pipeline.delta.watermark import Since
    from pipeline.settings import SourceSettings
    from pipeline.sources.object_files import FoundObjects
    from pipeline.sources.rows import Rows

SPOOL_NAME: Final = "spool"
JOB_NAME: Final = "job.json"
_COPY_BYTES: Final = 1 << 20
_ROW_GROUP_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Origin:
    """
    A source as files of this machine.

    Attributes:
        source: With the paths of the copies; the very settings where none was needed.
        check_unchanged: Asks where they came from whether they are still the same;
            raises SourceChangedError where that can be told and they are not.
    """

    source: SourceSettings
    check_unchanged: Callable[[], None] = lambda: None


def spooled(
    source: SourceSettings,
    folder: Path,
    *,
    still_wanted: Callable[[], None] = lambda: None,
    stdin: BinaryIO | None = None,
    since: Since | None = None,
) -> Origin:
    """
    Copy what cannot be read in place.

    Args:
        folder: For the copies; made when one is needed.
        still_wanted: Called with every part that came; what it raises ends the copying.
        stdin: Standard input when not given.
        since: Of a query, the rows to copy.

    Effects: whole files, or none of a name; see `spools` for when they go.

    Raises:
        SettingsError: The connection, the query or a column does not fit, or an extra
            is not installed.
        TokenRefusedError, UnreachableError: The database or the store refuses, or does
            not answer.
        SourceError: There is nothing to read, or the reading breaks off.
        CannotWriteError: The disk refuses.
    """
    copying = _Copying(folder, still_wanted, stdin)
    if source.query is not None and source.connection is not None:
        connection = source.connection.get_secret_value()
        path = copying.query(source.query, connection, since)
        update: dict[str, object] = {"query": None, "connection": None}
        return Origin(source.model_copy(update=update | {"path": str(path)}))
    found = [(path, copying.paths(path)) for path in source.paths]
    if all(paths == (path,) for path, paths in found):
        return Origin(source)
    local = tuple(path for _, paths in found for path in paths)
    return Origin(source.model_copy(update={"path": local}), copying.check_unchanged)


@contextmanager
def spools(work_dir: Path) -> Iterator[None]:
    """
    Remove, before and after the block, the spools that no run can need.

    That are those without a remembered job beside them: of a check, of an import that
    sent nothing or went on with an older run, and of a process that died before. And
    those of plans, which have their rows in a file of their own.
    """
    runs = work_dir / "runs"
    _remove_orphans(runs)
    try:
        yield
    finally:
        _remove_orphans(runs)


def _remove_orphans(runs: Path) -> None:
    for spool in runs.glob(f"*/{SPOOL_NAME}"):
        is_planned = (spool.parent / PLAN_NAME).exists()
        if is_planned or not (spool.parent / JOB_NAME).exists():
            shutil.rmtree(spool, ignore_errors=True)
            if not any(spool.parent.iterdir()):
                spool.parent.rmdir()


class _Copying:
    """Copies one source; remembers which objects it copied."""

    def __init__(
        self, folder: Path, still_wanted: Callable[[], None], stdin: BinaryIO | None
    ) -> None:
        self._folder = folder
        self._still_wanted = still_wanted
        self._stdin = stdin
        self._n_copies = 0
        self._objects: list[FoundObjects] = []

    def check_unchanged(self) -> None:
        for found in self._objects:
            found.check_unchanged()

    def paths(self, path: str) -> tuple[str, ...]:
        """Return the files to read in the place of *path*."""
        if path == STANDARD_INPUT:
            return (self._standard_input(),)
        if is_elsewhere(path):
            return self._fetched(path)
        if (Path(path) / DELTA_LOG).is_dir():
            return (self._table(path),)
        return (path,)

    def query(self, query: str, connection: str, since: Since | None) -> Path:
        asked = query if since is None else newer_rows(query, connection, since)
        path = self._next("query.parquet")
        parts = make_private_dir(path.parent / "parts")
        try:
            with open_rows(asked, connection, parts) as rows:
                self._write(path, rows, since)
        finally:
            shutil.rmtree(parts, ignore_errors=True)
        return path

    def _table(self, address: str) -> str:
        module = extra_module("sources.delta_table", "a Delta table", "delta")
        path = self._next("table.parquet")
        with module.open_table(address) as rows:
            self._write(path, rows)
        return str(path)

    def _standard_input(self) -> str:
        stdin = self._stdin or sys.stdin.buffer
        if stdin.isatty():
            raise SettingsError(
                "`-` reads standard input, which is a terminal here: pipe the rows in, "
                "or name a file"
            )
        path = self._next("stdin")
        self._copy(path, iter(lambda: stdin.read(_COPY_BYTES), b""))
        return str(path)

    def _fetched(self, url: str) -> tuple[str, ...]:
        scheme = url.partition("://")[0]
        module = extra_module("sources.object_files", f"{scheme}://", "cloud")
        found: FoundObjects = module.find_objects(url)
        if found.is_delta:
            return (self._table(url),)
        self._objects.append(found)
        paths = []
        for info in found.objects:
            path = self._next(*module.partition_path(info))
            self._copy(path, found.store.parts(info))
            paths.append(str(path))
        return tuple(paths)

    def _next(self, *names: str) -> Path:
        """Return the path of the next copy: no two of them in one folder."""
        self._n_copies += 1
        path = self._folder.joinpath(f"{self._n_copies:06}", *names)
        make_private_dir(path.parent)
        return path

    def _copy(self, path: Path, blocks: Iterable[bytes]) -> None:
        with replacing(path) as draft, using(path), draft.open("wb") as file:
            for block in blocks:
                self._still_wanted()
                file.write(block)

    def _write(self, path: Path, rows: Rows, since: Since | None = None) -> None:
        def frames() -> Iterator[pl.DataFrame]:
            for frame in rows.frames():
                self._still_wanted()
                yield frame if since is None else frame.filter(since.rows(rows.schema))

        form = FileForm("parquet", row_group_rows=_ROW_GROUP_ROWS)
        write_frames(path, form, frames, rows.schema)
