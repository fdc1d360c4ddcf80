"""
Secrets and personal data in every place they come from, and a look into every output.

Canaries stand in the cells of the source, in a job, in the credentials, in the answers
of the service and in the environment. Whole commands run in good and bad weather, and
every byte they wrote or said is searched for each canary in each form it may take.
What may hold personal data, holds it: the rejected rows, those of a plan, the lines
that could not be split, the export, the profile that was asked for.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

import httpx
import polars as pl

from pipeline.contract import BATCH_PATH, LIST_PATH, LOGIN_PATH
from pipeline.sandbox.server import (
    API_KEY,
    RunningSandbox,
    SandboxOptions,
    running_sandbox,
)
from pipeline.sandbox.weather import parse_weather
from torture.command import KEY, Ended, run
from torture.faults import Answer, FaultyService, on, status
from torture.proof import Chapter, Figure

# Nothing else in any output looks like these.
PERSONAL: Final = {
    "e-mail": "canarybird.zofia@kanarek.example",
    "phone": "+48601777231",
    "name": "Zofiakanarkowa",
    "address": "Kanarkowa 17/4 Żołędzin",
    "customId": "CANARY-77-ID",
    "bad e-mail": "canary brzęk@@kanarek",
    "bad phone": "+48 99 CANARY",
    "attribute": "canary-attribute-äöü",
}
TOKEN: Final = "canarytoken.eyJjYW5hcnkiOiJ0b2tlbiJ9.c2lnbmF0dXJl"
SECRETS: Final = {
    "API key": API_KEY,
    "token": TOKEN,
    "proxy password": "canary-proxy-password",
    "other variable": "canary-of-the-environment",
}
# These may hold what the source holds; nothing may hold a secret.
_DATA_FILES: Final = ("rejected.", "refused.", "rows.", "unreadable.txt",
                      "verify-differences.csv", "out.", "people.", "job")  # fmt: skip
ENVIRONMENT: Final = {
    "HTTPS_PROXY": f"http://user:{SECRETS['proxy password']}@127.0.0.1:9",
    "CANARY": SECRETS["other variable"],
}


def forms(text: str) -> Iterator[bytes]:
    """Give the forms in which *text* may hide."""
    for case in (text, text.lower(), text.upper()):
        raw = case.encode()
        yield raw
        yield raw.hex().encode()
        yield raw.hex().upper().encode()
        yield quote(case, safe="").encode()
        yield json.dumps(case)[1:-1].encode()
        yield case.encode("unicode_escape")
        yield repr(raw)[2:-1].encode()
        yield case.encode("utf-16-le")
        for shift in range(3):  # base64 of a text that stands inside another one
            packed = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")
            yield packed[(shift * 8 + 5) // 6 : -1]


@dataclass
class Scan:
    """What was looked at, and what was found; a hit names no canary's text."""

    n_bytes: int = 0
    n_outputs: int = 0
    hits: list[str] = field(default_factory=list)
    needles: dict[str, tuple[bytes, ...]] = field(
        default_factory=lambda: {
            name: tuple(set(forms(text))) for name, text in (PERSONAL | SECRETS).items()
        }
    )

    def look(self, where: str, data: bytes, *, may_hold_data: bool = False) -> None:
        self.n_bytes += len(data)
        self.n_outputs += 1
        names = SECRETS if may_hold_data else self.needles
        self.hits += [
            f"{name} in {where}"
            for name in names
            if any(needle in data for needle in self.needles[name])
        ]

    def look_at_files(self, where: str, folder: Path) -> None:
        """Look at all files, Parquet decoded as well; none may be left from between."""
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            name = f"{where}: {path.name}"
            is_report = path.name.endswith(".html")
            may_hold = path.name.startswith(_DATA_FILES) and not is_report
            self.look(f"{where}: a file name", path.name.encode())
            self.look(name, path.read_bytes(), may_hold_data=may_hold)
            if path.suffix == ".parquet":
                text = pl.read_parquet(path).write_json().encode()
                self.look(f"{name}, decoded", text, may_hold_data=may_hold)
            if path.suffix == ".ipc":
                self.hits.append(f"{name} was left behind")


