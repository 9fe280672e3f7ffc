"""Which runs a comparison consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from privateyes.errors import ConfigError
from privateyes.experiments.folds import ONLY_FOLD
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.spec import ExperimentSpec, closest
from privateyes.experiments.spec_tables import Compare
from privateyes.experiments.tasks import task_of

_QUICK_ROUNDS, _QUICK_FOLDS, _QUICK_IMAGES = 2, 2, 64


@dataclass(frozen=True, slots=True)
class SubRun:
    """One run of a comparison: all methods that train here, for one seed and one fold."""

    seed: int
    fold: str
    spec: ExperimentSpec
    directory: Path

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"seed {self.seed}" if self.fold == ONLY_FOLD else f"seed {self.seed}, fold {self.fold}"

    @property
    def rounds(self) -> int:
        """Rounds of all its methods together."""
        return self.spec.training.rounds * len(self.spec.methods)


def settings_of(spec: ExperimentSpec) -> Compare:
    """The table [compare], with its defaults where the experiment has none."""
    return spec.compare or Compare()


def trained_methods(spec: ExperimentSpec) -> list[str]:
    """The methods that an ordinary run can train: all but generic MPC."""
    return [method for method in spec.methods if METHODS[method].kind != "mpc"]


def check_settings(spec: ExperimentSpec) -> None:
    """The rules of [compare] that join several keys.

    Raises:
        ConfigError: a seed or a baseline comes twice, a name is unknown, or nothing is left to train, or to test on.
    """
    if spec.split.test_persons == []:
        problem = "split.test_persons = [] leaves nobody to test on, and a comparison is of errors"
        raise ConfigError(problem, "test somebody, or use leave_one_out = true; `privateyes train` trains on everyone")
    settings = settings_of(spec)
    for key, values in (("seeds", settings.seeds), ("baselines", settings.baselines)):
        if len(set(values)) < len(values):
            raise ConfigError(f"compare.{key} = {list(values)} names something twice", "name each once")
    for name in (*settings.baselines, settings.relations.adaptive_method):
        if name not in METHODS:
            raise ConfigError(f'[compare] names the method "{name}", which is not known', closest(name, list(METHODS)))
    if not trained_methods(spec):
        problem = "methods names mpc alone, which a comparison measures on a few samples only"
        raise ConfigError(problem, 'add a method to compare it with, such as "centralised"')


def made_small(spec: ExperimentSpec) -> ExperimentSpec:
    """The same comparison made small: two rounds, two folds and 64 images of a person, to see whether it works.

    Raises:
        DataError: the data file's persons cannot be listed.
    """
    split, data = spec.split, spec.data
    if split.leave_one_out:
        made = [] if data.synthetic is None else list(data.synthetic.counts())
        folds = split.folds or made or sorted(task_of(spec).persons_of(Path(data.path or "")))
        split = split.model_copy(update={"folds": folds[:_QUICK_FOLDS]})
    limit = min(data.image_limit or _QUICK_IMAGES, _QUICK_IMAGES)
    return spec.model_copy(
        update={
            "name": f"{spec.name[:58]}-quick",
            "split": split,
            "data": data.model_copy(update={"image_limit": limit}),
            "training": spec.training.model_copy(update={"rounds": min(spec.training.rounds, _QUICK_ROUNDS)}),
        }
    )


def sub_spec(spec: ExperimentSpec, seed: int, fold: str, data: Path | None) -> ExperimentSpec:
    """The experiment of one run.

    Args:
        spec: the comparison's experiment.
        seed: of the run.
        fold: its only fold.
        data: a data file in place of persons to render; None for the experiment's own.
    """
    split = spec.split
    if split.leave_one_out:
        split = split.model_copy(update={"folds": [fold]})
    changes = {
        "seed": seed,
        "methods": trained_methods(spec),
        "split": split,
        "runtime": spec.runtime.model_copy(update={"workers": 1, "threads": 1}),
        "compare": None,
    }
    if data is not None:
        changes["data"] = spec.data.model_copy(update={"path": str(data.absolute()), "synthetic": None})
    return spec.model_copy(update=changes)


def plan_runs(spec: ExperimentSpec, folds: Sequence[str], out: Path, data: Path | None) -> list[SubRun]:
    """All runs, seed by seed, so that what is finished first is a whole repetition.

    Args:
        spec: the comparison's experiment.
        folds: names of the experiment's folds; the same for every seed.
        out: the comparison's directory.
        data: as for `sub_spec`.
    """
    return [
        SubRun(seed, fold, sub_spec(spec, seed, fold, data), out / f"seed-{seed}" / fold)
        for seed in settings_of(spec).seeds
        for fold in folds
    ]
