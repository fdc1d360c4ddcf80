"""Print the files of the vocabulary and the core, for `make cov`."""

import sys

from test_architecture import FLOOR_OF, FLOORS, MODULES, PURE_FLOORS, ROOT, place


def core_files() -> list[str]:
    """Return the paths of the pure floors' modules, relative to the root."""
    return [
        path.relative_to(ROOT).as_posix()
        for module, path in MODULES.items()
        if FLOOR_OF.get(place(module), len(FLOORS)) < PURE_FLOORS
    ]


if __name__ == "__main__":
    sys.stdout.write(",".join(core_files()) + "\n")
