"""The tables of an experiment file: every key with its type, its range and, but for the data and the split, a default.

`experiments.spec` reads files into them and checks the rules that join several keys.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from privateyes.federation.partition import PartitionSettings
from privateyes.training.calibration_settings import CalibrationSettings

DEFAULT_TASK: Final = "gaze"
"""What experiment files and records of earlier versions are about, which name no task."""


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class SyntheticData(Table):
    """[data.synthetic]: persons to make before training, if the task can."""

    persons: Annotated[int, Field(ge=1, le=1000)]
    images_per_person: Annotated[int, Field(ge=1, le=1_000_000)]

    def counts(self) -> dict[str, int]:
        """Person -> number of images, by name."""
        return {f"r{index:02d}": self.images_per_person for index in range(self.persons)}


class Data(Table):
    """[data]: exactly one of `path` and `synthetic`.

    At most `image_limit` samples of each person are used. A task may add keys.
    """

    path: str | None = None
    image_limit: Annotated[int, Field(ge=1)] | None = None
    synthetic: SyntheticData | None = None


class Split(Table):
    """[split]: exactly one of `test_persons` and `leave_one_out`; `folds` picks some of the latter's.

    `validation_persons` neither train nor are they tested: training.patience decides by their errors.
    """

    test_persons: list[str] | None = None
    leave_one_out: bool = False
    folds: list[str] | None = None
    validation_persons: list[str] | None = None


class Model(Table):
    """[model]: a name that the task knows; for gaze one of `privateyes models`, or one's own (docs/own-models.md)."""

    name: str


class Training(Table):
    """[training]: see `training.settings.LocalSettings`.

    Every `evaluate_every` rounds, and after the last, the persons who do not train are tested.
    `proximal_mu` matters to the methods named after fedprox alone. With `patience`, a method ends after so many rounds
    without a better error on the validation persons, and its result is that of the best round.
    """

    rounds: Annotated[int, Field(ge=1, le=1_000_000)] = 15
    local_epochs: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    batch_size: Annotated[int, Field(ge=1)] = 32
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=1e30)] = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1e30)] = 1e-4
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    warmup_rounds: Annotated[int, Field(ge=0)] = 0
    decay_rounds: list[Annotated[int, Field(ge=1)]] = []
    decay_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    proximal_mu: Annotated[float, Field(ge=0, le=1e6)] = 0.01
    patience: Annotated[int, Field(ge=1)] | None = None
    evaluate_every: Annotated[int, Field(ge=1)] = 1
    precision: Literal["float32", "bfloat16", "float16"] = "float32"


class Runtime(Table):
    """[runtime]: on what, and on how much of it, a run works. It decides no result but for rounding on another device.

    `workers` are processes that train (0: one for each core, or one where a GPU computes), `threads` work on the large
    vectors of the secure aggregation (0: one for each core; as many as `workers` unless said).
    """

    device: Literal["cpu", "cuda", "auto"] = "cpu"
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    threads: Annotated[int, Field(ge=0, le=1024)] | None = None


class Partition(Table):
    """[partition]: how the training persons' images become clients; see `federation.partition.PartitionSettings`."""

    by: Literal["person", "device", "label_skew", "size_skew"] = "person"
    clients: Annotated[int, Field(ge=1, le=100_000)] | None = None
    clients_per_person: Annotated[int, Field(ge=1, le=100_000)] | None = None
    alpha: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    pitch_bins: Annotated[int, Field(ge=1, le=100)] = 3
    yaw_bins: Annotated[int, Field(ge=1, le=100)] = 5
    size_law: Literal["lognormal", "power"] = "lognormal"
    size_spread: Annotated[float, Field(ge=0, le=100)] = 1.0
    minimum: Annotated[int, Field(ge=1)] | None = None

    def settings(self) -> PartitionSettings:
        """The same, for `federation.partition.divide`."""
        return PartitionSettings(**self.model_dump())


Rate = Annotated[float, Field(gt=0, le=1e30)]
Memory = Annotated[float, Field(ge=0, lt=1)]


class FedAvgStep(Table):
    """[federation.fedavg]: see `federation.server_step`."""

    learning_rate: Rate = 1.0


