"""The command to type next can be typed: it says what this one said."""

import shlex

import pytest

from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather
from shell import Shell

PEOPLE = "e_mail,city,tier\na@example.com,Opole,gold\nb@example.com,,\n"


def next_command(said: str) -> list[str]:
    lines = said.splitlines()
    (number,) = [n for n, line in enumerate(lines) if line.startswith("next, ")]
    program, *words = shlex.split(lines[number + 1])
    assert program == "crm-pipeline"
    return words


def test_after_a_check_comes_the_import_with_the_same_flags(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    del sandbox
    shell.write("my people.csv", PEOPLE)
    shell.write(
        "job.yaml",
        "mapping: {email: e_mail, city: city, attributes: {tier: tier}}\n",
    )
    flags = (
        *("-c", "job.yaml", "--blank", "erase", "--allow-erase", "city=1"),
        *("--allow-erase", "attributes.tier=1", "--accept-finding", "BOM"),
        *("--allow-empty", "--max-rows", "7"),
    )
    ended = shell.run("check", "my people.csv", *flags, "--json", "--show-values")
    told = next_command(ended.err)

    assert told == [
        *("import", "my people.csv", "--config", "job.yaml", "--blank", "erase"),
        *("--allow-erase", "city=1", "--allow-erase", "attributes.tier=1"),
        *("--accept-finding", "BOM", "--max-rows", "7", "--allow-empty"),
        "--show-values",
    ]
    assert shell.run(*told).code == 0


def test_after_an_import_comes_a_look_and_after_a_sample_all(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", "email\na@example.com\nb@example.com\n")
    told = next_command(shell.run("import", "people.csv", "--verify", "none").err)
    sandbox.sandbox.settle()

    assert told[0] == "verify"
    ended = shell.run(*told, "--verify-rows", "1")
    assert ended.code == 0
    all_of_them = next_command(ended.err)
    assert all_of_them[-1] == "--all"
    assert "2 asked for" in shell.run(*all_of_them).err


def test_after_a_look_at_every_row_nothing_is_left_to_type(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.write("people.csv", "email\na@example.com\n")
    with running_sandbox(SandboxOptions(weather=Weather(lost=1.0))) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)
        shell.run("import", "people.csv", "--verify", "none")
        ended = shell.run("verify", "--settle", "0")

    assert ended.code == 4
    assert "next, " not in ended.err


def test_an_import_that_read_everything_back_leaves_nothing_to_type(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    del sandbox
    shell.write("people.csv", "email\na@example.com\nb@example.com\n")

    sampled = shell.run("import", "people.csv", "--verify-rows", "1")
    assert next_command(sampled.err)[-1] == "--all"
    assert "next, " not in shell.run("import", "people.csv", "--fresh").err


def test_a_base_url_of_the_command_line_is_kept(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNERISE_BASE_URL")
    shell.write("people.csv", "email\na@example.com\n")
    words = ("--verify", "none", "--base-url", sandbox.base_url)
    ended = shell.run("import", "people.csv", *words)

    assert next_command(ended.err)[-2:] == ["--base-url", sandbox.base_url]
