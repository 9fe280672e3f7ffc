"""Where tables are printed."""

from __future__ import annotations

import os
import sys

from rich.console import Console

_PIPE_WIDTH = 140


class _Patient(Console):
    """A console whose reader may leave: the command goes on, and its exit code stays its own."""

    def on_broken_pipe(self) -> None:
        """Print nothing more. The default exits with 1, which `verify` and `check` say about their findings."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # else what is still buffered fails again at the end
        os.close(nowhere)


def make_console() -> Console:
    """As wide as COLUMNS says, or the terminal is; a pipe has no width, and 80 columns would squeeze tables there."""
    console = _Patient()
    return console if console.is_terminal or os.environ.get("COLUMNS") else _Patient(width=_PIPE_WIDTH)
