"""A sample reaches every shape, and what it shows of all rows is never too rosy."""

import random
from math import comb

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.verify.sampling import Shape, Stratum, allocate, wrong_share_at_most

ONE, OTHER = ("customId",), ("email",)
TWO, THREE = ("customId", "email"), ("customId", "email", "phone")
SIZES = st.dictionaries(
    st.sampled_from([ONE, OTHER, TWO, THREE]), st.integers(1, 10_000), min_size=1
)


@given(SIZES, st.integers(1, 2_000))
def test_a_sample_is_as_large_as_asked_and_never_larger_than_its_shape(
    sizes: dict[Shape, int], n_rows: int
) -> None:
    given_rows = allocate(sizes, n_rows)

    assert sum(given_rows.values()) == min(n_rows, sum(sizes.values()))
    assert all(given_rows[shape] <= n for shape, n in sizes.items())
    linked = sum(n for shape, n in sizes.items() if len(shape) > 1)
    got = sum(n for shape, n in given_rows.items() if len(shape) > 1)
    assert got >= min(linked, n_rows / 2)


@given(SIZES)
@example({ONE: 1, TWO: 300})
@example({ONE: 9_000, TWO: 1})
def test_every_shape_gets_a_row(sizes: dict[Shape, int]) -> None:
    assert all(n >= 1 for n in allocate(sizes, 300).values())


def test_fewer_rows_than_shapes_go_to_the_largest() -> None:
    assert allocate({ONE: 5, OTHER: 9}, 1) == {OTHER: 1, ONE: 0}


def test_of_three_hundred_without_a_fault_at_most_one_percent_is_wrong() -> None:
    assert 0.0099 < wrong_share_at_most([Stratum(10**6, 300, 0)]) < 0.01
    assert 0.0029 < wrong_share_at_most([Stratum(10**6, 1000, 0)]) < 0.003
    parts = [Stratum(5 * 10**5, 150, 0), Stratum(5 * 10**5, 150, 0)]
    assert wrong_share_at_most(parts) == pytest.approx(0.0099, abs=1e-4)


def test_a_shape_that_nobody_looked_at_may_be_wrong_altogether() -> None:
    assert wrong_share_at_most([Stratum(500, 0, 0), Stratum(500, 300, 0)]) > 0.5
    assert wrong_share_at_most([Stratum(500, 0, 0)]) == pytest.approx(1.0)
    assert wrong_share_at_most([Stratum(9, 3, 3)]) == 1.0
    assert wrong_share_at_most([]) == 1.0


def test_all_rows_leave_no_doubt() -> None:
    assert wrong_share_at_most([Stratum(80, 80, 1), Stratum(20, 20, 1)]) == 0.02


@pytest.mark.parametrize(("n_wrong", "n_asked"), [(1, 300), (3, 300), (10, 20)])
def test_the_bound_is_that_of_clopper_and_pearson(n_wrong: int, n_asked: int) -> None:
    share = wrong_share_at_most([Stratum(10**6, n_asked, n_wrong)])

    chance = sum(
        comb(n_asked, k) * share**k * (1 - share) ** (n_asked - k)
        for k in range(n_wrong + 1)
    )
    assert chance == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_holds_at_least_as_often_as_it_says(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - repeatable
    sizes = {ONE: dice.randrange(1, 5_000), TWO: dice.randrange(1, 5_000)}
    shares = {shape: dice.random() * 0.03 for shape in sizes}
    wrong = {shape: int(sizes[shape] * shares[shape]) for shape in sizes}
    true_share = sum(wrong.values()) / sum(sizes.values())
    n_held = 0
    for _ in range(200):
        strata = []
        for shape, n in allocate(sizes, 200).items():
            drawn = dice.sample(range(sizes[shape]), n)
            n_wrong = sum(row < wrong[shape] for row in drawn)
            strata.append(Stratum(sizes[shape], n, n_wrong))
        n_held += wrong_share_at_most(strata) >= true_share
    assert n_held >= 180  # 190 are promised; 180 is three deviations off
