"""
The health of a dataset in the text format of Prometheus, for its node exporter.

Format 0.0.4: gauges only, one family after the other, labels escaped. Names carry
their unit. What is not known has no sample, so that nothing looks like a zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.health import Health

PREFIX: Final = "crm_pipeline_"
# Name without the prefix → what it says of an activity of a dataset.
FAMILIES: Final = {
    "healthy": "1 when the last run that says something ended with 0, else 0.",
    "exit_code": "Exit code of the last run.",
    "last_end_timestamp_seconds": "When the last run ended, in seconds since 1970.",
    "last_ok_timestamp_seconds": "When a run last ended with exit code 0.",
    "duration_seconds": "How long the last run took.",
    "rows": "Rows of the last run by state.",
    "requests": "Requests that the last run sent.",
    "sent_bytes": "Bytes of the bodies that the last run sent.",
}


def exposition(records: Sequence[Health]) -> str:
    """Return the whole file; rows have a label `state` more than the others."""
    lines: list[str] = []
    for name, told in FAMILIES.items():
        samples = [line for record in records for line in _samples(name, record)]
        if samples:
            lines += [f"# HELP {PREFIX}{name} {told}", f"# TYPE {PREFIX}{name} gauge"]
            lines += samples
    return "".join(f"{line}\n" for line in lines)


def _samples(name: str, health: Health) -> Iterator[str]:
    last = health.last
    labels = {"dataset": last.dataset, "activity": last.activity}
    if name == "rows":
        for state, n in last.rows.items():
            yield _sample(name, {**labels, "state": state}, n)
        return
    value = {
        "healthy": None if health.exit_code is None else int(health.exit_code == 0),
        "exit_code": last.exit_code,
        "last_end_timestamp_seconds": last.at,
        "last_ok_timestamp_seconds": health.last_ok_at,
        "duration_seconds": last.seconds,
        "requests": last.n_requests,
        "sent_bytes": last.bytes_sent,
    }[name]
    if value is not None:
        yield _sample(name, labels, value)


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{PREFIX}{name}{{{told}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
