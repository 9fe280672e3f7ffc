"""The tables of an experiment file: every key with its type, its range and, but for the data and the split, a default.

`experiments.spec` reads files into them and checks the rules that join several keys.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from privateyes.tasks.gaze.augment import LARGEST


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class SyntheticData(Table):
    """[data.synthetic]: persons to render before training."""

    persons: Annotated[int, Field(ge=1, le=1000)]
    images_per_person: Annotated[int, Field(ge=1, le=1_000_000)]


class Data(Table):
    """[data]: exactly one of `path` and `synthetic`."""

    path: str | None = None
    equalise: bool = False
    image_limit: Annotated[int, Field(ge=1)] | None = None
    synthetic: SyntheticData | None = None


class Split(Table):
    """[split]: exactly one of `test_persons` and `leave_one_out`; `folds` picks some of the latter's."""

    test_persons: list[str] | None = None
    leave_one_out: bool = False
    folds: list[str] | None = None


class Model(Table):
    """[model]"""

    name: str


class Training(Table):
    """[training]: see `training.local.LocalSettings`; `workers` changes nothing but time (0: one per core)."""

    rounds: Annotated[int, Field(ge=1, le=1_000_000)] = 15
    local_epochs: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] = 32
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=1e30)] = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1e30)] = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    loss: Literal["l1", "l2"] = "l1"
    workers: Annotated[int, Field(ge=0, le=1024)] = 0


class Augmentation(Table):
    """[augmentation]: see `tasks.gaze.augment.Augmentation`, key by key; everything is off by default."""

    mirror: Annotated[float, Field(ge=0, le=LARGEST["mirror"])] = 0.0
    rotation_deg: Annotated[float, Field(ge=0, le=LARGEST["rotation_deg"])] = 0.0
    shift_px: Annotated[int, Field(ge=0, le=LARGEST["shift_px"])] = 0
    brightness: Annotated[float, Field(ge=0, le=LARGEST["brightness"])] = 0.0
    contrast: Annotated[float, Field(ge=0, le=LARGEST["contrast"])] = 0.0
    gamma: Annotated[float, Field(ge=0, le=LARGEST["gamma"])] = 0.0
    light_gradient: Annotated[float, Field(ge=0, le=LARGEST["light_gradient"])] = 0.0
    blur_px: Annotated[float, Field(ge=0, le=LARGEST["blur_px"])] = 0.0
    noise: Annotated[float, Field(ge=0, le=LARGEST["noise"])] = 0.0


Rate = Annotated[float, Field(gt=0, le=1e30)]
Memory = Annotated[float, Field(ge=0, lt=1)]


class FedAvgStep(Table):
    """[federation.fedavg]: see `federation.server_step`."""

    learning_rate: Rate = 1.0


class FedAvgMStep(Table):
    """[federation.fedavgm]: momentum at the server."""

    learning_rate: Rate = 1.0
    beta1: Memory = 0.9


class FedAdagradStep(Table):
    """[federation.fedadagrad]"""

    learning_rate: Rate = 0.01
    beta1: Memory = 0.0
    tau: Rate = 1e-3


class FedAdamStep(Table):
    """[federation.fedadam]"""

    learning_rate: Rate = 0.01
    beta1: Memory = 0.9
    beta2: Memory = 0.99
    tau: Rate = 1e-3


class FedYogiStep(Table):
    """[federation.fedyogi]"""

    learning_rate: Rate = 0.01
    beta1: Memory = 0.9
    beta2: Memory = 0.99
    tau: Rate = 1e-3


class Federation(Table):
    """[federation]: who takes part in a round, and the server's step.

    `adaptive_optimiser` is the server optimiser of the ways `adaptive` and `private-adaptive`; each optimiser's own
    table, such as [federation.fedadam], holds its numbers. `server_schedule` lets the server's rate fall over the
    rounds.
    """

    cohort_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    server_schedule: Literal["constant", "cosine"] = "constant"
    adaptive_optimiser: Literal["fedavgm", "fedadagrad", "fedadam", "fedyogi"] = "fedadam"
    fedavg: FedAvgStep = FedAvgStep()
    fedavgm: FedAvgMStep = FedAvgMStep()
    fedadagrad: FedAdagradStep = FedAdagradStep()
    fedadam: FedAdamStep = FedAdamStep()
    fedyogi: FedYogiStep = FedYogiStep()


class Aggregation(Table):
    """[aggregation]: the secure aggregation of `private`.

    `clip` bounds every coordinate of an update; `scale_bits` defaults to the largest that cannot wrap; `roster_min`
    defaults to the whole cohort; `corrupt_clients` is how many clients are assumed corrupt; `mode` says who gets the
    averages: the clients alone (sealed), or everyone, with a record that anyone can check (public). With
    `clip_headroom`, each tensor's clip follows its updates: that many times the last average's largest coordinate, and
    never more than `clip`.
    """

    aggregators: Annotated[int, Field(ge=2, le=7)] = 3
    field: Literal["compact", "wide"] = "compact"
    clip: Annotated[float, Field(ge=1e-12, le=1e12)] = 1.0
    scale_bits: Annotated[int, Field(ge=1, le=40)] | None = None
    roster_min: Annotated[int, Field(ge=2)] | None = None
    corrupt_clients: Annotated[int, Field(ge=0)] = 0
    mode: Literal["sealed", "public"] = "sealed"
    clip_headroom: Annotated[float, Field(ge=1, le=1e6)] | None = None


class ExperimentSpec(Table):
    """A whole experiment file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    ways: list[str] = ["centralised", "local", "federated", "private"]
    data: Data
    split: Split
    model: Model
    training: Training = Training()
    augmentation: Augmentation = Augmentation()
    federation: Federation = Federation()
    aggregation: Aggregation = Aggregation()

    def result_key(self) -> dict[str, Any]:
        """What decides the results: everything but the number of workers."""
        key = self.model_dump()
        del key["training"]["workers"]
        return key
