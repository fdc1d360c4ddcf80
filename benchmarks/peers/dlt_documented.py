"""
dlt with a custom destination, written as its page about reverse ETL shows it.

The file comes through the `filesystem` source and its `read_csv`, rows pass the load
package in its default format, the destination is a function that posts what it is
given with dlt's own `requests`. Only the batch is larger than the page's: a thousand
rows, as the API takes. Blank cells are dropped; nothing else is done.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import dlt
from dlt.sources.filesystem import filesystem, read_csv
from dlt.sources.helpers import requests

BATCH_ROWS: Final = 1000


def main(path: Path, base_url: str) -> None:
    """Send *path*."""
    headers = {"Api-Version": "4.4"}

    def crm(items: list[dict[str, Any]], table: dict[str, Any]) -> None:
        del table
        records = [{k: v for k, v in row.items() if v} for row in items]
        url = f"{base_url}/v4/clients/batch"
        requests.post(url, json=records, headers=headers).raise_for_status()

    rows = filesystem(bucket_url=path.parent.as_uri(), file_glob=path.name)
    # Pandas reads it, and loses a blank otherwise; see `pandas_aiohttp.py`.
    rows |= read_csv(dtype=str, keep_default_na=False, skip_blank_lines=False)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "documented",
            pipelines_dir=folder,
            destination=dlt.destination(crm, batch_size=BATCH_ROWS, name="crm"),
        )
        pipeline.run(rows.with_name("customers")).raise_on_failed_jobs()


if __name__ == "__main__":
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    main(Path(sys.argv[1]), sys.argv[2])
