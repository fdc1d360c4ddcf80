"""Each block says in words what it shows in colours."""

from pipeline.report.blocks import SHOWN_POINTS, html_of
from pipeline.report.document import (
    EquationBar,
    ExampleTable,
    FieldBar,
    FieldBars,
    LineChart,
    Part,
    Role,
    Sentence,
    Series,
    Stroke,
)


def test_an_equation_is_a_bar_a_sentence_and_a_table() -> None:
    parts = (Part("accepted", 3, Role.GOOD, "why"), Part("blocked", 0, Role.WARNING))
    told = html_of(EquationBar("rows read", 3, parts))

    assert "3 rows read = 3 accepted</p>" in told
    assert "blocked" not in told
    assert ">100 %</td>" in told
    assert told.count("<tr") == 3


def test_an_equation_of_nothing_says_so() -> None:
    assert "0 rows read = nothing" in html_of(EquationBar("rows read", 0, ()))


def test_a_bar_of_several_parts_has_a_legend() -> None:
    two = (Part("new", 1, Role.GOOD), Part("old", 1, Role.CARRIED))
    lines = (FieldBar("x", 2, two, ("2",)),)
    told = html_of(FieldBars("c", "Field", "Bar", ("Rows",), lines, n_more=1))

    assert 'class="keys"' in told
    assert "c 1 more line left out." in told
    one = (FieldBar("x", 2, two[:1], ("2",)),)
    assert 'class="keys"' not in html_of(FieldBars("c", "F", "B", ("Rows",), one))


def test_cells_are_code_where_they_are_values() -> None:
    table = ExampleTable(
        "t",
        "c",
        "n",
        ("Row", "Value", "Why"),
        (("1", "x" * 30, "a `b`"), ("2", "", "y" * 30)),
        ("Value",),
    )
    told = html_of(table)

    assert f'<span class="code free">{"x" * 30}</span>' in told
    assert "a <code>b</code>" in told
    assert 'class="long prose"' in told


def test_a_chart_has_its_numbers_in_a_table() -> None:
    line = Series(
        "a", tuple((float(n), 1.0) for n in range(70)), Stroke.LINE, Role.GOOD
    )
    dot = Series("b", ((3.5, 0.25),), Stroke.DOTS, Role.BAD)
    told = html_of(LineChart("T", "w", (line, dot), 70, decimals=2))

    assert told.count("<tr") == SHOWN_POINTS + 1
    assert "without the first 11" in told
    assert 'class="keys"' in told
    assert "<td></td>" not in told
    short = html_of(LineChart("T", "w", (dot,), 5, decimals=2))
    assert ">0.25</td>" in short
    assert "without the first" not in short


def test_a_sentence_is_a_paragraph() -> None:
    assert html_of(Sentence("a < b")) == '<p class="block">a &lt; b</p>'
