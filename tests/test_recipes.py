"""The recipes for schedulers: run as far as this machine allows, else only read."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pipeline.cli import exit_codes
from pipeline.config import read_job
from webhook import Webhook, webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.sandbox.server import RunningSandbox

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "howto" / "run-in-cron.md").read_text(encoding="utf-8")
SCRIPTS = Path(sys.executable).parent
GOOD = ("a@example.com,x",)
NOBODY = {"SYNERISE_BASE_URL": "http://127.0.0.1:9"}
MAY_PASS = {exit_codes.NO_SERVICE, 75}
KNOWN = {
    *exit_codes.EXIT_CODES.values(),
    *(exit_codes.OK, exit_codes.PARTIAL, exit_codes.DIFFERENT, exit_codes.INCOMPLETE),
    *(exit_codes.NOTHING_TO_DO, exit_codes.DEFECT, 2),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


JOB, CRON_JOB = blocks("yaml")
SERVICE, TIMER = blocks("systemd")
(NIGHTLY,) = blocks("bash")
(CRONTAB,) = blocks("crontab")
(DAG,) = blocks("py")
(DOCKERFILE,) = blocks("dockerfile")


class Place:
    """A folder with the job of the page, its script and a source."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, hook: Webhook) -> None:
        self.folder = folder
        (folder / "metrics").mkdir()
        (folder / "nightly.yaml").write_text(JOB)
        (folder / "nightly.sh").write_text(NIGHTLY)
        (folder / "key").write_text(sandbox.api_key)
        self.environment = {
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "SYNERISE_BASE_URL": sandbox.base_url,
            "SYNERISE_API_KEY_FILE": str(folder / "key"),
            "ALERT_URL": hook.url,
            "CRM_FOLDER": str(folder),
        }

    def has(self, *rows: str) -> None:
        text = "".join(f"{row}\n" for row in ("email,note", *rows))
        (self.folder / "customers.csv").write_text(text)

    def run(self, *words: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            words,
            cwd=self.folder.parent,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def place(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Place]:
    with webhook() as hook:
        yield Place(tmp_path, sandbox, hook)


def test_the_job_of_the_page_is_one(tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(JOB)
    job = read_job(tmp_path / "nightly.yaml").job

    assert job.notify
    assert job.metrics == "metrics/customers.prom"


# -- cron --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "code", "environment"),
    [
        (GOOD, 0, {}),
        (("a@example.com,x", "no address,x"), 3, {}),
        pytest.param(*(GOOD, 0, NOBODY), marks=pytest.mark.slow),
    ],
    ids=["well", "rejected rows", "no service"],
)
def test_the_script_for_cron_speaks_when_a_person_has_to_look(
    place: Place, rows: tuple[str, ...], code: int, environment: dict[str, str]
) -> None:
    place.has(*rows)
    ended, said = place.run("sh", str(place.folder / "nightly.sh"), **environment)

    assert ended == code
    assert (f"exit {code}" in said) == (code != 0)
    assert (place.folder / "metrics" / "customers.prom").exists()


def test_the_script_resumes_nothing_in_silence(place: Place) -> None:
    script = str(place.folder / "nightly.sh")

    assert place.run("sh", script, "resume") == (0, "")


def test_the_lines_for_cron_call_the_script() -> None:
    variable, *lines = CRONTAB.splitlines()

    assert re.fullmatch(r"[A-Z_]+=\S+", variable)
    for line in lines:
        when, words = line.split()[:5], line.split()[5:]
        assert all(re.fullmatch(r"[\d*,/-]+", part) for part in when)
        assert Path(words[0]).name == "nightly.sh"
        assert words[1:] in ([], ["resume"])


# -- systemd -------------------------------------------------------------------------


def unit(text: str) -> dict[str, dict[str, list[str]]]:
    """Return section → key → values, in their order; a key may stand twice."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in filter(None, text.splitlines()):
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        else:
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


def codes(value: list[str]) -> set[int]:
    return {int(code) for code in " ".join(value).split()}


def test_the_service_knows_every_exit_code() -> None:
    service = unit(SERVICE)["Service"]
    success = codes(service["SuccessExitStatus"])
    final = codes(service["RestartPreventExitStatus"])

    assert not success & final
    assert success | final | {0} | MAY_PASS == KNOWN
    assert not MAY_PASS & (success | final)


def test_the_command_of_the_service_runs(place: Place) -> None:
    place.has(*GOOD)
    program, *words = shlex.split(unit(SERVICE)["Service"]["ExecStart"][0])
    given = {
        name: value.replace("%d", str(place.folder))
        for name, _, value in (
            entry.partition("=") for entry in unit(SERVICE)["Service"]["Environment"]
        )
    }
    (place.folder / "synerise-key").write_text((place.folder / "key").read_text())
    (place.folder / "alert-url").write_text(place.environment.pop("ALERT_URL"))
    # Of the service, only the folder is missing here.
    call = shlex.join([Path(program).name, *words])
    ended, said = place.run("sh", "-c", f"cd {place.folder} && {call}", **given)

    assert ended == 0
    assert json.loads(said.splitlines()[0])["event"] == "begun"
    assert json.loads((place.folder / "last.json").read_text())["exit_code"] == 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = "/opt/crm-pipeline/bin/crm-pipeline"
    text = SERVICE.replace(program, str(SCRIPTS / "crm-pipeline"))
    (tmp_path / "crm-import.service").write_text(text)
    (tmp_path / "crm-import.timer").write_text(TIMER)
    done = subprocess.run(
        ["systemd-analyze", "verify", "crm-import.service", "crm-import.timer"],  # noqa: S607
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "crm-import" not in done.stderr, done.stderr
    assert unit(TIMER)["Timer"]["OnCalendar"] == ["*-*-* 02:10:00"]


# -- Airflow -------------------------------------------------------------------------


def literals(tree: ast.Module, call: str) -> dict[str, Any]:
    """Return the keywords of the only call of this name, as far as they are plain."""
    (found,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == call
    ]
    plain = {}
    for keyword in found.keywords:
        assert keyword.arg
        try:
            plain[keyword.arg] = ast.literal_eval(keyword.value)
        except ValueError:
            plain[keyword.arg] = None
    return plain


def command_of_the_dag() -> str:
    tree = ast.parse(DAG)
    (told,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMAND"
    ]
    return str(told)


@pytest.mark.parametrize(
    ("rows", "code", "environment"),
    [
        (("a@example.com,x", "no address,x"), 0, {}),
        pytest.param(*(GOOD, 69, NOBODY), marks=pytest.mark.slow),
    ],
    ids=["rejected rows", "no service"],
)
def test_the_command_of_the_dag_runs(
    place: Place, rows: tuple[str, ...], code: int, environment: dict[str, str]
) -> None:
    place.has(*rows)

    assert place.run("bash", "-c", command_of_the_dag(), **environment)[0] == code


def test_the_operator_skips_what_is_no_failure() -> None:
    operator = literals(ast.parse(DAG), "BashOperator")

    assert operator["skip_on_exit_code"] == [exit_codes.NOTHING_TO_DO, 80]
    assert operator["append_env"] is True
    assert set(operator["env"]) <= {"CRM_FOLDER", "ALERT_URL_FILE"} | {
        "SYNERISE_API_KEY_FILE"
    }
    assert literals(ast.parse(DAG), "DAG")["max_active_runs"] == 1


# -- only read -----------------------------------------------------------------------


def test_the_cron_job_of_kubernetes_can_be_read() -> None:
    job = yaml.safe_load(CRON_JOB)
    spec = job["spec"]["jobTemplate"]["spec"]
    pod = spec["template"]["spec"]
    (rule,) = spec["podFailurePolicy"]["rules"]
    (container,) = pod["containers"]

    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert pod["restartPolicy"] == "Never"
    assert rule["onExitCodes"]["containerName"] == container["name"]
    stops = {exit_codes.INTERRUPTED, exit_codes.TERMINATED}
    assert set(rule["onExitCodes"]["values"]) == KNOWN - {0} - MAY_PASS - stops
    assert container["args"][0] == "import"
    names = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == names


def test_the_image_starts_the_command() -> None:
    steps = [line.partition(" ") for line in DOCKERFILE.splitlines()]
    known = {"FROM", "ENV", "COPY", "RUN", "USER", "WORKDIR", "VOLUME", "ENTRYPOINT"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert {word for word, _, _ in steps} == known
    (entry,) = [json.loads(rest) for word, _, rest in steps if word == "ENTRYPOINT"]
    assert entry[0] in project["scripts"]
    assert (ROOT / "constraints.txt").exists()
    assert "not tested here" in PAGE
