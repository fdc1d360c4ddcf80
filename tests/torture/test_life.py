"""A short form of the life of a job; `python tests/prove.py life` lives longer."""

from torture.life import lived


def test_every_promise_holds_in_six_lives() -> None:
    told = lived(6)

    assert told.commands.total() >= 6
    assert told.ends["NoneType"] >= 6
