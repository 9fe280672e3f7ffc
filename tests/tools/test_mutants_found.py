"""What tools/mutation.py changes, what it leaves alone, and how it names a change."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROTOCOL = sorted(
    path
    for layer in ("aggregation", "crypto", "encoding")
    for path in (Path(__file__).parents[2] / "src" / "privateyes" / layer).glob("*.py")
)


def _mutated(part, source, variadic=None) -> set[str]:
    return {mutant.identity.mutated for mutant in part("finding").find_mutants("f.py", source, variadic or {})}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a == b", {"x = a != b"}),
        ("x = a is not None", {"x = a is None"}),
        ("x = a in b", {"x = a not in b"}),
        ("x = a < b <= c", {"x = a <= b <= c", "x = a >= b <= c", "x = a < b < c", "x = a < b > c"}),
        ("x = a and b", {"x = a or b", "x = a", "x = b"}),
        ("x = a or b or c", {"x = a and b and c", "x = a or b", "x = a or c", "x = b or c"}),
        ("x = not a", {"x = a"}),
        ("x = -a", {"x = a"}),
        ("x = a + b", {"x = a - b"}),
        ("x = a << b", {"x = a >> b"}),
        ("x = a % b", {"x = a * b"}),
        ("x = 5", {"x = 6", "x = 4"}),
        ("x = True", {"x = False"}),
        ("x = 0.5", {"x = 1.5"}),
        ("x = b'k'", {"x = b'k\\x01'"}),
        ("x = a if b else c", {"x = a if not b else c"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = all(a)", {"x = any(a)"}),
        ("x = sorted(a, key=b)", {"x = list(a)"}),
        ("x = range(a)", {"x = range(a + 1)", "x = range(a - 1)"}),
        ("x = range(a, -1)", {"x = range(a, 1)", "x = range(a, -2)", "x = range(a, -0)"}),
        ("x = a[b:]", {"x = a[:]", "x = a[b + 1:]", "x = a[b - 1:]"}),
        ("x = [a for a in b if c]", {"x = [a for a in b if not c]", "x = [a for a in b]"}),
        ("x = digest(a, b, *c)", {"x = digest(a, *c)", "x = digest(a, b)"}),
        ("a.b = c", {"pass"}),
        ("a[b] = c", {"pass"}),
        ("a += b", {"pass", "a -= b"}),
        ("require(a)", {"pass"}),
        ("if a < b: pass", {"if a <= b:", "if a >= b:"}),
        ("while a: pass", {"while not a:"}),
        ("raise Error('no', 3)", {"pass", "raise Error('no', 4)", "raise Error('no', 2)"}),
        ("for a in b: continue", {"pass", "break"}),
        ("try: pass\nexcept (A, B): pass", {"except (A,):", "except (B,):"}),
        ("def f(): return a", {"return None"}),
        ("def f(): yield a", {"pass"}),
        ("def f(a=1): pass", {"def f(a=2):", "def f(a=0):"}),
        ("def f(*, a=None, b=C): pass", {"def f(*, a=0, b=C):", "def f(*, a=None, b=None):"}),
        ("match a:\n case b if c: pass", {"case b if not c:", "case b:"}),
    ],
)
def test_a_change_is_a_mistake_that_people_make(part, source, expected) -> None:
    assert _mutated(part, source, {"digest": 1}) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Doc."""',
        'class A:\n    """Doc."""\n    x: int\n    """Doc of 1 attribute."""',
        "def f(a: Literal[1]) -> Literal[2]: ...",
        "x: Annotated[int, Unsigned(4)] = a",
        "U8: TypeAlias = Annotated[int, Unsigned(1)]",
        "@decorated(cache=True, size=3)\nclass A(Base, flag=True): ...",
        "def __repr__(self): return str(1 + 1)",
        "__slots__ = (1,)",
        "import a",
        "if TYPE_CHECKING:\n    x = 1",
        "def f(): return None",
        "x = f'{a + 1}'",
        "x = 'some words' if a < b else f'{a}'",
        "x = 'name'",
    ],
)
def test_what_no_test_should_notice_stays(part, source) -> None:
    assert not _mutated(part, source)


def test_words_of_an_error_stay_and_its_numbers_do_not(part) -> None:
    assert _mutated(part, "raise E(2, f'{a + 1} is not {b - 1}', 'go on' if a else f'{b}')") == {
        "pass",
        "raise E(3, f'{a + 1} is not {b - 1}', 'go on' if a else f'{b}')",
        "raise E(1, f'{a + 1} is not {b - 1}', 'go on' if a else f'{b}')",
    }


def test_a_mutant_keeps_its_name_when_lines_move_and_equal_ones_are_counted(part) -> None:
    source = "class A:\n    def f(self):\n        go(1)\n        go(1)\n"
    moved = "# a comment\n\nimport b\n\n\n" + source.replace("    def", "\n\n    def")
    find = part("finding").find_mutants
    names = [mutant.identity for mutant in find("f.py", source, {})]
    assert names == [mutant.identity for mutant in find("f.py", moved, {})]
    assert [(name.function, name.mutated, name.occurrence) for name in names] == [
        ("A.f", "pass", 1), ("A.f", "go(2)", 1), ("A.f", "go(0)", 1),
        ("A.f", "pass", 2), ("A.f", "go(2)", 2), ("A.f", "go(0)", 2),
    ]  # fmt: skip


def test_a_default_belongs_to_its_function_and_a_field_of_a_class_to_the_import(part) -> None:
    source = "class A:\n    x: int = 1\n    def f(self, a=1):\n        return a\n"
    runs_in = {m.identity.mutated: m.runs_in for m in part("finding").find_mutants("f.py", source, {})}
    assert runs_in["x: int = 2"] == "<module>"
    assert runs_in["def f(self, a=2):"] == runs_in["return None"] == "A.f"


def test_functions_that_take_any_number_of_parts_are_found(part) -> None:
    tree = ast.parse("def f(a, b, *c): ...\ndef g(a): ...\nclass A:\n    def __init__(self, a, *b, c): ...\n")
    assert part("finding").variadic_functions([tree]) == {"f": 2, "A": 1}


@pytest.mark.parametrize("path", PROTOCOL, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_mutant_of_the_protocol_is_other_code_that_compiles(part, path) -> None:
    finding = part("finding")
    source = path.read_text(encoding="utf-8")
    unchanged = ast.dump(ast.parse(source))
    mutants = finding.find_mutants(path.name, source, {"statement": 3})
    assert len({mutant.identity for mutant in mutants}) == len(mutants)
    for mutant in mutants[:: max(1, len(mutants) // 20)]:
        tree = finding.mutated_tree(source, mutant.position, {"statement": 3})
        assert ast.dump(tree) != unchanged
        compile(tree, str(path), "exec")
