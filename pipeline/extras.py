"""Modules of this package whose libraries are extras, loaded when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from types import ModuleType


def extra_module(name: str, what: str, extra: str) -> ModuleType:
    """
    Load a module of this package that imports what an extra installs.

    Args:
        name: Below `pipeline`.
        what: Needs it, for the message.

    Raises:
        SettingsError: The extra is not installed.
    """
    try:
        return import_module(f"pipeline.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pipeline"):
            raise
        raise SettingsError(
            f"{what} needs a package that is not installed: run "
            f"`pip install 'crm-pipeline[{extra}]'`"
        ) from None
