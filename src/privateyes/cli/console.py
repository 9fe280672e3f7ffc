"""Where tables are printed."""

from __future__ import annotations

from rich.console import Console

_PIPE_WIDTH = 140


def make_console() -> Console:
    """A pipe has no width; tables should not be squeezed into the 80 columns that stand in for one."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)
