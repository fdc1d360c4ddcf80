"""The six requests of the API guide, sent with curl as its reader would."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox


@dataclass(frozen=True)
class Reply:
    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Curl:
    """A shell with curl in it, and a token once logged in."""

    running: RunningSandbox
    token: str = ""

    def __call__(self, *arguments: str, path: str) -> Reply:
        done = subprocess.run(
            [  # noqa: S607 - whichever curl the reader has
                "curl",
                "--silent",
                "--noproxy",
                "*",
                "--write-out",
                "\n%{http_code}",
                *arguments,
                self.running.base_url + path,
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        text, _, status = done.stdout.rpartition("\n")
        return Reply(int(status), text)

    def v4(self, method: str, path: str, body: str | None = None) -> Reply:
        data = [] if body is None else ["--data-raw", body]
        return self(
            "--location",
            "--request",
            method,
            "--header",
            "Api-Version: 4.4",
            "--header",
            f"Authorization: Bearer {self.token}",
            "--header",
            "Content-Type: application/json",
            *data,
            path=path,
        )


@pytest.fixture
def curl() -> Iterator[Curl]:
    with running_sandbox(SandboxOptions(settle_s=0)) as running:
        login = Curl(running)(
            "--request",
            "POST",
            "--header",
            "accept: application/json",
            "--header",
            "api-version: 4.4",
            "--header",
            "content-type: application/json",
            "--data",
            json.dumps({"apiKey": running.api_key}),
            path="/uauth/v2/auth/login/profile",
        )
        assert login.status == 200
        yield Curl(running, login.json()["token"])


def test_the_six_requests_of_the_guide(curl: Curl) -> None:
    email = "sampleclient@example.com"

    created = curl.v4("POST", "/v4/clients", json.dumps({"email": email}))
    assert created == Reply(202, "")

    read = curl.v4("GET", f"/v4/clients/by-email/{email}")
    assert read.status == 200
    profile = read.json()
    assert (profile["email"], profile["firstName"]) == (email, "Sampleclient")

    listed = curl(
        "--location",
        "--header",
        f"Authorization: Bearer {curl.token}",
        path="/crm/v1/list",
    )
    assert listed.status == 200
    assert [c["email"] for c in listed.json()["customers"]] == [email]

    updated = curl.v4(
        "POST",
        f"/v4/clients/by-email/{email}",
        '{"firstName": "Zażółć", "city": null, "attributes": {"size": "XL"}}',
    )
    assert updated == Reply(202, "")
    profile = curl.v4("GET", f"/v4/clients/by-email/{email}").json()
    assert (profile["firstName"], profile["attributes"]["size"]) == ("Zażółć", "XL")

    deleted = curl.v4("DELETE", f"/v4/clients/{profile['clientId']}")
    assert deleted == Reply(202, "")
    gone = curl.v4("GET", f"/v4/clients/{profile['clientId']}")
    assert (gone.status, gone.json()["error"]) == (404, "Not Found")

    batch = curl.v4(
        "POST",
        "/v4/clients/batch",
        '[{"email": "one@example.com", "firstName": "One"},'
        ' {"customId": "2", "agreements": {"email": 1}}]',
    )
    assert batch == Reply(202, "")
    assert curl.v4("GET", "/v4/clients/by-customid/2").json()["agreements"]["email"]


def test_basic_as_the_guide_shows_it(curl: Curl) -> None:
    user = f"{curl.running.workspace_guid}:{curl.running.api_key}"

    reply = curl("--user", user, path="/crm/v1/list")

    assert (reply.status, reply.json()["all"]) == (200, 0)
