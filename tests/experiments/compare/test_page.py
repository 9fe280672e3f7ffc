from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from privateyes.errors import RunDirectoryError
from privateyes.experiments.compare.page import render, write_page
from privateyes.experiments.compare.sentences import procedure
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR

EVIL = '<script>alert("x")</script>&\'"'
VOID = {"meta", "br", "circle", "path", "line", "rect", "polyline", "polygon", "link", "img"}


class _Balance(HTMLParser):
    """Every element that is opened is closed, and nothing of the outside is named."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {new if key == old else key: _renamed(entry, old, new) for key, entry in value.items()}
    if isinstance(value, list):
        return [_renamed(entry, old, new) for entry in value]
    return new if value == old else value


def test_the_page_is_whole_and_names_nothing_outside(comparison_results: dict[str, Any]) -> None:
    page = render(comparison_results)
    balance = _Balance()
    balance.feed(page)
    assert balance.open == []
    assert not balance.tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?://|url\(|@import", page)
    for method in ("centralised", "federated", "adaptive", "private"):
        assert method in page


@pytest.mark.parametrize("name", ["p00", "small", "resnet_preact_8", "adaptive"])
def test_names_are_escaped(comparison_results: dict[str, Any], name: str) -> None:
    page = render(_renamed(comparison_results, name, EVIL))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_problems_of_missing_runs_are_told_and_escaped(comparison_results: dict[str, Any]) -> None:
    missing = [{"seed": 4, "fold": EVIL, "problem": EVIL}, {"seed": 5, "fold": "all", "problem": None}]
    page = render({**comparison_results, "runs": {"planned": 8, "finished": 6, "missing": missing}})
    assert "<b>2 of 8 runs are missing.</b>" in page
    assert "<script" not in page
    assert "seed 5: not finished" in page


def test_equal_results_give_equal_bytes(comparison_results: dict[str, Any]) -> None:
    assert render(comparison_results) == render(comparison_results)


def test_a_relation_that_fails_is_said_to_fail(comparison_results: dict[str, Any]) -> None:
    for entry in comparison_results["relations"]:
        entry["holds"] = False
    page = render(comparison_results)
    assert page.count("✗ does not hold") == len(comparison_results["relations"])
    assert "✓ holds" not in page


def test_one_person_one_way_and_no_curve_are_enough(comparison_results: dict[str, Any]) -> None:
    method = comparison_results["methods"][1]
    method.update(interval=None, sd_over_persons=None, sd_over_seeds=None, curve=[], differences={}, targets=[])
    method["per_person"] = {"p00": method["mean"]}
    predictor = {**comparison_results["mean_predictor"], "interval": None, "sd_over_persons": None}
    targets = {"errors": [], "derived": True}
    alone = {"methods": [method], "relations": [], "baselines": [], "mean_predictor": predictor, "targets": targets}
    page = render({**comparison_results, **alone})
    assert "federated has the lowest error" in page
    assert "No curve is complete." in page


def test_methods_that_look_alike_are_in_the_table_and_not_among_the_dots(comparison_results: dict[str, Any]) -> None:
    methods = comparison_results["methods"]
    methods.append({**next(entry for entry in methods if entry["method"] == "adaptive"), "method": "fedyogi"})
    page = render(comparison_results)
    assert "fedyogi would\nhave the mark of another method and is in the table alone." in page
    assert page.count('<th scope="col">fedyogi</th>') == 1


def test_unequal_budgets_are_flagged(comparison_results: dict[str, Any]) -> None:
    budget = {**comparison_results["budget"], "equal": False, "note": "Unequal budgets: so it is."}
    assert render({**comparison_results, "budget": budget}).count("Unequal budgets: so it is.") == 2


def test_persons_that_are_none_are_called_what_they_are(comparison_results: dict[str, Any]) -> None:
    blocks = {"persons_are": "day blocks", "procedure": procedure("day blocks", ANGULAR_ERROR)}
    calibration = {"samples": [], "adapt": "ridge", "draws": 2, "methods": []}
    page = render({**comparison_results, **blocks, "calibration": calibration}).partition("</style>")[2]
    for said in ("Errors on day blocks never trained on", "SD over day blocks", "interval over day blocks"):
        assert said in page
    page = page.replace("What the data name as persons", "").replace("the person&#39;s device", "")
    learned = page[page.index('id="learned"') : page.index('id="procedure"')]
    assert not re.search(r"\bpersons?\b", page.replace(learned, ""))
    assert "<b>x" not in render({**comparison_results, "persons_are": "<b>x"})


def test_points_in_cm_are_written_in_cm(comparison_results: dict[str, Any]) -> None:
    page = render({**comparison_results, "unit": "cm"})
    assert " cm</b>" in page
    assert "°" not in page.partition("</style>")[2]


def test_extrapolated_costs_of_generic_mpc_are_marked(comparison_results: dict[str, Any]) -> None:
    errors = {"mean": 8.0, "interval": [7.0, 9.0], "sd_over_persons": 1.0, "persons": 2}
    cost = {"what": "10 samples", "network": "perceptron", "seconds": 3.0, "bytes_per_party": 5e6}
    found = {
        "problem": None,
        "engine": "an engine",
        "protocol": "aby3",
        "parties": 3,
        "threat_model": "semi-honest",
        "network": "perceptron",
        "parameters": 500,
        "epochs": 2,
        "samples": 40.0,
        "errors": errors,
        "counterpart_errors": errors,
        "guess_errors": errors,
        "measured": {**cost, "extrapolated": False},
        "extrapolated": [{**cost, "seconds": 3e6, "formula": "a line", "extrapolated": True}],
    }
    page = render({**comparison_results, "mpc": found})
    row = page[page.index("a line") :]
    assert row.index("extrapolated") < row.index("≈ 34.7 days") < row.index("</tr>")
    assert "semi-honest" in page
    without = render({**comparison_results, "mpc": {"problem": "no network to install it"}})
    assert "Nothing was measured: no network to install it." in without


def test_calibration_has_a_column_for_each_k(comparison_results: dict[str, Any]) -> None:
    one = {"mean": 5.25, "interval": [4.0, 6.5], "sd_over_persons": 1.0, "persons": 2}
    rows = [{"method": "federated", "uncalibrated": one, "by_k": {"1": one, "9": {**one, "mean": 3.75}}}]
    found = {"samples": [1, 9], "adapt": "ridge", "draws": 20, "methods": rows}
    page = render({**comparison_results, "calibration": found})
    assert "k = 9" in page
    assert "3.75°" in page


def test_a_folder_that_cannot_be_written_is_named(comparison_results: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"comparison\.html cannot be written"):
        write_page(tmp_path / "nowhere", comparison_results)
