"""
Profiles into a file, and a certificate of whether they are all.

What cannot be shown to be complete is not called so: it says why, and shows in the
name of the file. An export that was cut off is continued by the same export.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from pipeline.connection import connected, unless_stopped
from pipeline.distributed.cluster import reach
from pipeline.errors import CannotWriteError
from pipeline.export.asking import Asking
from pipeline.export.asking_cluster import ClusterAsking
from pipeline.export.certificate import CERTIFICATE_SUFFIX, Certificate, Road
from pipeline.export.columns import columns_of, finished, without
from pipeline.export.details import Details
from pipeline.export.gathering import LISTED, Gathering
from pipeline.export.listing import Listing, total_of
from pipeline.export.names import read_names
from pipeline.export.paging import FULL, Paging
from pipeline.export.request import (
    CONTINUES_FOR_S,
    ExportReport,
    ExportRequest,
    check_request,
    format_of,
)
from pipeline.export.vault import (
    OUTGOING_NAME,
    VAULTS_NAME,
    Vault,
    remove_forgotten,
)
from pipeline.files import make_private_dir, make_work_dir, remove_drafts, sha256_of
from pipeline.locks import lock_folder
from pipeline.writer import FileForm, write_frames, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from pipeline.client import Client
    from pipeline.connection import Connector, Workspace
    from pipeline.export.asking import Asks
    from pipeline.export.columns import Columns
    from pipeline.export.names import Names


async def export_profiles(request: ExportRequest, connector: Connector) -> ExportReport:
    """
    Write profiles of the CRM to a CSV, Parquet or JSONL file, with a certificate.

    The list is asked first. Beyond its cap follow `GET /v4/clients`, page by page, and
    windows of the list.

    Effects: the file appears whole or not at all; `NAME.incomplete.EXT` instead when
        it is not shown to be complete. The certificate stands beside it; on object
        storage it is there before the file. Until then what was seen lies in the work
        folder, and the same export, started again within 24 hours, goes on from there.

    Raises:
        SettingsError: Flags contradict each other, or the suffix is none of ours.
        CannotWriteError: The file exists; nothing was asked of the service. Or a disk
            refuses, then the same export goes on, as after any error.
        LockedError: The same export is at work.
        UnreachableError: There is no scheduler, or no service.
        StoppedError: Somebody asked to stop.
        AccessError, RemoteError, ContractError: As the service answers.

    Cost: memory of a window (at most the cap), and 16 bytes a profile.
    """
    names = await _names(request)
    _check_places(request)
    make_work_dir(request.work_dir)
    async with connected(connector, request.expected_guid, stop=request.stop) as (
        client,
        workspace,
    ):
        request.on_workspace(workspace)
        folder = _vault_folder(request, workspace)
        with lock_folder(folder):
            destination, cut = _places(request, folder)
            for path in (destination, cut):
                remove_drafts(path.absolute().parent, path.name)
            remove_forgotten(folder.parent, request.wall() - CONTINUES_FOR_S)
            vault = _opened(request, folder / "seen", names)
            n_continued = len(vault.seen) if vault.n_resumed else 0
            asks = _asks(request, connector, client, vault, guid=workspace.guid)
            flow = _Flow(request, connector, client, vault, asks)
            await unless_stopped(flow.run(names), request.stop)
            path, columns = flow.written(destination, cut)
            certificate_path = path.with_name(f"{path.name}{CERTIFICATE_SUFFIX}")
            told = flow.told(path, columns) | {"workspace": workspace.guid}
            write_json(certificate_path, told)
            report = ExportReport(
                path,
                flow.certificate(),
                certificate_path,
                client.n_requests + asks.n_requests,
                sort_by=flow.listing.sort_field,
                workspace=workspace,
                absent_rows=tuple(flow.absent),
                n_continued=n_continued,
                objects=request.objects,
            )
            _bring(report, request.on_written(report))
            vault.remove()
        return report


async def _names(request: ExportRequest) -> Names | None:
    """See that the export makes sense, and has its workers; return whom it names."""
    check_request(request)
    if request.cluster is not None:
        await reach(request.cluster)
    return None if request.names_path is None else read_names(request.names_path)


def _bring(report: ExportReport, more: Sequence[Path]) -> None:
    """Upload what was made here, the file last, and leave nothing of it."""
    if report.objects is not None:
        report.objects.upload((report.certificate_path, *more, report.path))
        shutil.rmtree(report.path.parent)


def _places(request: ExportRequest, folder: Path) -> tuple[Path, Path]:
    """
    Return where the file is written when it is complete, and when it is not.

    Args:
        folder: Of this export; what is uploaded later is made in it.
    """
    destination = request.destination
    if request.objects is not None:
        destination = make_private_dir(folder / OUTGOING_NAME) / destination.name
    return destination, _cut(destination)


def _cut(destination: Path) -> Path:
    return destination.with_suffix(f".incomplete{destination.suffix}")


def _check_places(request: ExportRequest) -> None:
    """
    Refuse to begin what could not be written in the end.

    Raises:
        CannotWriteError: The folder is missing, or a file or an object is in the way.
        AccessError, RemoteError, SettingsError: As the object store answers.
    """
    paths = request.destination, _cut(request.destination)
    if request.objects is not None:
        # Asked with --overwrite too: a store that says no shall say so now.
        request.objects.check(
            [path.name for path in paths], overwrite=request.overwrite
        )
        return
    folder = paths[0].parent
    if not folder.absolute().is_dir():
        raise CannotWriteError(
            f"there is no folder {folder} to write to; make it, or give another name"
        )
    for path in paths:
        if path.exists() and not request.overwrite:
            raise CannotWriteError(
                f"{path} exists already; give another name, or --overwrite"
            )


def _opened(request: ExportRequest, folder: Path, names: Names | None) -> Vault:
    """Open what an interrupted export left, and say so, or begin anew."""
    question = request.question() | {"names": names and names.digest}
    now = request.wall()
    oldest = now if request.is_fresh else now - CONTINUES_FOR_S
    vault = Vault.open(folder, question, now=now, oldest=oldest)
    if vault.n_resumed:
        request.on_continued(len(vault.seen))
    return vault


def _asks(
    request: ExportRequest,
    connector: Connector,
    client: Client,
    vault: Vault,
    *,
    guid: str,
) -> Asks:
    """Return who asks for single profiles."""
    if request.cluster is not None:
        return ClusterAsking(
            request.cluster,
            connector,
            vault.scratch,
            guid=guid,
            concurrency=request.concurrency,
            rate=request.rate,
        )
    return Asking(
        connector,
        client,
        stop=request.stop,
        concurrency=request.concurrency,
        rate=request.rate,
    )


class _Flow:
    """
    The roads of one export, in order.

    Attributes:
        absent: Rows of the file of names whose profile is not there.
    """

    def __init__(
        self,
        request: ExportRequest,
        connector: Connector,
        client: Client,
        vault: Vault,
        asks: Asks,
    ) -> None:
        self._request = request
        self._vault = vault
        stop, on_rows = request.stop, request.on_rows
        self.listing = Listing(connector, client, request.cap_rows, stop)
        self._paging = Paging(connector, client, vault, stop, on_rows)
        self._details = Details(asks, vault)
        self._gathering = Gathering(
            self.listing, vault, request.base, request.cap_rows, on_rows
        )
        self._names: Names | None = None
        self._before: int | None = None
        self._after: int | None = None
        self._roads: list[Road] = []

    @property
    def absent(self) -> list[int]:
        """Rows of the file of names whose profile is not there."""
        return self._details.absent

    async def run(self, names: Names | None) -> None:
        """Go the roads until nothing is missing, or none is left."""
        self._names = names
        if names is not None:
            self._roads.append(Road.NAMED)
            await self._details.named(names.names, self._request.on_rows)
            return
        await self._open()
        self._roads.append(Road.LIST)
        was_enough = await self._gathering.read_plainly()
        if not was_enough:
            await self._beyond_the_cap()
        elif self._request.detail == "full" and self._may_page:
            await self._pages()
        if self._request.detail == "full":
            on_rows = self._request.on_rows
            await self._details.run(self._vault.seen.sorted(), on_rows)
        base = replace(self._request.base, sort_field=self.listing.sort_field)
        self._after = await self.listing.count(base)

    async def _open(self) -> None:
        """Ask the first question; what an earlier process was told then, stands."""
        base = self._request.base
        page = await self.listing.open(base)
        unit = self._vault.recorded(LISTED, "open")
        if unit is None:
            told = {"total": total_of(page, base)}
            unit = self._vault.keep(LISTED, "open", page.frame.clear(), told)
        self._before = self._gathering.total = unit.told["total"]
        self._gathering.sort_by(self.listing.sort_field)

    async def _beyond_the_cap(self) -> None:
        if self._may_page:
            await self._pages()
            after = await self.listing.count(self._request.base)
            is_known = self._before not in (None, self._request.cap_rows)
            n_seen = len(self._vault.seen)
            if is_known and self._before == n_seen == after:
                return
        if self._request.road != "pages":
            self._roads.append(Road.WINDOWS)
            await self._gathering.run()

    @property
    def _may_page(self) -> bool:
        """Whether road 1 can answer the question: it cannot search."""
        return self._request.road != "windows" and not self._request.search

    async def _pages(self) -> None:
        self._roads.append(Road.PAGES)
        await self._paging.run(self._before, recognized=self._request.base.recognized)

    def certificate(self) -> Certificate:
        """Return what the roads came to."""
        gathering, names, vault = self._gathering, self._names, self._vault
        n_seen = len(vault.seen)
        is_full = self._request.detail == "full" or names is not None
        n_profiles = len(vault.ids_of(FULL)) if is_full else n_seen
        sorts = [read.window.sort_field for read in gathering.reads]
        question = {
            name: value
            for name in ("recognized", "search")
            if (value := self._request.question()[name])
        }
        return Certificate(
            n_profiles,
            n_seen,
            self._before,
            self._after,
            self._request.cap_rows,
            variation=self.listing.variation,
            question=question,
            roads=tuple(self._roads),
            searching=gathering.searching,
            sort_fields=tuple(dict.fromkeys(name for name in sorts if name)),
            partition=gathering.partition,
            passes=gathering.n_passes,
            n_gone=n_seen - n_profiles,
            named=None if names is None else names.obstacles,
            n_named=0 if names is None else len(names.names) + len(names.obstacles),
            estimate=gathering.estimate,
            contradictions=tuple(self.listing.contradictions),
            is_cut_short=gathering.is_cut_short,
            windows=tuple(gathering.reads),
            pages=tuple(self._paging.reads),
        )

    def told(self, path: Path, columns: Columns) -> dict[str, Any]:
        """Return the certificate with what it says of the file."""
        request = self._request
        about_file = {
            "name": path.name,
            "sha256": sha256_of(path),
            "detail": request.detail,
            "json_columns": list(columns.json),
            "spreadsheet_safe": request.spreadsheet_safe,
            "absent_rows": self.absent,
        }
        return self.certificate().as_dict() | {"file": about_file}

    def written(self, destination: Path, cut: Path) -> tuple[Path, Columns]:
        """Write the file; return where it is, and its columns."""
        request = self._request
        kind = format_of(destination)
        is_full = request.detail == "full" or self._names is not None
        columns = columns_of(self._frames, request.fields, is_full=is_full)
        is_named = self.certificate().is_complete or request.allow_incomplete
        path = destination if is_named else cut
        write_frames(
            path,
            FileForm(kind, spreadsheet_safe=request.spreadsheet_safe),
            lambda: finished(self._frames(), columns, kind),
            columns.schema(kind),
            overwrite=request.overwrite or request.objects is not None,
        )
        return path, columns

    def _frames(self) -> Iterator[pl.DataFrame]:
        """Give every profile once: as the list shows it, or in full."""
        vault, full = self._vault, self._vault.frames(FULL)
        if self._request.detail == "full" or self._names is not None:
            yield from full
            return
        is_listed = vault.ids_of(LISTED).holds
        for frame in chain(vault.frames(LISTED), without(full, is_listed)):
            yield frame.drop(
                name
                for name in frame.columns
                if name == "anonymous" or name.startswith(("attributes.", "previous"))
            )


def _vault_folder(request: ExportRequest, workspace: Workspace) -> Path:
    """Return the folder of an export: one for each file of each workspace."""
    path, objects = request.destination, request.objects
    shown = str(path.absolute()) if objects is None else objects.shown(path.name)
    place = [workspace.host, workspace.guid, shown]
    digest = hashlib.sha256(json.dumps(place).encode()).hexdigest()
    return make_private_dir(request.work_dir / VAULTS_NAME / digest[:24])
