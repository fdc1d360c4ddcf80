"""The tree of errors: as drawn, whole, and each leaf with a number of its own."""

import copy
import pickle
import re
from collections.abc import Iterator

import pytest

from pipeline import errors
from pipeline.cli.exit_codes import (
    DEFECT,
    EXIT_CODES,
    PARTIAL,
    exit_code_of,
)
from pipeline.errors import PipelineError

Kind = type[PipelineError]


def children_of(kind: Kind) -> list[Kind]:
    """Return what the module itself derives from *kind*, in the order of definition."""
    return [k for k in kind.__subclasses__() if k.__module__ == errors.__name__]


def below(kind: Kind) -> Iterator[Kind]:
    yield kind
    for child in children_of(kind):
        yield from below(child)


KINDS = list(below(PipelineError))
LEAVES = [kind for kind in KINDS if not children_of(kind)]


def drawn(kind: Kind) -> Iterator[str]:
    yield kind.__name__
    children = children_of(kind)
    for child in children:
        is_last = child is children[-1]
        first, *rest = drawn(child)
        yield ("└── " if is_last else "├── ") + first
        yield from (("    " if is_last else "│   ") + line for line in rest)


def test_the_tree_is_the_one_that_is_drawn() -> None:
    told = (errors.__doc__ or "").split("\n\n")[1]

    names = [re.split(r"(?<=Error)\b", line)[0][4:] for line in told.splitlines()]
    assert names == list(drawn(PipelineError))


def test_every_error_of_the_module_is_in_the_tree() -> None:
    defined = [value for value in vars(errors).values() if isinstance(value, type)]

    assert set(defined) == set(KINDS)
    assert all(kind.__doc__ for kind in KINDS)


@pytest.mark.parametrize("kind", LEAVES)
def test_every_leaf_survives_a_pickle_and_keeps_its_message(kind: Kind) -> None:
    error = kind("what happened, where, what to do")

    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(back) is kind
        assert str(back) == "what happened, where, what to do"


@pytest.mark.parametrize("kind", LEAVES)
def test_every_leaf_has_an_exit_code(kind: Kind) -> None:
    assert EXIT_CODES[kind] == exit_code_of(kind("x"))
    assert EXIT_CODES[kind] not in (0, 1, 2, PARTIAL)
    is_signal = issubclass(kind, errors.StoppedError)
    assert EXIT_CODES[kind] < 128 or is_signal
    assert not is_signal or EXIT_CODES[kind] in (128 + 2, 128 + 15)


def test_only_leaves_have_exit_codes() -> None:
    assert set(EXIT_CODES) == set(LEAVES)


def test_an_error_of_a_later_kind_has_the_code_of_its_parent() -> None:
    later = type("LaterError", (errors.LockedError,), {})

    assert exit_code_of(later("x")) == EXIT_CODES[errors.LockedError]
    assert exit_code_of(ValueError("x")) == DEFECT
