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

from pipeline.environment import plain_variable, secret_variable
from pipeline.errors import SettingsError
from pipeline.references import without_references
from pipeline.settings import Job, is_elsewhere

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence


WORK_DIR: Final = ".crm-pipeline"
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
            without_references(read, plain_variable, secret_variable)
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
