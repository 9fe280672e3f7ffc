"""What each party learned by each method, in plain words, for the table and the page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from privateyes.experiments.method_names import METHODS

PARTIES = ("client", "hub", "aggregator")


def learned(method: str, aggregators: int, mode: str = "sealed") -> dict[str, str]:
    """Party -> what it learned.

    Args:
        method: one of the methods of an experiment.
        aggregators: how many there are in a secure method.
        mode: of the aggregation: sealed or public.
    """
    kind = METHODS[method].kind
    texts = _SECURE_IN_PUBLIC if (kind, mode) == ("secure", "public") else _LEARNED[kind]
    return {party: text.format(n=aggregators, most=aggregators - 1) for party, text in texts.items()}


_LEARNED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "centralised": {
            "client": "the trained model; it gave its images away",
            "hub": "every image and every label of every client",
            "aggregator": "there is none",
        },
        "local": {
            "client": "its own model, from its own images alone",
            "hub": "nothing",
            "aggregator": "there is none",
        },
        "clear": {
            "client": "the model after every round",
            "hub": "every client's own update and sample count in every round, and the model",
            "aggregator": "there is none",
        },
        "mpc": {
            "client": "the trained model; its images left it as shares",
            "hub": "there is none",
            "aggregator": (
                "each computing party: one share of every image and label, which says nothing as long as all parties "
                "follow the protocol and no more of them collude than it allows; see the mpc table"
            ),
        },
        "secure": {
            "client": "the model, and every round's average update and total sample count; nobody's own update",
            "hub": "who took part, and message sizes and times; no update, no average, no model",
            "aggregator": "who took part; no update, no average, no model, even if {most} of the {n} join with the hub",
        },
    }
)

_SECURE_IN_PUBLIC: Mapping[str, str] = MappingProxyType(
    {
        "client": "the model, and every round's average update and total sample count; nobody's own update",
        "hub": "who took part, every round's average and total sample count, and the model; nobody's own update",
        "aggregator": (
            "the same as the hub; nobody's own update or sample count, even if {most} of the {n} join with the hub"
        ),
    }
)
