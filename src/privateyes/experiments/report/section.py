"""Parts of a run's page, and how they are made from templates; a task brings some of them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from privateyes.experiments.report import quantities, svg
from privateyes.training.metric import Metric
from privateyes.wording import capitalised


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id in the page.
        name: in the list of parts.
        html: a whole ``<section>`` with that id.
        style: CSS that it needs besides the page's.
    """

    anchor: str
    name: str
    html: Markup
    style: str = ""


def page_environment(package: str, metric: Metric) -> Environment:
    """For the templates in a package's folder ``templates``; everything that is shown is escaped.

    Filters write numbers for people: error (a value of `metric`), seconds, data_size, scientific, capitalised.
    """
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        error=lambda value: quantities.error(value, metric),
        seconds=quantities.seconds,
        data_size=quantities.data_size,
        scientific=quantities.scientific,
        capitalised=capitalised,
    )
    environment.globals["mark"] = svg.mark_alone
    return environment


def style_sheet(package: str, name: str) -> str:
    """A CSS file in a package's folder ``templates``."""
    return resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")


def render_html(package: str, template: str, metric: Metric, **context: Any) -> Markup:
    """A part of a page from a package's template, which is given `metric` and what `context` holds."""
    return Markup(page_environment(package, metric).get_template(template).render(metric=metric, **context))  # noqa: S704 (escaped)
