"""What an export can swear to: what was asked, what was counted, and what follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.export.windows import Searching, Window

CERTIFICATE_VERSION: Final = 2
CERTIFICATE_SUFFIX: Final = ".certificate.json"


class Road(StrEnum):
    """A way to profiles."""

    LIST = "list"
    PAGES = "pages"
    WINDOWS = "windows"
    NAMED = "named"


class Evidence(StrEnum):
    """Why an export is complete."""

    COUNT = "as many profiles as the service says there are, before and after"
    PARTITION = "every part of an exhaustive partition showed all that it holds"
    NAMED = "every profile that was named has an answer"


@dataclass(frozen=True, slots=True)
class WindowRead:
    """
    What a window showed.

    Attributes:
        matching: Rows in it, as the service says; None when it does not say.
        n_rows: That it showed, repetitions included.
        n_new: Profiles that nothing before it had shown.
        is_saturated: The cap ended it.
        n_drifts: Pages that did not go on where the one before ended.
        n_repeated: Pages that were the page before once more.
        is_leaf: Of the partition.
    """

    window: Window
    matching: int | None
    n_rows: int
    n_new: int
    is_saturated: bool
    n_drifts: int
    n_repeated: int = 0
    is_leaf: bool = False


@dataclass(frozen=True, slots=True)
class PagesRead:
    """
    What road 1 showed in one pass.

    Attributes:
        n_rows: Repetitions included.
        refusal: Why it was left; empty when it was gone to its end.
    """

    n_pages: int
    n_rows: int
    n_new: int
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    The evidence of an export.

    Attributes:
        n_profiles: In the file.
        n_distinct: Profiles that were seen.
        n_all_before: Profiles that the question is about, as the service said before;
            None when it did not say.
        n_all_after: The same, afterwards.
        cap_rows: What one question shows at most; a total of just that is unknown.
        variation: By how much the total went up and down meanwhile.
        question: The filters, as the service was asked.
        roads: That were gone, in order.
        searching: What a search was found to mean; None when none was needed.
        sort_fields: What the list was sorted by.
        partition: Leaves of the partition by UUIDs; None when there is none that holds.
        passes: Through all windows.
        n_gone: Profiles that were seen, and were not there any more to be read in full.
        named: Row of the file of identifiers → what stood in its way; None without one.
        n_named: Rows of that file.
        estimate: Of the profiles there are, by two orders; never evidence.
        contradictions: Of the service with itself.
        is_cut_short: The budget of requests ended the search for more.
        windows: In the order in which they were read.
        pages: The same, of road 1.
    """

    n_profiles: int
    n_distinct: int
    n_all_before: int | None
    n_all_after: int | None
    cap_rows: int
    variation: int = 0
    question: Mapping[str, str] | None = None
    roads: Sequence[Road] = (Road.LIST,)
    searching: Searching | None = None
    sort_fields: Sequence[str] = ()
    partition: int | None = None
    passes: int = 0
    n_gone: int = 0
    named: Mapping[int, str] | None = None
    n_named: int = 0
    estimate: int | None = None
    contradictions: Sequence[str] = ()
    is_cut_short: bool = False
    windows: Sequence[WindowRead] = ()
    pages: Sequence[PagesRead] = ()

    @property
    def is_complete(self) -> bool:
        """Whether there is evidence that nothing is missing."""
        return self.evidence is not None

    @property
    def evidence(self) -> Evidence | None:
        """What makes it complete; None when it is not shown to be."""
        if self.named is not None:
            return None if self.named else Evidence.NAMED
        if self.contradictions:
            return None
        if not self._doubts():
            return Evidence.COUNT
        # A total that stood still and is another number leaves nothing to share out.
        is_still = not self.variation and self.n_all_before == self.n_all_after
        is_known = self.n_all_before not in (None, self.cap_rows)
        if self.partition is None or (is_still and is_known):
            return None
        return Evidence.PARTITION

    def reasons(self) -> tuple[str, ...]:
        """Return why it cannot be called complete; nothing when it can."""
        if self.is_complete:
            return ()
        if self.named is not None:
            rows = ", ".join(f"{row:,}" for row in sorted(self.named)[:10])
            told = (
                f"{len(self.named):,} of {self.n_named:,} rows of the file name no "
                f"profile that could be asked for (rows {rows})"
            )
            return (told,)
        found = [*self.contradictions, *self._doubts()]
        if self.is_cut_short:
            found.append("the search for more was given up, as it asked too often")
        return tuple(found)

    def _doubts(self) -> list[str]:
        """Return what is wrong with the count."""
        before, after = self.n_all_before, self.n_all_after
        if before is None or after is None:
            return ["the service does not say how many profiles there are"]
        if self.cap_rows in (before, after):
            told = f"the service says {self.cap_rows:,}, which is also the most it "
            return [f"{told}shows, so it may be more"]
        if before != after:
            return [f"there were {before:,} profiles before and {after:,} after"]
        if self.n_distinct != after:
            return [f"{self.n_distinct:,} profiles of {after:,} were seen"]
        return []

    @property
    def n_saturated(self) -> int:
        """Windows that the cap ended."""
        return sum(read.is_saturated for read in self.windows)

    @property
    def n_duplicates(self) -> int:
        """Rows that were shown again."""
        reads: Sequence[WindowRead | PagesRead] = (*self.windows, *self.pages)
        return sum(read.n_rows - read.n_new for read in reads)

    @property
    def n_drifts(self) -> int:
        """Pages that did not go on where the one before ended."""
        return sum(read.n_drifts for read in self.windows)

    def words(self) -> tuple[str, ...]:
        """Return it in words, a sentence each."""
        if self.evidence is not None:
            said = [f"Complete: {self.evidence.value}."]
        else:
            said = [f"NOT shown to be complete: {'; '.join(self.reasons())}."]
        said.append(
            f"{self.n_profiles:,} profiles are in the file; the service said "
            f"{_told(self.n_all_before)} before and {_told(self.n_all_after)} after."
        )
        if self.evidence is Evidence.PARTITION:
            said.append(
                "Every profile that was there all the time is in the file; one that "
                "came or went meanwhile may or may not be."
            )
        if len(self.windows) > 1:
            said.append(
                f"{len(self.windows):,} windows were read (passes: {self.passes}); "
                f"{self.n_saturated:,} were full, {self.n_drifts:,} pages had moved, "
                f"{self.n_duplicates:,} rows were shown again."
            )
        said += [
            f"Road 1 was left at page {read.n_pages:,}: {read.refusal}."
            for read in self.pages
            if read.refusal
        ]
        if self.n_gone:
            said.append(f"{self.n_gone:,} profiles were gone before they were read.")
        if self.estimate is not None and not self.is_complete:
            said.append(
                f"An estimate by two orders, no evidence: {self.estimate:,} profiles."
            )
        return tuple(said)

    def as_dict(self) -> dict[str, Any]:
        """Return it for a file; documented in the reference."""
        searching = self.searching
        evidence = self.evidence
        return {
            "version": CERTIFICATE_VERSION,
            "complete": self.is_complete,
            "evidence": None if evidence is None else evidence.name.lower(),
            "reasons": list(self.reasons()),
            "words": list(self.words()),
            "profiles": self.n_profiles,
            "distinct": self.n_distinct,
            "all_before": self.n_all_before,
            "all_after": self.n_all_after,
            "cap": self.cap_rows,
            "variation": self.variation,
            "question": dict(self.question or {}),
            "roads": [road.value for road in self.roads],
            "search_means": None if searching is None else searching.meaning.value,
            "search_field": None if searching is None else searching.field or None,
            "sort_fields": list(self.sort_fields),
            "partition": self.partition,
            "passes": self.passes,
            "cut_short": self.is_cut_short,
            "contradictions": list(self.contradictions),
            "saturated": self.n_saturated,
            "duplicates": self.n_duplicates,
            "drifts": self.n_drifts,
            "gone": self.n_gone,
            "estimate": self.estimate,
            "named": None if self.named is None else self.n_named,
            "not_asked": {str(row): why for row, why in (self.named or {}).items()},
            "pages": [asdict(read) for read in self.pages],
            "windows": [
                {
                    **asdict(read.window),
                    "matching": read.matching,
                    "rows": read.n_rows,
                    "new": read.n_new,
                    "saturated": read.is_saturated,
                    "drifts": read.n_drifts,
                    "repeated": read.n_repeated,
                    "leaf": read.is_leaf,
                }
                for read in self.windows
            ],
        }


def _told(n: int | None) -> str:
    return "nothing" if n is None else f"{n:,}"
