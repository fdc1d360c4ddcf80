"""What a mutant is: a small defect, written as the replacement of one piece of text."""

from dataclasses import dataclass


class StaleMutantError(Exception):
    """A mutant does not fit the tree any more; it has to be written anew."""


@dataclass(frozen=True)
class Mutant:
    """
    A defect, and the tests that have to find it.

    Attributes:
        name: What the tool does wrong, in a few words.
        module: Path below `pipeline/`.
        old: Text that the module holds exactly once.
        new: What stands there in the mutant.
        tests: Paths below `tests/`.
        also: A second text that the module holds once, and what stands there.
    """

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]
    also: tuple[str, str] | None = None

    def planted(self, source: str) -> str:
        """
        Return the module with the defect in it.

        Raises:
            StaleMutantError: Its text is not there, or more than once, or what comes
                out is no Python.
        """
        planted = source
        for old, new in ((self.old, self.new), *([self.also] if self.also else ())):
            n = source.count(old)
            if n != 1 or old == new:
                raise StaleMutantError(
                    f"mutant {self.name!r}: its text stands {n} times in "
                    f"{self.module}, not once: {old!r}"
                )
            planted = planted.replace(old, new)
        try:
            compile(planted, self.module, "exec")
        except SyntaxError as error:
            raise StaleMutantError(f"mutant {self.name!r}: {error}") from error
        return planted
