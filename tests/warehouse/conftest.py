"""Servers for the tests of warehouses, started once; they ask for secrets."""

from __future__ import annotations

from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Loaded when a test asks for a server: the packages may not be there.


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """Serve a Postgres with the empty database that its URL names."""
    servers: Any = import_module("warehouse_servers")
    with servers.running_postgres() as running:
        yield running


@pytest.fixture
def url(postgres: Any) -> str:
    """Return the URL of the database, password included."""
    servers: Any = import_module("warehouse_servers")
    found: str = postgres.url(quote(servers.PASSWORD, safe=""))
    return found


@pytest.fixture
def sql(url: str) -> Iterator[Any]:
    """Run statements, as the owner of the database would."""
    psycopg: Any = import_module("psycopg")
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        yield connection.execute


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Serve an empty S3; the environment leads to it."""
    servers: Any = import_module("warehouse_servers")
    with servers.running_s3() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running
