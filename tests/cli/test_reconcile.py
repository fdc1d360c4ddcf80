"""`reconcile` as its user sees it: words, files, numbers, exit codes."""

from pathlib import Path

from pipeline.sandbox.server import RunningSandbox
from shell import Shell

GENERATOR = Path(__file__).parents[2] / "docs" / "generate.py"
PEOPLE = "customId,email,firstName,city\n" + "".join(
    f"C{n},p{n}@example.com,Canary{n},Town{n}\n" for n in range(30)
)


def sent(shell: Shell, running: RunningSandbox, text: str = PEOPLE) -> None:
    shell.write("people.csv", text)
    assert shell.run("import", "people.csv").code == 0
    running.sandbox.settle()


def test_a_list_that_arrived_agrees(shell: Shell, sandbox: RunningSandbox) -> None:
    sent(shell, sandbox)
    ended = shell.run("reconcile", "people.csv", "--against", "crm", "--json")

    assert ended.code == 0, ended.err
    assert ended.json["rows"]["matched"] == ended.json["rows"]["compared"] == 30
    assert ended.json["rows"]["differing"] == 0
    assert "       30 agree in every field that was compared" in ended.err
    assert "anary" not in ended.err + ended.out
