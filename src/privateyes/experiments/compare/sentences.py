"""What a comparison's numbers say, in sentences for its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from privateyes.experiments.clipping import told_of_clipping
from privateyes.experiments.compare.marks import amount, span
from privateyes.experiments.folds import ONLY_FOLD
from privateyes.experiments.report import quantities
from privateyes.experiments.tasks import metric_of
from privateyes.training.metric import Metric


def one(metric: Metric) -> str:
    """``an error`` or ``a Dice``."""
    return f"{'an' if metric.name[0] in 'aeiou' else 'a'} {metric.name}"


def counted(number: int, persons: str) -> str:
    """``4 persons``, or ``4 day blocks`` if that is what the data's persons are; nobody can guess a noun's singular."""
    if number == 1:
        return "1 person" if persons == "persons" else f"1 of the {persons}"
    return f"{number:,} {persons}"


def what(results: Mapping[str, Any]) -> str:
    """What was compared: model, persons, folds, seeds, rounds."""
    persons = counted(results["mean_predictor"]["persons"], results["persons_are"])
    tested = f"{persons} to test on" if results["folds"] == [ONLY_FOLD] else f"{persons}, each left out once"
    seeds = ", ".join(map(str, results["seeds"]))
    rounds = quantities.count(results["budget"]["rounds"], "round")
    model = f"{results['model']} ({results['parameters']:,} parameters)"
    return f"{model}, {tested}, {rounds}, seeds {seeds}: {quantities.count(results['runs']['finished'], 'run')}."


def headline(results: Mapping[str, Any]) -> str:
    """The relations in a sentence or two; without any, the best method."""
    metric, found, persons = metric_of(results), results["relations"], results["persons_are"]
    errors = {entry["method"]: entry["mean"] for entry in results["methods"]}
    parts = []
    ours = next((entry for entry in found if entry["demand"] != "beside"), None)
    if ours is not None:
        name = ours["first"]
        against = [
            f"{_apart(entry['difference']['mean'], metric)} {entry['second']}"
            for entry in found
            if entry["demand"] != "beside"
        ]
        parts.append(f"{name} reaches {amount(errors[name], metric)}: {' and '.join(against)}.")
    counterparts = [entry for entry in found if entry["demand"] == "beside"]
    if counterparts:
        largest = max(entry["largest_of_a_person"] for entry in counterparts)
        names = (
            " and ".join(entry["first"] for entry in counterparts)
            if len(counterparts) < 3
            else f"All {len(counterparts)} secure methods"
        )
        whose = "its counterpart" if len(counterparts) == 1 else "their counterparts"
        if largest == 0:
            parts.append(
                f"{names} equal{'s' if len(counterparts) == 1 else ''} {whose} in the clear to the last digit."
            )
        else:
            end = "ends" if len(counterparts) == 1 else "end"
            parts.append(f"{names} {end} within {_tiny(largest, metric)} of {whose} in the clear, for all {persons}.")
    if not parts:
        best = next(name for name, error in errors.items() if error == metric.best(errors.values()))
        extreme = "lowest" if metric.lower_is_better else "highest"
        parts.append(f"{best} has the {extreme} {metric.name}, {amount(errors[best], metric)}.")
    worse = worse_than_mean(results)
    if worse is not None:
        parts.insert(0, worse)
    return " ".join(parts)


def worse_than_mean(results: Mapping[str, Any]) -> str | None:
    """That no method is better than always giving the mean answer, which needs no network; None where one is."""
    predictor, metric = results["mean_predictor"]["mean"], metric_of(results)
    if any(metric.better(entry["mean"], predictor) for entry in results["methods"]):
        return None
    reference = amount(predictor, metric)
    answer = f"always answering with the {metric.mean} ({reference})"
    return f"No method is better than {answer}: none of them learned anything of use."


def clipping(results: Mapping[str, Any]) -> str | None:
    """How much of the secure methods' updates was clipped, over all runs; None where nothing was."""
    return told_of_clipping(results.get("clipping"))


def _apart(difference: float, metric: Metric) -> str:
    if abs(difference) < 0.5 * 10**-metric.places:
        return "the same as"
    return f"{amount(abs(difference), metric)} {'above' if difference > 0 else 'below'}"


def _tiny(value: float, metric: Metric) -> str:
    return quantities.error(value, metric)


def relation(entry: Mapping[str, Any], metric: Metric, persons: str) -> str:
    """What was measured of a relation; `persons` is what to call them."""
    difference, count = entry["difference"], len(entry["per_seed"])
    worst = entry["worst_seed"]
    if entry["demand"] == "beside" and entry["largest_of_a_person"] == 0:
        seeds = quantities.count(count, "seed")
        return f"No difference, to the last digit, for any of the {persons} in any of {seeds}."
    if entry["demand"] == "beside":
        single = _tiny(entry["largest_of_a_person"], metric)
        signed = f"{'+' if worst['difference'] >= 0 else '−'}{_tiny(abs(worst['difference']), metric)}"
        whose = f"{signed} (seed {worst['seed']})"
        return f"Largest difference of {quantities.count(count, 'seed')}: {whose}; of single {persons}: ±{single}."
    interval = f" (95 % interval {span(difference['interval'], metric.places, True)})" if difference["interval"] else ""
    low, high = min(entry["per_seed"].values()), max(entry["per_seed"].values())
    seeds = f"{amount(low, metric, signed=True)} to {amount(high, metric, signed=True)}"
    told = f"Difference {amount(difference['mean'], metric, signed=True)}{interval}; single seeds {seeds}."
    if entry["holds"] and not worst["holds"]:
        told += f" With seed {worst['seed']} alone it would not hold."
    if entry["holds"] and entry["interval_holds"] is False:
        told += f" The interval reaches beyond what was asked: other {persons} could turn it around."
    return told


