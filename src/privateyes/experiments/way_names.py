"""The ways of training that an experiment can name, and how they differ.

All start from the same parameters and pass equally often over each person's images, through the same training code:

    centralised        one client that holds everybody's images: the reference
    local              each person alone, with a model of its own
    federated          updates averaged in the clear (FedAvg)
    fedprox            the same, with a proximal term in each client's loss
    fedavgm, fedadagrad, fedadam, fedyogi, adaptive
                       the mean update taken for a pseudo-gradient; `adaptive` is the one that the experiment chooses
    private, private-fedprox, private-fedavgm, ..., private-adaptive
                       the same averages through secure aggregation, each beside its twin in the clear
    mpc                the images themselves secret-shared and the network trained under generic MPC
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Kind = Literal["centralised", "local", "clear", "secure", "mpc"]
ADAPTIVE: Final = "adaptive"
"""The server optimiser of the way of that name: whichever the experiment chooses."""
ADAPTIVE_OPTIMISERS: Final = ("fedavgm", "fedadagrad", "fedadam", "fedyogi")


@dataclass(frozen=True, slots=True)
class WayPlan:
    """What distinguishes a way.

    Attributes:
        name: as experiment files and result files write it.
        kind: who holds the images and how updates travel.
        server_optimiser: a name in `federation.server_step`, or `ADAPTIVE`; "fedavg" where there is nothing to average.
        proximal: whether clients train with FedProx's proximal term.
        twin: for a secure way, the way that averages the same updates in the clear.
    """

    name: str
    kind: Kind
    server_optimiser: str = "fedavg"
    proximal: bool = False
    twin: str | None = None

    @property
    def federated(self) -> bool:
        """Whether clients send updates, in the clear or not."""
        return self.kind in ("clear", "secure")

    @property
    def secure(self) -> bool:
        """Whether the updates go through secure aggregation."""
        return self.kind == "secure"


def _plans() -> Iterator[WayPlan]:
    yield WayPlan("centralised", "centralised")
    yield WayPlan("local", "local")
    clear = [WayPlan("federated", "clear"), WayPlan("fedprox", "clear", proximal=True)]
    clear += [WayPlan(name, "clear", name) for name in (*ADAPTIVE_OPTIMISERS, ADAPTIVE)]
    yield from clear
    for twin in clear:
        name = "private" if twin.name == "federated" else f"private-{twin.name}"
        yield WayPlan(name, "secure", twin.server_optimiser, twin.proximal, twin.name)
    yield WayPlan("mpc", "mpc")


WAYS: Final[Mapping[str, WayPlan]] = MappingProxyType({plan.name: plan for plan in _plans()})
"""Every way by its name, in the order in which tables show them."""
