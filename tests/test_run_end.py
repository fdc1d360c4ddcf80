"""The end of a run is kept and told; nothing of that can hurt the run."""

import asyncio
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exposition import parsed
from pipeline.credentials import Secret
from pipeline.health import Ended
from pipeline.locks import lock_health
from pipeline.notify import Postbox
from pipeline.run_end import HEALTH_NAME, Channels, known_health, tell_end

NIGHT = Ended("customers", "import", 0, 1_000.0, 2.5, run_id="r1", rows={"read": 3})
BOX = Postbox(Secret("https://alerts.example.com/hook"))


class Post:
    """Takes alerts, or refuses them, or dies."""

    def __init__(self, trouble: str | None = None) -> None:
        self.trouble = trouble
        self.got: list[dict[str, Any]] = []

    async def __call__(self, content: dict[str, Any], box: Postbox) -> str | None:
        assert box is BOX
        if self.trouble == "dies":
            raise KeyboardInterrupt
        self.got.append(content)
        return self.trouble


def tell(
    folder: Path, code: int, post: Post, *, metrics: Path | None = None, **more: Any
) -> list[str]:
    ended = replace(NIGHT, exit_code=code, **more)
    channels = Channels(folder, metrics, BOX)
    return asyncio.run(tell_end(ended, channels, send=post))


def test_a_change_is_told_and_the_next_night_is_no_news(tmp_path: Path) -> None:
    post = Post()
    for code in (0, 75, 75, 3, 0, 0):
        assert tell(tmp_path, code, post) == []

    assert [alert["event"] for alert in post.got] == ["failing", "changed", "recovered"]
    assert stat.S_IMODE((tmp_path / HEALTH_NAME).stat().st_mode) == 0o600


def test_a_refused_alert_is_a_warning_and_told_by_the_next_run(tmp_path: Path) -> None:
    warnings = tell(tmp_path, 75, Post("it answered with status 500"))

    (warning,) = warnings
    assert warning.startswith("the alert was not taken: it answered with status 500; ")
    later = Post()
    assert tell(tmp_path, 75, later) == []
    assert [alert["event"] for alert in later.got] == ["failing"]


def test_a_process_that_dies_while_it_tells_has_kept_what_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tell(tmp_path, 75, Post("dies"))

    assert known_health(tmp_path)[0].exit_code == 75
    later = Post()
    tell(tmp_path, 75, later)
    assert [alert["event"] for alert in later.got] == ["failing"]


def test_slack_gets_a_text_alone(tmp_path: Path) -> None:
    post = Post()
    channels = Channels(tmp_path, None, BOX, is_slack=True)
    asyncio.run(tell_end(replace(NIGHT, exit_code=3), channels, send=post))

    assert [list(content) for content in post.got] == [["text"]]


def test_without_a_postbox_health_is_kept_all_the_same(tmp_path: Path) -> None:
    channels = Channels(tmp_path / "work")
    asyncio.run(tell_end(replace(NIGHT, exit_code=3), channels))

    (health,) = known_health(tmp_path / "work")
    assert health.change == "failing"
    assert (tmp_path / "work" / ".gitignore").exists()


@pytest.mark.parametrize("spoilt", [b"", b"{", b"\xff", b'{"version": 99}'])
def test_health_that_cannot_be_read_begins_anew(tmp_path: Path, spoilt: bytes) -> None:
    (tmp_path / HEALTH_NAME).write_bytes(spoilt)

    assert known_health(tmp_path) == ()
    (warning,) = tell(tmp_path, 0, Post())
    assert "begins anew" in warning
    assert tell(tmp_path, 0, Post()) == []


def test_metrics_are_those_of_the_dataset_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "customers.prom"
    tell(tmp_path, 0, Post(), metrics=path)
    tell(tmp_path, 0, Post(), metrics=path, activity="verify")
    tell(tmp_path, 3, Post(), metrics=tmp_path / "other.prom", dataset="other")
    tell(tmp_path, 75, Post(), metrics=path, rows={})

    codes = parsed(path.read_text())["crm_pipeline_exit_code"]
    assert {tuple(sorted(dict(key).items())): n for key, n in codes.items()} == {
        (("activity", "import"), ("dataset", "customers")): 75.0,
        (("activity", "verify"), ("dataset", "customers")): 0.0,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_metrics_that_cannot_be_written_are_a_warning(tmp_path: Path) -> None:
    post = Post()
    (warning,) = tell(tmp_path, 75, post, metrics=tmp_path / "no" / "x.prom")

    assert warning.startswith("the metrics are not written: ")
    assert len(post.got) == 1


def test_a_work_folder_that_cannot_be_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (warning,) = tell(tmp_path / "file", 75, Post())

    assert warning.startswith("the health of the dataset is not kept: ")


def test_one_process_at_a_time_keeps_health(tmp_path: Path) -> None:
    waits: list[float] = []

    def leave(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            held.__exit__(None, None, None)

    held = lock_health(tmp_path)
    held.__enter__()
    with lock_health(tmp_path, sleep=leave):
        assert len(waits) == 3
