"""Comparing and overlaying do what a dictionary of persons would do."""

import hashlib
from collections.abc import Mapping
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delta.changes import (
    DELETED,
    GONE,
    MADE,
    STATE_KEYS,
    WHOLE,
    Compared,
    Proof,
    compare_bucket,
    empty_state,
    named_fields,
    overlay,
    whole_digest,
)
from pipeline.delta.digests import KEY_COLUMNS, field_columns

FIELDS = ("d:a", "d:b", "d:c")
KEYS = {name: pl.UInt64() for name in KEY_COLUMNS}
CELLS = {name: pl.UInt64() for name in FIELDS}


def value(field: str, n: int) -> int:
    """One of few digests of a field; those of two fields are never related."""
    return int.from_bytes(hashlib.sha256(f"{field}{n}".encode()).digest()[:8])


# A person's digests; few, so that they meet.
persons = st.dictionaries(
    st.integers(0, 5),
    st.fixed_dictionaries(
        {
            field: st.none() | st.sampled_from([value(field, n) for n in range(3)])
            for field in FIELDS
        }
    ),
)
Digests = Mapping[int, Mapping[str, int | None]]


def key_of(n: int) -> tuple[int, int]:
    """Name a person; 4 and 5 share one half of their names with 0 and 1."""
    return n % 4, 7 + n // 4


def key(n: int) -> dict[str, int]:
    return dict(zip(KEY_COLUMNS, key_of(n), strict=True))


def person_of(row: Mapping[str, Any]) -> int:
    return int(row["key_hi"] + 4 * (row["key_lo"] - 7))


def compared(now: pl.DataFrame, state: pl.DataFrame) -> Compared:
    return compare_bucket(
        now.select("row", *KEY_COLUMNS, WHOLE),
        state.select(*STATE_KEYS),
        lambda here, there: (now[here], state[there]),
    )


def today_of(people: Digests) -> pl.DataFrame:
    rows = [{"row": n, **key(n), **people[n]} for n in people]
    frame = pl.DataFrame(rows, schema={"row": pl.UInt64(), **KEYS, **CELLS})
    return frame.with_columns(whole_digest(FIELDS))


def state_of(people: Digests, gone: set[int]) -> pl.DataFrame:
    rows = [{**key(n), GONE: n in gone, **people[n]} for n in sorted(people)]
    frame = pl.DataFrame(rows, schema={**KEYS, GONE: pl.Boolean(), **CELLS})
    return frame.select(*KEY_COLUMNS, GONE, whole_digest(FIELDS), *FIELDS)


def sent_of(people: Digests, proof: Mapping[int, Proof]) -> pl.DataFrame:
    rows = [
        {**key(n), "proof": proof[n].value, **people[n]} for n in people if n in proof
    ]
    return pl.DataFrame(rows, schema={**KEYS, "proof": pl.String(), **CELLS})


def gone_of(people: set[int]) -> pl.DataFrame:
    rows = [{**key(n)} for n in sorted(people)]
    return pl.DataFrame(rows, schema=KEYS)


@given(persons, persons, st.sets(st.integers(0, 5)))
def test_comparing_is_what_dictionaries_say(
    today: Digests, known: Digests, gone: set[int]
) -> None:
    now, state = today_of(today), state_of(known, gone)

    found = compared(now, state)

    trusted = {n: known[n] for n in known if n not in gone}
    rows = {row["row"]: row for row in found.differing.iter_rows(named=True)}
    assert set(found.new) == set(today) - set(trusted)
    told = [*found.new, *found.equal, *rows]
    assert sorted(told) == sorted(today)
    for n in set(today) & set(trusted):
        digests, before = today[n], trusted[n]
        changed = [f for f in FIELDS if digests[f] not in (None, before[f])]
        lost = [f for f in FIELDS if digests[f] is None and before[f] is not None]
        assert (n in rows) == bool(changed or lost)
        if n in rows:
            named = [named_fields(rows[n][word], FIELDS) for word in ("fields", "lost")]
            assert named == [tuple(f[2:] for f in names) for names in (changed, lost)]
    keys = [*zip(*(found.vanished[name] for name in KEY_COLUMNS), strict=True)]
    assert sorted(keys) == sorted(key_of(n) for n in set(trusted) - set(today))


def overlaid(
    known: dict[int, dict[str, int | None]],
    gone: set[int],
    sent: Digests,
    proof: Mapping[int, Proof],
    vanished: set[int],
) -> tuple[dict[int, dict[str, int | None]], set[int]]:
    """The model: the new digests, and who is gone."""
    people = {n: dict(digests) for n, digests in known.items()}
    missing = set(gone)
    nothing: dict[str, int | None] = dict.fromkeys(FIELDS)
    for n, word in proof.items():
        if n not in sent:
            continue
        if word is Proof.ACCEPTED:
            base = nothing if n in missing or n not in people else people[n]
            told = {f: v for f, v in sent[n].items() if v is not None}
            people[n] = {**base, **told}
            missing.discard(n)
        else:
            if n not in people:
                people[n] = dict(nothing)
                missing.add(n)
            people[n] |= {f: None for f, v in sent[n].items() if v is not None}
    return people, missing | (vanished & set(people))


