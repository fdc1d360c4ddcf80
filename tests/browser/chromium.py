"""A headless Chromium, driven over WebDriver by plain HTTP: no library of its own."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
# Set by `.ci/run`: there, a missing browser is a failure.
REQUIRED: Final = "CHROMIUM_REQUIRED"
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
)
START_S: Final = 30.0


def missing() -> str | None:
    """Say what is missing to drive a browser; None when nothing is."""
    if not any(map(shutil.which, NAMES)):
        return "no Chromium here: apt-get install chromium chromium-driver"
    if shutil.which("chromedriver") is None:
        return "no chromedriver here: apt-get install chromium-driver"
    return None


def skip_or_fail() -> None:
    """Skip where there is no browser; fail where one is required."""
    why = missing()
    if why is not None and os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, but there is {why}")
    if why is not None:
        pytest.skip(why)


@dataclass
class Browser:
    """One window; every call is one HTTP request to the driver."""

    session: httpx.Client

    def open(self, path: Path) -> None:
        self._post("url", url=path.absolute().as_uri())

    def run(self, script: str, *arguments: object) -> Any:
        return self._post("execute/sync", script=script, args=list(arguments))

    def command(self, name: str, **parameters: object) -> Any:
        """Send a command of the DevTools protocol."""
        return self._post("goog/cdp/execute", cmd=name, params=parameters)

    def look(self, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """Set the size of the window and the scheme of colours."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", media="", features=features)

    def shoot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        taken = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def print_to(self, path: Path) -> None:
        made = self.command("Page.printToPDF", printBackground=False)
        path.write_bytes(base64.b64decode(made["data"]))

    def console(self) -> list[str]:
        """Return what the page complained about since the last call."""
        return [str(entry["message"]) for entry in self._post("se/log", type="browser")]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the last call."""
        entries = self._post("se/log", type="performance")
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            str(event["params"]["request"]["url"])
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def _post(self, path: str, **content: object) -> Any:
        reply = self.session.post(path, json=content)
        reply.raise_for_status()
        return reply.json()["value"]


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """Start a driver and a browser with an empty *profile*; end both."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen(
        [shutil.which("chromedriver") or "", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=base, timeout=60.0, trust_env=False) as client:
            _wait_for(client)
            reply = client.post("/session", json=_wanted(profile))
            reply.raise_for_status()
            session = reply.json()["value"]["sessionId"]
            client.base_url = httpx.URL(f"{base}/session/{session}/")
            try:
                yield Browser(client)
            finally:
                # Without a slash behind it, or the driver knows no such command.
                client.delete(f"{base}/session/{session}").raise_for_status()
    finally:
        driver.terminate()
        driver.wait(timeout=10)


def _wait_for(client: httpx.Client) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            if client.get("/status").json()["value"]["ready"]:
                return
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
        time.sleep(0.05)


def _wanted(profile: Path) -> dict[str, Any]:
    options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    return {"capabilities": {"alwaysMatch": wanted}}
