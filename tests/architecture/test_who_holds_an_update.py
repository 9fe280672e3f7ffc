"""Of what coordinates a round, only averaging in the clear can hold an update: nobody else asks for one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "privateyes"
MAY_ASK = {
    "federation/plain.py",  # the hub of a plain federation sees every update
    "federation/application.py",  # beside a client's own host
    "engines/local/secure.py",  # likewise: each client's contribution, when its host asks
    "engines/local/deviation.py",  # a simulation's measurement
}


def those_who_ask(source: str) -> list[int]:
    """Lines with ``something.hand_over()``."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "hand_over"]


def test_nobody_but_those_named_asks_for_an_update() -> None:
    found = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if those_who_ask(path.read_text())}
    assert found == MAY_ASK


@pytest.mark.parametrize(
    ("source", "lines"), [("a.hand_over()", [1]), ("hand_over(a)", []), ("x = [p.hand_over() for p in q]", [1])]
)
def test_the_search_finds_who_asks(source: str, lines: list[int]) -> None:
    assert those_who_ask(source) == lines


def test_in_a_secure_exchange_a_clients_contribution_alone_asks() -> None:
    source = (SOURCE / "engines/local/secure.py").read_text()
    (line,) = those_who_ask(source)
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    (around,) = [one.name for one in functions if one.lineno <= line <= (one.end_lineno or 0)]
    assert around == "_contribution"
