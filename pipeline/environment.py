"""
What the environment says: where the service is, with which secrets, whom to tell.

A secret comes from a variable, or from the file that the variable with `_FILE` behind
its name names; never from the command line or a job file.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.addresses import check_webhook
from pipeline.contract import DEFAULT_BASE_URL
from pipeline.credentials import Credentials, RemoteSettings, Secret
from pipeline.errors import SettingsError, TokenRefusedError
from pipeline.files import make_work_dir, replacing
from pipeline.references import SECRET_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.settings import Job, NotifySettings

SILENCE: Final = "CRM_PIPELINE_TELL"
KEY_NAME: Final = "key"
KEY_BYTES: Final = 32
LEAST_KEY_LETTERS: Final = 32


def remote_settings(
    job: Job,
    *,
    base_url: str | None = None,
    ca_bundle: str | None = None,
    env_proxy: bool = False,
    environment: Mapping[str, str] | None = None,
) -> RemoteSettings:
    """
    Take the service and the credentials from the environment.

    A ready token wins, then `workspace.auth` of the job, else a login with the key.

    Raises:
        SettingsError: The variables contradict each other or the job.
        TokenRefusedError: There are no credentials at all.
    """
    env = os.environ if environment is None else environment
    url = service_url(base_url, env)
    token = _secret("SYNERISE_TOKEN", env)
    api_key = _secret("SYNERISE_API_KEY", env)
    guid = env.get("SYNERISE_WORKSPACE_GUID") or job.workspace.guid
    pinned = job.workspace.guid
    if pinned and guid and guid.lower() != pinned.lower():
        raise SettingsError(
            "SYNERISE_WORKSPACE_GUID and workspace.guid of the job name two different "
            "workspaces; unset one of them"
        )
    if token and job.workspace.auth == "basic":
        raise SettingsError(
            "SYNERISE_TOKEN is set, and the job says `auth: basic`; unset the variable "
            "or change the job"
        )
    if not token and not api_key:
        raise TokenRefusedError(
            "no credentials: set SYNERISE_API_KEY (or SYNERISE_API_KEY_FILE) to the "
            "workspace API key, or SYNERISE_TOKEN to a token. To try the tool without "
            "a workspace, run `crm-pipeline demo`"
        )
    basic = job.workspace.auth == "basic"
    if basic and not guid:
        raise SettingsError(
            "`auth: basic` needs the workspace GUID: set SYNERISE_WORKSPACE_GUID or "
            "workspace.guid"
        )
    credentials = Credentials(token=token, api_key=api_key, guid=guid, basic=basic)
    return RemoteSettings(url, credentials, ca_bundle, env_proxy)


def service_url(
    base_url: str | None, environment: Mapping[str, str] | None = None
) -> str:
    """Return where the service is: the flag, the environment, or the usual place."""
    env = os.environ if environment is None else environment
    url = base_url or env.get("SYNERISE_BASE_URL") or DEFAULT_BASE_URL
    return url.rstrip("/")


def alert_address(
    notify: NotifySettings | None, environment: Mapping[str, str] | None = None
) -> Secret | None:
    """
    Take the address for alerts from the environment; None where nobody is told.

    Raises:
        SettingsError: The variable is not set, or holds no address to send to.
    """
    env = os.environ if environment is None else environment
    if notify is None or env.get(SILENCE) == "no":
        return None
    name = notify.url[2:-1]
    if name in SECRET_VARIABLES:
        raise SettingsError(f"notify.url of the job names {name}, which is no address")
    address = _secret(name, env)
    if not address:
        raise SettingsError(
            f"the variable {name} is not set: notify.url of the job says that it, or "
            f"{name}_FILE, holds the address for alerts. Set it, remove the section, "
            f"or set {SILENCE}=no to tell nobody"
        )
    check_webhook(address.reveal(), name)
    return address


def metrics_path(
    job: Job, folder: Path, environment: Mapping[str, str] | None = None
) -> Path | None:
    """Return the absolute path of the metrics; *folder* is that of the job file."""
    env = os.environ if environment is None else environment
    if job.metrics is None or env.get(SILENCE) == "no":
        return None
    return (folder / job.metrics).absolute()


def digest_key(work_dir: Path, environment: Mapping[str, str] | None = None) -> str:
    """
    Return the secret that keys all digests of a work folder: the variable
    `CRM_PIPELINE_KEY`, or the file that `CRM_PIPELINE_KEY_FILE` names, or `key` in the
    work folder.

    Effects: without any of them, `key` is made: 32 random bytes, readable by its owner
        only. Digests under another key cannot be compared, so it has to be kept.

    Raises:
        SettingsError: The variables contradict each other, the secret is too short, or
            the file is not what was made.
        CannotWriteError: The work folder refuses.
    """
    env = os.environ if environment is None else environment
    told = _secret("CRM_PIPELINE_KEY", env).reveal()
    if told:
        if len(told) < LEAST_KEY_LETTERS:
            raise SettingsError(
                f"CRM_PIPELINE_KEY is shorter than {LEAST_KEY_LETTERS} characters; "
                "take a long random one, such as the output of `openssl rand -hex 32`"
            )
        return told
    path = work_dir / KEY_NAME
    try:
        if not path.exists():
            make_work_dir(work_dir)
            with replacing(path, overwrite=False) as draft:
                draft.write_bytes(secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the key of the digests cannot be read ({path}: {error.strerror})"
        ) from None
    if len(key) != KEY_BYTES:
        raise SettingsError(
            f"{path} is not the key that was made there ({KEY_BYTES} bytes). Bring it "
            "back from a copy, or remove it: the next plan then sends every row"
        )
    return key.hex()


def plain_variable(name: str) -> str | None:
    """Return a variable that a job refers to; None where it is not set."""
    return os.environ.get(name)


def secret_variable(name: str) -> str | None:
    """Return the same, or what the file holds that `NAME_FILE` names."""
    if f"{name}_FILE" in os.environ:
        return _secret(name, os.environ).reveal()
    return os.environ.get(name)


def _secret(name: str, env: Mapping[str, str]) -> Secret:
    value, file = env.get(name, "").strip(), env.get(f"{name}_FILE")
    if value and file:
        raise SettingsError(f"both {name} and {name}_FILE are set; unset one of them")
    if file:
        try:
            value = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SettingsError(
                f"cannot read the file that {name}_FILE names"
            ) from None
        if not value:
            raise SettingsError(f"the file that {name}_FILE names is empty")
    return Secret(value)
