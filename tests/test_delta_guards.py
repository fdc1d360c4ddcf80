"""Guards know bad sources from good ones, of which none is like another."""

import random
from dataclasses import replace

import pytest

from pipeline.delta.guards import judge, too_many_deletes
from pipeline.delta.plan import Figures, Night
from pipeline.settings_sync import GuardSettings

N = 10_000
GIVEN = {"email": N, "city": 8_000, "phone": 300}
USUAL = Figures(
    n_read=N,
    n_new=100,
    n_changed=400,
    n_unchanged=N - 500,
    n_known=N,
    given_fields=GIVEN,
)
NIGHT = Night("run", N, N, 500, GIVEN)
GUARDS = GuardSettings()


def test_a_usual_night_passes() -> None:
    assert judge(USUAL, [NIGHT], GUARDS) == ()


def test_the_first_night_passes_and_so_does_a_source_without_rows_before_it() -> None:
    first = Figures(n_read=N, n_new=N, given_fields=GIVEN)

    assert judge(first, [], GUARDS) == ()
    assert judge(Figures(), [], GUARDS) == ()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"n_read": 0, "n_new": 0, "n_changed": 0, "n_unchanged": 0}, "least_rows"),
        ({"n_read": 2 * N}, "most_rows"),
        ({"n_read": N + 1_000}, "max_unsendable"),
        ({"n_changed": 4_000, "n_unchanged": 5_900}, "max_changed"),
        ({"n_new": 4_000, "n_unchanged": 5_600}, "max_changed"),
        ({"lost_fields": {"phone": 100}}, "max_lost"),
        ({"given_fields": GIVEN | {"city": 6_000}}, "max_null_rise"),
        ({"given_fields": {"email": N, "phone": 300}}, "max_null_rise"),
        ({"odd_values": {"city": 1}}, "accepted_values"),
    ],
)
def test_each_guard_trips_and_names_its_key(
    change: dict[str, object], word: str
) -> None:
    trips = judge(replace(USUAL, **change), [NIGHT], GUARDS)  # type: ignore[arg-type]

    assert any(f"({word})" in trip for trip in trips)


def test_few_rows_are_chance() -> None:
    few = Figures(
        n_read=19,
        n_changed=19,
        n_known=19,
        lost_fields={"a": 19},
        given_fields={"b": 1},
    )

    assert judge(few, [Night("run", 19, 19, 1, {"a": 19, "b": 19})], GUARDS) == ()


def test_a_full_plan_is_no_surprise() -> None:
    full = replace(USUAL, n_new=N, n_changed=0, n_unchanged=0)

    assert judge(full, [NIGHT], GUARDS) != ()
    assert judge(full, [NIGHT], GUARDS, is_full=True) == ()


def test_one_odd_night_does_not_change_what_is_usual() -> None:
    odd = replace(NIGHT, n_read=10, n_persons=10, given_fields={})
    nights = [NIGHT, NIGHT, odd, NIGHT]

    assert judge(USUAL, nights, GUARDS) == ()
    half = replace(USUAL, n_read=N // 2, n_unchanged=N // 2 - 500)
    assert any("least_rows" in trip for trip in judge(half, nights, GUARDS))


def test_deletions_beyond_their_bound_are_told_by_number() -> None:
    assert too_many_deletes(1, 0) == (
        "1 profile would be deleted: more than 0 (max_deletes)"
    )
    assert too_many_deletes(2_000, 1_000).startswith("2,000 profiles would be deleted")


def test_guards_are_settings() -> None:
    loose = GuardSettings(least_rows=0, max_changed=1, max_null_rise=1, max_lost=1)
    half = Figures(n_read=N // 2, n_new=N // 2, n_known=N)

    assert judge(half, [NIGHT], loose) == ()


def test_drawn_good_nights_pass() -> None:
    dice = random.Random(5)  # noqa: S311 - repeatable
    for _ in range(200):
        n_read = round(N * dice.uniform(0.93, 1.2))
        n_planned = round(n_read * dice.uniform(0, 0.25))
        given = {f: round(n * n_read / N * 0.97) for f, n in GIVEN.items()}
        good = Figures(
            n_read=n_read,
            n_changed=n_planned,
            n_unchanged=n_read - n_planned,
            n_known=N,
            given_fields=given,
            lost_fields={"city": dice.randint(0, 1_000)},
        )
        assert judge(good, [NIGHT], GUARDS) == ()


def test_a_part_of_a_source_is_compared_with_all_that_is_known() -> None:
    part = Figures(
        n_read=500,
        n_changed=400,
        n_unchanged=50,
        n_known=N,
        given_fields={"email": 450},
    )

    assert judge(part, [NIGHT], GUARDS) != ()
    assert judge(part, [NIGHT], GUARDS, is_whole=False) == ()
    for change, word in (
        ({"n_changed": 3_500}, "max_changed"),
        ({"lost_fields": {"city": 2_000}}, "max_lost"),
        ({"odd_values": {"city": 1}}, "accepted_values"),
    ):
        odd = replace(part, **change)
        (trip,) = judge(odd, [NIGHT], GUARDS, is_whole=False)
        assert f"({word})" in trip
