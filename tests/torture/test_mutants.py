"""A short form of the proof by mutants; whether each still fits is seen at once."""

import pytest

from torture.mutant_list import OTHERS, TWELVE
from torture.mutant_rules import rule_mutants
from torture.mutants import ROOT, all_mutants, prove_these
from torture.planting import Mutant, StaleMutantError

TABLE = (ROOT / "pipeline" / "verdict.py").read_text(encoding="utf-8")


def test_every_mutant_fits_the_tree_and_its_tests_are_there() -> None:
    stale: list[str] = []
    for mutant in all_mutants():
        path = ROOT / "pipeline" / mutant.module
        try:
            mutant.planted(path.read_text(encoding="utf-8"))
        except StaleMutantError as error:
            stale.append(str(error))
        assert all((ROOT / "tests" / name).is_file() for name in mutant.tests)

    assert stale == []


def test_no_two_mutants_are_the_same() -> None:
    mutants = all_mutants()

    assert len({mutant.name for mutant in mutants}) == len(mutants)
    assert len({(m.module, m.old, m.new) for m in mutants}) == len(mutants)
    assert len(TWELVE) == 12
    assert len(OTHERS) >= 30


def test_step_and_state_of_every_row_of_the_table_are_attacked() -> None:
    rows = TABLE[TABLE.index("TABLE:") :].partition("\n)\n")[0]
    names = [mutant.name for mutant in rule_mutants(TABLE)]

    for n in range(1, rows.count("Rule(") + 1):
        assert sum(name.startswith(f"row {n}:") for name in names) >= 2
    assert not any(name.startswith(f"row {n + 1}:") for name in names)


def test_a_mutant_that_is_stale_is_named() -> None:
    twice = Mutant("count twice", "m.py", "n + 1", "n + 2", ())
    broken = Mutant("no Python", "m.py", "n + 1", "n +", ())

    with pytest.raises(StaleMutantError, match=r"'count twice'.* 0 times in m\.py"):
        twice.planted("x = n - 1")
    with pytest.raises(StaleMutantError, match=r"'count twice'.* 2 times"):
        twice.planted("x = n + 1, n + 1")
    with pytest.raises(StaleMutantError, match="'no Python'"):
        broken.planted("x = n + 1")


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_mutants_are_caught_and_harmless_changes_are_not() -> None:
    harmless = Mutant(
        "a name in another case",
        "addresses.py",
        "scheme, host and port of the service, without",
        "Scheme, host and port of the service, without",
        ("test_addresses.py",),
    )
    unfit = Mutant(
        "a module that cannot be imported",
        "addresses.py",
        "import ipaddress\n",
        "import ipaddres\n",
        ("test_addresses.py",),
    )
    hopeless = Mutant(
        "tests that fail anyway", "addresses.py", "quote(value, '')", "value", ("x.py",)
    )
    chapter = prove_these([TWELVE[-1], TWELVE[0], harmless, unfit, hopeless])
    told = {name: by for name, _, by in chapter.table[1:]}

    assert not chapter.is_met
    assert "test_addresses::" in told[TWELVE[-1].name]
    assert "test_journal::" in told[TWELVE[0].name]
    assert told[harmless.name] == "SURVIVED"
    assert told[unfit.name].startswith("SURVIVED exit ")
    assert told[hopeless.name].startswith("SURVIVED exit ")
    assert [figure.measured for figure in chapter.figures[1:]] == ["2", "3", "2 of 3"]
