from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from privateyes.errors import ConfigError
from privateyes.experiments.compare.measured import FinishedRun, Measured
from privateyes.experiments.compare.plan import SubRun
from privateyes.experiments.compare.relations import in_words, relations, require_relations
from privateyes.experiments.compare.sentences import relation as told
from privateyes.experiments.spec_tables import Relations
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR


def _measured(**errors: list[float]) -> Measured:
    """Two persons and two seeds; a method's four errors are p00 and p01 with seed 1, then with seed 2."""
    runs = []
    for place, seed in enumerate((1, 2)):
        for offset, person in enumerate(("p00", "p01")):
            metrics = [
                {"method": method.replace("_", "-"), "round": 1, "error": {person: found[2 * place + offset]}}
                for method, found in errors.items()
            ]
            run = SubRun(seed, person, None, Path())  # type: ignore[arg-type]
            runs.append(FinishedRun(run, {"clients": {"count": 2}}, metrics, {}))
    return Measured(tuple(runs), ())


def _stated(bounds: Relations | None = None, **errors: list[float]) -> list[dict[str, Any]]:
    methods = [name.replace("_", "-") for name in errors]
    return relations(_measured(**errors), methods, bounds or Relations())


SAME = [6.0, 8.0, 6.0, 8.0]


@pytest.mark.parametrize(("above", "holds"), [(0.19, True), (0.21, False)])
def test_adaptive_may_be_a_little_above_centralised(above: float, holds: bool) -> None:
    (found,) = _stated(adaptive=[value + above for value in SAME], centralised=SAME)
    assert found["difference"]["mean"] == pytest.approx(above)
    assert (found["demand"], found["bound"], found["holds"]) == ("not_above", 0.2, holds)


@pytest.mark.parametrize(("apart", "holds"), [(-0.01, True), (0.0, False), (0.01, False)])
def test_adaptive_has_to_be_below_federated(apart: float, holds: bool) -> None:
    (found,) = _stated(adaptive=[value + apart for value in SAME], federated=SAME)
    assert (found["demand"], found["holds"]) == ("below", holds)


def test_a_secure_method_is_judged_by_the_seed_in_which_it_is_farthest_from_its_counterpart() -> None:
    # +0.03 in one seed and -0.03 in the other: the mean says nothing
    (found,) = _stated(private=[6.03, 8.03, 5.97, 7.97], federated=SAME)
    assert found["difference"]["mean"] == pytest.approx(0.0, abs=1e-12)
    assert found["largest_of_a_seed"] == pytest.approx(0.03)
    assert not found["holds"]
    (close,) = _stated(private=[6.01, 8.01, 5.99, 7.99], federated=SAME)
    assert close["holds"]


def test_it_is_said_when_other_persons_could_turn_it_around() -> None:
    # p00 2 degrees better, p01 1.9 worse: better on the mean, and nothing is certain
    (found,) = _stated(adaptive=[4.0, 9.9, 4.0, 9.9], federated=SAME)
    assert (found["holds"], found["interval_holds"]) == (True, False)
    assert "could turn it around" in told(found, ANGULAR_ERROR, "persons")
    (sure,) = _stated(adaptive=[value - 0.5 for value in SAME], federated=SAME)
    assert (sure["holds"], sure["interval_holds"]) == (True, True)
    assert "could turn it around" not in told(sure, ANGULAR_ERROR, "persons")


def test_no_difference_at_all_is_said_in_words() -> None:
    (found,) = _stated(private=SAME, federated=SAME)
    said = "No difference, to the last digit, for any of the persons in any of 2 seeds."
    assert told(found, ANGULAR_ERROR, "persons") == said


def test_the_largest_difference_of_a_single_person_is_stated() -> None:
    (found,) = _stated(private=[6.5, 7.5, 6.0, 8.0], federated=SAME)
    assert found["largest_of_a_seed"] == pytest.approx(0.0, abs=1e-12)
    assert found["largest_of_a_person"] == pytest.approx(0.5)


def test_every_secure_method_has_its_own_counterpart() -> None:
    found = _stated(adaptive=SAME, federated=SAME, private=SAME, private_adaptive=SAME)
    assert [(entry["first"], entry["second"]) for entry in found] == [
        ("adaptive", "federated"),
        ("private", "federated"),
        ("private-adaptive", "adaptive"),
    ]


def test_another_method_can_be_the_one_that_is_asked() -> None:
    bounds = Relations(adaptive_method="fedyogi", above_centralised=0.5, below_federated=0.1)
    lower = [value - 0.05 for value in SAME]
    above, below = _stated(bounds, fedyogi=lower, centralised=SAME, federated=SAME)
    assert above["holds"]
    assert not below["holds"]
    assert in_words(above, ANGULAR_ERROR) == "fedyogi at most 0.5 above centralised"
    assert in_words(below, ANGULAR_ERROR) == "fedyogi below federated by more than 0.1"


def test_a_check_needs_every_relation_and_every_run() -> None:
    holds = {"relations": [{"holds": True}], "runs": {"missing": []}}
    assert require_relations(holds)
    assert not require_relations({**holds, "relations": [{"holds": True}, {"holds": False}]})
    assert not require_relations({**holds, "runs": {"missing": [{"seed": 1}]}})
    assert not require_relations(None)


def test_a_check_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of the methods have a relation"):
        require_relations({"relations": [], "runs": {"missing": []}})


def test_the_worst_seed_keeps_its_sign_and_is_not_hidden_by_a_larger_difference_in_favour() -> None:
    # 0.13 below with the first seed, 0.01 above with the second: the second is the one that fails
    adaptive = [SAME[0] - 0.13, SAME[1] - 0.13, SAME[2] + 0.01, SAME[3] + 0.01]
    (found,) = _stated(Relations(below_federated=0.0), adaptive=adaptive, federated=SAME)
    assert found["holds"]
    assert found["worst_seed"] == {"seed": "2", "difference": pytest.approx(0.01), "holds": False}
    assert "With seed 2 alone it would not hold." in told(found, ANGULAR_ERROR, "persons")


def test_beside_its_counterpart_the_worst_seed_is_the_farthest_on_either_side() -> None:
    private = [SAME[0] - 0.13, SAME[1] - 0.13, SAME[2] + 0.01, SAME[3] + 0.01]
    (found,) = _stated(private=private, federated=SAME)
    assert found["worst_seed"]["seed"] == "1"
    assert found["worst_seed"]["difference"] == pytest.approx(-0.13)
    assert "Largest difference of 2 seeds: −0.13° (seed 1)" in told(found, ANGULAR_ERROR, "persons")