def missing(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """The runs that are not there: what they are called, and why."""
    found = []
    for run in results["runs"]["missing"]:
        name = f"seed {run['seed']}" if run["fold"] == ONLY_FOLD else f"seed {run['seed']}, fold {run['fold']}"
        found.append({"name": name, "problem": run["problem"] or "not finished"})
    return found


def learned(methods: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each party learned, methods of one kind together."""
    grouped: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for entry in methods:
        grouped.setdefault(tuple(entry["learned"].items()), []).append(entry["method"])
    return [{"methods": ", ".join(names), "learned": dict(texts)} for texts, names in grouped.items()]


def facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """On what it was measured."""
    environment = results["environment"]
    packages = environment.get("packages", {})
    versions = ", ".join(f"{name} {packages[name]}" for name in ("privateyes", "torch", "numpy") if packages.get(name))
    found = [
        ("versions", f"Python {environment.get('python')}, {versions}"),
        ("platform", f"{environment.get('platform')}, {environment.get('cores')} cores"),
    ]
    if environment.get("git_commit"):
        found.append(("commit", str(environment["git_commit"])))
    if environment.get("data_sha256"):
        found.append(("data, SHA-256", str(environment["data_sha256"])))
    return found


def mpc(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was measured of generic MPC, and its costs, measured and extrapolated; None where nobody asked for it."""
    found, metric = results.get("mpc"), metric_of(results)
    if found is None:
        return None
    problem = [f"{'Not all of it' if 'engine' in found else 'Nothing'} was measured: {found['problem']}."]
    if "engine" not in found:
        return {"sentences": problem, "costs": [], "errors": None}
    ours, counterpart, guess = (found[key] for key in ("errors", "counterpart_errors", "guess_errors"))
    return {
        "sentences": [
            *(problem if found["problem"] else []),
            f"The images themselves are secret-shared among {found['parties']} parties and a {found['network']} of "
            f"{found['parameters']:,} parameters is trained on the shares: {found['engine']}, protocol "
            f"{found['protocol']} ({found['threat_model']}).",
            f"On {found['samples']:,.0f} samples of a fold, {quantities.count(found['epochs'], 'epoch')}, it reaches "
            f"{amount(ours['mean'], metric)} (95 % interval {span(ours['interval'], metric.places)}); the same network "
            f"trained in the clear with the same steps {amount(counterpart['mean'], metric)}, the mean label of these "
            f"samples {amount(guess['mean'], metric)}. The other methods have another network and more samples, so "
            f"these {metric.plural} cannot be compared with theirs.",
        ],
        "errors": ours,
        "costs": [_mpc_cost(cost) for cost in (found["measured"], *found["extrapolated"])],
    }


def _mpc_cost(cost: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "what": f"{cost['network']}, {cost['what']}",
        "kind": "extrapolated" if cost["extrapolated"] else "measured",
        "seconds": duration(cost["seconds"]),
        "bytes": quantities.data_size(cost["bytes_per_party"]),
        "formula": cost.get("formula", ""),
        "extrapolated": cost["extrapolated"],
    }


def duration(seconds: float) -> str:
    """A time from milliseconds to days."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return quantities.seconds(seconds)


def calibration(results: Mapping[str, Any]) -> str:
    """How people were calibrated, in a comparison with calibration."""
    found, metric = results["calibration"], metric_of(results)
    return (
        f"Mean {metric.name} over new {results['persons_are']} and its 95 % interval after k labelled samples of each, "
        f"used on the person's device alone ({found['adapt']}, mean of {quantities.count(found['draws'], 'draw')})"
        f"{'; in ' + metric.word if metric.word else ''}."
    )


def procedure(persons: str, metric: Metric) -> dict[str, str]:
    """How interval, rounds to a value, and energy are found; and what `persons` stands for, if not for persons."""
    name, beyond = metric.name, "larger" if metric.lower_is_better else "smaller"
    known = {} if persons == "persons" else {"persons": f"What the data name as persons are {persons} here."}
    return {
        **known,
        "interval": (
            f"95 % intervals are over {persons}: each one's {name} is averaged over the seeds first, then mean ± t s / "
            "√n with Student's t for n - 1 degrees of freedom. Differences between two methods are taken on the same "
            f"{persons}, one by one, and the interval is that of the differences."
        ),
        "targets": (
            f"A seed reaches {one(metric)} in the first evaluated round after which the mean {name} over all test "
            f"{persons} is no {beyond}; rounds and processor seconds (training and exchange, one core for all clients "
            "of a fold) are means over the seeds that reach it."
        ),
        "energy": (
            "Energy is an estimate, not a measurement: processor seconds times the stated watts of a core, without "
            "network and accelerator."
        ),
    }


def energy(watt_hours: float) -> str:
    """An amount of energy, in Wh or mWh."""
    return f"{watt_hours:.2g} Wh" if watt_hours >= 0.1 else f"{watt_hours * 1000:.2g} mWh"
