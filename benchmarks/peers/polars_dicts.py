"""
What people write who know polars: read at once, `to_dicts`, orjson, httpx.

As its user guide advises: no inference where text is wanted, slices instead of a loop
over cells. One request at a time. Blank cells are dropped; nothing else is done.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import httpx
import orjson
import polars as pl

BATCH_ROWS: Final = 1000
ACCEPTED: Final = 202


def main(path: Path, base_url: str) -> None:
    """Send *path*."""
    headers = {"Content-Type": "application/json", "Api-Version": "4.4"}
    with httpx.Client(base_url=base_url, headers=headers, trust_env=False) as client:
        for piece in pl.read_csv(path, infer_schema=False).iter_slices(BATCH_ROWS):
            records = [{k: v for k, v in row.items() if v} for row in piece.to_dicts()]
            reply = client.post("/v4/clients/batch", content=orjson.dumps(records))
            if reply.status_code != ACCEPTED:
                sys.exit(f"status {reply.status_code}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
