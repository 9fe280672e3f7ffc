"""All mutants of one file, in the order of the file, each with a name that does not depend on line numbers."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mutants.operators import expression_changes, statement_changes

MODULE = "<module>"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")
# Parts of a node that no test can or should tell apart.
_SKIPPED = {"annotation", "returns", "decorator_list", "bases", "type_params"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Which mutant it is, as the list of reviewed survivors names it.

    Attributes:
        file: path below the source folder, with slashes.
        function: qualified name, or ``<module>``.
        original: the changed statement; of a compound statement only its head.
        mutated: what stands there instead.
        occurrence: counts, from 1, the mutants of this function of which all else is equal.
    """

    file: str
    function: str
    original: str
    mutated: str
    occurrence: int = 1


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutant: its identity and its place."""

    identity: Identity
    line: int
    position: int  # among the changes of the file, for ``mutated_tree``
    top_level: str  # the name of the module's definition that it lies in
    runs_in: str  # the function that runs it; ``<module>`` for what runs at import


@dataclass(slots=True)
class _Place:
    """Where a node hangs, and in what."""

    parent: ast.AST
    name: str
    index: int | None

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.name, node)
        else:
            getattr(self.parent, self.name)[self.index] = node


@dataclass(slots=True)
class _Change:
    place: _Place
    node: ast.AST
    changed: ast.AST
    holder: ast.AST  # the statement, except clause or case around it
    function: str
    top_level: str
    runs_in: str

    def apply(self) -> None:
        self.place.put(ast.copy_location(self.changed, self.node))

    def texts(self) -> tuple[str, str]:
        """The holder before and after."""
        before = _head(self.holder)
        if self.node is self.holder:
            return before, _head(self.changed)
        self.apply()
        after = _head(self.holder)
        self.place.put(self.node)
        return before, after


def _head(node: ast.AST) -> str:
    """A statement on one line; of a compound statement what comes before its first block."""
    if "body" in node._fields and isinstance(getattr(node, "body", None), list):
        bare = copy.copy(node)
        for name in _BLOCKS:
            if name in node._fields:
                setattr(bare, name, [ast.Pass()] if name == "body" else [])
        if "decorator_list" in node._fields:
            bare.decorator_list = []  # type: ignore[attr-defined]
        return ast.unparse(ast.fix_missing_locations(bare)).rsplit("\n", 1)[0]
    return ast.unparse(ast.fix_missing_locations(node))


def _is_text(node: ast.AST | None) -> bool:
    """Words for people: an f-string, or a string that has a space in it."""
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) or _is_text(node.orelse)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    )


def _is_skipped(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()):  # docstrings, and the dots of a protocol
            return True
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef(name="__repr__"):
            return True
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__all__" | "__match_args__")]):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return type(node).__name__ == "TypeAlias" or _is_text(node)


def _children(node: ast.AST) -> Iterator[tuple[_Place, ast.AST]]:
    for name, value in ast.iter_fields(node):
        if name in _SKIPPED or (name == "keywords" and isinstance(node, ast.ClassDef)):
            continue
        if isinstance(value, ast.AST):
            yield _Place(node, name, None), value
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield _Place(node, name, index), item


@dataclass(slots=True)
class _Walk:
    variadic: Mapping[str, int]
    names: list[str] = field(default_factory=list)
    top_level: str = ""
    functions: list[str] = field(default_factory=lambda: [MODULE])

    def changes(self, place: _Place, node: ast.AST, holder: ast.AST) -> Iterator[_Change]:
        if _is_skipped(node):
            return
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            holder = node
        for changed in (*statement_changes(node), *expression_changes(node, self.variadic)):
            function = ".".join(self.names) or MODULE
            yield _Change(place, node, changed, holder, function, self.top_level, self.functions[-1])
        named = isinstance(node, (*_FUNCTIONS, ast.ClassDef))
        if named:
            self.names.append(node.name)  # type: ignore[attr-defined]
            self.functions.append(".".join(self.names) if isinstance(node, _FUNCTIONS) else self.functions[-1])
        for inner, child in _children(node):
            yield from self.changes(inner, child, holder)
        if named:
            self.names.pop()
            self.functions.pop()

    def of_module(self, tree: ast.Module) -> Iterator[_Change]:
        for index, node in enumerate(tree.body):
            self.top_level = _defined_name(node)
            yield from self.changes(_Place(tree, "body", index), node, node)


def _defined_name(node: ast.stmt) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def variadic_functions(trees: Iterable[ast.Module]) -> dict[str, int]:
    """The functions and classes that take any number of positional arguments, and how many fixed ones come first."""
    found: dict[str, int] = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, _FUNCTIONS) and node.args.vararg:
                found[node.name] = len(node.args.args)
            elif isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, _FUNCTIONS) and item.name == "__init__" and item.args.vararg:
                        found[node.name] = len(item.args.args) - 1
    return found


def find_mutants(file: str, source: str, variadic: Mapping[str, int]) -> list[Mutant]:
    """All mutants of a file.

    Args:
        file: as in ``Identity``.
        source: its text.
        variadic: from ``variadic_functions``.
    """
    tree = ast.parse(source)
    mutants: list[Mutant] = []
    seen: set[tuple[int, str]] = set()
    counts: Counter[tuple[str, str, str]] = Counter()
    for position, change in enumerate(_Walk(variadic).of_module(tree)):
        original, mutated = change.texts()
        if original == mutated or (id(change.holder), mutated) in seen:
            continue
        seen.add((id(change.holder), mutated))
        key = (change.function, original, mutated)
        counts[key] += 1
        identity = Identity(file, *key, counts[key])
        line: int = getattr(change.node, "lineno", getattr(change.holder, "lineno", 0))
        mutants.append(Mutant(identity, line, position, change.top_level, change.runs_in))
    return mutants


def mutated_tree(source: str, position: int, variadic: Mapping[str, int]) -> ast.Module:
    """The file's tree with the change at ``position`` made."""
    tree = ast.parse(source)
    for current, change in enumerate(_Walk(variadic).of_module(tree)):
        if current == position:
            change.apply()
            return ast.fix_missing_locations(tree)
    raise IndexError(position)
