"""A page: well formed, whole without a script, closed to everything from outside."""

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report.document import Document
from pipeline.report.exporting import report_of_export
from pipeline.report.html import page_of
from pipeline.report.importing import report_of_import
from pipeline.report.parts import Example
from pipeline.report.reconciling import report_of_reconcile
from pipeline.report.verifying import report_of_verify
from report_samples import (
    ENDING,
    HOSTILE,
    clean_facts,
    export_facts,
    import_facts,
    reconcile_report,
    verify_facts,
)

DOCUMENTS = {
    "import": report_of_import(import_facts(), ENDING),
    "long import": report_of_import(import_facts(400), ENDING),
    "short import": report_of_import(clean_facts(), ENDING),
    "verify": report_of_verify(verify_facts(), ENDING),
    "export": report_of_export(export_facts(), ENDING),
    "reconcile": report_of_reconcile(reconcile_report(), 0.0, ENDING),
}
TAGS_THAT_LOAD = {"link", "img", "iframe", "object", "base"}
ATTRIBUTES_THAT_LOAD = {"src", "srcset", "data", "action", "formaction", "poster"}


@dataclass
class Page(HTMLParser):
    """A page, taken apart; the parser is strict about what is open."""

    markup: str
    open: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    raw: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.raw[self.open[-1]] = data
        else:
            self.words.append(data)

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(params=DOCUMENTS)
def page(request: pytest.FixtureRequest) -> Page:
    return Page(page_of(DOCUMENTS[request.param]))


def test_headings_and_landmarks_are_in_order(page: Page) -> None:
    names = [tag for tag, _ in page.tags]
    levels = [int(tag[1]) for tag in names if re.fullmatch(r"h\d", tag)]

    assert [names.count(tag) for tag in ("header", "main", "footer", "h1")] == [1] * 4
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    titles = [attributes["id"] for attributes in page.all("h2")]
    assert [section["aria-labelledby"] for section in page.all("section")] == titles


def test_names_are_unique_and_links_lead_somewhere(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    targets = [str(link["href"]) for link in page.all("a")]

    assert len(names) == len(set(names))
    assert {target.removeprefix("#") for target in targets} <= set(map(str, names))


def test_a_table_says_what_it_is(page: Page) -> None:
    names = [tag for tag, _ in page.tags]

    assert names.count("caption") == names.count("table") == names.count("thead")
    assert all(cell["scope"] in ("col", "row") for cell in page.all("th"))


def test_the_policy_allows_just_what_is_there(page: Page) -> None:
    (policy,) = (
        str(meta["content"])
        for meta in page.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    hashes = {
        kind: base64.b64encode(hashlib.sha256(page.raw[tag].encode()).digest()).decode()
        for kind, tag in (("style", "style"), ("script", "script"))
    }

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; "
        f"script-src 'sha256-{hashes['script']}'; base-uri 'none'; form-action 'none'"
    )
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert page.tags.index(("style", {})) > 0


def test_nothing_is_loaded_and_nothing_hides_in_an_attribute(page: Page) -> None:
    told = {name for _, attributes in page.tags for name in attributes}

    assert not told & ATTRIBUTES_THAT_LOAD
    assert not {name for name in told if name.startswith("on") or name == "style"}
    assert not {tag for tag, _ in page.tags} & {
        "link",
        "img",
        "iframe",
        "object",
        "base",
    }
    assert not re.search(r"url\(|@import|@font-face|//", page.raw["style"])
    assert not re.search(r"fetch|XMLHttp|import\(|innerHTML|eval", page.raw["script"])


@settings(max_examples=settings().max_examples // 2)
@given(st.text() | st.sampled_from(HOSTILE))
def test_a_hostile_text_changes_no_tag(text: str) -> None:
    facts = import_facts(2)
    place = Example(text, text, text, text, text, text)

    def page_with(words: str) -> Page:
        example = replace(place, **dict.fromkeys(("place", "message"), words))
        changed = replace(
            facts,
            run_id=words,
            command="import" + words,
            error=words,
            sources=(replace(facts.sources[0], name=words, sha256=words),),
            examples=(example,),
        )
        shown = replace(ENDING, shows_values=True, next_commands=((words, words),))
        return Page(page_of(report_of_import(changed, shown)))

    hostile, tame = page_with(text), page_with("tame")

    bare = [tag for tag, _ in hostile.tags if tag != "code"]
    assert bare == [tag for tag, _ in tame.tags if tag != "code"]
    assert hostile.raw == tame.raw
    assert "".join(hostile.words).replace("\n", "").isprintable()


def test_a_page_is_small_even_with_everything_in_it() -> None:
    facts = import_facts(10_000)
    example = Example("1", "blocked", "EMAIL", "f" * 200, "x" * 200, "m" * 400)
    page = page_of(report_of_import(replace(facts, examples=(example,) * 300), ENDING))

    assert len(page.encode()) < 1_000_000


def test_a_report_needs_no_figures() -> None:
    page = Page(page_of(Document("K", "now", "H", "S", ENDING_ROLE)))

    assert page.all("dl", "section") == []


ENDING_ROLE = DOCUMENTS["import"].role
