"""Puts the page together from the run's files and the templates beside this module, and writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from privateyes.errors import RunDirectoryError
from privateyes.experiments.report import charts, sentences, summary
from privateyes.experiments.report.files import RunFiles, read_run
from privateyes.experiments.report.methods import is_secure
from privateyes.experiments.report.schema import Replay
from privateyes.experiments.report.section import Section, page_environment, render_html, style_sheet
from privateyes.experiments.report.summary import Curve, Summary
from privateyes.experiments.tasks import find_task
from privateyes.files import write_atomically

_PACKAGE = "privateyes.experiments.report"
_PARTIES = ("client", "hub", "aggregator")


@dataclass(frozen=True, slots=True)
class _TwoWidths:
    """One chart drawn for a wide and for a narrow screen."""

    wide: Markup
    narrow: Markup


def write_report(run_directory: Path, with_pictures: bool = True) -> Path:
    """Writes ``report.html`` into a run's directory; an older one is replaced at once, never left half-written.

    Args:
        run_directory: as ``privateyes train`` wrote it; the run may be unfinished, which the page then says.
        with_pictures: whether pictures of people go into the page. Leave them out where real ones must not travel.

    Returns:
        The path of the page.

    Raises:
        RunDirectoryError: the directory is no run, lacks a file, or cannot be written to.
        DataError: a file in it is damaged.
    """
    files = read_run(run_directory, with_samples=with_pictures)
    page = render(files, with_pictures)
    path = run_directory / "report.html"
    try:
        write_atomically(path, page.encode())
    except OSError as error:
        remedy = "check the directory's permissions and the free space"
        raise RunDirectoryError(f"{path} cannot be written: {error.strerror}", remedy) from error
    return path


def render(files: RunFiles, with_pictures: bool) -> str:
    """The page as text, from files that were read with or without their sample pictures."""
    environment = page_environment(_PACKAGE, files.metric)
    shown = summary.summaries(files)
    context = _results(files, shown) | _charts(files, shown) | _clients(files) | _privacy(files)
    context["pictures"] = find_task(files.task).picture_section(files, with_pictures)
    sections = [section for section in (context["pictures"], context["clients"]) if section is not None]
    style = "".join([style_sheet(_PACKAGE, "page.css"), *(section.style for section in sections)])
    return environment.get_template("page.html.j2").render(style=Markup(style), **context)  # noqa: S704 (our own files)


def _results(files: RunFiles, shown: list[Summary]) -> dict[str, Any]:
    people = summary.test_people(files)
    results = files.results
    predictor = results.mean_predictor if results is not None else None
    learned = [entry for entry in shown if entry.learned]
    others = dict.fromkeys(party for entry in learned for party in entry.learned or {} if party not in _PARTIES)
    return {
        "name": files.experiment.get("name", "unnamed"),
        "words": find_task(files.task).words,
        "what": sentences.what_was_run(files),
        "headline": sentences.headline(files, shown),
        "finished": results is not None,
        "notes": files.notes,
        "summaries": shown,
        "people": people,
        "untested": summary.untested(files),
        "metric": files.metric,
        "further_metrics": files.further_metrics,
        "predictor": predictor,
        "predictor_spread": summary.spread(predictor.per_person) if predictor is not None else None,
        "several_folds": len(summary.folds(files)) > 1,
        "table_caption": sentences.table_caption(files, people),
        "learned": learned,
        "parties": [*_PARTIES, *others],
        "settings": sentences.settings(files),
        "environment": sentences.environment(files),
        "seed": files.experiment.get("seed"),
        "rendered": isinstance(files.table("data").get("synthetic"), dict),
        "data_file": sentences.file_name(str(files.table("data").get("path", ""))),
    }


def _charts(files: RunFiles, shown: list[Summary]) -> dict[str, Any]:
    found: list[Curve] = [curve for curve in summary.curves(files) if curve.points]
    rounds = max((line.rounds for line in files.rounds), default=1)
    predictor = files.results.mean_predictor if files.results is not None else None
    level = predictor.mean_error if predictor is not None else None
    personal = [entry for entry in shown if entry.per_person]
    timed = [entry for entry in shown if entry.mean_error is not None or entry.bytes_up is not None]
    deviating = summary.deviations(files)
    widths = (charts.WIDE, charts.NARROW)
    return {
        "curves": _TwoWidths(*(charts.learning_curves(found, rounds, level, width, files.metric) for width in widths))
        if found
        else None,
        "curve_caption": sentences.curve_caption(files, found),
        "dots": _TwoWidths(*(charts.errors_per_person(personal, width, files.metric) for width in widths))
        if personal
        else None,
        "personal": personal,
        "tested": sorted({name for entry in personal for name in entry.per_person or {}}),
        "times": charts.round_times(timed) if timed else None,
        "bytes": charts.round_bytes(timed) if timed else None,
        "ratios": sentences.ratios(shown),
        "once": sentences.once(shown),
        "deviations": charts.deviation_chart(deviating, rounds) if deviating else None,
    }


def _privacy(files: RunFiles) -> dict[str, Any]:
    results, aggregation = files.results, files.table("aggregation")
    equality = results.equality if results is not None else None
    replay: Replay | None = results.replay if results is not None else None
    scales = [line.details.get("scale_bits") for line in files.rounds if is_secure(line.method)]
    return {
        "private": any(is_secure(key) for key in files.experiment.get("methods", [])),
        "equality": equality,
        "equality_verdict": sentences.equality_verdict(equality) if equality is not None else None,
        "replay": replay,
        "replay_verdict": sentences.replay_verdict(replay) if replay is not None else None,
        "control": sentences.control_sentence(replay) if replay is not None else None,
        "aggregators": sentences.aggregators(files),
        "roster_min": aggregation.get("roster_min"),
        "corrupt_clients": aggregation.get("corrupt_clients", 0),
        "clip": aggregation.get("clip"),
        "public": aggregation.get("mode") == "public",
        "scale_bits": next((scale for scale in scales if isinstance(scale, int)), None),
        "same_roster": summary.same_roster(files),
    }


def _clients(files: RunFiles) -> dict[str, Section | None]:
    """What the task shows of the clients, or a plain table; nothing before the run is finished."""
    found = files.results.clients if files.results is not None else None
    if found is None:
        return {"clients": None}
    section = find_task(files.task).client_section(files)
    if section is None:
        several = len(summary.folds(files)) > 1
        html = render_html(_PACKAGE, "clients.html.j2", files.metric, clients=found, several_folds=several)
        section = Section("clients", "Clients", html)
    return {"clients": section}
