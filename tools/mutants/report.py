"""What became of each mutant: the lines of the results file, the list of reviewed survivors, and what is printed."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mutants.finding import Identity

OUTCOMES = KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"

SHOWN_FILES = 4
"""So many test files are named for a survivor; the results file names all."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the results file.

    Attributes:
        identity: which mutant.
        line: where it was in the file.
        outcome: killed, survived or timed out; one that timed out counts as killed.
        by: the test that failed or ran too long; empty where no test was reached, and for survivors.
        why: how it failed, in one line.
        ran: how many tests ran, and ``of`` how many reach the changed function.
        tests: for survivors, how many of each test file ran.
        seconds: of processor time.
        source: hash of the unchanged file.
        witness: hash of the test file of ``by``; for survivors of all test files in ``tests``.
    """

    identity: Identity
    line: int
    outcome: str
    by: str
    why: str
    ran: int
    of: int
    seconds: float
    source: str
    witness: str
    tests: Mapping[str, int] = field(default_factory=dict)


def read_results(path: Path) -> dict[Identity, Record]:
    """The last record of each mutant. The file is left with these alone: without the line that an ended run cut off."""
    records: dict[Identity, Record] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            continue
        record = Record(**{**values, "identity": Identity(**values["identity"])})
        records[record.identity] = record
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(map(_line, records.values())), encoding="utf-8")
    fresh.replace(path)
    return records


def append_result(path: Path, record: Record) -> None:
    """Write a record down."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(record))


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


class ReviewedError(Exception):
    """The list of reviewed survivors cannot be used."""


def read_reviewed(path: Path) -> dict[Identity, str]:
    """The reviewed survivors, and why each cannot matter.

    Raises:
        ReviewedError: an entry without a sentence, twice, or with an unknown key.
    """
    reviewed: dict[Identity, str] = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", ()) if path.exists() else ():
        values: dict[str, Any] = dict(entry)
        why = values.pop("why", "").strip()
        try:
            identity = Identity(**values)
        except TypeError as error:
            raise ReviewedError(f"{path}: {entry}: {error}") from None
        if not why.endswith("."):
            raise ReviewedError(f"{path}: {identity.mutated!r} has no sentence that says why it cannot matter")
        if identity in reviewed:
            raise ReviewedError(f"{path}: {identity.mutated!r} in {identity.function} stands there twice")
        reviewed[identity] = why
    return reviewed


def table(records: Iterable[Record], reviewed: Mapping[Identity, str]) -> str:
    """Counts by file, as text."""
    counts: dict[str, Counter[str]] = {}
    for record in records:
        of_file = counts.setdefault(record.identity.file, Counter())
        outcome = record.outcome
        if outcome == SURVIVED and record.identity in reviewed:
            outcome = "reviewed"
        of_file.update({"mutants": 1, outcome: 1, "seconds": record.seconds})
    total: Counter[str] = Counter()
    for of_file in counts.values():
        total.update(of_file)
    width = max((len(file) for file in counts), default=0) + 2
    columns = ("mutants", KILLED, TIMED_OUT, "reviewed", SURVIVED)
    lines = [" " * width + "".join(f"{name:>11}" for name in columns) + f"{'cpu s each':>12}"]
    for file, of_file in (*counts.items(), ("all", total)):
        each = of_file["seconds"] / max(1, of_file["mutants"])
        lines.append(f"{file:<{width}}" + "".join(f"{of_file[name]:>11}" for name in columns) + f"{each:>12.2f}")
    return "\n".join(lines)


def survivors(records: Sequence[Record], reviewed: Mapping[Identity, str]) -> str:
    """Every survivor that nobody reviewed, with its change and the tests that ran."""
    blocks = []
    for record in records:
        if record.outcome != SURVIVED or record.identity in reviewed:
            continue
        what = record.identity
        again = f", occurrence {what.occurrence}" if what.occurrence > 1 else ""
        ran = ", ".join(f"{count} of {file}" for file, count in list(record.tests.items())[:SHOWN_FILES]) or "no test"
        ran += ", ..." if len(record.tests) > SHOWN_FILES else ""
        blocks.append(
            f"{what.file}:{record.line} in {what.function}{again}\n"
            f"  - {what.original}\n  + {what.mutated}\n"
            f"  ran {record.ran} tests ({record.of} reach it): {ran}"
        )
    return "\n".join(blocks)


def as_toml(record: Record) -> str:
    """An entry of the list of reviewed survivors, its sentence still to be written."""
    what = record.identity
    lines = ["[[survivor]]", f'file = "{what.file}"', f'function = "{what.function}"']
    lines += [f"{name} = {_quoted(getattr(what, name))}" for name in ("original", "mutated")]
    lines += [f"occurrence = {what.occurrence}"] if what.occurrence > 1 else []
    return "\n".join([*lines, 'why = ""'])


def _quoted(text: str) -> str:
    return f"'{text}'" if "'" not in text and "\n" not in text else json.dumps(text, ensure_ascii=False)
