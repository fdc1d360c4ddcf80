"""An alert is sent with a few tries, follows nobody, and never shows its address."""

import asyncio
import logging

import pytest

from pipeline.credentials import Secret
from pipeline.notify import WAITS_S, Postbox, post
from webhook import DRIPPING, HANGS_UP, SECRET, SILENT, Webhook, webhook

CONTENT = {"text": "import of zażółć is failing"}


def sent(hook: Webhook | str, **how: object) -> tuple[str | None, list[float]]:
    """Return what post said, and how it waited."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    address = Secret(hook if isinstance(hook, str) else hook.url)
    box = Postbox(address, sleep=sleep, **how)  # type: ignore[arg-type]
    return asyncio.run(post(CONTENT, box)), waits


@pytest.mark.parametrize("status", [200, 201, 204])
def test_it_is_taken_once(status: int) -> None:
    with webhook(status) as hook:
        assert sent(hook) == (None, [])
    assert hook.got == [CONTENT]


@pytest.mark.parametrize("trouble", [500, 503, 429, HANGS_UP])
def test_what_may_pass_is_tried_again(trouble: int) -> None:
    with webhook(trouble, trouble, 200) as hook:
        assert sent(hook) == (None, list(WAITS_S))
    assert hook.got == [CONTENT] * 3


def test_a_few_tries_are_all() -> None:
    with webhook(502) as hook:
        assert sent(hook) == ("it answered with status 502", list(WAITS_S))
    assert len(hook.got) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_repeated(status: int) -> None:
    with webhook(status) as hook:
        assert sent(hook) == (f"it answered with status {status}", [])
    assert len(hook.got) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with webhook(status) as hook:
        said, waits = sent(hook)

    assert said == f"it redirects (status {status}), which is not followed"
    assert waits == []
    assert hook.paths == [f"/hooks/{SECRET}"]


@pytest.mark.parametrize("silence", [SILENT, DRIPPING])
def test_a_server_that_never_finishes_is_left(silence: int) -> None:
    with webhook(silence) as hook:
        said, waits = sent(hook, timeout_s=0.15)

    assert said == "no answer came within 0.15 s"
    assert waits == list(WAITS_S)


def test_nobody_there() -> None:
    with webhook() as hook:
        url = hook.url

    assert sent(url) == ("no connection can be made", list(WAITS_S))


def test_a_bundle_that_is_none() -> None:
    with webhook() as hook:
        said, waits = sent(hook, ca_bundle="/nowhere.pem")

    assert said == "the address or the CA bundle cannot be used"
    assert waits == []
    assert hook.got == []


def test_no_log_holds_the_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), webhook(500) as hook:
        sent(hook)

    assert SECRET not in caplog.text
