"""One run over a project: which tests judge each mutant, which earlier results still hold, and the runs themselves."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mutants import coverage, finding, overlay, report, runs
from mutants.coverage import Coverage, Test, TestFile, Tracer, fingerprint
from mutants.finding import Mutant
from mutants.overlay import Module
from mutants.report import Record

UNCHANGED_SECONDS = 3.0
"""How long the tests of a file may take that show that it passes when nothing in it is changed."""

Step = Callable[[str], None]


class MutationError(Exception):
    """The run cannot say anything: the tests fail on unchanged code, or a target does not exist."""


@dataclass(frozen=True)
class Project:
    """What is mutated, what judges it, and where results are kept.

    Attributes:
        root: the folder above ``src`` and the tests.
        targets: files and folders to mutate.
        tests: folders of tests.
        state: for results.
        jobs: mutants at a time.
        budget: seconds of tests for one mutant, at most.
        patience: seconds of processor time that a test may take beyond ten times its usual.
    """

    root: Path
    targets: tuple[Path, ...]
    tests: tuple[Path, ...]
    state: Path
    jobs: int
    budget: float
    patience: float

    @property
    def source(self) -> Path:
        """The folder of the packages."""
        return self.root / "src"

    @property
    def results(self) -> Path:
        """The file of results, one a line."""
        return self.state / "results.jsonl"

    @cached_property
    def test_files(self) -> list[Path]:
        """Every file that pytest would collect."""
        return python_files(self.tests, "test_*.py")

    @cached_property
    def shared(self) -> str:
        """A hash of what tests use and is no test: fixtures, doubles, vectors."""
        files = {path for folder in self.tests for path in folder.parent.glob("conftest.py")}
        files |= {path for folder in self.tests for path in folder.rglob("*") if path.suffix in (".py", ".json")}
        files |= set((self.root / "tests" / "support").glob("*.py"))
        return fingerprint(sorted(files - set(self.test_files)))


def python_files(places: Iterable[Path], pattern: str) -> list[Path]:
    """The files at places, in order; of a folder all that fit the pattern.

    Raises:
        MutationError: a place does not exist.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not place.exists():
            raise MutationError(f"{place} does not exist")
        found.update(dict.fromkeys([place] if place.is_file() else sorted(place.rglob(pattern))))
    return list(found)


