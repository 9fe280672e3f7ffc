"""The methods of training that an experiment can name, and how they differ.

All start from the same parameters and pass equally often over each person's images, through the same training code:

    centralised        one client that holds everybody's images: the reference
    local              each person alone, with a model of its own
    federated          updates averaged in the clear (FedAvg)
    fedprox            the same, with a proximal term in each client's loss
    fedavgm, fedadagrad, fedadam, fedyogi, adaptive
                       the mean update taken for a pseudo-gradient; `adaptive` is the one that the experiment chooses
    private, private-fedprox, private-fedavgm, ..., private-adaptive
                       the same averages through secure aggregation, each beside its counterpart in the clear
    mpc                the images themselves secret-shared and the network trained under generic MPC
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Kind = Literal["centralised", "local", "clear", "secure", "mpc"]
ADAPTIVE: Final = "adaptive"
"""The server optimiser of the method of that name: whichever the experiment chooses."""
ADAPTIVE_OPTIMISERS: Final = ("fedavgm", "fedadagrad", "fedadam", "fedyogi")


@dataclass(frozen=True, slots=True)
class MethodPlan:
    """What distinguishes a method.

    Attributes:
        name: as experiment files and result files write it.
        kind: who holds the images and how updates travel.
        server_optimiser: a name in `federation.server_step`, or `ADAPTIVE`; "fedavg" where there is nothing to average.
        proximal: whether clients train with FedProx's proximal term.
        counterpart: for a secure method, the method that averages the same updates in the clear.
    """

    name: str
    kind: Kind
    server_optimiser: str = "fedavg"
    proximal: bool = False
    counterpart: str | None = None

    @property
    def federated(self) -> bool:
        """Whether clients send updates, in the clear or not."""
        return self.kind in ("clear", "secure")

    @property
    def secure(self) -> bool:
        """Whether the updates go through secure aggregation."""
        return self.kind == "secure"


def _plans() -> Iterator[MethodPlan]:
    yield MethodPlan("centralised", "centralised")
    yield MethodPlan("local", "local")
    clear = [MethodPlan("federated", "clear"), MethodPlan("fedprox", "clear", proximal=True)]
    clear += [MethodPlan(name, "clear", name) for name in (*ADAPTIVE_OPTIMISERS, ADAPTIVE)]
    yield from clear
    for counterpart in clear:
        name = "private" if counterpart.name == "federated" else f"private-{counterpart.name}"
        yield MethodPlan(name, "secure", counterpart.server_optimiser, counterpart.proximal, counterpart.name)
    yield MethodPlan("mpc", "mpc")


METHODS: Final[Mapping[str, MethodPlan]] = MappingProxyType({plan.name: plan for plan in _plans()})
"""Every method by its name, in the order in which tables show them."""
