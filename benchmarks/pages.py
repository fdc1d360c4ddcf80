"""
Pages of profiles to frames: the tool's reader against ways people write it.

Called with a way and a number of profiles, it prints CPU seconds and profiles as JSON.
Pages hold a thousand profiles; every twentieth page brings an attribute that no page
before it had, and whole numbers become fractions half way. `equal` compares every cell
of the tool with Python's own reading, types included.
"""

from __future__ import annotations

import json
import random
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import orjson
import polars as pl

from pipeline.export.pages import PageReader
from pipeline.export.plain import FIXED, read_exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE_ROWS: Final = 1000
LATE_EVERY: Final = 20


def profile(number: int, n_profiles: int, dice: random.Random) -> dict[str, Any]:
    """Make one profile, as a list with attributes shows it."""
    page = number // PAGE_ROWS
    points = dice.randrange(5000)
    attributes: dict[str, Any] = {
        "tier": dice.choice(("bronze", "silver", "gold")),
        "points": points + 0.5 if 2 * number > n_profiles else points,
        "is_member": dice.random() < 0.5,  # noqa: PLR2004 - a coin
    }
    if page % LATE_EVERY == 0 and number % 7 == 0:
        attributes[f"late_{page}"] = "x"
    return {
        "id": 2_149_203_825 + number,
        "email": f"person{number:07d}@example.com",
        "custom_identify": f"C{number:07d}",
        "uuid": str(uuid.UUID(int=dice.getrandbits(128))),
        "firstname": dice.choice(("Ada", "Borys", "Zoë")),
        "lastName": dice.choice(("Example", "Próbny")),
        "city": dice.choice(("Warszawa", "Gdańsk", None)),
        "tags": ["vip"] if number % 3 else [],
        "attributes": attributes,
    }


def pages(n_profiles: int) -> list[bytes]:
    """Make the bodies of all pages."""
    dice = random.Random(7)  # noqa: S311 - repeatable
    found = []
    for start in range(0, n_profiles, PAGE_ROWS):
        some = range(start, min(n_profiles, start + PAGE_ROWS))
        told = {
            "customers": [profile(number, n_profiles, dice) for number in some],
            "all": n_profiles,
            "limit": PAGE_ROWS,
            "offset": start,
            "matching": n_profiles,
        }
        found.append(orjson.dumps(told))
    return found


def ours(bodies: list[bytes]) -> Iterator[pl.DataFrame]:
    """Read as an export does."""
    reader = PageReader()
    for body in bodies:
        yield reader.read(body).frame


def from_dicts(bodies: list[bytes]) -> Iterator[pl.DataFrame]:
    """Read with orjson, and let polars look at every value: late keys are kept."""
    for body in bodies:
        rows = orjson.loads(body)["customers"]
        yield pl.from_dicts(rows, infer_schema_length=None)


def read_json(bodies: list[bytes]) -> Iterator[pl.DataFrame]:
    """Read with polars alone, with types found anew on each page."""
    for body in bodies:
        frame = pl.read_json(body, infer_schema_length=None)
        yield frame["customers"].explode().struct.unnest()


WAYS: Final[dict[str, Callable[[list[bytes]], Iterator[pl.DataFrame]]]] = {
    "ours": ours,
    "from_dicts": from_dicts,
    "read_json": read_json,
}


def different(bodies: list[bytes]) -> int:
    """Count the cells that are not what Python reads, by value and type."""
    n_different = 0
    for frame, body in zip(ours(bodies), bodies, strict=True):
        exact = read_exactly(body).frame
        n_different += len(set(frame.columns) ^ set(exact.columns)) * frame.height
        for name in exact.columns:
            pairs = zip(frame[name], exact[name], strict=True)
            if name in FIXED:
                n_different += sum(
                    a.to_list() != b.to_list() if isinstance(a, pl.Series) else a != b
                    for a, b in pairs
                )
            else:
                n_different += sum(_value(a) != _value(b) for a, b in pairs)
    return n_different


def _value(text: str | None) -> str | None:
    return None if text is None else repr(json.loads(text))


def main() -> None:
    """Measure one way, or compare."""
    way, n_profiles = sys.argv[1], int(sys.argv[2])
    bodies = pages(n_profiles)
    if way == "equal":
        print(json.dumps({"rows": n_profiles, "different": different(bodies)}))
        return
    began_s, cpu_s = time.perf_counter(), time.process_time()
    n_rows = sum(frame.height for frame in WAYS[way](bodies))
    told = {
        "rows": n_rows,
        "wall_s": time.perf_counter() - began_s,
        "cpu_s": time.process_time() - cpu_s,
        "bytes": sum(map(len, bodies)),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
