"""What a run sent, and what came back."""

from dataclasses import replace

from pipeline.report.document import FieldBars, LineChart, Role, Sentence
from pipeline.report.sent import Sent, pace_section
from report_samples import attempts

SENT = Sent("W", "customers", 3, 0, 10, {202: 1, 418: 1, 503: 2}, attempts=attempts(5))


def test_answers_are_counted_by_status() -> None:
    (section,) = pace_section(SENT)
    *charts, note, answers = section.blocks

    assert all(isinstance(chart, LineChart) for chart in charts)
    assert len(charts) == 2
    assert isinstance(note, Sentence)
    assert note.text == "1 attempt has no answer: the process ended before."
    assert isinstance(answers, FieldBars)
    assert [line.name for line in answers.lines] == [
        "202 accepted",
        "418",
        "503 not available",
    ]
    assert [line.parts[0].role for line in answers.lines] == [
        Role.GOOD,
        Role.WARNING,
        Role.BAD,
    ]
    assert answers.lines[2].cells == ("2", "50.0 %")


def test_what_sent_nothing_has_no_pace() -> None:
    assert pace_section(None) == ()
    assert pace_section(replace(SENT, attempts=(), statuses={})) == ()
    (section,) = pace_section(replace(SENT, attempts=attempts(1), statuses={}))
    assert len(section.blocks) == 2
