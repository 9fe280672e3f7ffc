"""Which tests call which functions, and how long they take: each test file is run once, its calls traced.

A compiled function is called from compiled code, which no tracer sees. It counts as called by the tests that call what
names it in its own file.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Test:
    """One test, unchanged code under it.

    Attributes:
        name: pytest's node id.
        seconds: processor time, traced.
        calls: for each file of the project, the functions that it called there.
    """

    name: str
    seconds: float
    calls: Mapping[str, frozenset[str]]

    @property
    def file(self) -> str:
        """Path of the test file, as in the node id."""
        return self.name.partition("::")[0]


class Tracer:
    """A pytest plugin that notes the calls of each test; results that are kept are computed anew for every test.

    Args:
        files: the traced files: absolute path to the name it is reported under.
        modules: their modules' names.
    """

    def __init__(self, files: Mapping[str, str], modules: Iterable[str]) -> None:
        self.tests: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self._files = files
        self._modules = tuple(modules)
        self._called: set[CodeType] = set()

    def _trace(self, frame: FrameType, event: str, argument: Any) -> None:  # noqa: ARG002 - the tracer's signature
        if frame.f_code.co_filename in self._files:
            self._called.add(frame.f_code)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._forget_kept_results()
        self._called = set()
        start = time.process_time()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        yield
        sys.settrace(None)
        threading.settrace(None)
        calls: dict[str, set[str]] = {}
        for code in self._called:
            calls.setdefault(self._files[code.co_filename], set()).add(_function(code))
        self.tests.append({
            "name": item.nodeid,
            "seconds": round(time.process_time() - start, 4),
            "calls": {file: sorted(names) for file, names in sorted(calls.items())},
        })  # fmt: skip

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.append(f"{report.nodeid}: {report.longreprtext.splitlines()[-1]}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failures.append(f"{report.nodeid}: {report.longreprtext.splitlines()[-1]}")

    def _forget_kept_results(self) -> None:
        """Else only the first test of a session would be seen to call a cached function."""
        for name in self._modules:
            for value in vars(sys.modules[name]).values() if name in sys.modules else ():
                if callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()


def _function(code: CodeType) -> str:
    """Qualified name; what a comprehension or a lambda does, the function around it does."""
    return code.co_qualname.replace(".<locals>", "").partition(".<")[0]


class Coverage:
    """What is known of all tests."""

    def __init__(self, tests: Sequence[Test], trees: Mapping[str, ast.Module]) -> None:
        self.tests = tests
        self._users = {file: _users(tree) for file, tree in trees.items()}
        self._found: dict[tuple[str, str], list[Test]] = {}

    def tests_for(self, file: str, function: str) -> list[Test]:
        """The tests to run against a mutant, in their order.

        Those of the file's own test file come first, the quickest first. Then each other file gives its quickest, its
        folder's files before the others, then each its second, and so on: the one test that holds a digest against a
        vector is not behind a thousand that only call it. The file's own tests are run even where they call nothing
        (some look at a constant), and for a change outside all functions so are all tests that call anything in the
        file.
        """
        if (file, function) not in self._found:  # a function has many mutants, and there are thousands of tests
            self._found[file, function] = self._find(file, function)
        return self._found[file, function]

    def _find(self, file: str, function: str) -> list[Test]:
        wanted = self._called_for(file, function)
        near = [test for test in self.tests if test.calls.get(file) or not _distance(file, test.file)]

        def rank(test: Test) -> tuple[int, bool, float, str]:
            return _distance(file, test.file), not wanted & test.calls.get(file, frozenset()), test.seconds, test.name

        ranked = sorted(((rank(test), test) for test in near or self.tests), key=itemgetter(0))
        chosen = [(distance, test) for (distance, other, *_), test in ranked if not (wanted and distance and other)]
        turns, given = [], Counter[str]()
        for distance, test in chosen:
            given[test.file] += 1
            turns.append((given[test.file] if distance else 0, test))
        return [test for _, test in sorted(turns, key=itemgetter(0))]

    def _called_for(self, file: str, function: str) -> frozenset[str]:
        """The function, or what names it in its file, if no test is seen to call it."""
        seen = {name for test in self.tests for name in test.calls.get(file, ())}
        wanted, tried = {function}, {function}
        while wanted and not wanted & seen:
            wanted = {user for name in wanted for user in self._users[file].get(name, ())} - tried
            tried |= wanted
        return frozenset(wanted & seen)


def _users(tree: ast.Module) -> dict[str, set[str]]:
    """For each name the functions of the file that read it."""
    users: dict[str, set[str]] = {}

    def visit(node: ast.AST, names: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Name) and names:
                users.setdefault(child.id, set()).add(".".join(names))
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            visit(child, (*names, child.name) if inner else names)  # type: ignore[attr-defined]

    visit(tree, ())
    return users


def _distance(file: str, test_file: str) -> int:
    """0 for ``crypto/field.py`` and ``tests/crypto/test_field.py``, or ``test_field_of_numbers.py`` beside it; 1 for
    another test file of that folder; else 2.
    """
    own, its = Path(file), Path(test_file)
    if own.parent.name != its.parent.name:
        return 2
    return 0 if f"{its.stem}_".startswith(f"test_{own.stem}_") else 1


@cache
def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""


def fingerprint(paths: Iterable[Path]) -> str:
    """A hash of what the files held when they were first looked at; a file that is not there counts as empty."""
    return hashlib.sha256(b"".join(_digest(path) for path in paths)).hexdigest()


def fingerprint_of_names(names: Iterable[str]) -> str:
    """A hash of a list of names."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def foreign_modules(root: Path) -> list[str]:
    """The loaded modules that are no part of the project."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if (file and "site-packages" in file) or not Path(file or root).is_relative_to(root):
            found.append(name)
    return sorted(found)


@dataclass(frozen=True, slots=True)
class TestFile:
    """The tests of one file, and the modules outside of the project that they load."""

    tests: tuple[Test, ...]
    modules: tuple[str, ...]


def to_json(traced: Mapping[str, Any], key: str) -> str:
    """What a tracing child told, with a key that changes with everything that it depends on."""
    return json.dumps({"key": key, "tests": traced["tests"], "modules": traced["modules"]})


def from_json(text: str, key: str) -> TestFile | None:
    """The tests of one file, or None if they were traced for another state of the files."""
    found = json.loads(text)
    if found["key"] != key:
        return None
    tests = (
        Test(test["name"], test["seconds"], {file: frozenset(names) for file, names in test["calls"].items()})
        for test in found["tests"]
    )
    return TestFile(tuple(tests), tuple(found["modules"]))
