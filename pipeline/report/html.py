"""
A report as one page of HTML that asks the network for nothing.

Headings in order, landmarks, captions and scopes for who listens; a policy that allows
the one style sheet and the one script by hash, and nothing else. Without the script,
the page is whole: only the search is missing.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from pipeline.report.blocks import html_of
from pipeline.report.document import LineChart
from pipeline.report.look import SCRIPT, STYLE
from pipeline.report.markup import Html, element, joined

if TYPE_CHECKING:
    from pipeline.report.document import Document, Figure, Section


def _hash_of(content: str) -> str:
    return "sha256-" + b64encode(sha256(content.encode()).digest()).decode()


POLICY: Final = (
    f"default-src 'none'; style-src '{_hash_of(STYLE)}'; "
    f"script-src '{_hash_of(SCRIPT)}'; base-uri 'none'; form-action 'none'"
)


def page_of(document: Document) -> str:
    """Return the whole page; its size follows the examples, 300 to 500 bytes each."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        # As it is, so that what is tested is what stands there; it is ours.
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("title", f"{document.kind}: {document.status}"),
        # Raw text, as both are ours and a hash covers every byte of them.
        element("style", Html(STYLE)),
    )
    main = element("main", *map(_section, document.sections), id="content")
    body = element(
        "body",
        element("a", "Skip to the content", class_="skip", href="#content"),
        element("div", _header(document), main, _footer(document), class_="page"),
        element("script", Html(SCRIPT)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _header(document: Document) -> Html:
    kind = element("b", document.kind)
    figures = joined(map(_figure, document.figures))
    return element(
        "header",
        element("p", kind, f" · {document.when}", class_="kicker"),
        element("p", document.status, class_=f"status ink-{document.role}"),
        element("h1", document.headline),
        *(element("p", sentence, class_="lead") for sentence in document.lead),
        element("dl", figures, class_="figures") if document.figures else "",
    )


def _figure(figure: Figure) -> Html:
    return element(
        "div",
        element("dt", figure.label),
        element("dd", figure.value, class_=f"value ink-{figure.role}"),
        element("dd", figure.note, class_="note") if figure.note else "",
    )


def _footer(document: Document) -> Html:
    told = (
        f"{document.kind} · {document.when} · written by crm-pipeline. This page "
        "stands alone: it loads nothing and sends nothing."
    )
    return element("footer", element("p", told))


def _section(section: Section) -> Html:
    name = "-".join(("about", *"".join(map(_plain, section.title)).split()))
    charts = [html_of(b) for b in section.blocks if isinstance(b, LineChart)]
    others = [html_of(b) for b in section.blocks if not isinstance(b, LineChart)]
    return element(
        "section",
        element("h2", section.title, id=name),
        element("div", *charts, class_="charts block") if charts else "",
        *others,
        aria_labelledby=name,
    )


def _plain(char: str) -> str:
    return char.lower() if char.isascii() and char.isalnum() else " "
