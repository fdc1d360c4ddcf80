"""The shell: parse, one call of the library, render, exit code."""
