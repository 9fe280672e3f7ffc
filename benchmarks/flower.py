"""Flower's SecAgg+ beside a private round, in one run, where flwr is installed: all parties in one process."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from measuring import Effort, Work, in_turn
from privateyes.crypto.field import COMPACT
from situations import WEIGHT, Case, Round, random_update

AGGREGATORS = 3


@dataclass(frozen=True, slots=True)
class FlowerRow:
    """Seconds of processor time for a whole round of ``clients``, all parties together, without a network.

    Attributes:
        version: of flwr.
        fedavg_s: Flower in the clear.
        secagg_s: Flower's SecAgg+, full graph; against an honest but curious server.
        private_s: a private round with ``AGGREGATORS`` aggregators; against malicious ones, all but one.
    """

    version: str
    dimension: int
    clients: int
    fedavg_s: float
    secagg_s: float
    private_s: float


def installed() -> bool:
    """Whether flwr can be imported."""
    return importlib.util.find_spec("flwr") is not None


def compare(dimension: int, clients: int, effort: Effort) -> FlowerRow:
    """Time the three ways in turn."""
    from flower_round import FlowerRound

    updates = [random_update(dimension) for _ in range(clients)]
    case = Case(dimension, clients, AGGREGATORS, COMPACT)

    works = {
        "fedavg": Work(FlowerRound.run, lambda: (FlowerRound(updates, WEIGHT, secure=False),)),
        "secagg": Work(FlowerRound.run, lambda: (FlowerRound(updates, WEIGHT, secure=True),)),
        "private": Work(Round.finish, lambda: (Round(case, clients),)),
    }
    timings = in_turn(works, effort)
    seconds = {f"{name}_s": timing.cpu for name, timing in timings.items()}
    return FlowerRow(importlib.metadata.version("flwr"), dimension, clients, **seconds)


def table(rows: Sequence[FlowerRow]) -> Table:
    """Whole rounds."""
    shown = Table(title=f"a whole round of {rows[0].clients} clients: seconds of CPU, all parties, no network")
    for heading in ("d", "Flower FedAvg", "Flower SecAgg+", "private round, 3 aggregators", "SecAgg+ / private"):
        shown.add_column(heading, justify="right")
    for row in rows:
        numbers = (row.fedavg_s, row.secagg_s, row.private_s)
        ratio = f"{row.secagg_s / row.private_s:.1f}"
        shown.add_row(f"{row.dimension:,}", *(f"{seconds:.3f}" for seconds in numbers), ratio)
    shown.caption = (
        f"flwr {rows[0].version}, its own workflow and client mod, full graph; messages passed as objects, so that "
        "serialisation, gRPC and the simulation engine cost nothing. SecAgg+ survives clients that drop out halfway "
        "and trusts one server to follow the protocol; a private round trusts no single party."
    )
    return shown
