"""A small strict reader of the text format of Prometheus."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
Labels = frozenset[tuple[str, str]]


def parsed(text: str) -> dict[str, dict[Labels, float]]:
    """Return family → labels → value; whatever the format forbids is an error."""
    families: dict[str, dict[Labels, float]] = {}
    described: set[str] = set()
    current = ""
    assert text == "" or text.endswith("\n")
    for line in text.removesuffix("\n").split("\n") if text else []:
        if line.startswith("# HELP "):
            name, _, told = line.removeprefix("# HELP ").partition(" ")
            assert name not in described, line
            assert told, line
            described.add(name)
        elif line.startswith("# TYPE "):
            current, _, kind = line.removeprefix("# TYPE ").partition(" ")
            assert current not in families, "a family is one group of lines"
            assert kind == "gauge", line
            families[current] = {}
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            name, labels, value = found.groups()
            assert name == current, line
            key = _labels(labels or "")
            assert key not in families[name], f"twice: {line}"
            families[name][key] = float(value)
    assert set(families) == described
    return families


def _labels(text: str) -> Labels:
    pairs, at = [], 0
    while at < len(text):
        found = LABEL.match(text, at)
        assert found, text
        name, value = found.groups()
        plain = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), value)
        pairs.append((name, plain))
        at = found.end()
    assert len(dict(pairs)) == len(pairs), text
    return frozenset(pairs)
