"""The clean rows of a source as a plan needs them: with their digests beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.delta.digests import digests_of
from pipeline.encoder import encode_slice
from pipeline.line import Line, encoded_slices
from pipeline.outgoing import Outgoing
from pipeline.records import Encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from pipeline.checker import CheckResult
    from pipeline.records import Transformed
    from pipeline.spill import SliceStore
    from pipeline.transform import TransformPlan


def encoded_with_digests(done: Transformed, plan: TransformPlan, key: str) -> Encoded:
    """Write the clean rows of a slice as JSON, with their digests beside them."""
    encoded = encode_slice(done, plan)
    digests = digests_of(
        done.clean, plan.identifiers, key, raw=plan.raw, erased=done.erased
    )
    return Encoded(encoded.frame.hstack(digests), encoded.lane)


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The clean rows of a source, as often as they are wanted."""

    line: Line
    check: CheckResult
    store: SliceStore
    last: list[Outgoing] = field(default_factory=list)

    def encoded(self) -> Iterator[Encoded]:
        """Give them as they would go out, folded ones last."""
        line = self.line
        outgoing = Outgoing(
            self.check, line.limits.max_row_bytes, line.scratch / "held"
        )
        self.last[:] = [outgoing]
        return outgoing.encoded(encoded_slices(line, self.store))

    def exceptions(self) -> pl.DataFrame:
        """Return the rows that cannot go out, once `encoded` was read to its end."""
        return self.last[0].exceptions()
