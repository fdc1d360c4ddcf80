"""A report in a real browser: it works, asks for nothing, and can be looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.chromium import Browser, browsing, skip_or_fail
from pipeline.report.applying import report_of_night
from pipeline.report.exporting import report_of_export
from pipeline.report.html import page_of
from pipeline.report.importing import report_of_import
from pipeline.report.parts import Example
from pipeline.report.planning import report_of_plan
from pipeline.report.reconciling import report_of_reconcile
from pipeline.report.verifying import report_of_verify
from report_samples import (
    ENDING,
    HOSTILE,
    export_facts,
    import_facts,
    night_facts,
    plan_facts,
    reconcile_report,
    verify_facts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(240)]
# Where a person can look at what the tests saw.
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
EXAMPLES = (
    *import_facts().examples,
    *(Example("7", "blocked", "TEXT", text, text, text) for text in HOSTILE),
)
DOCUMENTS = {
    "import": report_of_import(
        replace(import_facts(400), examples=EXAMPLES),
        replace(ENDING, shows_values=True),
    ),
    "import-small": report_of_import(import_facts(8), ENDING),
    "verify": report_of_verify(verify_facts(), ENDING),
    "export": report_of_export(export_facts(), ENDING),
    "reconcile": report_of_reconcile(reconcile_report(), 0.001, ENDING),
    "plan": report_of_plan(plan_facts(), ENDING),
    "night": report_of_night(night_facts(), ENDING),
}
SIZES = ((1280, "light"), (1280, "dark"), (390, "light"), (360, "dark"))
BACKGROUND = "return getComputedStyle(document.body).backgroundColor"
SHOWN_ROWS = (
    "return [...document.querySelectorAll('#examples tbody tr')]"
    ".filter((row) => row.offsetParent !== null).length"
)
TYPE = (
    "const box = document.querySelector('input[type=search]');"
    "box.value = arguments[0]; box.dispatchEvent(new Event('input'));"
)
# Texts whose colour keeps less than 4.5 : 1 against what they stand on.
FAINT = """
const plane = document.createElement("canvas").getContext("2d");
const parts = (color) => {
  plane.clearRect(0, 0, 1, 1); plane.fillStyle = color; plane.fillRect(0, 0, 1, 1);
  return [...plane.getImageData(0, 0, 1, 1).data];
};
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) =>
    c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const under = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const color = parts(getComputedStyle(at).backgroundColor);
    if (color[3] === 255) return color;
  }
  return [255, 255, 255];
};
return [...document.querySelectorAll("body *")]
  .filter((node) => !node.closest("svg") && [...node.childNodes].some((child) =>
    child.nodeType === 3 && child.textContent.trim()))
  .filter((node) => node.offsetParent !== null)
  .filter((node) => {
    const [a, b] = [light(parts(getComputedStyle(node).color)), light(under(node))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  })
  .map((node) => node.outerHTML.slice(0, 80));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    skip_or_fail()
    with browsing(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.html"
    path.write_text(page_of(DOCUMENTS[request.param]), encoding="utf-8")
    return path


each_page = pytest.mark.parametrize("page", DOCUMENTS, indirect=True)


@each_page
def test_nothing_is_asked_for_and_nothing_complains(
    browser: Browser, page: Path
) -> None:
    browser.run("window.name = ''")
    browser.requests()
    browser.console()
    browser.open(page)

    assert browser.requests() == [page.as_uri()]
    assert browser.console() == []
    assert browser.run("return document.title")


@each_page
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, page: Path) -> None:
    browser.look(width=360)
    browser.open(page)

    wide = "return [document.documentElement.scrollWidth, window.innerWidth]"
    assert browser.run(wide) == [360, 360]


@each_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser: Browser, page: Path, scheme: str) -> None:
    browser.look(width=1280, scheme=scheme)
    browser.open(page)

    assert browser.run(FAINT) == []


@pytest.mark.parametrize("page", ["import"], indirect=True)
def test_light_and_dark_differ(browser: Browser, page: Path) -> None:
    colors = []
    for scheme in ("light", "dark"):
        browser.look(width=1280, scheme=scheme)
        browser.open(page)
        colors.append(browser.run(BACKGROUND))

    assert colors == ["rgb(247, 246, 242)", "rgb(19, 22, 26)"]


@pytest.mark.parametrize("page", ["import"], indirect=True)
def test_the_search_leaves_the_rows_that_match(browser: Browser, page: Path) -> None:
    n_all = len(EXAMPLES)
    told = "return document.querySelector('output').textContent"
    browser.look(width=1280)
    browser.open(page)

    assert browser.run(SHOWN_ROWS) == n_all
    for words, n_shown in (
        ("refused", 1),
        ("EMAIL ewa", 1),
        ("<script>", 1),
        ("nobody", 0),
        ("", n_all),
    ):
        browser.run(TYPE, words)
        assert browser.run(SHOWN_ROWS) == n_shown, words
        assert browser.run(told) == f"{n_shown} of {n_all} rows"

    browser.run("document.querySelector('a[data-finds=EMAIL]').click()")
    assert browser.run(SHOWN_ROWS) == 1


@pytest.mark.parametrize("page", ["import"], indirect=True)
def test_the_policy_stops_what_is_not_ours(browser: Browser, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    planted = "<script>document.title = 'planted'</script><p style='color: red'>x</p>"
    page.write_text(text.replace("</main>", f"{planted}</main>"), encoding="utf-8")
    browser.open(page)

    assert browser.run("return document.title") != "planted"
    assert sum("Content Security Policy" in line for line in browser.console()) == 2


@pytest.mark.parametrize("page", ["import"], indirect=True)
def test_without_the_script_the_table_is_whole(browser: Browser, page: Path) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        assert browser.run(SHOWN_ROWS) == len(EXAMPLES)
        assert (
            browser.run("return document.querySelector('.search').offsetParent") is None
        )
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("page", ["import"], indirect=True)
def test_a_keyboard_reaches_everything(browser: Browser, page: Path) -> None:
    browser.look(width=1280)
    browser.open(page)
    reached = []
    for _ in range(30):
        for kind in ("keyDown", "keyUp"):
            browser.command(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab",
                windowsVirtualKeyCode=9,
            )  # fmt: skip
        at = browser.run(
            "const at = document.activeElement; const look = getComputedStyle(at);"
            "return [at.tagName, look.outlineStyle, look.outlineWidth]"
        )
        if at[0] == "BODY":
            break
        reached.append(at)

    assert reached[0][0] == "A"  # to skip to the content
    assert {"A", "SUMMARY", "INPUT"} == {name for name, _, _ in reached}
    assert {(style, width) for _, style, width in reached} == {("solid", "3px")}


@each_page
def test_pictures_are_left_for_a_person(browser: Browser, page: Path) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width, scheme in SIZES:
        browser.look(width=width, scheme=scheme)
        browser.open(page)
        path = PICTURES / f"{page.stem}-{width}-{scheme}.png"
        browser.shoot(path)
        assert path.read_bytes().startswith(b"\x89PNG")
    browser.look(width=1280)
    path = PICTURES / f"{page.stem}.pdf"
    browser.print_to(path)
    assert path.read_bytes().startswith(b"%PDF")
