"""What a training under MPC ended with: errors, deviation from its counterpart in the clear, and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from privateyes.baselines.mpc.costs import Cost
from privateyes.experiments.spec_tables import DEFAULT_TASK


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far the parameters are from those of the counterpart in the clear.

    Attributes:
        largest, mean: absolute difference over all parameters.
        largest_change: how far training moved the parameter that it moved most, to compare with.
    """

    largest: float
    mean: float
    largest_change: float


@dataclass(frozen=True, slots=True)
class MpcResult:
    """One training under MPC, of one fold.

    Attributes:
        digest: of everything that decides it; another digest is another training.
        fold: its name.
        engine, protocol, parties, ring_bits, fraction_bits: what computed it.
        threat_model: whom that protects against, and whom not.
        network, parameters: what was trained.
        samples: training person -> samples that the person shared.
        epochs: passes over them.
        unit: of all errors: the key of the task's metric, such as "deg".
        errors: test person -> mean error of the network trained under MPC.
        counterpart_errors: the same of its counterpart, trained in the clear with the same steps.
        shaken_errors: the same of a counterpart that starts from parameters one unit of fixed point away: what the
            training makes of a difference that small, however it came about.
        guess_errors: the same of the mean label of the shared samples, which any network must beat.
        deviation: of the parameters from the counterpart's.
        measured: what its steps cost.
        setup_s: before the first step: starting, sharing, linking, compiling.
        total_s: everything.
        share_bytes: size of one party's shares of all images and labels.
        cpu_s, peak_memory_bytes: of each party.
        cores: processor cores of the one machine that all parties shared.
        probes: measured steps of the experiment's own model.
        extrapolated: what larger trainings would cost; nobody ran them.
        task: whose metric that is.
    """

    digest: str
    fold: str
    engine: str
    protocol: str
    parties: int
    ring_bits: int
    fraction_bits: int
    threat_model: str
    network: str
    parameters: int
    samples: Mapping[str, int]
    epochs: int
    unit: str
    errors: Mapping[str, float]
    counterpart_errors: Mapping[str, float]
    shaken_errors: Mapping[str, float]
    guess_errors: Mapping[str, float]
    deviation: Deviation
    measured: Cost
    setup_s: float
    total_s: float
    share_bytes: int
    cpu_s: tuple[float, ...]
    peak_memory_bytes: tuple[int, ...]
    cores: int
    probes: tuple[Cost, ...] = ()
    extrapolated: tuple[Cost, ...] = ()
    task: str = DEFAULT_TASK

    def as_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> MpcResult:
        """The inverse of `as_json`.

        Raises:
            TypeError, KeyError: fields are missing or unknown.
        """
        return cls(
            **{
                **content,
                "deviation": Deviation(**content["deviation"]),
                "measured": Cost.from_json(content["measured"]),
                "cpu_s": tuple(content["cpu_s"]),
                "peak_memory_bytes": tuple(content["peak_memory_bytes"]),
                "probes": tuple(Cost.from_json(cost) for cost in content["probes"]),
                "extrapolated": tuple(Cost.from_json(cost) for cost in content["extrapolated"]),
            }
        )