def rows(n: int = 12) -> str:
    """Return a source with good and bad rows, all of them about one canary."""
    person = PERSONAL
    lines = ["email,phone,firstName,address,customId,attributes.note"]
    note, name, address = person["attribute"], person["name"], person["address"]
    for i in range(n):
        mail = person["e-mail"].replace("@", f"{i}@")
        lines.append(f"{mail},,{name},{address},{person['customId']}{i},{note}")
    lines += [
        f"{person['e-mail']},{person['phone']},{name},{address},,{note}",
        f"{person['bad e-mail']},,{name},{address},x1,{note}",
        f"x2@b.pl,{person['bad phone']},{name},{address},,{note}",
        f"{person['e-mail']}\0,,{name},{address},,{note}",
        f",,{name},{address},,{note}",
        f"{person['e-mail']},{name}",
        f'{person["e-mail"]},,{name} "x" y,{address},,{note}',
        f"same@b.pl,,{name},{address},{person['customId']}A,{note}",
        f"same@b.pl,,{name},{address},{person['customId']}B,{note}",
    ]
    return "\n".join(lines) + "\n"


def json_rows() -> str:
    person = PERSONAL
    good = {"email": person["e-mail"], "firstName": person["name"]}
    half = json.dumps(good)
    return f"{half}\n{half[:-5]}\n[{half}]\n" + half[:-1] + ', "email": "x"}\n'


@dataclass(frozen=True)
class Scene:
    """One command on one day; the words say which."""

    name: str
    command: tuple[str, ...]
    weather: str = "calm"
    answer: Answer = lambda _request: None
    secrets: dict[str, str] = field(default_factory=lambda: dict(KEY))
    may_print_data: bool = False