proofs = st.dictionaries(st.integers(0, 5), st.sampled_from(Proof))


@given(persons, st.sets(st.integers(0, 5)), persons, proofs, st.sets(st.integers(0, 5)))
def test_overlaying_is_what_dictionaries_say_and_twice_is_once(
    known: Any, gone: set[int], sent: Any, proof: Any, vanished: set[int]
) -> None:
    vanished -= set(sent)
    gone &= set(known)
    told = sent_of(sent, proof), gone_of(vanished)

    once = overlay(state_of(known, gone), *told)

    people, missing = overlaid(known, gone, sent, proof, vanished)
    rows = {person_of(row): row for row in once.iter_rows(named=True)}
    assert {n: {f: rows[n][f] for f in FIELDS} for n in rows} == people
    assert {n for n in rows if rows[n][GONE]} == missing
    assert once[WHOLE].equals(once.select(whole_digest(FIELDS))[WHOLE])
    assert overlay(once, *told).equals(once)


@given(persons, persons, proofs)
def test_what_is_proven_later_is_as_if_it_were_proven_at_once(
    known: Any, sent: Any, proof: Any
) -> None:
    """A run folded in while it is interrupted, and again when it is done."""
    first = {n: Proof.DOUBTFUL for n in proof if n % 2}
    state = state_of(known, set())
    nobody = gone_of(set())

    halfway = overlay(state, sent_of(sent, first), nobody)
    done = dict.fromkeys(sent, Proof.ACCEPTED)
    later = overlay(halfway, sent_of(sent, done), nobody)

    at_once = overlay(state, sent_of(sent, done), nobody)
    assert later.equals(at_once)


def test_fields_that_are_mapped_no_more_leave_the_state() -> None:
    known = state_of({1: {"d:a": 1, "d:b": 2, "d:c": 3}}, set())
    sent = sent_of({1: {"d:a": 9, "d:b": None, "d:c": None}}, {1: Proof.ACCEPTED})

    left = overlay(known, sent.drop("d:c"), gone_of(set()))

    assert field_columns(left.columns) == ["d:a", "d:b"]
    assert left.select("d:a", "d:b").rows() == [(9, 2)]


def test_a_field_that_the_state_does_not_know_is_changed() -> None:
    now = today_of({1: {"d:a": 1, "d:b": 2, "d:c": None}})
    state = overlay(
        empty_state(),
        sent_of({1: {"d:a": 1, "d:b": 0, "d:c": 0}}, {1: Proof.ACCEPTED}).drop(
            "d:b", "d:c"
        ),
        gone_of(set()),
    )

    found = compared(now, state)

    assert found.differing["fields"].to_list() == ["1"]


def test_rows_without_any_field_are_new_and_then_known() -> None:
    bare = pl.DataFrame({"row": [1], **{name: [1] for name in KEY_COLUMNS}})
    now = bare.cast(pl.UInt64()).with_columns(whole_digest([]))
    found = compared(now, empty_state())

    assert found.new.to_list() == [1]


def test_whom_the_first_confirmed_sending_made_is_remembered() -> None:
    nothing = dict.fromkeys(FIELDS)
    proofs = {1: Proof.ACCEPTED, 2: Proof.DOUBTFUL, 3: Proof.ACCEPTED}
    sent = sent_of(dict.fromkeys(proofs, nothing), proofs)
    marked = sent.with_columns(pl.Series(MADE, [True, True, None]))

    once = overlay(empty_state(), marked, gone_of(set()))
    later = overlay(once, sent, gone_of({1}))

    for state in (once, later):
        made = dict(state.select("key_hi", MADE).rows())
        assert made == {1: True, 2: False, 3: False}


def test_who_was_perhaps_deleted_is_made_no_more() -> None:
    nothing = dict.fromkeys(FIELDS)
    proofs = dict.fromkeys((1, 2), Proof.ACCEPTED)
    sent = sent_of(dict.fromkeys(proofs, nothing), proofs)
    state = overlay(
        empty_state(),
        sent.with_columns(pl.lit(value=True).alias(MADE)),
        gone_of(set()),
    )
    left = gone_of({1, 2}).with_columns(pl.Series(DELETED, [True, False]))

    after = overlay(state, sent.clear(), left)

    assert dict(after.select("key_hi", MADE).rows()) == {1: False, 2: True}
    assert after[GONE].to_list() == [True, True]
