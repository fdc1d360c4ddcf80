"""Each block of a report as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.plain_text import counted
from pipeline.report.charts import in_time, key_of, plot, share_bar, swatch
from pipeline.report.document import (
    Command,
    EquationBar,
    ExampleTable,
    FieldBars,
    LineChart,
    Notices,
    ReasonTable,
    Sentence,
    share,
)
from pipeline.report.markup import Html, element, joined, prose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.report.document import (
        Block,
        FieldBar,
        KeyValues,
        Notice,
        Part,
        Reason,
        Role,
    )

EXAMPLES_NAME: Final = "examples"
LONG_CHARS: Final = 24
SHOWN_POINTS: Final = 60


def html_of(block: Block) -> Html:  # noqa: PLR0911 - one for each shape
    """Return a block as HTML."""
    match block:
        case Sentence():
            return element("p", prose(block.text), class_="block")
        case Command():
            return _command(block)
        case EquationBar():
            return _equation(block)
        case ReasonTable():
            return _reasons(block)
        case LineChart():
            return _chart(block)
        case FieldBars():
            return _field_bars(block)
        case ExampleTable():
            return _examples(block)
        case Notices():
            items = joined(map(_notice, block.items))
            return element("ul", items, class_="notices block")
        case _:
            return _facts(block)


def _command(command: Command) -> Html:
    return element(
        "div",
        element("p", f"{command.purpose}:"),
        element("code", command.line),
        class_="command block",
    )


# -- the equation ----------------------------------------------------------------------


def _equation(bar: EquationBar) -> Html:
    shown = [part for part in bar.parts if part.n]
    told = " + ".join(f"{part.n:,} {part.label}" for part in shown) or "nothing"
    return element(
        "div",
        share_bar(shown, bar.n, is_labelled=True),
        element("p", f"{bar.n:,} {bar.whole} = {told}", class_="equation"),
        element(
            "table",
            element("caption", f"The parts of {bar.n:,} {bar.whole}"),
            _head(
                ("State", False), ("Number", True), ("Share", True), ("Meaning", False)
            ),
            element("tbody", *(_part(part, bar.n) for part in shown), role="rowgroup"),
            element(
                "tfoot",
                _row(
                    _heading(bar.whole),
                    _cell(f"{bar.n:,}", "Number", is_number=True),
                    _cell(share(bar.n, bar.n), "Share", is_number=True),
                    _cell(""),
                ),
                role="rowgroup",
            ),
            class_="stack",
            role="table",
        ),
        class_="block",
    )


def _part(part: Part, n_whole: int) -> Html:
    return _row(
        _heading(joined((swatch(part.role), part.label))),
        _cell(f"{part.n:,}", "Number", is_number=True),
        _cell(share(part.n, n_whole), "Share", is_number=True),
        _cell(part.meaning, is_long=True),
    )


# -- tables ----------------------------------------------------------------------------


def _reasons(table: ReasonTable) -> Html:
    return element(
        "table",
        element("caption", table.caption),
        _head(
            ("Code", False), ("Rows", True), ("What is wrong, and what to do", False)
        ),
        element(
            "tbody",
            *map(_reason, table.reasons),
            role="rowgroup",
        ),
        class_="stack block",
        role="table",
    )


def _reason(reason: Reason) -> Html:
    find = element("span", reason.code, class_="code")
    if reason.has_examples:
        find = element(
            "a",
            reason.code,
            href=f"#{EXAMPLES_NAME}",
            data_finds=reason.code,
            class_="code",
        )
    kind = element("span", reason.state, class_=f"ink-{reason.role}")
    told = joined(
        (
            element("span", prose(reason.message), class_="why"),
            element("span", prose(reason.next_step), class_="next"),
            element("span", kind, f" · {reason.where}", class_="next"),
        )
    )
    return _row(
        _heading(find),
        _cell(f"{reason.n_rows:,}", "Rows", is_number=True),
        _cell(told, is_long=True),
    )


def _field_bars(table: FieldBars) -> Html:
    columns = tuple((name, True) for name in table.columns)
    more = f" {counted(table.n_more, 'more line')} left out." if table.n_more else ""
    keys = {p.label: p.role for line in table.lines for p in line.parts}
    return element(
        "div",
        _legend(keys.items()) if len(keys) > 1 else "",
        element(
            "table",
            element("caption", prose(table.caption + more)),
            _head((table.subject, False), (table.bar, False, "wide"), *columns),
            element(
                "tbody",
                *(_field_bar(line, table.columns) for line in table.lines),
                role="rowgroup",
            ),
            class_="stack",
            role="table",
        ),
        class_="block",
    )


def _legend(keys: Iterable[tuple[str, Role]]) -> Html:
    return element(
        "ul",
        *(element("li", swatch(role), label) for label, role in keys),
        class_="keys",
    )


def _field_bar(line: FieldBar, columns: tuple[str, ...]) -> Html:
    return _row(
        _heading(element("span", line.name, class_="code")),
        _cell(share_bar(line.parts, line.n_whole, is_labelled=False), kind="wide"),
        *(
            _cell(cell, column, is_number=True)
            for column, cell in zip(columns, line.cells, strict=True)
        ),
    )


def _examples(table: ExampleTable) -> Html:
    about = f"{table.name}-note"
    box = element(
        "div",
        element("label", "Search these rows", for_=f"{table.name}-search"),
        element(
            "input", type="search", id=f"{table.name}-search", autocomplete="off",
            spellcheck="false", aria_controls=table.name, aria_describedby=about,
        ),
        element("output", for_=f"{table.name}-search", aria_live="polite"),
        class_="search", data_searches=table.name, hidden=True, role="search",
    )  # fmt: skip
    return element(
        "div",
        element("p", prose(table.note), class_="soft", id=about),
        box,
        element(
            "table",
            element("caption", table.caption),
            _head(*((name, False) for name in table.columns)),
            element(
                "tbody",
                *(_example(table, row) for row in table.rows),
                role="rowgroup",
            ),
            class_="stack",
            role="table",
            id=table.name,
        ),
        class_="block",
    )


def _example(table: ExampleTable, row: tuple[str, ...]) -> Html:
    (_, first), *others = zip(table.columns, row, strict=True)
    return _row(_heading(first), *(_example_cell(table, *told) for told in others))


def _example_cell(table: ExampleTable, name: str, cell: str) -> Html:
    is_long = len(cell) > LONG_CHARS
    if name not in table.code_columns:
        return _cell(
            prose(cell), name, is_long=is_long, kind="prose" if is_long else None
        )
    kind = "code free" if is_long else "code short"
    told = element("span", cell, class_=kind) if cell else ""
    return _cell(told, name, is_long=is_long)


def _head(*columns: tuple[str, bool] | tuple[str, bool, str]) -> Html:
    cells = [
        element(
            "th", column[0], scope="col", role="columnheader",
            class_="number" if column[1] else (column[2:] or (None,))[0],
        )
        for column in columns
    ]  # fmt: skip
    return element("thead", _row(*cells), role="rowgroup")


# Roles are spelled out: a table that is laid out as blocks on a phone stays a table.
def _row(*cells: Html) -> Html:
    return element("tr", *cells, role="row")


def _heading(content: object) -> Html:
    return element("th", content, scope="row", role="rowheader")


def _cell(
    content: object,
    label: str | None = None,
    *,
    is_number: bool = False,
    is_long: bool = False,
    kind: str | None = None,
) -> Html:
    classes = ("number" if is_number else "", "long" if is_long else "", kind)
    return element(
        "td",
        content,
        class_=" ".join(filter(None, classes)) or None,
        data_label=label,
        role="cell",
    )


# -- the rest --------------------------------------------------------------------------


def _chart(chart: LineChart) -> Html:
    keys = element(
        "ul",
        *(element("li", key_of(series), series.label) for series in chart.series),
        class_="keys",
    )
    return element(
        "figure",
        element(
            "figcaption", element("h3", chart.title), element("p", chart.words)
        ),
        plot(chart),
        keys if len(chart.series) > 1 else "",
        element("details", element("summary", "The numbers"), _numbers(chart)),
    )  # fmt: skip


def _numbers(chart: LineChart) -> Html:
    """Return the values of a chart; of many dots, the last ones."""
    values: dict[float, dict[str, float]] = {}
    for series in chart.series:
        for x, y in series.points:
            values.setdefault(x, {})[series.label] = y
    labels = [series.label for series in chart.series]
    times = sorted(values)
    rows = [
        _row(
            _heading(in_time(round(x, 3))),
            *(
                _cell(
                    f"{values[x][label]:,.{chart.decimals}f}"
                    if label in values[x]
                    else "",
                    is_number=True,
                )
                for label in labels
            ),
        )
        for x in times[-SHOWN_POINTS:]
    ]
    n_left_out = len(times) - len(rows)
    left_out = f", without the first {n_left_out:,}" if n_left_out else ""
    return element(
        "table",
        element("caption", f"{chart.title}, by time since the beginning{left_out}"),
        _head(("Time", False), *((label, True) for label in labels)),
        element("tbody", *rows, role="rowgroup"),
    )


def _notice(notice: Notice) -> Html:
    label = element("b", notice.label, class_=f"ink-{notice.role}")
    return element("li", label, prose(notice.text))


def _facts(facts: KeyValues) -> Html:
    pairs = (
        joined((element("dt", name), element("dd", value)))
        for name, value in facts.pairs
    )
    return element("dl", joined(pairs), class_="facts block")
