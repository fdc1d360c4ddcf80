"""What all tests share: seeds that are printed, and the fixtures of the shell."""

from hypothesis import settings

from shell import sandbox, shell

settings.register_profile("all", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("all")

__all__ = ["sandbox", "shell"]
