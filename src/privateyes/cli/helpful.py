"""What all commands have in common: how their help reads, and who says that a file cannot be read."""

from __future__ import annotations

import copy
from typing import Any

import click
from typer.core import TyperCommand


class HelpfulCommand(TyperCommand):
    """A command whose help names its arguments as its usage line does, and wraps paragraphs where the console ends.

    No path is tried before the command runs: click's error would have no remedy, and ours has one.
    """

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        for parameter in self.params:
            if isinstance(parameter.type, click.Path):
                parameter.type.readable = False

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help."""
        shown = copy.copy(self)
        shown.help = _flowing(self.help or "")
        shown.params = [_named_as_in_usage(parameter) for parameter in self.params]
        super(HelpfulCommand, shown).format_help(ctx, formatter)


def _named_as_in_usage(parameter: click.Parameter) -> click.Parameter:
    """An argument that is shown by its metavar alone, in place of a Python name and a type."""
    if not isinstance(parameter, click.Argument):
        return parameter
    shown = copy.copy(parameter)
    shown.name, shown.opts = "", []
    return shown


def _flowing(text: str) -> str:
    """Each paragraph, and each entry of a list, in one line."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        lines: list[str] = []
        for line in map(str.strip, paragraph.splitlines()):
            if lines and not line.startswith("- "):
                lines[-1] += f" {line}"
            else:
                lines.append(line)
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)
