"""What all tests share: seeds that are printed, and the fixtures of the shell."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from shell import sandbox, shell

settings.register_profile("all", deadline=None, max_examples=100, print_blob=True)
# For `make test`; `make cov` and the slow tests take all examples.
settings.register_profile("quick", settings.get_profile("all"), max_examples=25)
# The first example that fails is enough where many defects are planted.
settings.register_profile(
    "first",
    settings.get_profile("all"),
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
)
settings.load_profile("all")

__all__ = ["sandbox", "shell"]


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where runs meet; never the home of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", os.fspath(folder))
        yield folder
