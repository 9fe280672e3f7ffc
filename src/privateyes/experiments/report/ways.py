"""The ways of training as the page shows them: order, words, mark and line.

Every way has a colour, a mark and a line style of its own, so that no chart depends on colour alone. The colours are
those of Okabe and Ito, darkened or lightened for contrast; they live in ``page.css`` under the class named here.
``federated`` is drawn broad and hollow, ``private`` narrow and filled: where the two coincide, both stay visible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Mark = Literal["circle", "ring", "square", "triangle", "diamond"]


@dataclass(frozen=True, slots=True)
class Way:
    """How one way of training is shown.

    Attributes:
        key: its name in the run's files.
        css: its class in ``page.css``; never made from a file's content.
        meaning: what it does, in a few words.
        mark: its mark in charts.
        line_width: of its curve, in px.
        dashes: the dash pattern of its curve; empty for a solid line.
    """

    key: str
    css: str
    meaning: str
    mark: Mark
    line_width: float
    dashes: str = ""


_KNOWN = (
    Way("centralised", "w-centralised", "all images pooled in one place", "square", 2.0),
    Way("local", "w-local", "each person's model from their own images alone", "triangle", 2.0, "9 4"),
    Way("federated", "w-federated", "updates averaged in the clear", "ring", 7.0),
    Way("private", "w-private", "the same averages, through secure aggregation", "diamond", 2.2),
)


def way(key: str) -> Way:
    """The look of a way; one that this page does not know gets a neutral look under its own name."""
    for known in _KNOWN:
        if known.key == key:
            return known
    return Way(key, "w-other", "", "circle", 2.0)


def in_order(keys: Iterable[str]) -> list[str]:
    """The given ways without repetition: the known ones first, in the page's order, then others as they came."""
    given = list(dict.fromkeys(keys))
    known = [entry.key for entry in _KNOWN]
    return [key for key in known if key in given] + [key for key in given if key not in known]
