"""Tables that fit the console: no number and no heading is ever cut short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_EDGE: Final = 1  # box.SIMPLE's and the padding, in columns of the console: _EDGE + _BETWEEN for each column
_BETWEEN: Final = 3
_LEAST_OF_NAMES: Final = 16  # a name or path may be longer than any console; it goes on in the next line


@dataclass(frozen=True, slots=True)
class _Column:
    heading: Text
    justify: Literal["left", "right"]
    wrap: bool


class FittedTable:
    """A table of plain text for `Console.print`. Brackets in texts are no markup; a `Text` may have a style.

    Words are wrapped where that is enough. If it is not, the columns that find no place stand below, beside the first
    column again.

    Args:
        title: stands above, in as many lines as it needs.
    """

    def __init__(self, title: str = "") -> None:
        self._title = title
        self._columns: list[_Column] = []
        self._rows: list[tuple[Text, ...]] = []
        self._sections: set[int] = set()
        self.caption = ""

    def add_column(self, heading: str, justify: Literal["left", "right"] = "left", wrap: bool | None = None) -> None:
        """A column.

        Args:
            heading: is wrapped between words.
            justify: numbers to the right.
            wrap: whether cells may be wrapped between words; unless said, those on the left may.
        """
        self._columns.append(_Column(Text(heading), justify, justify == "left" if wrap is None else wrap))

    def add_row(self, *cells: str | Text) -> None:
        """A row; columns without a cell stay empty."""
        texts = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        self._rows.append((*texts, *(Text() for _ in self._columns[len(texts) :])))

    def add_section(self) -> None:
        """A line below the last row."""
        self._sections.add(len(self._rows) - 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._title:
            yield Text(self._title, style="table.title", overflow="fold")
        for shown in self._parts(options.max_width):
            yield self._part(shown, options.max_width)
        if self.caption:
            yield Text(self.caption, style="table.caption", overflow="fold")

    def _parts(self, width: int) -> list[list[int]]:
        """Which columns stand side by side."""
        parts = [[0]]
        for index in range(1, len(self._columns)):
            least = sum(self._least(one) for one in (*parts[-1], index))
            if least > _inner(width, len(parts[-1]) + 1) and len(parts[-1]) > 1:
                parts.append([0])
            parts[-1].append(index)
        return parts

    def _part(self, shown: Sequence[int], width: int) -> Table:
        table = Table(box=box.SIMPLE)
        for index, size in zip(shown, self._sizes(shown, _inner(width, len(shown))), strict=True):
            column = self._columns[index]
            table.add_column(column.heading, justify=column.justify, overflow="fold", width=size)
        for number, row in enumerate(self._rows):
            table.add_row(*(row[index] for index in shown), end_section=number in self._sections)
        return table

    def _sizes(self, shown: Sequence[int], room: int) -> list[int]:
        """Each its least; the rest in equal parts to those that would like more, as far as they would."""
        least = [self._least(index) for index in shown]
        excess = sum(least) - room
        if excess > 0:  # two columns are too wide for this console: the wider one goes on in the next line
            widest = least.index(max(least))
            return [max(1, size - excess) if place == widest else size for place, size in enumerate(least)]
        rest, sizes = -excess, list(least)
        wishes = {place: self._most(index) - least[place] for place, index in enumerate(shown)}
        for left, place in zip(range(len(shown), 0, -1), sorted(wishes, key=wishes.__getitem__), strict=True):
            given = min(wishes[place], rest // left)
            sizes[place] += given
            rest -= given
        return sizes

    def _least(self, index: int) -> int:
        """The width at which no word of the heading and, where cells are not wrapped, no cell is broken."""
        column = self._columns[index]
        heading = _longest_word(column.heading)
        if not column.wrap:
            return max(heading, *(_longest_line(row[index]) for row in self._rows), 1)
        words = max((_longest_word(row[index]) for row in self._rows), default=1)
        return max(heading, min(words, _LEAST_OF_NAMES), 1)

    def _most(self, index: int) -> int:
        cells = (_longest_line(row[index]) for row in self._rows)
        return max(_longest_line(self._columns[index].heading), self._least(index), *cells)


def _inner(width: int, columns: int) -> int:
    return width - _EDGE - _BETWEEN * columns


def _longest_word(text: Text) -> int:
    return max((Text(word).cell_len for word in text.plain.split()), default=0)


def _longest_line(text: Text) -> int:
    return max((Text(line).cell_len for line in text.plain.splitlines()), default=0)
