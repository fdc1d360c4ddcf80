"""`doctor` says in each weather what would stop a run, writes nothing, shows no key."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pipeline import (
    Connector,
    Credentials,
    DoctorRequest,
    RemoteSettings,
    Secret,
    examine,
)
from pipeline.sandbox.facts import WORKSPACE_GUID
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.weather import parse_weather

if TYPE_CHECKING:
    from pathlib import Path

    from shell import Ended, Shell

OF_THE_SERVICE = "credentials workspace clock import create read list".split()
OF_THE_NETWORK = "name connection encryption".split()
OF_THE_DISK = ["work folder", "space", "durable writes", "locks", "journal"]


def levels(ended: Ended) -> dict[str, str]:
    return {check["name"]: check["level"] for check in ended.json["checks"]}


def told(ended: Ended, name: str) -> str:
    return "".join(c["told"] for c in ended.json["checks"] if c["name"] == name)


def test_all_is_well_in_calm_weather(shell: Shell, sandbox: RunningSandbox) -> None:
    ended = shell.run("doctor", "--json", "--expect-workspace", WORKSPACE_GUID)

    assert ended.code == 0
    assert levels(ended) == dict.fromkeys(
        ["versions", *OF_THE_NETWORK, *OF_THE_SERVICE, *OF_THE_DISK], "ok"
    )
    assert "pinned" in told(ended, "workspace")
    assert ended.json["exit_code"] == 0
    assert list(shell.folder.iterdir()) == []
    assert "queued" not in {event.kind.value for event in sandbox.sandbox.truth()}


def test_one_line_a_check_and_no_key(shell: Shell, sandbox: RunningSandbox) -> None:
    ended = shell.run("doctor", "-v")

    assert ended.code == 0
    lines = ended.out.splitlines()
    assert len(lines) == len(OF_THE_NETWORK + OF_THE_SERVICE + OF_THE_DISK) + 1
    assert all(line.startswith(("ok  ", "warning  ")) for line in lines)
    assert sum("not pinned" in line for line in lines) == 1
    assert sandbox.api_key not in ended.out + ended.err


@pytest.mark.parametrize(
    ("weather", "code", "wrong"),
    [
        ("calm,denied=API_BATCH_CLIENT_CREATE", 77, {"import": "fails"}),
        ("calm,denied=API_CLIENT_CREATE", 0, {"create": "warning"}),
        (
            "calm,denied=API_CLIENT_READ/API_CLIENT_LIST_READ",
            0,
            {"read": "warning", "list": "warning"},
        ),
        ("calm,login_failure=1,login_status=401", 77, {"credentials": "fails"}),
        ("calm,portal=1", 76, {"workspace": "fails"}),
        ("calm,redirect=1", 76, {"credentials": "fails"}),
    ],
)
def test_what_is_wrong_is_named(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    weather: str,
    code: int,
    wrong: dict[str, str],
) -> None:
    with running_sandbox(SandboxOptions(weather=parse_weather(weather))) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)
        ended = shell.run("doctor", "--json", "--expect-workspace", WORKSPACE_GUID)
        events = {event.kind.value for event in running.sandbox.truth()}

    found = levels(ended)
    assert ended.code == code
    assert {name: found[name] for name in wrong} == wrong
    assert "queued" not in events


def test_another_workspace_is_refused(shell: Shell, sandbox: RunningSandbox) -> None:
    del sandbox
    other = "11111111-1111-4111-8111-111111111111"
    ended = shell.run("doctor", "--json", "--expect-workspace", other)

    assert ended.code == 78
    assert levels(ended)["workspace"] == "fails"


def test_without_credentials_host_and_disk_are_looked_at(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    del sandbox
    monkeypatch.delenv("SYNERISE_API_KEY")
    ended = shell.run("doctor", "--json")

    assert ended.code == 77
    assert set(levels(ended)) == {
        *("versions", "credentials"),
        *OF_THE_NETWORK,
        *OF_THE_DISK,
    }


def test_a_job_that_cannot_be_read_does_not_end_it(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    del sandbox
    shell.write("job.yaml", "version: 1\nnme: x\n")
    ended = shell.run("doctor", "-c", "job.yaml", "--json")

    assert ended.code == 78
    assert "line 2: nme: unknown key" in told(ended, "job")
    assert levels(ended)["list"] == levels(ended)["journal"] == "ok"


def test_a_dead_host_is_named_and_the_service_not_asked(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNERISE_API_KEY", "c0ffee00-0000-4000-8000-000000000000")
    ended = shell.run("doctor", "--json", "--base-url", "http://127.0.0.1:9")

    assert ended.code == 69
    assert levels(ended)["connection"] == "fails"
    assert levels(ended)["service"] == "warning"


def test_alerts_and_metrics_are_looked_at_and_nothing_is_sent(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    del sandbox
    job = 'version: 1\nnotify: {url: "${ALERTS}"}\nmetrics: metrics/m.txt\n'
    shell.write("job.yaml", job)
    first = shell.run("doctor", "-c", "job.yaml", "--json")
    assert (first.code, levels(first)["alerts"]) == (78, "fails")
    assert "make it" in told(first, "metrics")

    (shell.folder / "metrics").mkdir()
    monkeypatch.setenv("ALERTS", "https://alerts.invalid/T0PSECRET")
    second = shell.run("doctor", "-c", "job.yaml", "--json")
    assert (second.code, levels(second)["alerts"]) == (0, "ok")
    assert "*.prom" in told(second, "metrics")
    assert "T0PSECRET" not in second.out + second.err

    shell.write("job.yaml", job.replace("m.txt", "m.prom"))
    assert levels(shell.run("doctor", "-c", "job.yaml", "--json"))["metrics"] == "ok"


# -- answers that no weather gives -------------------------------------------------


WORKSPACE = {"businessProfileGuid": WORKSPACE_GUID, "name": "W"}


class Service(httpx.AsyncBaseTransport):
    """Answers paths as told, 200 and a workspace where nothing is."""

    def __init__(self, answers: dict[str, httpx.Response]) -> None:
        self.answers = answers

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for path, answer in self.answers.items():
            if path in request.url.path:
                return as_stream(answer)
        return as_stream(httpx.Response(200, json=WORKSPACE))


def as_stream(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(
        answer.status_code,
        headers=answer.headers,
        stream=httpx.ByteStream(answer.content),
    )


async def no_sleep(_: float) -> None:
    return


def examined(tmp_path: Path, **answers: httpx.Response) -> dict[str, Any]:
    remote = RemoteSettings("https://crm.test", Credentials(token=Secret("t")))
    connector = Connector(remote, Service(answers))
    connector = replace(connector, clock=replace(connector.clock, sleep=no_sleep))
    request = DoctorRequest(tmp_path, remote.base_url, connector, now=lambda: 1e9)

    report = asyncio.run(examine(request))
    return {check.name: check for check in report.checks}


@pytest.mark.parametrize(
    "told",
    [[], {}, {"permissions": [True]}, {"permissions": {"API_CLIENT_CREATE": "yes"}}],
)
def test_a_form_of_permissions_that_nobody_knows(tmp_path: Path, told: Any) -> None:
    answer = httpx.Response(200, json=told)
    found = examined(tmp_path, **{"permission-check": answer})

    assert found["import"].level.value == "warning"
    assert "create" not in found


def test_a_clock_that_is_a_day_off(tmp_path: Path) -> None:
    date = {"Date": "Mon, 10 Sep 2001 01:46:40 GMT"}
    answer = httpx.Response(200, json=WORKSPACE, headers=date)
    found = examined(tmp_path, current=answer)

    assert "86,400 s behind" in found["clock"].told


def test_a_storm_is_not_waited_for(tmp_path: Path) -> None:
    found = examined(tmp_path, current=httpx.Response(503))

    assert found["credentials"].level.value == "fails"
    assert "status 503" in found["credentials"].told


def test_a_key_that_may_not_ask_for_permissions(tmp_path: Path) -> None:
    found = examined(tmp_path, **{"permission-check": httpx.Response(404)})

    assert found["import"].level.value == "warning"


def test_a_list_that_is_down_is_told_as_it_is(tmp_path: Path) -> None:
    found = examined(tmp_path, list=httpx.Response(503))

    assert "status 503" in found["list"].told


def test_a_proxy_is_not_looked_through(shell: Shell, sandbox: RunningSandbox) -> None:
    del sandbox
    ended = shell.run("doctor", "--json", "--env-proxy")

    assert "proxy" in told(ended, "network")
    assert not set(OF_THE_NETWORK) & set(levels(ended))
