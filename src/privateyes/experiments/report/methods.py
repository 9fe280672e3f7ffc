"""The methods of training as the page shows them: order, words, mark and line.

Every method has a colour, a mark and a line style of its own, so that no chart depends on colour alone. The colours are
those of Okabe and Ito, darkened or lightened for contrast; they live in ``page.css`` under the class named here.
Curves that coincide take turns (`turns`). Methods that differ in the server's optimiser alone share a colour and
differ in their dashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from privateyes.experiments.method_names import METHODS

Mark = Literal["circle", "ring", "square", "triangle", "diamond"]


@dataclass(frozen=True, slots=True)
class Method:
    """How one method of training is shown.

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


_DASHES = {"fedavgm": "2 5", "fedadagrad": "12 5", "fedadam": "6 4", "fedyogi": "10 4 2 4", "adaptive": ""}


def _known() -> Iterator[Method]:
    yield Method("centralised", "w-centralised", "all images pooled in one place", "square", 2.0)
    yield Method("local", "w-local", "each person's model from their own images alone", "triangle", 2.0, "9 4")
    yield Method("federated", "w-federated", "updates averaged in the clear", "ring", 7.0)
    yield Method("fedprox", "w-fedprox", "the same, with a proximal term in each client's loss", "ring", 4.0, "9 4")
    for name, dashes in _DASHES.items():
        yield Method(name, "w-adaptive", "the average taken for a gradient by the server", "circle", 4.0, dashes)
    yield Method("private", "w-private", "the same averages, through secure aggregation", "diamond", 2.2)
    yield Method(
        "private-fedprox", "w-private-fedprox", "as fedprox, through secure aggregation", "diamond", 2.2, "9 4"
    )
    for name, dashes in _DASHES.items():
        meaning = f"as {name}, through secure aggregation"
        yield Method(f"private-{name}", "w-private-adaptive", meaning, "diamond", 2.2, dashes)


_KNOWN = tuple(_known())


def method(key: str) -> Method:
    """The look of a method; one that this page does not know gets a neutral look under its own name."""
    for known in _KNOWN:
        if known.key == key:
            return known
    return Method(key, "w-other", "", "circle", 2.0)


def in_order(keys: Iterable[str]) -> list[str]:
    """The given methods without repetition: the known ones first, in the page's order, then others as they came."""
    given = list(dict.fromkeys(keys))
    known = [entry.key for entry in _KNOWN]
    return [key for key in known if key in given] + [key for key in given if key not in known]


def is_secure(key: str) -> bool:
    """Whether a method's updates go through secure aggregation; an unknown method's do not."""
    return key in METHODS and METHODS[key].secure


def counterpart_of(key: str) -> str | None:
    """The method that averages the same updates in the clear; None for a method that is not secure."""
    return METHODS[key].counterpart if key in METHODS else None
