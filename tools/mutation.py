"""Change the protocol's code in one place at a time and see that a test fails; list the changes that none notices.

    python tools/mutation.py                                  aggregation, crypto and encoding
    python tools/mutation.py src/privateyes/crypto/field.py   one file, or a folder
    python tools/mutation.py --list TARGET                    the mutants, without running them
    python tools/mutation.py --toml TARGET                    the survivors as entries for the list of reviewed ones

A mutant is run against the tests that call the changed function, its own test file first, the quickest first, until one
fails. Nothing in the working tree is changed. Results are kept under build/mutation: a run goes on where the last one
stopped, and repeats a mutant only if its file or the tests that judged it have changed.

A survivor that cannot matter stands in tools/mutation_reviewed.toml with the reason. The run ends with 1 if another one
survives, or if the list names a mutant that there is no more.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutants import report
from mutants.finding import Identity
from mutants.report import Record
from mutants.session import MutationError, Project, Session

ROOT = Path(__file__).parent.parent
TARGETS = ("src/privateyes/aggregation", "src/privateyes/crypto", "src/privateyes/encoding")
TESTS = ("tests/aggregation", "tests/adversary", "tests/crypto", "tests/encoding", "tests/vectors")
REVIEWED = "tools/mutation_reviewed.toml"


class Progress:
    """One line that is written anew on a terminal; elsewhere a line a minute."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._start = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def step(self, note: str) -> None:
        self._done += 1
        now = time.monotonic()
        every = 0.2 if self._terminal else 60.0
        if self._done < self._total and now - self._shown < every:
            return
        self._shown = now
        each = (now - self._start) / self._done
        left = time.strftime("%H:%M:%S", time.gmtime(each * (self._total - self._done)))
        line = f"{self._done}/{self._total} {self._what}{note}; {each:.2f} s each, {left} left"
        last = self._done == self._total or not self._terminal
        print(f"\r{line:<110}" if self._terminal else line, end="\n" if last else "", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = _parser().parse_args(arguments)
    root = options.root.resolve()
    state = root / "build" / "mutation"
    if options.fresh:
        shutil.rmtree(state, ignore_errors=True)
    project = Project(
        root=root,
        targets=tuple(root / place for place in options.targets or TARGETS),
        tests=tuple(root / place for place in options.tests),
        state=state,
        jobs=options.jobs,
        budget=options.budget,
        patience=options.patience,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # children are ended, whoever ends the run
    try:
        return _run(Session(project), options)
    except KeyboardInterrupt:
        print("\nmutation: stopped; the next run goes on from here", file=sys.stderr)
        return 130
    except (MutationError, report.ReviewedError) as error:
        print(f"mutation: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="files or folders below src, from the root")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="folders of tests, from the root")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (2)")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of tests for one mutant, at most (20)")
    parser.add_argument(
        "--patience", type=float, default=10.0, help="seconds that a test may take beyond ten times its usual"
    )
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument("--toml", action="store_true", help="print survivors as entries of the list of reviewed ones")
    return parser


def _run(session: Session, options: argparse.Namespace) -> int:
    reviewed = report.read_reviewed(session.project.root / REVIEWED)
    if options.list:
        for mutant in session.mutants:
            what = mutant.identity
            print(f"{what.file}:{mutant.line} in {what.function}\n  - {what.original}\n  + {what.mutated}")
        return 0
    session.load()
    covered = session.trace(lambda count: Progress("test files traced", count).step)
    plans = session.plans(covered)
    kept = report.read_results(session.project.results)
    records = {
        record.identity: record for plan in plans if plan.holds(record := kept.get(plan.mutant.identity)) and record
    }
    left = [plan for plan in plans if plan.mutant.identity not in records]
    session.require_unchanged_passes(left, covered, lambda count: Progress("unchanged files pass", count).step)
    counts = Counter(record.outcome for record in records.values())
    progress = Progress("mutants", len(left))
    for record in session.judge(left, covered):
        records[record.identity] = record
        counts[record.outcome] += 1
        progress.step(
            "".join(f", {counts[name]} {name}" for name in (report.KILLED, report.TIMED_OUT, report.SURVIVED))
        )
    return _report([records[plan.mutant.identity] for plan in plans], reviewed, options.toml)


def _report(records: Sequence[Record], reviewed: Mapping[Identity, str], toml: bool) -> int:
    outcomes = {record.identity: record.outcome for record in records}
    files = {identity.file for identity in outcomes}
    left = [r for r in records if r.outcome == report.SURVIVED and r.identity not in reviewed]
    gone = [identity for identity in reviewed if identity.file in files and identity not in outcomes]
    needless = [identity for identity in reviewed if outcomes.get(identity, report.SURVIVED) != report.SURVIVED]
    if toml:
        print("\n\n".join(report.as_toml(record) for record in left))
        return 1 if left else 0
    print(report.table(records, reviewed))
    if left:
        print(f"\n{len(left)} survivors that nobody reviewed:\n{report.survivors(records, reviewed)}")
    for title, found in (("no such mutant any more", gone), ("is killed now", needless)):
        for identity in found:
            print(f"\nreviewed, but {title}: {identity.file}, {identity.function}: {identity.mutated}")
    return 1 if left or gone else 0


if __name__ == "__main__":
    sys.exit(main())