def echo(code: int) -> Answer:
    """A service that puts what it was sent into its error."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != BATCH_PATH:
            return None
        told = request.content.decode()
        body = {"message": told, "errors": [{"field": "[0].email", "message": told,
                "rejectedValue": PERSONAL["e-mail"]}]}  # fmt: skip
        return httpx.Response(code, json=body, headers={"X-Echo": TOKEN})

    return answer


def differing(request: httpx.Request) -> httpx.Response | None:
    """A service whose profiles hold a name that nobody sent."""
    if request.method != "GET" or "/by-" not in request.url.path:
        return None
    body = json.dumps({"clientId": 7, "firstName": PERSONAL["bad phone"]}).encode()
    return httpx.Response(200, stream=httpx.ByteStream(body))


def scenes() -> Iterator[Scene]:
    """Give every command, quiet and verbose, on good and bad days."""
    mail, note = PERSONAL["e-mail"], PERSONAL["attribute"]
    source = ("people.csv", "--extra-columns", "ignore")
    imports = ("import", *source, "--max-rows", "3")
    verbose = (*imports, "-v")
    yield Scene("check", ("check", *source))
    yield Scene("check, verbose", ("check", *source, "-v", "--json"))
    yield Scene("check of JSON", ("check", "people.jsonl", "-v"))
    yield Scene("init", ("init", "people.csv", "-o", "made.yaml"))
    yield Scene("import", imports)
    yield Scene("import, verbose, as JSON", (*verbose, "--json"))
    for code in (200, 302, 400, 404, 413, 418, 422, 500):
        yield Scene(f"import, {code} that echoes", verbose, answer=echo(code))
    for kind in (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
        broken = on(BATCH_PATH, lambda kind=kind: kind(f"{mail} {TOKEN} {note}"))  # type: ignore[misc]
        yield Scene(f"import, {kind.__name__} that tells", verbose, answer=broken)
    yield Scene(
        "import, a defect of the library", verbose,
        answer=on(BATCH_PATH, lambda: ValueError(f"{mail} {TOKEN}")),
    )  # fmt: skip
    yield Scene(
        "import, a token that is refused", verbose,
        secrets={**KEY, "SYNERISE_API_KEY": "", "SYNERISE_TOKEN": TOKEN},
    )  # fmt: skip
    yield Scene(
        "import, a login that echoes the key", verbose,
        answer=on(LOGIN_PATH, status(401, {"message": API_KEY})),
    )  # fmt: skip
    as_json = KEY | {"CRM_PIPELINE_LOG_FORMAT": "json"}
    for weather in ("rain,seed=2", "storm,seed=3", "worst,seed=4", "hostile,seed=5"):
        yield Scene(f"import in {weather}", verbose, weather)
    for weather in ("calm", "hostile,seed=6"):
        yield Scene(f"JSON on stderr, {weather}", verbose, weather, secrets=as_json)
    yield Scene("a job with a fault", ("check", "-c", "job.yaml"))
    yield Scene("a job that does not fit", ("check", "people.csv", "-c", "job2.yaml"))
    yield Scene("a job that is no YAML", ("check", "people.csv", "-c", "job3.yaml"))
    yield Scene("a job in TOML, broken", ("check", "people.csv", "-c", "job4.toml"))
    yield Scene(
        "a key in the wrong place", (*imports, "--base-url", f"http://u:{TOKEN}@h.pl")
    )
    yield from _scenes_of_nights(source, as_json)
    yield from _scenes_of_profiles(mail, note)
    yield from _scenes_of_reading(mail)


def _scenes_of_nights(
    source: tuple[str, ...], as_json: dict[str, str]
) -> Iterator[Scene]:
    yield Scene("plan", ("plan", *source, "-v"))
    yield Scene("plan, JSON on stderr", ("plan", *source, "--json"), secrets=as_json)
    night = ("sync", *source, "-v", "--settle", "0", "--max-rows", "3")
    yield Scene("sync", night)
    yield Scene("sync, 400 that echoes", night, answer=echo(400))
    yield Scene("sync, a profile that differs", night, answer=differing)
    yield Scene("sync in worst,seed=7", night, "worst,seed=7", secrets=as_json)


def _scenes_of_profiles(mail: str, note: str) -> Iterator[Scene]:
    get = ("profile", "get", "--email", mail)
    yield Scene("profile get", get, may_print_data=True)
    yield Scene("profile get, absent", ("profile", "get", "--email", f"x{mail}", "-v"))
    set_ = ("--set", f"city={PERSONAL['address']}")
    yield Scene("profile update", ("profile", "update", "--email", mail, *set_, "-v"))
    yield Scene(
        "profile update, refused",
        ("profile", "update", "--email", PERSONAL["bad e-mail"], *set_, "-v"),
    )
    yield Scene(
        "profile update, nonsense",
        ("profile", "update", "--email", mail, "--set", f"city:={note}", "-v"),
    )
    yield Scene(
        "profile update, down", ("profile", "update", "--email", mail, *set_, "-v"),
        "torn_before=1",
    )  # fmt: skip
    yield Scene(
        "profile delete", ("profile", "delete", "--custom-id", PERSONAL["customId"]),
    )  # fmt: skip


def _scenes_of_reading(mail: str) -> Iterator[Scene]:
    yield Scene("export", ("export", "out.csv", "--overwrite", "-v"))
    yield Scene(
        "export, a list that is none", ("export", "out.jsonl", "-v"),
        answer=on(LIST_PATH, status(200, [{"email": mail}])),
    )  # fmt: skip
    yield Scene(
        "export, no JSON", ("export", "out.jsonl", "-v"),
        answer=on(LIST_PATH, status(200, f'[{{"email": "{mail}'.encode())),
    )  # fmt: skip
    yield Scene("runs", ("runs",))
    yield Scene("verify", ("verify", "--settle", "0", "--all", "-v"))
    yield Scene(
        "verify, a profile that differs", ("verify", "--settle", "0", "--json"),
        answer=differing,
    )  # fmt: skip
    yield Scene("doctor", ("doctor", "-v"))


def lay_out(folder: Path) -> None:
    (folder / "people.csv").write_text(rows())
    (folder / "people.jsonl").write_text(json_rows())
    mail, note = PERSONAL["e-mail"], PERSONAL["attribute"]
    (folder / "job.yaml").write_text(
        f"version: 1\nsource: {{path: people.csv}}\nname: [{mail}]\n"
        f"mapping: {{email: {{column: email, on_invalid: {note}}}}}\n"
    )
    (folder / "job2.yaml").write_text(
        "version: 1\nmapping: {email: email, attributes: "
        "{note: {column: attributes.note, type: integer}}}\n"
    )
    (folder / "job3.yaml").write_text(f"version: 1\nname: '{mail}\n")
    (folder / "job4.toml").write_text(f"version = 1\nname = '{mail}\n")


def play(scan: Scan, scene: Scene, folder: Path) -> Ended:
    """Run one command, and look at what it said and left."""
    lay_out(folder)
    weather = parse_weather(scene.weather)
    options = SandboxOptions(weather=weather, settle_s=0.0)
    service = FaultyService(options, answer=scene.answer)
    try:
        if scene.command[0] in ("profile", "export", "verify"):
            flags = ("--extra-columns", "ignore")
            run(folder, "import", "people.csv", *flags, connect=service.connect)
        ended = run(
            folder,
            *scene.command,
            environment=scene.secrets | ENVIRONMENT,
            connect=service.connect,
        )
    finally:
        service.close()
    scan.look(f"{scene.name}: stdout", ended.out.encode(),
              may_hold_data=scene.may_print_data)  # fmt: skip
    scan.look(f"{scene.name}: stderr", ended.err.encode())
    scan.look_at_files(scene.name, folder)
    return ended


def kill(scan: Scan, folder: Path, sandbox: RunningSandbox, number: int) -> None:
    """Kill an import that sends, look at what lies there, import again, look again."""
    lay_out(folder)
    (folder / "people.csv").write_text(rows(400))
    command = [sys.executable, "-m", "pipeline", "import", "people.csv", "-v"]
    command += ["--extra-columns", "ignore", "--max-rows", "3"]
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "SYNERISE_BASE_URL": sandbox.base_url,
        "SYNERISE_API_KEY": sandbox.api_key,
    }
    before = len(sandbox.sandbox.store.batches())
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    end_s = time.monotonic() + 60
    while len(sandbox.sandbox.store.batches()) < before + 3:
        if process.poll() is not None or time.monotonic() > end_s:
            raise AssertionError("nothing was sent that could be interrupted")
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=50)
    name = f"import, ended by signal {number}"
    scan.look(f"{name}: stdout", out)
    scan.look(f"{name}: stderr", err)
    for path in [*folder.glob(".crm-pipeline/runs/*/*/*.ipc")]:
        if number != signal.SIGKILL:
            scan.hits.append(f"{name}: {path.name} was left behind")
    for path in folder.glob(".crm-pipeline/journal.sqlite*"):
        scan.look(f"{name}: {path.name}", path.read_bytes())
    again = subprocess.run(
        command, timeout=50, cwd=folder, env=environment, capture_output=True,
        check=False,
    )  # fmt: skip
    scan.look(f"{name}, again: stdout", again.stdout)
    scan.look(f"{name}, again: stderr", again.stderr)
    scan.look_at_files(f"{name}, again", folder)


def serve(scan: Scan, folder: Path) -> None:
    """Look at what a sandbox says that is sent all this."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "sandbox", "--port", "0"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **ENVIRONMENT},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        lay_out(folder)
        key = {"SYNERISE_BASE_URL": told["base_url"], "SYNERISE_API_KEY": API_KEY}
        run(folder, "import", "people.csv", environment=key)
        get = ("profile", "get", "--email", PERSONAL["e-mail"])
        run(folder, *get, environment=key)
        path = f"{told['base_url']}/v4/clients/by-email/{quote(PERSONAL['e-mail'])}"
        httpx.get(path, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
    finally:
        process.terminate()
        out, err = process.communicate(timeout=30)
    scan.look("sandbox: stdout", out)
    scan.look("sandbox: stderr", err)


def play_all(n: int | None = None) -> Scan:
    """Run *n* scenes, or all; without a number also the real processes."""
    scan = Scan()
    for scene in [*scenes()][:n]:
        with TemporaryDirectory() as folder:
            play(scan, scene, Path(folder))
    if n is not None:
        return scan
    with ExitStack() as stack:
        weather = parse_weather("slow=1,slow_s=0.1")
        options = SandboxOptions(weather=weather, settle_s=0.0)
        sandbox = stack.enter_context(running_sandbox(options))
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            kill(scan, Path(stack.enter_context(TemporaryDirectory())), sandbox, number)
        serve(scan, Path(stack.enter_context(TemporaryDirectory())))
    return scan


def prove(n: int | None) -> Chapter:
    """Run everything, or *n* scenes of it."""
    scan = play_all(n)
    n_needles = sum(map(len, scan.needles.values()))
    figures = (
        Figure("canaries found", str(len(scan.hits)), "0", is_met=not scan.hits),
        Figure("bytes looked at", f"{scan.n_bytes:,}", "> 0", scan.n_bytes > 0),
        Figure("outputs looked at", f"{scan.n_outputs:,}", "> 0", scan.n_outputs > 0),
        Figure(
            "canaries, in forms", f"{len(scan.needles)}, {n_needles}", "", is_met=True
        ),
    )
    table = tuple((hit,) for hit in scan.hits)
    return Chapter(
        "Canaries", _WORDS, figures, (("found in",), *table) if table else ()
    )


_WORDS: Final = """\
Every command runs on good and bad days, verbose too, with canaries in its data, job,
credentials, environment and in the errors of the service and of the HTTP library, and
three imports are ended by a signal and repeated. What is said, logged, journalled and
written is searched for each canary, raw, in capitals, as hex, base64, URL, JSON and
Python escapes and UTF-16; Parquet decoded. The rejected and refused rows, those of a
plan, unreadable.txt, the export and a profile that was asked for hold personal data and
may, but no secret."""
