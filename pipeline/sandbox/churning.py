"""
What happens in a workspace while somebody reads it.

Repeatable: a number of the request decides, with the state of the workspace.
"""

import math
import random
from typing import Any, Final

from pipeline.sandbox.store import Store
from pipeline.sandbox.writes import Write, WriteKind

# Apart from the numbers of the profiles present at start, and of other turns.
_TURN: Final = 10**9


def churn(store: Store, turn: int, mean: float) -> None:
    """
    Let profiles come, go and be touched, as many of each.

    Args:
        turn: The number of the request.
        mean: Of changes.
    """
    if not mean:
        return
    dice = random.Random(f"churn {turn}")  # noqa: S311 - repeatable on purpose
    n_profiles = store.count_profiles()
    writes: list[Write] = []
    left, least = dice.random(), math.exp(-mean)
    while left > least:
        left *= dice.random()
        kind = dice.choice((WriteKind.UPSERT, WriteKind.UPDATE, WriteKind.DELETE))
        if kind is WriteKind.UPSERT or not n_profiles:
            item = {"email": f"churn{turn}x{len(writes)}@example.com"}
            writes.append(Write(WriteKind.UPSERT, None, item))
            continue
        found = store.id_at(dice.randrange(n_profiles))
        touched: dict[str, Any] = {"city": f"Town {turn}"}
        item = {} if kind is WriteKind.DELETE else touched
        writes.append(Write(kind, found, item))
    store.load(writes, first_no=-(turn + 1) * _TURN)
