"""No secret and nobody's data where it does not belong."""

import base64
import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.sandbox.server import SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather
from torture.canaries import (
    PERSONAL,
    SECRETS,
    Scan,
    Scene,
    forms,
    kill,
    play,
    scenes,
    serve,
)

SCENES = [*scenes()]
ASKED = ("--show-values",)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_no_output_of_a_command_holds_a_canary(scene: Scene, tmp_path: Path) -> None:
    scan = Scan()

    ended = play(scan, scene, tmp_path)

    assert scan.hits == []
    assert "Traceback" not in ended.err
    assert scan.n_bytes > 0


@pytest.mark.parametrize("name", PERSONAL | SECRETS)
def test_a_canary_is_found_in_every_form(name: str) -> None:
    text = (PERSONAL | SECRETS)[name]
    inside = [base64.b64encode(f"{'x' * n}{text};yy".encode()) for n in range(4)]
    for form in (*forms(text), *inside, json.dumps({"x": [text]}).encode()):
        scan = Scan()
        scan.look("a file", b"before " + form + b" behind")
        assert scan.hits == [f"{name} in a file"], form


def test_the_canaries_are_really_there(tmp_path: Path) -> None:
    scan = Scan()
    play(scan, next(s for s in SCENES if s.name == "import"), tmp_path)
    (rejected,) = tmp_path.glob(".crm-pipeline/runs/*/rejected.csv")

    strict = Scan()
    strict.look("rejected", rejected.read_bytes())

    assert {hit.partition(" in ")[0] for hit in strict.hits} == {*PERSONAL} - {"phone"}


def test_a_report_holds_values_only_on_request(tmp_path: Path) -> None:
    scene = next(scene for scene in SCENES if scene.name == "import")
    for folder, flags, is_shown in (("masked", (), False), ("shown", ASKED, True)):
        (tmp_path / folder).mkdir()
        asked = replace(scene, command=(*scene.command, *flags))
        play(Scan(), asked, tmp_path / folder)
        (report,) = (tmp_path / folder).glob(".crm-pipeline/runs/*/report.html")
        strict = Scan()
        strict.look("report", report.read_bytes())

        assert bool(strict.hits) is is_shown


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_import_that_is_ended_leaves_no_canary(tmp_path: Path, number: int) -> None:
    scan = Scan()
    options = SandboxOptions(settle_s=0.0, weather=Weather(slow=1.0, slow_s=0.1))
    with running_sandbox(options) as sandbox:
        kill(scan, tmp_path, sandbox, number)

    assert scan.hits == []


@pytest.mark.slow
def test_a_sandbox_says_nothing_of_what_it_is_sent(tmp_path: Path) -> None:
    scan = Scan()

    serve(scan, tmp_path)

    assert scan.hits == []
