"""
What it costs to spool a query: rows a second, and memory over that of the idle tool.

    PYTHONPATH=tests .venv/bin/python benchmarks/query.py [--rows N]

For Linux; needs what `make test-warehouse` installs. Makes N rows of ten columns, also
in a Postgres of its own; each road is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from pipeline.cli.memory import peak_rss_bytes
from pipeline.settings import SourceSettings
from pipeline.spool import spooled

ROWS = 1_000_000
QUERY = "SELECT * FROM people"
COLUMNS = """
    i AS id, 'user' || i || '@example.com' AS mail, 'Zofia' AS first, 'Nowak' AS last,
    'ul. Długa ' || i % 200 AS street, {double} AS score, {moment} AS seen,
    'gold' AS tier, {number} AS spent, i % 2 = 0 AS news
"""
POSTGRES = {
    "double": "i / 8.0::float8",
    "moment": "timestamptz '2026-01-01' + i * interval '1 s'",
    "number": "(i % 1000 / 4.0)::numeric(10,2)",
}
PLAIN = {
    "double": "i / 8.0",
    "moment": "'2026-01-01 00:00:00'",
    "number": "i % 1000 / 4.0",
}
DRIVERS = {
    "postgresql": "query_postgres",
    "postgresql+psycopg": "query_sqlalchemy",
    "duckdb": "query_duckdb",
    "sqlite": "query_sqlite",
}


def measure(connection: str) -> dict[str, Any]:
    """Spool the query in this process."""
    import_module(f"pipeline.sources.{DRIVERS[connection.partition('://')[0]]}")
    with TemporaryDirectory() as folder:
        # What a first frame, and a first file, cost once is no cost of the rows.
        few = f"{QUERY} LIMIT 1000"
        source = SourceSettings(query=few, connection=SecretStr(connection))
        spooled(source, Path(folder) / "few")
        before = peak_rss_bytes()
        began_s = time.monotonic()
        source = SourceSettings(query=QUERY, connection=SecretStr(connection))
        found = spooled(source, Path(folder) / "all").source
        seconds = time.monotonic() - began_s
        (path,) = map(Path, found.paths)
        return {
            "seconds": round(seconds, 2),
            "over_baseline_bytes": peak_rss_bytes() - before,
            "baseline_bytes": before,
            "spool_bytes": path.stat().st_size,
        }


def roads(folder: Path, rows: int, url: str) -> dict[str, str]:
    """Make the same rows where each road leads; return road → connection."""
    psycopg: Any = import_module("psycopg")
    duckdb: Any = import_module("duckdb")
    made = f"CREATE TABLE people AS SELECT {COLUMNS.format(**POSTGRES)}"
    with closing(psycopg.connect(url, autocommit=True)) as opened:
        opened.execute(f"{made} FROM generate_series(1, {rows}) AS i")
    with duckdb.connect(str(folder / "people.duckdb")) as opened:
        made = f"CREATE TABLE people AS SELECT {COLUMNS.format(**PLAIN)}"
        opened.execute(f"{made} FROM range(1, {rows + 1}) AS r(i)")
    with closing(sqlite3.connect(folder / "people.sqlite")) as lite, lite:
        numbers = "WITH RECURSIVE r(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM r"
        numbers += f" LIMIT {rows})"
        made = f"CREATE TABLE people AS {numbers} SELECT {COLUMNS.format(**PLAIN)}"
        lite.execute(f"{made} FROM r")
    return {
        "Postgres, ADBC": url,
        "Postgres, SQLAlchemy": url.replace("://", "+psycopg://"),
        "DuckDB": f"duckdb:///{folder}/people.duckdb",
        "SQLite": f"sqlite:///{folder}/people.sqlite",
    }


def main() -> None:
    """Measure every road, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--one", help="the connection to measure, in this process")
    told = parser.parse_args()
    if told.one:
        print(json.dumps(measure(told.one)))
        return
    servers: Any = import_module("warehouse_servers")
    with TemporaryDirectory() as folder, servers.running_postgres() as postgres:
        url = postgres.url(quote(servers.PASSWORD, safe=""))
        for road, connection in roads(Path(folder), told.rows, url).items():
            words = [sys.executable, __file__, "--one", connection]
            ended = subprocess.run(words, capture_output=True, check=True, text=True)
            found = json.loads(ended.stdout)
            print(
                f"{road:22} {told.rows / found['seconds']:>10,.0f} rows/s "
                f"{found['over_baseline_bytes'] / 1e6:>6.0f} MB over "
                f"{found['baseline_bytes'] / 1e6:.0f} MB, "
                f"spool {found['spool_bytes'] / 1e6:.0f} MB"
            )


if __name__ == "__main__":
    main()
