"""How a whole command ends when the network or the service fails: code and sentence."""

from pathlib import Path

import pytest

from torture.faults import NetFault, cases, run_fault

SLOW = [pytest.mark.slow]
CASES = cases()


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=SLOW * case.is_slow) for case in CASES],
    ids=lambda case: case.title,
)
def test_a_command_says_what_befell_it_and_what_to_do(
    case: NetFault, tmp_path: Path
) -> None:
    result = run_fault(case, tmp_path)

    assert result.faults == (), result.ended.err


def test_every_class_is_in_the_table() -> None:
    kinds = {case.kind for case in CASES}

    assert kinds >= {f"N{n}" for n in range(1, 16)}
    assert kinds >= {f"R{n}" for n in (*range(1, 21), 22, 23, *range(26, 31))}
    assert len({case.title for case in CASES}) == len(CASES)
