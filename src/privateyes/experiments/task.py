"""What a task brings to experiments: data, models and loss, metrics, its part of the experiment file, words, pictures.

Experiments, pages and the command line know of no task but through this class; docs/own-tasks.md shows a small one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from privateyes.errors import ConfigError, DataError
from privateyes.experiments.spec_tables import ExperimentSpec
from privateyes.training.metric import Metric
from privateyes.training.own_code import OwnSource

if TYPE_CHECKING:  # torch, which no page and no table needs
    import numpy as np
    from numpy.typing import NDArray

    from privateyes.experiments.prepare import Preparation
    from privateyes.experiments.report.files import RunFiles
    from privateyes.experiments.report.section import Section
    from privateyes.federation.partition import PersonRows
    from privateyes.training.calibration import Prior
    from privateyes.training.task import TaskOnData

Spec = TypeVar("Spec", bound=ExperimentSpec)
Learning = TypeVar("Learning", bound="TaskOnData")


@dataclass(frozen=True, slots=True)
class Words:
    """What a task's things are called.

    Attributes:
        title: of a run's page, after the run's name.
        labels: what is kept private beside the images.
        sample: one sample of made data, which "s" makes several.
        making, have_made: what making them is called, as it begins and after it.
        made: made data, as a run's page begins: "Rendered eyes" of 9 invented people.
        made_file: the name of the file that made data are kept in.
    """

    title: str = "private training"
    labels: str = "labels"
    sample: str = "image"
    making: str = "making"
    have_made: str = "made"
    made: str = "Images"
    made_file: str = "synthetic.data"


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is to learn from.

    Attributes:
        source: names the data in messages.
        samples: person -> number of samples that are used.
        learning: model, loss and metrics on these data, which need not be made yet.
    """

    source: str
    samples: Mapping[str, int]
    learning: TaskOnData


class Task(ABC, Generic[Spec, Learning]):
    """What is learned, from which data, in which words; an experiment file names it.

    Methods that are not abstract may be left as they are.

    Attributes:
        experiment: the tables of its experiment files: `ExperimentSpec`, or a class derived from it with further keys.
        metrics: everything that it can be measured by. A run's files name one by its key, or none if it is the first.
        words: what its things are called.
        label_shape: of one label and one prediction in ``samples.npz``; None for any.
        calibrates: whether [calibration] may be asked for: labels are two numbers, and `prior` says what is believed.
        under_mpc: whether the method `mpc` can learn it: labels are numbers, in one row for each sample.
    """

    experiment: type[Spec]
    metrics: tuple[Metric, ...]
    words: Words = Words()
    label_shape: tuple[int, ...] | None = None
    calibrates: bool = False
    under_mpc: bool = False

    def metric(self, key: str | None) -> Metric:
        """The metric of a key; the first if there is none.

        Raises:
            DataError: the task has no such metric.
        """
        if key is None:
            return self.metrics[0]
        for metric in self.metrics:
            if metric.key == key:
                return metric
        known = ", ".join(metric.key for metric in self.metrics)
        raise DataError(f'unit "{key}" is not known to this task', f"it knows {known}")

    # the experiment file

    def check(self, spec: Spec) -> None:
        """Refuse what the types of the keys do not show; nothing is read.

        Raises:
            ConfigError: names the key.
        """

    def own_model(self, spec: Spec) -> OwnSource | None:  # noqa: ARG002
        """Where the experiment's model is written, if it is somebody's own and can change while a run goes on."""
        return None

    # data

    @abstractmethod
    def inventory(self, spec: Spec) -> Inventory:
        """Read the experiment's data once and check that its model fits them; of data to be made, what they will be.

        Raises:
            DataError: the data cannot be used.
            ConfigError: the model or a key does not fit the data.
        """

    @abstractmethod
    def persons_of(self, data: Path) -> list[str]:
        """Sorted names of the persons in a data file.

        Raises:
            DataError: it cannot be read.
        """

    def require_readable(self, data: Path) -> None:
        """Refuse a data file that cannot be opened: said first, for without it nothing else is worth saying.

        Raises:
            DataError: it cannot.
        """
        self.persons_of(data)

    def make_data(self, spec: Spec, out: Path) -> None:  # noqa: ARG002
        """Make the persons of [data.synthetic], the same for the same seed; `out` is there completely or not at all.

        Raises:
            ConfigError: this task makes no data.
        """
        raise ConfigError("[data.synthetic]: this task makes no data", "name a file with data.path")

    def label_rows(self, spec: Spec) -> Mapping[str, PersonRows]:  # noqa: ARG002
        """Two numbers of each sample, by which [partition] may divide persons into clients.

        Raises:
            ConfigError: this task has none.
        """
        raise ConfigError("[partition]: this task does not say by what to divide", "remove it: a person is a client")

    def warnings(self, spec: Spec, persons: set[str]) -> list[str]:  # noqa: ARG002
        """What looks wrong with the data of the persons who take part, in whole sentences; training goes on."""
        return []

    # what a run keeps

    def describe_model(self, learning: Learning, made: bool) -> Mapping[str, Any] | None:  # noqa: ARG002
        """The content of ``model.json``: what its models take and give; None if there is to be no such file.

        Args:
            learning: on a data file that exists.
            made: whether the run made its data itself.
        """
        return None

    def describe_clients(self, preparation: Preparation, learning: Learning) -> Mapping[str, Any] | None:  # noqa: ARG002
        """What ``results.json`` says of the first fold's clients; None for no more than who holds how many.

        It has what `experiments.clients.plain_clients` gives, and whatever `client_section` makes use of.
        """
        return None

    # a run's page

    def picture_section(self, files: RunFiles, shown: bool) -> Section | None:  # noqa: ARG002
        """Sample pictures with what was predicted; None for no such section.

        Args:
            files: of the run; its samples are there only if pictures are to be shown.
            shown: whether they are. Where real people's pictures must not travel, the page goes without.
        """
        return None

    def client_section(self, files: RunFiles) -> Section | None:  # noqa: ARG002
        """What `describe_clients` said of the clients; None for a plain table."""
        return None

    # personal calibration and generic MPC

    def prior(self, learning: Learning) -> Prior:
        """What is believed of people before any of their samples is seen; only if `calibrates`."""
        raise NotImplementedError

    def calibration_groups(self, learning: Learning, person: str, eyes: str) -> dict[str, NDArray[np.int64]]:
        """Which samples of a person are calibrated together: name -> positions; only if `calibrates`."""
        raise NotImplementedError

    def calibration_notes(self, learning: Learning, undivided: Iterable[str]) -> list[str]:  # noqa: ARG002
        """What readers should know of persons whose samples are in one nameless group, though asked to be divided."""
        return []

    def image_under_mpc(self, spec: Spec, learning: Learning) -> tuple[int, int] | None:  # noqa: ARG002
        """(height, width) of the grey images, if the experiment's own model is known under MPC; else None."""
        return None


Note = Callable[[str], None]
"""Is told something in words."""
