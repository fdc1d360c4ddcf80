"""The picture of the benchmarks: well-formed, alone, to scale, readable in the dark."""

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks.chart import Bar, chart

SVG = "{http://www.w3.org/2000/svg}"
BARS = [Bar("ours", (2.0, 4.0)), Bar("a <peer> & more", (8.0, 1.0)), Bar("0", (0, 0))]


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own text, written a moment ago


def rects(text: str, role: str) -> list[float]:
    found = parsed(text).iter(f"{SVG}rect")
    # The first of each role is the key.
    return [float(each.attrib["width"]) for each in found if role == each.get("class")]


def test_lengths_are_in_proportion_and_nothing_vanishes() -> None:
    text = chart("seconds", ("wall", "CPU"), BARS)
    _, ours, theirs, nothing = rects(text, "first")
    _, our_cpu, their_cpu, _ = rects(text, "second")
    assert theirs / ours == pytest.approx(4, rel=0.01)
    assert our_cpu / their_cpu == pytest.approx(4, rel=0.01)
    assert nothing == 1


def test_every_figure_and_name_stands_in_it_as_text() -> None:
    root = parsed(chart("a < b", ("wall", "CPU"), BARS))
    words = [each.text for each in root.iter(f"{SVG}text")]
    assert words[:3] == ["a < b", "wall", "CPU"]
    assert {"ours", "a <peer> & more", "2.0 s", "8.0 s", "4.0 s"} <= set(words)


def test_it_needs_nothing_from_outside_and_knows_the_dark() -> None:
    text = chart("t", ("wall", "CPU"), BARS)
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text


def test_no_text_leaves_the_picture() -> None:
    text = chart("t", ("wall", "CPU"), [Bar("x", (12345.6, 12345.6))])
    root = parsed(text)
    wide = float(root.attrib["width"])
    for each in root.iter(f"{SVG}text"):
        assert float(each.attrib["x"]) + 8 * len(each.text or "") < wide


def test_without_bars_it_is_still_a_picture() -> None:
    assert parsed(chart("t", ("a", "b"), [])).tag == f"{SVG}svg"
