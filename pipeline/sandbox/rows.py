"""
How profiles and waiting writes lie in the database: tables, rows, and both ways.

Pure text and tuples; `pipeline.sandbox.store` is the only one that runs them.
"""

import json
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Final

from pipeline.sandbox import facts
from pipeline.sandbox.profiles import Profile, is_recognised
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.writes import Write, WriteKind

_SCALAR_COLUMNS: Final = ", ".join(f'"{field}"' for field in facts.SCALAR_FIELDS)
COLUMNS: Final = (
    f"client_id, {_SCALAR_COLUMNS}, "
    "anonymous, agreements, attributes, tags, uuids, created_s, updated_s"
)
_N_SCALARS: Final = len(facts.SCALAR_FIELDS)
N_COLUMNS: Final = _N_SCALARS + 9  # with what a plain search looks into
BETWEEN: Final = "\x1f"

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS profiles (
    client_id INTEGER PRIMARY KEY, {_SCALAR_COLUMNS}, anonymous INTEGER NOT NULL,
    agreements INTEGER NOT NULL, attributes TEXT NOT NULL, tags TEXT NOT NULL,
    uuids TEXT NOT NULL, created_s REAL NOT NULL, updated_s REAL NOT NULL,
    searched TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS profiles_phone ON profiles (phone);
CREATE TABLE IF NOT EXISTS identifiers (
    kind TEXT NOT NULL, key TEXT NOT NULL, client_id INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS queue (
    request_no INTEGER PRIMARY KEY, due_s REAL NOT NULL, payload TEXT,
    n_items INTEGER NOT NULL, applied INTEGER NOT NULL, effects TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS queue_waiting ON queue (due_s, request_no)
    WHERE applied = 0;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

# One encoder, because `json.dumps` with options builds a new one for each call.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_scalars_of: Final = itemgetter(*facts.SCALAR_FIELDS)
_searched_of: Final = itemgetter("email", "firstName", "lastName", "uuid")
_BITS: Final = {key: 1 << bit for bit, key in enumerate(facts.AGREEMENT_KEYS)}


def to_row(profile: Profile, rules: Switches) -> tuple[Any, ...]:
    """Lay a profile out in the order of `COLUMNS`, and what is searched behind."""
    agreed = sum(bit for key, bit in _BITS.items() if profile.agreements[key])
    return (
        profile.client_id,
        *_scalars_of(profile.scalars),
        not is_recognised(profile.scalars, rules),
        agreed,
        _encode(profile.attributes),
        _encode(profile.tags) if profile.tags else "[]",
        "\n".join(profile.uuids),  # no identifier holds a line feed
        profile.created_s,
        profile.updated_s,
        _searched(profile),
    )


def _searched(profile: Profile) -> str:
    """Join what a plain search looks into (6.1), without regard to case."""
    texts = [text for text in _searched_of(profile.scalars) if text is not None]
    texts += [_as_text(value) for value in profile.attributes.values()]
    return f"{BETWEEN}{BETWEEN.join(texts).casefold()}{BETWEEN}"


def _as_text(value: Any) -> str:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return value
    return str(int(value)) if isinstance(value, int) else _encode(value)


def from_row(row: tuple[Any, ...]) -> Profile:
    """Read a profile back from a row in the order of `COLUMNS`."""
    agreed, attributes, tags, uuids, created_s, updated_s = row[_N_SCALARS + 2 :]
    return Profile(
        client_id=row[0],
        scalars=dict(zip(facts.SCALAR_FIELDS, row[1:], strict=False)),
        agreements={key: bool(agreed & bit) for key, bit in _BITS.items()},
        attributes=json.loads(attributes),
        tags=tuple(json.loads(tags)) if tags != "[]" else (),
        uuids=tuple(uuids.split("\n")),
        created_s=created_s,
        updated_s=updated_s,
    )


def to_payload(writes: Iterable[Write]) -> str:
    """Write waiting operations as one text, so that they outlive the process."""
    return _encode([(w.kind.value, w.client_id, w.item) for w in writes])


def from_payload(payload: str) -> list[Write]:
    """Read waiting operations back."""
    return [Write(WriteKind(kind), at, item) for kind, at, item in json.loads(payload)]
