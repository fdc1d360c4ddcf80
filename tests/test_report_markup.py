"""Nothing that came from outside becomes markup."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.markup import Html, element, joined, prose, text
from report_samples import HOSTILE


class Seen(HTMLParser):
    """What a parser of HTML finds in a piece."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.words = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.words += data


ANY_TEXT = st.text() | st.sampled_from(HOSTILE)


@given(ANY_TEXT)
def test_a_text_stays_a_text(content: str) -> None:
    seen = Seen(element("p", content))

    assert seen.tags == ["p"]
    assert seen.words.isprintable()


@given(ANY_TEXT)
def test_an_attribute_stays_one(content: str) -> None:
    seen = Seen(element("p", title=content))

    assert (seen.tags, set(seen.attributes)) == (["p"], {"title"})


@given(ANY_TEXT)
def test_prose_knows_code_and_nothing_else(content: str) -> None:
    assert set(Seen(prose(content)).tags) <= {"code"}


@pytest.mark.parametrize(
    ("content", "markup"),
    [
        ("a `b<` c", "a <code>b&lt;</code> c"),
        ("`a`", "<code>a</code>"),
        ("5` wide", "5` wide"),
    ],
)
def test_backticks_set_code(content: str, markup: str) -> None:
    assert prose(content) == markup


def test_markup_is_kept_and_a_text_that_looks_like_it_is_not() -> None:
    assert joined((Html("<b>"), "<b>"), ", ") == "<b>, &lt;b&gt;"


def test_an_attribute_may_be_a_flag_or_none() -> None:
    told = element("input", hidden=True, id=None, checked=False, aria_label="x")

    assert told == '<input hidden aria-label="x"/>'


def test_what_nobody_sees_is_shown() -> None:
    assert text("a\u202eb\x00") == "a\\u202eb\\x00"
