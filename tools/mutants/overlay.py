"""A mutant in place of its module, in this process only: the modules that import it are imported anew.

Compiled functions keep their machine code from one mutant to the next, in memory or in Numba's cache, unless the change
can reach them. Numba's cache looks at neither the constants nor the globals of a function, so a function that the
change can reach must not use it.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the project as it is on disk."""

    name: str
    path: Path
    source: str
    tree: ast.Module
    imports: frozenset[str]  # of other modules of the project, with their packages


def read_modules(source_folder: Path) -> dict[str, Module]:
    """Every module below the source folder, by its dotted name."""
    paths = {_dotted(path, source_folder): path for path in sorted(source_folder.rglob("*.py"))}
    modules = {}
    for name, path in paths.items():
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        found = {prefix for target in _imported(tree, name, path) for prefix in _prefixes(target)}
        modules[name] = Module(name, path, source, tree, frozenset(found & paths.keys() - {name}))
    return modules


def _dotted(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _imported(tree: ast.Module, name: str, path: Path) -> Iterable[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(start, package) if node.level else start
            yield from (f"{base}.{alias.name}" for alias in node.names)


def dependents(modules: Mapping[str, Module], name: str) -> set[str]:
    """The modules that import ``name``, or one that does; ``name`` is among them."""
    found = {name}
    while more := {other.name for other in modules.values() if other.imports & found} - found:
        found |= more
    return found


def _names(node: ast.AST) -> set[str]:
    """The names that a definition reads when it runs; annotations are not among them."""
    found: set[str] = {node.id} if isinstance(node, ast.Name) else set()
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list"):
            for item in value if isinstance(value, list) else [value]:
                found |= _names(item) if isinstance(item, ast.AST) else set()
    return found


def _definitions(tree: ast.Module) -> Iterable[tuple[set[str], ast.stmt]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield {node.name}, node
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield set().union(*map(_names, targets)), node


def _reached(tree: ast.Module, changed: set[str]) -> set[str]:
    """The names of a module that a change of some of its names can reach."""
    found = set(changed)
    definitions = [(names, names | _names(node)) for names, node in _definitions(tree)]
    while more := set().union(*(names for names, read in definitions if read & found)) - found:
        found |= more
    return found


def _forget_machine_code(tree: ast.Module, reached: set[str]) -> bool:
    """Take ``cache=True`` from the decorators of the reached functions; say whether there was any."""
    taken = False
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.name not in reached:
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                kept = [keyword for keyword in decorator.keywords if keyword.arg != "cache"]
                taken |= len(kept) < len(decorator.keywords)
                decorator.keywords = kept
    return taken


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        super().__init__(name, str(path))
        self._code = code

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the import system's signature
        return self._code


class _Finder:
    def __init__(self, loaders: Mapping[str, _Loader]) -> None:
        self._loaders = loaders

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:  # noqa: ARG002
        loader = self._loaders.get(name)
        return importlib.util.spec_from_file_location(name, loader.path, loader=loader) if loader else None


def install(modules: Mapping[str, Module], name: str, tree: ast.Module, top_level: str) -> None:
    """Let ``tree`` be what is imported as module ``name``, for the rest of this process.

    Args:
        modules: from ``read_modules``.
        name: the mutated module.
        tree: its changed tree.
        top_level: the name of the definition that was changed; empty for a change outside all of them.
    """
    renewed = dependents(modules, name)
    replaced: dict[str, ast.Module] = {name: tree}
    _forget_machine_code(tree, _reached(tree, {top_level} if top_level else _defined(tree)))
    for other in renewed - {name}:
        own = ast.parse(modules[other].source)
        if _forget_machine_code(own, _reached(own, _names_from(own, modules[other], renewed))):
            replaced[other] = own
    codes = {key: compile(value, modules[key].path, "exec", dont_inherit=True) for key, value in replaced.items()}
    sys.meta_path.insert(0, _Finder({key: _Loader(key, modules[key].path, code) for key, code in codes.items()}))
    for loaded in [key for key in sys.modules if any(key == other or key.startswith(f"{other}.") for other in renewed)]:
        del sys.modules[loaded]
        package, _, child = loaded.rpartition(".")
        # Else `from package import child` would find the old module there.
        if hasattr(sys.modules.get(package), child):
            delattr(sys.modules[package], child)


def _defined(tree: ast.Module) -> set[str]:
    return set().union(*(names for names, _ in _definitions(tree)))


def _names_from(tree: ast.Module, module: Module, sources: set[str]) -> set[str]:
    """What a module imports from any of ``sources``, by the names it gives them."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported = zip(_imported(ast.Module([node], []), module.name, module.path), node.names, strict=True)
            found |= {
                (alias.asname or alias.name).split(".")[0]
                for target, alias in imported
                if sources.intersection(_prefixes(target))
            }
    return found
