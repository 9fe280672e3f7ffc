from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable


def printed(table: FittedTable, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(Text(line).cell_len <= width for line in lines)
    return [line.rstrip() for line in lines if line.strip(" ─")]


def table_of(columns: int, number: str = "1,827,076") -> FittedTable:
    table = FittedTable("a title that is longer than its table")
    table.add_column("method")
    for index in range(columns):
        table.add_column(f"parameters {index}", justify="right")
    table.add_row("[red]ours", *[number] * columns)
    table.add_section()
    table.add_row("mean")
    return table


def test_columns_that_find_no_place_stand_below_beside_the_first() -> None:
    lines = printed(table_of(5), 54)
    assert [line.split() for line in lines if "ours" in line] == [
        ["[red]ours", *["1,827,076"] * 3],
        ["[red]ours", *["1,827,076"] * 2],
    ]
    assert sum(line.count("parameters") for line in lines) == 5
    assert lines[0] == "a title that is longer than its table"


def test_a_table_that_fits_stands_in_one_piece() -> None:
    lines = printed(table_of(5), 200)
    assert lines[1].split() == ["method", *(word for index in range(5) for word in ("parameters", str(index)))]
    assert len(lines) == 4


@pytest.mark.parametrize("width", range(28, 100, 4))
def test_at_any_width_numbers_are_whole_and_nothing_is_left_out(width: int) -> None:
    text = "\n".join(printed(table_of(4, "0.1234"), width))
    assert text.count("0.1234") == 4
    assert "…" not in text


def test_words_are_wrapped_and_what_is_longer_than_the_console_goes_on_in_the_next_line() -> None:
    table = FittedTable()
    table.add_column("path", wrap=False)
    table.add_column("what it is")
    table.add_row("x" * 70, "the state of a client, which nobody else may read")
    lines = printed(table, 40)
    assert "".join(lines).count("x") == 70
    assert {"nobody", "state"} <= set(" ".join(lines).split())


def test_in_a_pipe_the_width_is_what_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert make_console().width == 140
    monkeypatch.setenv("COLUMNS", "80")
    assert make_console().width == 80
