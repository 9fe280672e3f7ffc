"""The page of a comparison: one self-contained ``comparison.html``, made from ``comparison.json`` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from privateyes.errors import RunDirectoryError
from privateyes.experiments.compare import charts, sentences
from privateyes.experiments.compare.marks import amount, span
from privateyes.experiments.compare.relations import in_words
from privateyes.experiments.learned import PARTIES
from privateyes.experiments.report import charts as run_charts
from privateyes.experiments.report import svg
from privateyes.experiments.report.methods import method
from privateyes.experiments.report.section import page_environment, style_sheet
from privateyes.experiments.report.summary import Summary
from privateyes.experiments.tasks import metric_of
from privateyes.files import write_atomically
from privateyes.training.metric import Metric

_PACKAGE = "privateyes.experiments.compare"
_REPORT = "privateyes.experiments.report"
PAGE = "comparison.html"


def write_page(folder: Path, results: Mapping[str, Any]) -> Path:
    """Write the page into a comparison's directory; an older one is replaced at once.

    Args:
        folder: the comparison's directory.
        results: what ``comparison.json`` holds.

    Returns:
        The path of the page.

    Raises:
        RunDirectoryError: the page cannot be written.
    """
    path = folder / PAGE
    try:
        write_atomically(path, render(results).encode())
    except OSError as error:
        remedy = "check the directory's permissions and the free space"
        raise RunDirectoryError(f"{path} cannot be written: {error.strerror}", remedy) from error
    return path


def render(results: Mapping[str, Any]) -> str:
    """The page as text; equal results give equal bytes."""
    metric = metric_of(results)
    environment = page_environment(_PACKAGE, metric)
    environment.filters.update(
        amount=lambda value: amount(value, metric),
        level=lambda value: amount(value, metric, metric.places - 1),
        span=lambda ends: span(ends, metric.places),
        energy=sentences.energy,
        number=svg.number,
    )
    environment.globals["look"] = method
    context = _texts(results) | _tables(results) | _drawings(results)
    return environment.get_template("comparison.html.j2").render(style=_style(), **context)


def _style() -> Markup:
    """The style of a run's page, which has the methods' colours, and what a comparison adds."""
    files = ((_REPORT, "page.css"), (_PACKAGE, "compare.css"))
    sheets = [style_sheet(package, name) for package, name in files]
    return Markup("\n".join(sheets))  # noqa: S704 (our own files)


def _texts(results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": results["name"],
        "what": sentences.what(results),
        "headline": sentences.headline(results),
        "clipping": sentences.clipping(results),
        "runs": results["runs"],
        "missing": sentences.missing(results),
        "budget": results["budget"],
        "measured_on": results["measured_on"],
        "procedure": list(results["procedure"].values()),
        "facts": sentences.facts(results),
        "persons": results["persons_are"],
        "counted_persons": sentences.counted(results["mean_predictor"]["persons"], results["persons_are"]),
    }


def _tables(results: Mapping[str, Any]) -> dict[str, Any]:
    methods = results["methods"]
    return {
        "methods": methods,
        "metric": metric_of(results),
        "reached": sentences.one(metric_of(results)),
        "levels": results["targets"]["errors"],
        "derived": results["targets"]["derived"],
        "predictor": results["mean_predictor"],
        "watts": methods[0]["energy_wh"]["watts_per_core"],
        "parties": PARTIES,
        "learned": sentences.learned(methods),
        "mpc": sentences.mpc(results),
        "calibration": results["calibration"],
        "calibration_caption": sentences.calibration(results) if results["calibration"] else "",
    }


def _drawings(results: Mapping[str, Any]) -> dict[str, Any]:
    metric, methods = metric_of(results), results["methods"]
    rows, has_curves = charts.error_rows(results), any(entry["curve"] for entry in methods)
    summaries = [_summary(entry) for entry in methods]
    return {
        "errors": _both(lambda width: charts.intervals(rows, metric, f"mean {metric.name}", width)),
        "differences": [
            (baseline, charts.intervals(found, metric, "difference", run_charts.NARROW, zero=True))
            for baseline in results["baselines"]
            if (found := charts.difference_rows(results, baseline))
        ],
        "relations": [_relation(entry, metric, results["persons_are"]) for entry in results["relations"]],
        "curves": _both(lambda width: charts.curves(results, "round", width)) if has_curves else None,
        "timed": _both(lambda width: charts.curves(results, "seconds", width)) if has_curves else None,
        "left_out": [entry["method"] for entry in methods if entry not in charts.told_apart(methods)],
        "dots": _both(lambda width: charts.persons(results, width)),
        "times": run_charts.round_times(summaries),
        "bytes": run_charts.round_bytes(summaries),
    }


def _both(draw: Callable[[int], Markup]) -> dict[str, Markup]:
    """One chart for a wide and for a narrow screen."""
    return {"wide": draw(run_charts.WIDE), "narrow": draw(run_charts.NARROW)}


def _summary(entry: Mapping[str, Any]) -> Summary:
    """A method as the charts of a run's page take it."""
    return Summary(
        method=method(entry["method"]),
        mean_error=entry["mean"],
        per_person=dict(entry["per_person"]),
        seconds=entry["seconds"]["per_round"],
        seconds_training=entry["seconds"]["per_round_training"],
        seconds_exchange=entry["seconds"]["per_round_exchange"],
        bytes_up=entry["bytes"]["up_per_client_round"],
        bytes_down=entry["bytes"]["down_per_client_round"],
    )


def _relation(entry: Mapping[str, Any], metric: Metric, persons: str) -> dict[str, Any]:
    return {
        "holds": entry["holds"],
        "words": in_words(entry, metric),
        "told": sentences.relation(entry, metric, persons),
        "drawing": charts.relation(entry, metric),
    }
