"""Marks of tests that are easier to read than to write."""

import pytest


def slow(*cases: object) -> list[object]:
    """Cases that `make test` leaves out, because a quick one stands beside them."""
    return [pytest.param(case, marks=pytest.mark.slow) for case in cases]
