"""What an export can swear to: what was asked, what was counted, and what follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.export.windows import Meaning, Window

CERTIFICATE_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class WindowRead:
    """
    What a window showed.

    Attributes:
        matching: Rows in it, as the service says; None when it does not say.
        n_rows: That it showed, repetitions included.
        n_new: Profiles that no window before it had shown.
        is_saturated: The cap ended it.
        n_drifts: Pages that did not go on where the one before ended.
    """

    window: Window
    matching: int | None
    n_rows: int
    n_new: int
    is_saturated: bool
    n_drifts: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    The evidence of an export.

    Attributes:
        n_distinct: Profiles in the file.
        n_all_before: In the workspace, as the service said before; None when it did
            not say.
        n_all_after: The same, afterwards.
        cap_rows: What one question shows at most; a total of just that is unknown.
        meaning: What a search was found to mean; None when none was needed.
        is_cut_short: The budget of requests ended the search for more.
        windows: In the order in which they were read.
    """

    n_distinct: int
    n_all_before: int | None
    n_all_after: int | None
    cap_rows: int
    meaning: Meaning | None = None
    is_cut_short: bool = False
    windows: Sequence[WindowRead] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the profiles are as many as the service says there are."""
        return not self.reasons()

    def reasons(self) -> tuple[str, ...]:
        """Return why it cannot be called complete; nothing when it can."""
        before, after = self.n_all_before, self.n_all_after
        found = []
        if before is None or after is None:
            found.append("the service does not say how many profiles there are")
        elif self.cap_rows in (before, after):
            found.append(
                f"the service says {self.cap_rows:,}, which is also the most it "
                "shows, so it may be more"
            )
        elif before != after:
            found.append(f"there were {before:,} profiles before and {after:,} after")
        elif max(self._told(), default=0) > after:
            found.append(
                f"the service says {after:,} in all, and {max(self._told()):,} in a "
                "part of them"
            )
        elif self.n_distinct != after:
            found.append(f"{self.n_distinct:,} profiles of {after:,} were seen")
        if self.is_cut_short:
            found.append("the search for more was given up, as it asked too often")
        return tuple(found)

    def _told(self) -> list[int]:
        return [read.matching for read in self.windows if read.matching is not None]

    @property
    def n_saturated(self) -> int:
        """Windows that the cap ended."""
        return sum(read.is_saturated for read in self.windows)

    @property
    def n_duplicates(self) -> int:
        """Rows that were shown again."""
        return sum(read.n_rows - read.n_new for read in self.windows)

    @property
    def n_drifts(self) -> int:
        """Pages that did not go on where the one before ended."""
        return sum(read.n_drifts for read in self.windows)

    def as_dict(self) -> dict[str, Any]:
        """Return it for a file; documented in the reference."""
        return {
            "version": CERTIFICATE_VERSION,
            "complete": self.is_complete,
            "reasons": list(self.reasons()),
            "profiles": self.n_distinct,
            "all_before": self.n_all_before,
            "all_after": self.n_all_after,
            "cap": self.cap_rows,
            "search_means": None if self.meaning is None else self.meaning.value,
            "cut_short": self.is_cut_short,
            "saturated": self.n_saturated,
            "duplicates": self.n_duplicates,
            "drifts": self.n_drifts,
            "windows": [
                {
                    **asdict(read.window),
                    "matching": read.matching,
                    "rows": read.n_rows,
                    "new": read.n_new,
                    "saturated": read.is_saturated,
                    "drifts": read.n_drifts,
                }
                for read in self.windows
            ],
        }
