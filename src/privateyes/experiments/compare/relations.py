"""What the methods should have to do with each other, stated with what was measured, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from privateyes.errors import ConfigError
from privateyes.experiments.compare.intervals import estimate, over_seeds, paired, per_seed
from privateyes.experiments.compare.measured import Errors, Measured
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.spec_tables import Relations
from privateyes.training.metric import Metric

Demand = Literal["not_above", "below", "beside"]
"""At most so much worse, better by more than that, and at most that far apart; named for errors, which are low."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """The errors of two methods of one comparison."""

    first: str
    second: str
    errors: tuple[Errors, Errors]
    seeds: list[int]
    metric: Metric

    def stated(self, demand: Demand, bound: float) -> dict[str, Any]:
        """What is demanded of first minus second, and what it was; the verdict is still to come."""
        one, other = self.errors
        differences = paired(over_seeds(one), over_seeds(other))
        ours, theirs = per_seed(one, self.seeds), per_seed(other, self.seeds)
        difference = estimate(list(differences.values())).as_json()
        by_seed = {str(seed): ours[seed] - theirs[seed] for seed in ours if seed in theirs}
        single = [one[person][seed] - other[person][seed] for person in one for seed in one[person]]
        return {
            "first": self.first,
            "second": self.second,
            "demand": demand,
            "bound": bound,
            "difference": difference,
            "interval_holds": self._interval_holds(demand, bound, difference["interval"]),
            "per_seed": by_seed,
            "worst_seed": self._worst(demand, bound, by_seed),
            "largest_of_a_seed": max(map(abs, by_seed.values())),
            "largest_of_a_person": max(map(abs, single)),
        }

    def holds(self, demand: Demand, bound: float, difference: float) -> bool:
        """Whether a difference is as demanded."""
        if demand == "beside":
            return abs(difference) <= bound
        worse = self.metric.worse_by(difference)
        return -worse > bound if demand == "below" else worse <= bound

    def _worst(self, demand: Demand, bound: float, by_seed: Mapping[str, float]) -> dict[str, Any]:
        """The seed whose difference, sign and all, is the least in favour of what is demanded; whether it holds there.

        A large difference may be one in favour: then it is another seed that says how near to failing this is.
        """
        beside, worse_by = demand == "beside", self.metric.worse_by
        seed = max(by_seed, key=lambda name: abs(by_seed[name]) if beside else worse_by(by_seed[name]))
        difference = by_seed[seed]
        return {"seed": seed, "difference": difference, "holds": self.holds(demand, bound, difference)}

    def _interval_holds(self, demand: Demand, bound: float, interval: list[float] | None) -> bool | None:
        """Whether the whole interval is within what is demanded; None without an interval."""
        return None if interval is None else all(self.holds(demand, bound, end) for end in interval)


def relations(measured: Measured, methods: list[str], bounds: Relations) -> list[dict[str, Any]]:
    """Every relation whose two methods were measured.

    ``holds`` is on the mean over persons and seeds, and for a secure method and its counterpart on every seed;
    ``interval_holds`` says whether all of the 95 % interval over persons is within the bound, too.
    """
    found, metric = [], measured.metric
    errors: Mapping[str, Errors] = {method: measured.errors(method) for method in methods}

    def pair(first: str, second: str) -> _Pair | None:
        known = first in errors and second in errors and first != second
        return _Pair(first, second, (errors[first], errors[second]), measured.seeds, metric) if known else None

    adaptive = bounds.adaptive_method
    above = pair(adaptive, "centralised")
    if above is not None:
        entry = above.stated("not_above", bounds.above_centralised)
        holds = above.holds("not_above", bounds.above_centralised, entry["difference"]["mean"])
        found.append({**entry, "holds": holds})
    below = pair(adaptive, "federated")
    if below is not None:
        entry = below.stated("below", bounds.below_federated)
        found.append({**entry, "holds": below.holds("below", bounds.below_federated, entry["difference"]["mean"])})
    for method in methods:
        counterpart = METHODS[method].counterpart
        beside = pair(method, counterpart) if counterpart is not None else None
        if beside is not None:
            entry = beside.stated("beside", bounds.from_counterpart)
            found.append({**entry, "holds": entry["largest_of_a_seed"] <= bounds.from_counterpart})
    return found


def in_words(relation: Mapping[str, Any], metric: Metric) -> str:
    """The demand as a phrase, such as ``adaptive at most 0.2 above centralised``; without unit."""
    first, second, bound = relation["first"], relation["second"], f"{relation['bound']:g}"
    worse, better = ("above", "below") if metric.lower_is_better else ("below", "above")
    if relation["demand"] == "not_above":
        return f"{first} at most {bound} {worse} {second}"
    if relation["demand"] == "below":
        return f"{first} {better} {second}" + (f" by more than {bound}" if relation["bound"] else "")
    return f"{first} within {bound} of {second} in every seed"


def require_relations(results: Mapping[str, Any] | None) -> bool:
    """Whether every relation holds, and every run is there.

    Args:
        results: what ``comparison.json`` holds.

    Raises:
        ConfigError: the experiment's methods have no relation that could be checked.
    """
    if results is None:
        return False
    if not results["relations"]:
        pairs = "at least two of adaptive, centralised and federated, or a secure method and its counterpart"
        remedy = f"name {pairs} in methods"
        raise ConfigError("--check: none of the methods have a relation to each other", remedy)
    return not results["runs"]["missing"] and all(entry["holds"] for entry in results["relations"])
