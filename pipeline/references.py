"""
References in a job, such as `${NAME}`: replaced by variables of the environment.

A job file can be read by many, so a password never stands in one. In the connection of
a query the place of the password takes nothing but a reference.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pipeline.errors import SettingsError
from pipeline.settings import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    _Variable = Callable[[str], str | None]

# The keys of the service are never part of a job.
SECRET_VARIABLES: Final = ("SYNERISE_API_KEY", "SYNERISE_TOKEN")
_PASSWORDS: Final = (
    re.compile(r"^[\w.+-]+://[^/?#@:]*:(?P<password>[^/?#]*)@"),
    re.compile(r"[?&](?:password|passwd|pwd)=(?P<password>[^&]*)", re.IGNORECASE),
)


def without_references(
    job: dict[Any, Any], variable: _Variable, secret: _Variable
) -> dict[Any, Any]:
    """
    Return a job as it was read, each reference in it replaced by its value.

    Args:
        variable: Name → value; None where it is not set.
        secret: The same for the connection of a query.

    Raises:
        SettingsError: A variable is not set, or a connection holds a password.
    """
    resolved: dict[Any, Any] = {
        name: _notify(value, variable) if name == "notify" else _filled(value, variable)
        for name, value in job.items()
        if name != "source"
    }
    if "source" not in job:
        return resolved
    source = job["source"]
    if not isinstance(source, dict) or not isinstance(source.get("connection"), str):
        return resolved | {"source": _filled(source, variable)}
    rest = {name: value for name, value in source.items() if name != "connection"}
    opened = {"connection": _opened(source["connection"], secret)}
    return resolved | {"source": _filled(rest, variable) | opened}


def _notify(section: Any, variable: _Variable) -> Any:  # noqa: ANN401 - of YAML
    """Leave the address for alerts a reference, also in the copy of a run folder."""
    if not isinstance(section, dict):
        return _filled(section, variable)
    return {
        key: inner if key == "url" else _filled(inner, variable)
        for key, inner in section.items()
    }


def _opened(connection: str, secret: _Variable) -> str:
    """
    Fill the references of a connection in.

    What stands for the password is a plain text, whatever signs it holds; a connection
    that is one reference is taken as it is.
    """
    for pattern in _PASSWORDS:
        found = pattern.search(connection)
        if found is None:
            continue
        start, end = found.span("password")
        reference = VARIABLE.fullmatch(connection, start, end)
        if reference is None:
            raise SettingsError(
                "source.connection holds a password: write ${NAME} in its place, and "
                "set the variable NAME, or NAME_FILE to a file that holds it"
            )
        password = quote(_value(reference[1], secret), safe="")
        connection = connection[:start] + password + connection[end:]
    return _filled_text(connection, secret)


def _filled(value: Any, variable: _Variable) -> Any:  # noqa: ANN401 - of YAML
    if isinstance(value, dict):
        return {key: _filled(inner, variable) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variable) for inner in value]
    return _filled_text(value, variable) if isinstance(value, str) else value


def _filled_text(text: str, variable: _Variable) -> str:
    return VARIABLE.sub(lambda match: _value(match[1], variable), text)


def _value(name: str, variable: _Variable) -> str:
    if name in SECRET_VARIABLES:
        raise SettingsError(
            f"${{{name}}} is a secret; the tool reads it from the environment itself"
        )
    value = variable(name)
    if value is None:
        raise SettingsError(f"the variable {name} that it refers to is not set")
    return value
