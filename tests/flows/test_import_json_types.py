"""A JSON value stands in the CRM as the value that was written, type and digits."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.sandbox.server import RunningSandbox
from shell import Shell

LINES = [
    '{"email": "a@example.com", "x": 12, "y": "12", "zip": 12345}',
    '{"email": "b@example.com", "x": "12", "y": 12.50, "zip": "00-950"}',
    '{"email": "c@example.com", "x": 12345678901234567890, "y": 1e3}',
    '{"email": "d@example.com", "x": {"a": [1.5, null, true]}, "y": [1, "1"]}',
    '{"email": "e@example.com", "x": true, "y": "true"}',
    '{"email": "f@example.com", "x": 0.12345678901234567891}',
    '{"email": "g@example.com", "x": null, "y": ""}',
    '{"email": "h@example.com", "zip": 1.5}',
]
JOB = """
mapping:
  email: email
  zipCode: zip
  attributes: {x: x, y: y}
"""
STORED: dict[str, dict[str, Any]] = {
    "a": {"x": 12, "y": "12"},
    "b": {"x": "12", "y": 12.5},
    "c": {"x": 12345678901234567890, "y": 1000.0},
    "d": {"x": {"a": [1.5, None, True]}, "y": [1, "1"]},
    "e": {"x": True, "y": "true"},
    "g": {},
}


def stored(sandbox: RunningSandbox) -> dict[str, str]:
    """Return name → its attributes as JSON text, which tells 1 from 1.0 and "1"."""
    sandbox.sandbox.settle()
    found = {}
    for profile in sandbox.sandbox.profiles():
        attributes = {k: v for k, v in profile["attributes"].items() if k in "xy"}
        found[str(profile["email"])[0]] = json.dumps(attributes, sort_keys=True)
    return found


def test_every_cell_keeps_its_own_type(shell: Shell, sandbox: RunningSandbox) -> None:
    shell.write("people.jsonl", "\n".join(LINES))
    shell.write("job.yaml", JOB)

    ended = shell.run("import", "people.jsonl", "-c", "job.yaml", "--json")

    assert ended.code == 3, ended.err
    assert ended.json["codes"] == {"TYPE": 2}
    assert stored(sandbox) == {
        name: json.dumps(attributes) for name, attributes in STORED.items()
    }
    zips = {p["email"]: p["zipCode"] for p in sandbox.sandbox.profiles()}
    assert zips["a@example.com"] == "12345"
    assert zips["b@example.com"] == "00-950"


def test_a_blocked_line_comes_back_as_it_was(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.jsonl", "\n".join(LINES))
    shell.write("job.yaml", JOB)
    first = shell.run("import", "people.jsonl", "-c", "job.yaml", "--json")
    lines = Path(first.json["files"]["rejected"]).read_text().splitlines()

    assert '"x": 0.12345678901234567891' in lines[0]
    assert '"zip": 1.5' in lines[1]

    mended = "\n".join(lines).replace("0.12345678901234567891", "0.1")
    shell.write("fixed.jsonl", mended.replace("1.5", '"1.5"'))
    again = shell.run("import", "fixed.jsonl", "-c", "job.yaml", "--json")

    assert again.code == 0, again.err
    assert stored(sandbox)["f"] == '{"x": 0.1}'


@pytest.mark.parametrize("flags", [[], ["--extra-columns", "attributes"]])
def test_rows_of_one_profile_fold_with_their_types(
    shell: Shell, sandbox: RunningSandbox, flags: list[str]
) -> None:
    shell.write(
        "people.jsonl",
        '{"email": "a@example.com", "attributes": {"x": 1, "y": 2.0}}\n'
        '{"email": "a@example.com", "attributes": {"x": "1", "y": null}}\n',
    )

    ended = shell.run("import", "people.jsonl", *flags)

    assert ended.code == 0, ended.err
    assert stored(sandbox) == {"a": '{"x": "1", "y": 2.0}'}
