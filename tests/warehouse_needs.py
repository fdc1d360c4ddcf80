"""The tests of warehouses need packages that nobody else needs: skip, or insist."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

# Set by `make test-warehouse`: what is missing then is a fault, not a reason to skip.
INSIST = "CRM_PIPELINE_TEST_WAREHOUSE"


def needs(*modules: str) -> None:
    """Skip the module that calls this where a package is missing; or fail."""
    missing = [name for name in modules if find_spec(name) is None]
    if not missing:
        return
    told = f"{', '.join(missing)} not installed; `make test-warehouse` does it"
    if os.environ.get(INSIST):
        pytest.fail(told, pytrace=False)
    pytest.skip(told, allow_module_level=True)
