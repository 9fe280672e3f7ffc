"""The two sections of a run's page that are about eyes and gaze."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from privateyes.errors import DataError
from privateyes.experiments.report import charts, summary
from privateyes.experiments.report.files import RunFiles
from privateyes.experiments.report.section import Section, render_html, style_sheet
from privateyes.tasks.gaze.metrics import coordinates_of, metric_of_label
from privateyes.tasks.gaze.page import clients, eyes
from privateyes.tasks.gaze.page.clients import GazeClients

_PACKAGE: Final = "privateyes.tasks.gaze.page"


def eye_section(files: RunFiles, with_pictures: bool) -> Section:
    """Sample eyes with arrows; a sentence in their place where there are none."""
    samples = files.samples if files.samples is not None and len(files.samples.person) else None
    data = files.table("data")
    html = render_html(
        _PACKAGE,
        "eyes.html.j2",
        files.metric,
        with_pictures=with_pictures,
        finished=files.results is not None,
        eyes=eyes.sample_eyes(samples, files.metric) if samples is not None else [],
        eye_legend=eyes.legend(samples, files.metric) if samples is not None else [],
        eye_caption=eyes.caption(samples) if samples is not None else "",
        equalised=data.get("equalise") is True,
        rendered=isinstance(data.get("synthetic"), dict),
    )
    return Section("eyes", "Sample eyes", html, style_sheet(_PACKAGE, "eyes.css"))


def client_section(files: RunFiles) -> Section | None:
    """A map of where each client's images look, and the same in numbers.

    Raises:
        DataError: ``results.json`` does not say that of every client.
    """
    if files.results is None or files.results.clients is None:
        return None
    try:
        found = GazeClients.model_validate(files.results.clients.model_dump())
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        remedy = "restore the file from a copy, or run the experiment again in a new directory"
        raise DataError(f"results.json is damaged: clients.{key}: {fault['msg']}", remedy) from error
    wide, narrow = (clients.distributions(found, width) for width in (charts.WIDE, charts.NARROW))
    html = render_html(
        _PACKAGE,
        "clients.html.j2",
        metric_of_label(found.label),
        clients=found,
        panels={"wide": wide, "narrow": narrow},
        caption=clients.caption(found, len(summary.folds(files)) > 1),
        coordinates=coordinates_of(found.label),
    )
    return Section("clients", "Clients", html)
