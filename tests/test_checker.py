"""Pass 1: every row that is not to be sent by itself stands in the list, once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.checker import CheckResult, CheckRules, check_source
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.mapping import resolve_mapping
from pipeline.outcomes import Assembly, count_rows, tally
from pipeline.reader import open_source
from pipeline.settings import Job
from pipeline.spill import SliceStore
from pipeline.transform import plan_transform

LONGEST_BYTES = 60
CHECKS = IdentifierChecks()
MAPPING = {"email": "mail", "sex": "sex", "city": "city", "birthDate": "dob"}


def checked(folder: Path, store: SliceStore, *lines: str) -> CheckResult:
    """Return what pass 1 finds in a file of these lines."""
    path = folder / "people.csv"
    path.write_text("\n".join(("mail,sex,city,dob", *lines, "")))
    job = Job.model_validate({"source": {"path": str(path)}, "mapping": MAPPING})
    source = open_source(job.source)
    mapping = resolve_mapping(source.columns, job)
    return check_source(
        source,
        plan_transform(mapping, source.dtypes, job, CHECKS),
        CheckRules("fold", "key", LONGEST_BYTES),
        folder=folder / "digests",
        store=store,
    )


Check = Callable[..., CheckResult]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    def run(*lines: str) -> CheckResult:
        with SliceStore(tmp_path / "clean", max_bytes=0) as store:
            return checked(tmp_path, store, *lines)

    return run


def fates(found: CheckResult) -> list[tuple[int, str, str, int | None]]:
    """Row, state, code and survivor of the rows that do not go out by themselves."""
    return list(found.exceptions.iter_rows())


def test_every_kind_of_row_that_is_not_sent_is_listed_once(check: Check) -> None:
    found = check(
        "a@example.com,,Oslo,",
        "",
        "b@example.com,,too,many,cells",
        "c@example.com,neither,,tomorrow",
        "A@example.com,,Rome,",
        "nobody,,,",
    )

    assert fates(found) == [
        (1, "folded", "FOLDED", 5),
        (2, "empty", "EMPTY", None),
        (3, "blocked", "ROW_TOO_WIDE", None),
        (4, "blocked", "VALUE", None),
        (6, "blocked", "EMAIL", None),
    ]
    assert found.n_sendable == 1
    assert found.faults["row_no"].to_list() == [4, 4, 6]
    outcomes = Assembly(found.evidence()).chunk(0, 1, 6)
    counts = count_rows([tally(outcomes)], n_read=6)
    assert (counts.empty, counts.blocked, counts.folded, counts.planned) == (1, 3, 1, 1)


def test_a_row_that_no_request_can_hold_is_blocked_and_nobody_folds_into_it(
    check: Check,
) -> None:
    around = len('{"email":"a@example.com","city":""}')
    longest = "x" * (LONGEST_BYTES - around)
    found = check(
        "a@example.com,,Oslo,",
        f"a@example.com,,{longest}x,",
        f"b@example.com,,{longest},",
    )

    assert fates(found) == [(2, "blocked", "TOO_LARGE", None)]
    assert found.faults.select("row_no", "code").rows() == [(2, "TOO_LARGE")]
    assert found.n_sendable == 2