class FedAvgMStep(Table):
    """[federation.fedavgm]: momentum at the server."""

    learning_rate: Rate = 1.5
    beta1: Memory = 0.5


class FedAdagradStep(Table):
    """[federation.fedadagrad]"""

    learning_rate: Rate = 0.03
    beta1: Memory = 0.0
    tau: Rate = 0.01


class FedAdamStep(Table):
    """[federation.fedadam]: for small updates FedAvg with momentum at three times the rate, bounded for large ones."""

    learning_rate: Rate = 0.06
    beta1: Memory = 0.5
    beta2: Memory = 0.99
    tau: Rate = 0.01


class FedYogiStep(Table):
    """[federation.fedyogi]"""

    learning_rate: Rate = 0.06
    beta1: Memory = 0.5
    beta2: Memory = 0.99
    tau: Rate = 0.01


class Federation(Table):
    """[federation]: who takes part in a round, and the server's step.

    `adaptive_optimiser` is the server optimiser of the methods `adaptive` and `private-adaptive`; each optimiser's own
    table, such as [federation.fedadam], holds its numbers. `server_schedule` lets the server's rate fall over the
    rounds. `dropout` and `stragglers` are as for `federation.cohorts.ClientFailures`: they befall the federated
    methods. With `weights`, a client's update weighs as much as it has samples, or as much as every other.
    """

    weights: Literal["samples", "equal"] = "samples"
    cohort_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    stragglers: Annotated[float, Field(ge=0, le=1)] = 0.0
    server_schedule: Literal["constant", "cosine"] = "constant"
    adaptive_optimiser: Literal["fedavgm", "fedadagrad", "fedadam", "fedyogi"] = "fedadam"
    fedavg: FedAvgStep = FedAvgStep()
    fedavgm: FedAvgMStep = FedAvgMStep()
    fedadagrad: FedAdagradStep = FedAdagradStep()
    fedadam: FedAdamStep = FedAdamStep()
    fedyogi: FedYogiStep = FedYogiStep()


class Aggregation(Table):
    """[aggregation]: the secure aggregation of `private` and of every other method with a counterpart in the clear.

    `clip` bounds every coordinate of an update, and `norm_clip` its L2 norm: by default `secure.LONGEST_UPDATE`, and 0
    lifts that limit. `scale_bits` defaults to the largest that cannot wrap; `roster_min` defaults to the whole cohort;
    `corrupt_clients` is how many clients are assumed corrupt; `mode` says who gets the averages: the clients alone
    (sealed), or everyone, with a record that anyone can check (public). With `clip_headroom`, each tensor's clip
    follows its updates: that many times the last average's largest coordinate, and never more than `clip`.
    """

    aggregators: Annotated[int, Field(ge=2, le=7)] = 3
    field: Literal["compact", "wide"] = "compact"
    clip: Annotated[float, Field(ge=1e-12, le=1e12)] = 1.0
    norm_clip: Annotated[float, Field(ge=0, le=1e12)] | None = None
    scale_bits: Annotated[int, Field(ge=1, le=40)] | None = None
    roster_min: Annotated[int, Field(ge=2)] | None = None
    corrupt_clients: Annotated[int, Field(ge=0)] = 0
    mode: Literal["sealed", "public"] = "sealed"
    clip_headroom: Annotated[float, Field(ge=1, le=1e6)] | None = None


class Store(Table):
    """[store]: where the parties of the secure methods keep what they must not forget.

    `mirrors` names three or more folders on different disks or machines, in place of the run's directory: every word is
    in all of them before it is sent, and a start needs more than half. It changes no result.
    """

    mirrors: list[Annotated[str, Field(min_length=1)]] = []


class Calibration(Table):
    """[calibration]: how test persons are calibrated at the end of a run; see `training.calibration_settings`."""

    samples: Annotated[list[Annotated[int, Field(ge=1, le=100_000)]], Field(min_length=1, max_length=32)] = [1, 5, 9]
    adapt: Literal["ridge", "offset", "last_layer", "all"] = "ridge"
    placement: Literal["spread", "random"] = "spread"
    draws: Annotated[int, Field(ge=1, le=10_000)] = 20
    eyes: Literal["auto", "halves", "together"] = "auto"

    def settings(self) -> CalibrationSettings:
        """The same, for `experiments.calibrate`."""
        return CalibrationSettings(tuple(self.samples), self.adapt, self.placement, self.draws, self.eyes)


