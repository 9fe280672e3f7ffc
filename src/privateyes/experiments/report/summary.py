"""What a run's files say, ready to be shown: one line per method, learning curves, deviations, progress.

Of a finished run the numbers of ``results.json`` are shown as they are. Of an unfinished run they are taken from the
last round with an evaluation of every fold that has one, and the page says so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from privateyes.experiments.report.files import RunFiles
from privateyes.experiments.report.methods import Method, in_order, is_secure, method
from privateyes.experiments.report.schema import RoundLine, Row
from privateyes.wording import counted


@dataclass(frozen=True, slots=True)
class Summary:
    """One method of training.

    Attributes:
        method: how it is shown.
        mean_error: over people never trained on; None before the first round.
        spread: standard deviation over those people; None for fewer than two.
        per_person: error of each of them.
        measures: key of each further metric -> its mean over these people.
        seconds: per round, and of these in local training and in the exchange of updates.
        bytes_up, bytes_down: per client and round; None before the first round.
        bytes_up_once: of one client before the first round; None where the files do not say.
        learned: party -> what it learned, in words.
        progress: how far it is, in words; empty when it is done.
    """

    method: Method
    mean_error: float | None = None
    spread: float | None = None
    per_person: dict[str, float] | None = None
    measures: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    seconds_training: float = 0.0
    seconds_exchange: float = 0.0
    bytes_up: float | None = None
    bytes_down: float | None = None
    bytes_up_once: float | None = None
    learned: dict[str, str] | None = None
    progress: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """The error of one method against the round: (round, mean error), and over how many folds it is a mean."""

    method: Method
    points: tuple[tuple[int, float], ...]
    folds: int


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far the aggregated average of one round was from the plain one, and the bound for that round."""

    round: int
    deviation: float
    bound: float


def summaries(files: RunFiles) -> list[Summary]:
    """One line for every method that was asked for, in the page's order; methods without any round come without
    numbers.
    """
    asked = [str(key) for key in files.experiment.get("methods", [])]
    if files.results is not None:
        rows = {row.method: row for row in files.results.rows}
        return [
            _finished(files, rows[key]) if key in rows else Summary(method(key), progress="missing from results.json")
            for key in in_order([*asked, *rows])
        ]
    return [_unfinished(files, key) for key in in_order([*asked, *(line.method for line in files.rounds)])]


def curves(files: RunFiles) -> list[Curve]:
    """Learning curves: means over the folds that are complete, or over all as far as all have come, if none is."""
    found = []
    for key in in_order(line.method for line in files.rounds):
        folds = _by_fold(files, key)
        complete = [lines for lines in folds.values() if lines[-1].ends]
        shown = complete or list(folds.values())
        errors = [{line.round: line.mean_error for line in lines if line.mean_error is not None} for lines in shown]
        shared = sorted(set.intersection(*(set(rounds) for rounds in errors)))
        points = tuple((number, statistics.fmean(rounds[number] for rounds in errors)) for number in shared)
        if points:
            found.append(Curve(method(key), points, len(shown)))
    return found


def deviations(files: RunFiles) -> list[Deviation]:
    """For every round the deviation of a secure method that is closest to its bound, over methods and folds."""
    worst: dict[int, Deviation] = {}
    for line in files.rounds:
        deviation, bound = _number(line.details, "deviation"), _number(line.details, "deviation_bound")
        if not is_secure(line.method) or deviation is None or bound is None or bound <= 0:
            continue
        known = worst.get(line.round)
        if known is None or deviation / bound > known.deviation / known.bound:
            worst[line.round] = Deviation(line.round, deviation, bound)
    return [worst[number] for number in sorted(worst)]


def client_counts(files: RunFiles) -> tuple[int, int] | None:
    """The smallest and the largest number of clients, over the folds; None where the files do not say yet."""
    if files.results is None or not files.results.folds:
        return None
    sizes = [len(fold.clients or fold.train) for fold in files.results.folds]
    return min(sizes), max(sizes)


def same_roster(files: RunFiles) -> bool | None:
    """Whether all aggregated rounds of a fold had the same clients, in every fold; None where no round says."""
    rosters: dict[str, set[frozenset[str]]] = {}
    for line in files.rounds:
        roster = line.details.get("roster")
        if is_secure(line.method) and isinstance(roster, list):
            rosters.setdefault(f"{line.fold}/{line.method}", set()).add(frozenset(str(name) for name in roster))
    return all(len(different) == 1 for different in rosters.values()) if rosters else None


