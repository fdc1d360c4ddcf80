"""
HTML that cannot be forgotten to be escaped: text is escaped unless it is `Html`.

Only the functions here make `Html`. No name of an element or attribute ever
comes from outside.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from pipeline.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CHARS: Final = 2_000
_VOID: Final = frozenset({"input", "line", "link", "meta", "path", "rect"})


class Html(str):
    """Markup; never made from a text that came from outside."""

    __slots__ = ()


def text(content: object) -> Html:
    """Escape *content*; what cannot be seen, or turns text around, shows as such."""
    return Html(escape(printable(str(content), max_chars=MAX_CHARS), quote=True))


def prose(content: str) -> Html:
    """Escape a sentence; what stands in backticks is set as code."""
    parts = content.split("`")
    if len(parts) % 2 == 0:  # a backtick without its fellow is a backtick
        return text(content)
    return joined(
        element("code", part) if number % 2 else part
        for number, part in enumerate(parts)
    )


def joined(parts: Iterable[object], between: str = "") -> Html:
    """Join parts; those that are not markup are escaped, as is what stands between."""
    return Html(text(between).join(map(_markup, parts)))


def element(name: str, /, *content: object, **attributes: object) -> Html:
    """
    Return an element.

    Args:
        content: Text is escaped; markup is not.
        attributes: By their name with `_` for `-`, one behind the name dropped
            (`class_`). True is an attribute without a value; None and False are none.
            Texts are escaped as content is.
    """
    told = "".join(
        _attribute(key.removesuffix("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{told}/>")
    return Html(f"<{name}{told}>{joined(content)}</{name}>")


def _attribute(key: str, value: object) -> str:
    return f" {key}" if value is True else f' {key}="{_markup(value)}"'


def _markup(part: object) -> Html:
    return part if isinstance(part, Html) else text(part)
