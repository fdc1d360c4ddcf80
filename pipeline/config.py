"""
Job files and the environment become frozen settings; nothing else reads either.

YAML is read without its surprises: only true, false, null, whole and decimal numbers
are more than text (`NO` stays a country, `2024-01-01` a text), and a key that stands
twice is an error. TOML works as well. `${NAME}` in a text is replaced by the variable
of the environment. All faults of a file are told at once, each with its line.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError

from pipeline.addresses import check_webhook
from pipeline.contract import DEFAULT_BASE_URL
from pipeline.credentials import Credentials, RemoteSettings, Secret
from pipeline.errors import SettingsError, TokenRefusedError
from pipeline.references import SECRET_VARIABLES, without_references
from pipeline.settings import Job, is_elsewhere

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from pipeline.settings import NotifySettings

WORK_DIR: Final = ".crm-pipeline"
SILENCE: Final = "CRM_PIPELINE_TELL"
# How pydantic names the branches of our unions, and the end of an agreement's name.
_BRANCHES: Final = ("str", "ColumnMapping", "tuple[str, ...]", "[key]")
_FILE_SCHEMES: Final = ("duckdb", "sqlite")


@dataclass(frozen=True, slots=True)
class JobFile:
    """
    A job and where it was found.

    Attributes:
        path: None when there is no job file.
        folder: What relative paths in the job are relative to.
        source: As it is written, with the names of variables instead of their values.
    """

    job: Job
    path: Path | None
    folder: Path
    source: dict[str, Any] = field(default_factory=dict, compare=False)


class _StrictLoader(yaml.SafeLoader):
    """A loader that knows few types, and remembers the line of each key."""


_StrictLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789"),
    ("float", r"^-?(?:0|[1-9][0-9]*)\.[0-9]+$", "-0123456789"),
):
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first)
    )


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    read: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = (
            key_node.value
            if isinstance(key_node, yaml.ScalarNode)
            else loader.construct_object(key_node, deep=True)
        )
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise SettingsError(f"line {line}: a key must be text")
        if key in read:
            raise SettingsError(f"line {line}: the key {key!r} stands twice")
        read[key] = loader.construct_object(value_node, deep=True)
    return read


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_job(path: Path) -> JobFile:
    """
    Read and check a job file.

    Raises:
        SettingsError: It is missing, cannot be parsed, or holds an unknown key or a
            wrong value; the message names every fault with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(
            f"cannot read the job file {path}: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"the job file {path} is not UTF-8 text") from None
    read = _parse(path, text)
    if not isinstance(read, dict):
        raise SettingsError(f"the job file {path} must be a mapping of keys")
    try:
        source = read.get("source")
        source = dict(source) if isinstance(source, dict) else {}
        job = Job.model_validate(
            without_references(read, _plain_variable, _secret_variable)
        )
    except ValidationError as error:
        faults = _without_echoes(error.errors())
        told = "\n".join(_told(fault, read, text) for fault in faults)
        raise SettingsError(f"the job file {path} is wrong:\n{told}") from None
    except SettingsError as error:
        raise SettingsError(f"the job file {path}: {error}") from None
    return JobFile(job, path, path.parent, source)


def no_job() -> JobFile:
    """Return what stands for a job file where there is none."""
    return JobFile(Job(), None, Path())


def _parse(path: Path, text: str) -> object:
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text)
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except SettingsError as error:
        raise SettingsError(f"the job file {path}: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(
            f"the job file {path} is not YAML{place}: {error.problem}"
        ) from None
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the job file {path} cannot be parsed: {error}") from None
    except RecursionError:
        raise SettingsError(f"the job file {path} is nested too deeply") from None


def _without_echoes(faults: Sequence[Any]) -> list[Any]:
    """
    Keep, of what pydantic says of every branch of a union, what concerns this value.

    A value that is no text may be a mapping or a list: it is told what is wrong inside.
    """
    inside = {
        fault["loc"][:depth]
        for fault in faults
        for depth, part in enumerate(fault["loc"][:-1])
        if part in _BRANCHES
    }
    plain = {fault["loc"][:-1] for fault in faults if fault["loc"][-1:] == ("str",)}
    return [
        fault
        for fault in faults
        if fault["loc"][:-1] not in plain
        or (fault["loc"][-1] == "str" and fault["loc"][:-1] not in inside)
    ]


def _told(fault: Any, read: object, text: str) -> str:  # noqa: ANN401 - a TypedDict
    """Return one fault of a job file as a line: where, and what is wrong."""
    place = []
    for part in fault["loc"]:
        if isinstance(read, dict) and part in read:
            read = read[part]
        elif part in _BRANCHES:
            # The branches of a union are no part of the file.
            continue
        place.append(str(part))
    line = _line_of(place, text)
    where = f"  line {line}: " if line else "  "
    what = {
        "extra_forbidden": "unknown key",
        "missing": "this key is needed",
        "string_type": "must be text; a number or a word such as true needs quotes",
    }.get(fault["type"], fault["msg"])
    return f"{where}{'.'.join(place)}: {what}"


def _line_of(place: list[str], text: str) -> int | None:
    """Find the line of a key by walking down the YAML tree; None in TOML."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    line = None
    for part in place:
        if not isinstance(node, yaml.MappingNode):
            break
        for key, value in node.value:
            if key.value == part:
                line, node = key.start_mark.line + 1, value
                break
        else:
            break
    return line


def work_dir(flag: str | None, found: JobFile) -> Path:
    """
    Choose the work folder: the flag, the job's key, beside the job file, or here.

    Relative paths of the job are relative to the job file.
    """
    if flag is not None:
        return Path(flag)
    if found.job.work_dir is not None:
        return found.folder / found.job.work_dir
    return found.folder / WORK_DIR


def beside(folder: Path, place: str) -> str:
    """
    Return a path or the connection of a job, as seen from the current folder.

    The file of a database is a path as well: `sqlite:///NAME` lies beside the job.
    """
    scheme, separator, rest = place.partition(":///")
    if separator and scheme in _FILE_SCHEMES and not rest.startswith("/"):
        return f"{scheme}:///{folder / rest}"
    return place if is_elsewhere(place) else str(folder / place)


def lock_dir(environment: Mapping[str, str] | None = None) -> Path | None:
    """
    Return where all runs of this user meet, whatever their work folders.

    None where there is no home to write to; then they meet in their work folder only.
    """
    env = os.environ if environment is None else environment
    home = env.get("XDG_STATE_HOME") or (
        f"{env['HOME']}/.local/state" if env.get("HOME") else None
    )
    if home is None:
        return None
    try:
        folder = Path(home) / "crm-pipeline" / "locks"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


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


def _plain_variable(name: str) -> str | None:
    return os.environ.get(name)


def _secret_variable(name: str) -> str | None:
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


def refuse_idle_options(kind: str, delimiter: str | None, encoding: str | None) -> None:
    """
    Refuse what was said about a source and says nothing about one of this kind.

    Raises:
        SettingsError: A delimiter of what is no CSV, an encoding of Parquet.
    """
    names = {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSONL"}
    if delimiter is not None and kind != "csv":
        raise SettingsError(
            f"--delimiter is for CSV, and the source is {names[kind]}: leave it out"
        )
    if encoding is not None and kind == "parquet":
        raise SettingsError(
            "--encoding is for text, and a Parquet file names its own: leave it out"
        )