def spread(per_person: Mapping[str, float]) -> float | None:
    """Standard deviation over people; None for fewer than two."""
    return statistics.stdev(per_person.values()) if len(per_person) > 1 else None


def test_people(files: RunFiles) -> list[str]:
    """The people that some model was tested on without having been trained on them."""
    if files.results is not None and files.results.folds:
        return list(dict.fromkeys(name for fold in files.results.folds for name in fold.test))
    return sorted({name for line in files.rounds for name in line.error})


def untested(files: RunFiles) -> bool:
    """Whether a run trains on everyone and tests nobody."""
    return files.table("split").get("test_persons") == []


def folds(files: RunFiles) -> list[str]:
    """The folds that the files know of."""
    if files.results is not None and files.results.folds:
        return [fold.fold for fold in files.results.folds]
    return list(dict.fromkeys(line.fold for line in files.rounds))


def _by_fold(files: RunFiles, key: str) -> dict[str, list[RoundLine]]:
    grouped: dict[str, list[RoundLine]] = {}
    for line in files.rounds:
        if line.method == key:
            grouped.setdefault(line.fold, []).append(line)
    return {fold: sorted(lines, key=lambda line: line.round) for fold, lines in grouped.items()}


def _mean(lines: Sequence[RoundLine], value: Callable[[RoundLine], float]) -> float:
    """Over the rounds that were not void."""
    held = [value(line) for line in lines if not line.void]
    return statistics.fmean(held) if held else 0.0


def _finished(files: RunFiles, row: Row) -> Summary:
    lines = [line for line in files.rounds if line.method == row.method]
    return Summary(
        method=method(row.method),
        mean_error=row.mean_error,
        spread=row.spread if len(row.per_person) > 1 else None,
        per_person=row.per_person or None,
        measures={key: measure.mean for key, measure in row.measures.items()},
        seconds=row.seconds_per_round,
        seconds_training=_mean(lines, lambda line: line.seconds_training),
        seconds_exchange=_mean(lines, lambda line: line.seconds_exchange),
        bytes_up=row.bytes_up_per_client_round,
        bytes_down=row.bytes_down_per_client_round,
        bytes_up_once=row.bytes_up_per_client_once,
        learned=row.learned,
    )


def _unfinished(files: RunFiles, key: str) -> Summary:
    grouped = _by_fold(files, key)
    if not grouped:
        return Summary(method(key), progress="not begun")
    lines = [line for entries in grouped.values() for line in entries]
    last = [entries[-1] for entries in grouped.values()]
    tested = [_last_tested(entries) for entries in grouped.values()]
    per_person = {name: error for line in tested for name, error in line.error.items()}
    return Summary(
        method=method(key),
        mean_error=statistics.fmean(per_person.values()) if per_person else tested[-1].mean_error,
        spread=spread(per_person),
        per_person=per_person,
        measures=_measures(tested),
        seconds=_mean(lines, lambda line: line.seconds),
        seconds_training=_mean(lines, lambda line: line.seconds_training),
        seconds_exchange=_mean(lines, lambda line: line.seconds_exchange),
        bytes_up=_mean(lines, lambda line: line.bytes_up_per_client),
        bytes_down=_mean(lines, lambda line: line.bytes_down_per_client),
        progress=_progress(last),
    )


def _measures(tested: Sequence[RoundLine]) -> dict[str, float]:
    """The mean of each further metric over all people of these lines."""
    values: dict[str, list[float]] = {}
    for line in tested:
        for key, of_people in line.measures.items():
            values.setdefault(key, []).extend(of_people.values())
    return {key: statistics.fmean(of_all) for key, of_all in values.items()}


def _last_tested(lines: Sequence[RoundLine]) -> RoundLine:
    """The last line with errors; the last one if none has any yet."""
    return next((line for line in reversed(lines) if line.mean_error is not None), lines[-1])


def _progress(last: Sequence[RoundLine]) -> str:
    going = [line for line in last if not line.ends]
    if not going:
        return "" if [line.fold for line in last] == ["all"] else f"{counted(len(last), 'fold')} done so far"
    where = f"round {going[-1].round} of {going[-1].rounds}"
    return where if len(last) == 1 and last[0].fold == "all" else f"{where} in fold {len(last)}"


def _number(details: dict[str, Any], key: str) -> float | None:
    value = details.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        return None
    return float(value)