class Mpc(Table):
    """[mpc]: generic MPC on the images themselves (docs/mpc.md), for `privateyes mpc` and `compare` alone.

    A small network and few samples: `samples_per_person`, evenly spaced over each person's. `network = "model"` trains
    the experiment's [model] if it is known under MPC. `parties` is what the protocol takes, if left out. With
    `loss = "l1"`, the sign of a residual decides a gradient, and training amplifies the last bit of fixed point. Steps
    of the experiment's [model] are measured with each of `probe_batches`, to extrapolate from; none, if that is empty.
    """

    protocol: Literal["aby3", "cheetah", "semi2k"] = "aby3"
    parties: Annotated[int, Field(ge=2, le=7)] | None = None
    network: Literal["perceptron", "model"] = "perceptron"
    hidden: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(max_length=4)] = [32]
    samples_per_person: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 10
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1e3)] = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    loss: Literal["l1", "l2"] = "l2"
    ring_bits: Literal[64, 128] = 64
    probe_batches: Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(max_length=2)] = [1, 4]
    silence_s: Annotated[int, Field(ge=10, le=86_400)] = 600


class Relations(Table):
    """[compare.relations]: what `privateyes compare --check` asks, in the errors' unit.

    `adaptive_method` may be at most `above_centralised` worse than centralised, and has to be better than federated by
    more than `below_federated`; a secure method and its counterpart in the clear may differ by at most
    `from_counterpart` in any seed.
    """

    adaptive_method: str = "adaptive"
    above_centralised: Annotated[float, Field(ge=0, le=1e6)] = 0.2
    below_federated: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    from_counterpart: Annotated[float, Field(ge=0, le=1e6)] = 0.02


def _noun(text: str) -> str:
    if not (text.strip() and len(text) <= 40 and text.isprintable()):
        raise PydanticCustomError("noun", 'should be 1 to 40 printable characters, such as "day blocks"')
    return text


class Compare(Table):
    """[compare]: what `privateyes compare` repeats and reports; nothing else reads it.

    Everything runs once for each of `seeds`, `parallel` folds and seeds at a time (0: one per core). `target_errors`
    are the errors for which rounds and seconds are reported; without them, three are derived from what was measured.
    Every method is compared person by person with each of `baselines`. `watts_per_core` turns seconds of one core into
    energy. What a finished run needs no more is deleted where `keep_checkpoints` or `keep_records` is false: the models
    (without which it cannot be evaluated) and the secure methods' message records. `persons_are` says in the tables, on
    the page and in the charts what the data's persons are, where they are none: a noun in the plural.
    """

    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=3, max_length=1000)] = [1, 2, 3]
    baselines: list[str] = ["centralised", "federated"]
    target_errors: Annotated[list[Annotated[float, Field(gt=0, le=1e6)]], Field(max_length=12)] = []
    parallel: Annotated[int, Field(ge=0, le=1024)] = 0
    watts_per_core: Annotated[float, Field(gt=0, le=1e6)] = 10.0
    keep_checkpoints: bool = True
    keep_records: bool = True
    persons_are: Annotated[str, AfterValidator(_noun)] = "persons"
    relations: Relations = Relations()


class ExperimentSpec(Table):
    """A whole experiment file; a task may add keys to its tables, and tables."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    task: str = DEFAULT_TASK
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    methods: list[str] = ["centralised", "local", "federated", "private"]
    data: Data
    split: Split
    model: Model
    training: Training = Training()
    runtime: Runtime = Runtime()
    partition: Partition = Partition()
    federation: Federation = Federation()
    aggregation: Aggregation = Aggregation()
    store: Store = Store()
    calibration: Calibration | None = None
    compare: Compare | None = None
    mpc: Mpc | None = None

    def result_key(self) -> dict[str, Any]:
        """What decides the results: neither workers and threads, nor mirrors, nor what only a comparison reads."""
        return self.model_dump(exclude={"compare": True, "mpc": True, "store": True, "runtime": {"workers", "threads"}})