class Session:
    """One run of the tool. Files are read once, at its start."""

    def __init__(self, project: Project) -> None:
        self.project = project
        modules = overlay.read_modules(project.source)
        self._modules = modules
        self._by_file = {module.path.relative_to(project.source).as_posix(): module for module in modules.values()}
        self._variadic = finding.variadic_functions(module.tree for module in modules.values())
        self._pool = runs.Pool(project.jobs, project.state / "children")

    @cached_property
    def mutants(self) -> list[Mutant]:
        """All mutants of the targets, in the order of files and lines."""
        found: list[Mutant] = []
        for path in self._targets:
            file = path.relative_to(self.project.source).as_posix()
            found += finding.find_mutants(file, self._by_file[file].source, self._variadic)
        return found

    @cached_property
    def _targets(self) -> list[Path]:
        return python_files(self.project.targets, "*.py")

    def load(self) -> None:
        """Import once what every child needs, and go where tests expect to be."""
        os.chdir(self.project.root)
        runs.set_examples()
        sys.path.insert(0, str(self.project.source))
        names = {module.path: module.name for module in self._modules.values()}
        for path in self._targets:
            importlib.import_module(names[path])

    def trace(self, step: Callable[[int], Step]) -> Coverage:
        """Run each test file once on unchanged code, or take what is known of it.

        Args:
            step: makes a function, for a number of files, that is called after each of them.

        Raises:
            MutationError: a test fails.
        """
        folder = self.project.state / "coverage"
        folder.mkdir(parents=True, exist_ok=True)
        common = fingerprint(module.path for module in self._modules.values()) + self.project.shared
        known: dict[Path, TestFile | None] = {}
        keys = {path: fingerprint([path]) + common for path in self.project.test_files}
        kept = {path: folder / f"{'-'.join(path.relative_to(self.project.root).parts)}.json" for path in keys}
        for path, key in keys.items():
            known[path] = coverage.from_json(kept[path].read_text("utf-8"), key) if kept[path].exists() else None
        missing = [path for path, found in known.items() if found is None]
        stepped = step(len(missing))
        for path, told in self._pool.run((path, self._tracing(path)) for path in missing):
            if told.get("failures", True):
                failure = told["failures"][0] if "failures" in told else told.get("why", told["outcome"])
                raise MutationError(f"a test fails on unchanged code: {failure}")
            text = coverage.to_json(told, keys[path])
            kept[path].write_text(text, "utf-8")
            known[path] = coverage.from_json(text, keys[path])
            stepped("")
        files = [found for found in known.values() if found]
        runs.share(sorted({name for found in files for name in found.modules}))
        tests = [test for found in files for test in found.tests]
        return Coverage(tests, {file: module.tree for file, module in self._by_file.items()})

    def _tracing(self, path: Path) -> runs.Job:
        names = {str(module.path): file for file, module in self._by_file.items()}

        def work(tell: runs.Tell, folder: Path) -> None:
            tracer = Tracer(names, self._modules)
            status = runs.run_pytest(self.project.root, folder, [str(path)], tracer, runs.Beginnings(tell))
            failures = tracer.failures or ([f"{path}: status {status}"] if status not in runs.PASSED else [])
            modules = coverage.foreign_modules(self.project.root)
            tell({"tests": tracer.tests, "modules": modules, "failures": failures})

        return work

    def plans(self, covered: Coverage) -> list[Plan]:
        """How each mutant is judged."""
        return [Plan(self.project, mutant, self._by_file[mutant.identity.file], covered) for mutant in self.mutants]

    def judge(self, plans: Sequence[Plan], covered: Coverage) -> Iterator[Record]:
        """Run mutants; a record for each, in the order in which they end, written down before it is given."""
        known = frozenset(test.name for test in covered.tests)
        for plan, verdict in self._pool.run((plan, self._judging(plan, known)) for plan in plans):
            record = plan.record(verdict)
            report.append_result(self.project.results, record)
            yield record

    def _judging(self, plan: Plan, known: frozenset[str]) -> runs.Job:
        def install() -> None:
            tree = finding.mutated_tree(plan.module.source, plan.mutant.position, self._variadic)
            overlay.install(self._modules, plan.module.name, tree, plan.mutant.top_level)

        return runs.judge(self.project.root, known, self.project.patience, plan.tests, install)

    def require_unchanged_passes(self, plans: Sequence[Plan], covered: Coverage, step: Callable[[int], Step]) -> None:
        """A file put in place as a mutant is, but unchanged, must pass its tests: else no kill means anything.

        Raises:
            MutationError: it does not.
        """
        known = frozenset(test.name for test in covered.tests)
        modules = {plan.mutant.identity.file: plan.module for plan in plans}

        def job(file: str) -> runs.Job:
            tree = ast.parse(modules[file].source)
            install = partial(overlay.install, self._modules, modules[file].name, tree, "")
            tests = within_budget(covered.tests_for(file, finding.MODULE), UNCHANGED_SECONDS)
            return runs.judge(self.project.root, known, self.project.patience, tests, install)

        stepped = step(len(modules))
        for file, verdict in self._pool.run((file, job(file)) for file in modules):
            if verdict["outcome"] != report.SURVIVED:
                what = f"{verdict['by']}: {verdict.get('why', verdict['outcome'])}"
                raise MutationError(f"{file} fails its tests without a change: {what}")
            stepped("")


class Plan:
    """Which tests judge one mutant, and whether an earlier result still holds."""

    def __init__(self, project: Project, mutant: Mutant, module: Module, covered: Coverage) -> None:
        self.mutant, self.module = mutant, module
        self._project = project
        reaching = covered.tests_for(mutant.identity.file, mutant.runs_in)
        self._reaching = len(reaching)
        self.tests = within_budget(reaching, project.budget)

    def _witness(self, by: str) -> str:
        """Killed: the file of the test that failed. Survived: everything that could now find it."""
        if by:
            return fingerprint([self._project.root / by.partition("::")[0]])
        files = sorted({test.file for test in self.tests})
        names = coverage.fingerprint_of_names(test.name for test in self.tests)
        return names + fingerprint(self._project.root / name for name in files) + self._project.shared

    def holds(self, record: Record | None) -> bool:
        """Whether the mutant would fare the same again: neither its file nor what judged it has changed."""
        return (
            record is not None
            and record.source == fingerprint([self.module.path])
            and record.witness == self._witness(record.by)
        )

    def record(self, verdict: Mapping[str, Any]) -> Record:
        """The line for the results."""
        survived = verdict["outcome"] == report.SURVIVED
        return Record(
            identity=self.mutant.identity,
            line=self.mutant.line,
            outcome=verdict["outcome"],
            by=verdict.get("by", ""),
            why=verdict.get("why", ""),
            ran=verdict["ran"],
            of=self._reaching,
            seconds=verdict["seconds"],
            source=fingerprint([self.module.path]),
            witness=self._witness(verdict.get("by", "")),
            tests=dict(Counter(test.file for test in self.tests)) if survived else {},
        )


def within_budget(tests: Sequence[Test], seconds: float) -> list[Test]:
    """The first tests that take no longer than so many seconds together on unchanged code; at least one."""
    chosen: list[Test] = []
    for test in tests:
        seconds -= test.seconds
        if chosen and seconds < 0:
            break
        chosen.append(test)
    return chosen
