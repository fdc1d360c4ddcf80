"""
Made-up profiles for a sandbox that should not start empty.

Deterministic: profile number n is the same in every sandbox. Nobody is meant by the
names; addresses are of reserved domains, phones of a range reserved for fiction.
"""

import random
from collections.abc import Iterator
from typing import Any, Final

from pipeline.sandbox.writes import Write, WriteKind

_FIRST: Final = (
    ("Ada", "FEMALE"),
    ("Borys", "MALE"),
    ("Celina", "FEMALE"),
    ("Dariusz", "MALE"),
    ("Zoë", "FEMALE"),
    ("Jo", "OTHER"),
)
_LAST: Final = ("Example", "Sample", "Próbny", "Specimen", "Muster", "Placeholder")
_CITIES: Final = (
    ("Warszawa", "PL"),
    ("Kraków", "PL"),
    ("Gdańsk", "PL"),
    ("Berlin", "DE"),
    ("Lyon", "FR"),
)
# Names and places are as uneven as those of a real workspace.
_NAME_WEIGHTS: Final = (32, 16, 8, 4, 2, 1)
_CITY_WEIGHTS: Final = (16, 8, 4, 2, 1)
_BOTH: Final = (True, False)
_TIERS: Final = ("bronze", "silver", "gold")
_TAGS: Final = ("newsletter", "vip", "outlet", "beta")


def seed_writes(n_profiles: int) -> Iterator[Write]:
    """Yield one write for each profile, all with different identifiers."""
    for number in range(1, n_profiles + 1):
        yield Write(WriteKind.UPSERT, None, _item(number))


def _item(number: int) -> dict[str, Any]:
    """Make profile `number`; every tenth is anonymous, every third has no tags."""
    dice = random.Random(number)  # noqa: S311 - repeatable on purpose
    [(first, sex)] = dice.choices(_FIRST, _NAME_WEIGHTS)
    [(city, country)] = dice.choices(_CITIES, _CITY_WEIGHTS)
    [last] = dice.choices(_LAST, _NAME_WEIGHTS)
    item: dict[str, Any] = {
        "customId": f"S{number:07d}",
        "firstName": first,
        "lastName": last,
        "sex": sex,
        "city": city,
        "countryCode": country,
        "birthDate": f"{dice.randint(1940, 2006)}-{dice.randint(1, 12):02d}-15",
        "agreements": {"email": dice.choice(_BOTH), "sms": number % 5 == 0},
        "attributes": {"tier": dice.choice(_TIERS), "points": dice.randint(0, 5000)},
    }
    if number % 10:
        item["email"] = f"seed{number:07d}@example.com"
    if number % 4 == 0:
        item["phone"] = f"+44 7700 900{number % 1000:03d}"
    if number % 3:
        item["tags"] = sorted(dice.sample(_TAGS, 2))
    return item
