"""Which service, and who we are there: precedence, contradictions, messages."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.contract import DEFAULT_BASE_URL
from pipeline.credentials import RemoteSettings
from pipeline.environment import remote_settings
from pipeline.errors import SettingsError, TokenRefusedError
from pipeline.settings import Job

KEY = {"SYNERISE_API_KEY": "key-canary"}
TOKEN = {"SYNERISE_TOKEN": "token-canary"}
GUID = "0ABC"
BASIC: dict[str, Any] = {"workspace": {"auth": "basic"}}


def remote(
    environment: dict[str, str], job: dict[str, Any] | None = None, **flags: Any
) -> RemoteSettings:
    return remote_settings(
        Job.model_validate(job or {}), environment=environment, **flags
    )


def refuse(
    match: str, environment: dict[str, str], job: dict[str, Any] | None = None
) -> None:
    with pytest.raises(SettingsError, match=re.escape(match)) as caught:
        remote(environment, job)
    assert "canary" not in str(caught.value)


def test_the_service_is_the_flag_the_variable_or_the_default() -> None:
    env = {**KEY, "SYNERISE_BASE_URL": "https://env.example.com/"}

    assert remote(env, base_url="https://flag.example.com//").base_url == (
        "https://flag.example.com"
    )
    assert remote(env).base_url == "https://env.example.com"
    assert remote(KEY).base_url == DEFAULT_BASE_URL
    assert remote({**KEY, "SYNERISE_BASE_URL": ""}).base_url == DEFAULT_BASE_URL


def test_flags_are_handed_on() -> None:
    found = remote(KEY, ca_bundle="ca.pem", env_proxy=True)

    assert (found.ca_bundle, found.env_proxy) == ("ca.pem", True)
    assert (remote(KEY).ca_bundle, remote(KEY).env_proxy) == (None, False)


def test_a_key_logs_in_and_a_token_goes_first() -> None:
    key, both = remote(KEY).credentials, remote({**KEY, **TOKEN}).credentials

    assert (key.api_key.reveal(), bool(key.token), key.basic) == (
        "key-canary",
        False,
        False,
    )
    assert both.token.reveal() == "token-canary"
    assert remote(TOKEN).credentials.token.reveal() == "token-canary"


def test_basic_takes_the_workspace_from_the_variable_or_the_pin() -> None:
    pinned = {"workspace": {"auth": "basic", "guid": GUID}}

    by_variable = remote({**KEY, "SYNERISE_WORKSPACE_GUID": GUID}, BASIC).credentials
    by_pin = remote(KEY, pinned).credentials

    assert by_variable.basic
    assert by_pin.basic
    assert by_variable.guid == by_pin.guid == GUID
    refuse("`auth: basic` needs the workspace GUID", KEY, BASIC)


def test_contradictions_are_refused() -> None:
    pinned = {"workspace": {"guid": GUID}}

    refuse("name two different", {**KEY, "SYNERISE_WORKSPACE_GUID": "1"}, pinned)
    refuse("SYNERISE_TOKEN is set, and the job says `auth: basic`", TOKEN, BASIC)
    same = {**KEY, "SYNERISE_WORKSPACE_GUID": GUID.lower()}
    assert remote(same, pinned).credentials.guid == GUID.lower()


@pytest.mark.parametrize("job", [{}, BASIC])
@pytest.mark.parametrize(
    "environment", [{}, {"SYNERISE_API_KEY": ""}, {"SYNERISE_TOKEN": " \n"}]
)
def test_no_credentials_at_all_say_what_to_set(
    environment: dict[str, str], job: dict[str, Any]
) -> None:
    with pytest.raises(TokenRefusedError, match=r"set SYNERISE_API_KEY .*demo"):
        remote(environment, job)


@pytest.mark.parametrize("name", ["SYNERISE_API_KEY", "SYNERISE_TOKEN"])
def test_a_secret_may_stand_in_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "secret"
    path.write_text("  from-file \n")

    credentials = remote({f"{name}_FILE": str(path)}).credentials

    found = credentials.token if "TOKEN" in name else credentials.api_key
    assert found.reveal() == "from-file"
    refuse(f"both {name} and {name}_FILE", {name: "canary", f"{name}_FILE": str(path)})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read the file that"),
        (b"\xff\xfe", "cannot read"),
        (b" ", "empty"),
    ],
)
def test_a_file_without_a_secret_is_told_by_its_variable(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "canary"
    if content is not None:
        path.write_bytes(content)

    refuse(told, {"SYNERISE_TOKEN_FILE": str(path)})


def test_a_secret_from_the_environment_is_trimmed_and_never_shown() -> None:
    found = remote({"SYNERISE_API_KEY": " key-canary\n"})

    assert found.credentials.api_key.reveal() == "key-canary"
    assert "canary" not in f"{found!r} {found}"


def test_the_environment_of_the_process_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("API_KEY", "TOKEN", "API_KEY_FILE", "TOKEN_FILE", "WORKSPACE_GUID"):
        monkeypatch.delenv(f"SYNERISE_{name}", raising=False)
    monkeypatch.setenv("SYNERISE_API_KEY", "from-process")

    credentials = remote_settings(Job()).credentials

    assert credentials.api_key.reveal() == "from-process"
