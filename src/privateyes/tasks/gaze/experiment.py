"""Gaze estimation as experiments see it: what `experiments.task.Task` asks for, from the modules of this package.

They are imported where they are needed: tables and pages are made without torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from privateyes.errors import ConfigError
from privateyes.experiments.spec import closest
from privateyes.experiments.task import Inventory, Task, Words
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR, DISTANCE
from privateyes.tasks.gaze.tables import GazeExperiment
from privateyes.training.own_code import OwnSource, is_own
from privateyes.wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privateyes.experiments.prepare import Preparation
    from privateyes.experiments.report.files import RunFiles
    from privateyes.experiments.report.section import Section
    from privateyes.federation.partition import PersonRows
    from privateyes.tasks.gaze.preprocess import Pictures
    from privateyes.tasks.gaze.task import GazeTask
    from privateyes.training.calibration import Prior

RENDERED_SHAPE: Final = (36, 60)
"""(height, width) of the eyes that a run renders for itself."""


class GazeEstimation(Task[GazeExperiment, "GazeTask"]):
    """Where people look, from pictures of their eyes."""

    experiment = GazeExperiment
    metrics = (ANGULAR_ERROR, DISTANCE)
    words = Words(
        title="private training of a gaze estimator",
        labels="gaze labels",
        sample="eye image",
        making="rendering",
        have_made="rendered",
        made="Rendered eyes",
        made_file="synthetic_eyes.h5",
    )
    label_shape = (2,)
    calibrates = True
    under_mpc = True

    def check(self, spec: GazeExperiment) -> None:
        """The model is known, or of one's own; nothing is imported for that."""
        from privateyes.tasks.gaze.models import MODELS

        name = spec.model.name
        if name not in MODELS and not is_own(name):
            raise ConfigError(f'model.name = "{name}" is not known', closest(name, sorted(MODELS)))

    def own_model(self, spec: GazeExperiment) -> OwnSource | None:
        """Where a torch module of one's own is written."""
        from privateyes.tasks.gaze.models import source_of_own_model

        return source_of_own_model(spec.model.name) if is_own(spec.model.name) else None

    def inventory(self, spec: GazeExperiment) -> Inventory:
        """Everyone's rows, and the task with the sizes of their pictures."""
        from privateyes.tasks.gaze.augment import Augmentation
        from privateyes.tasks.gaze.data_summary import grey_eyes, take_stock
        from privateyes.tasks.gaze.models import require_fit
        from privateyes.tasks.gaze.task import GazeTask

        pictures = _pictures(spec)
        if spec.data.path is None:
            summary = grey_eyes("[data.synthetic]", pictures.shape_after(RENDERED_SHAPE), _counts(spec))
        else:
            summary = take_stock(Path(spec.data.path), pictures)
        limit = spec.data.image_limit
        require_fit(spec.model.name, summary.offer(spec.data.label))
        learning = GazeTask(
            path=Path(summary.source),
            model=spec.model.name,
            image_shape=summary.image_shape,
            loss=spec.training.loss,
            image_limit=limit,
            eye_shape=summary.eye_shape,
            checked=summary.stamp,
            label=spec.data.label,
            pictures=pictures,
            augmentation=Augmentation(**spec.augmentation.model_dump()),
        )
        samples = {person: count if limit is None else min(count, limit) for person, count in summary.counts.items()}
        return Inventory(summary.source, samples, learning)

    def persons_of(self, data: Path) -> list[str]:
        """The groups of the HDF5 file."""
        from privateyes.tasks.gaze.dataset import list_persons

        return list_persons(data)

    def require_readable(self, data: Path) -> None:
        """It opens as HDF5."""
        from privateyes.tasks.gaze.stored import open_file

        with open_file(data):
            pass

    def make_data(self, spec: GazeExperiment, out: Path) -> None:
        """Rendered eyes."""
        from privateyes.tasks.gaze.dataset import write_persons
        from privateyes.tasks.gaze.synthetic import render_persons

        synthetic = spec.data.synthetic
        if synthetic is not None:
            write_persons(out, render_persons(spec.seed, synthetic.persons, synthetic.images_per_person))

    def label_rows(self, spec: GazeExperiment) -> Mapping[str, PersonRows]:
        """Where everyone looks. Persons are rendered later, their labels not."""
        from privateyes.federation.partition import PersonRows
        from privateyes.tasks.gaze.label_rows import kept_rows, read_label_rows
        from privateyes.tasks.gaze.synthetic import draw_labels

        limit = spec.data.image_limit
        if spec.data.path is not None:
            return read_label_rows(Path(spec.data.path), None, limit, spec.data.label).persons
        return {
            name: PersonRows(draw_labels(spec.seed, index, count)[kept_rows(count, limit)])
            for index, (name, count) in enumerate(_counts(spec).items())
        }

    def warnings(self, spec: GazeExperiment, persons: set[str]) -> list[str]:
        """Labels that the pixels contradict."""
        from privateyes.tasks.gaze.check import contradicted_labels

        path = spec.data.path
        if path is None or spec.data.label != "gaze":
            return []
        findings, told = contradicted_labels(Path(path), persons), []
        for what, remedy in dict.fromkeys((finding.what.partition(",")[0], finding.remedy) for finding in findings):
            whose = sorted(finding.person for finding in findings if finding.what.startswith(what))
            listed = ", ".join(whose[:3]) + (" and others" if len(whose) > 3 else "")
            told.append(
                f"{what} for {len(whose)} of {counted(len(persons), 'person')} ({listed}); models learn what "
                f"labels say. Look at `privateyes data check {path}`, and {remedy}"
            )
        return told

    def describe_model(self, learning: GazeTask, made: bool) -> dict[str, Any]:
        """What `privateyes predict` and `export` need to know."""
        from privateyes.tasks.gaze.trained import describe_model

        return describe_model(learning, made)

    def describe_clients(self, preparation: Preparation, learning: GazeTask) -> dict[str, Any]:
        """Whose images each client holds, how many, and where they look."""
        from privateyes.tasks.gaze.clients import clients_of_run

        return clients_of_run(preparation.folds[0], preparation.spec.partition.settings(), learning)

    def picture_section(self, files: RunFiles, shown: bool) -> Section:
        """Sample eyes with arrows of true and predicted gaze."""
        from privateyes.tasks.gaze.page.sections import eye_section

        return eye_section(files, shown)

    def client_section(self, files: RunFiles) -> Section | None:
        """Where each client's images look."""
        from privateyes.tasks.gaze.page.sections import client_section

        return client_section(files)

    def prior(self, learning: GazeTask) -> Prior:
        """Of angles, or of points."""
        from privateyes.tasks.gaze.priors import GAZE_PRIOR, POINT_PRIOR

        return GAZE_PRIOR if learning.label == "gaze" else POINT_PRIOR

    def calibration_groups(self, learning: GazeTask, person: str, eyes: str) -> dict[str, NDArray[np.int64]]:
        """Each eye's rows, where eyes are told apart."""
        from privateyes.tasks.gaze.label_rows import read_label_rows

        rows = read_label_rows(learning.path, [person], learning.image_limit, learning.label).persons[person]
        every = np.arange(len(rows), dtype=np.int64)
        if eyes == "halves":
            return {"left": every[: len(every) // 2], "right": every[len(every) // 2 :]}
        if eyes == "auto" and rows.eye is not None:
            groups = {"left": every[rows.eye == 0], "right": every[rows.eye == 1]}
            return {eye: group for eye, group in groups.items() if len(group)}
        return {"": every}

    def calibration_notes(self, learning: GazeTask, undivided: Iterable[str]) -> list[str]:
        """Whose eyes could not be told apart; of faces, which show both in every picture, nothing."""
        from privateyes.tasks.gaze.stored import image_content, open_file

        persons = list(undivided)
        with open_file(learning.path) as file:
            if not persons or image_content(file) == "face":
                return []
        who = ", ".join(persons[:3]) + (" and others" if len(persons) > 3 else "")
        return [
            f"The data do not tell the eyes of {who} apart, so both were calibrated together; what differs between a "
            "person's eyes is not corrected then. If the rows list left eyes first, use eyes = 'halves'."
        ]

    def image_under_mpc(self, spec: GazeExperiment, learning: GazeTask) -> tuple[int, int] | None:
        """Some small networks on grey images and head poses are known there."""
        from privateyes.baselines.mpc.job import IMAGE_KINDS

        if spec.model.name not in IMAGE_KINDS or len(learning.image_shape) != 2:
            return None
        return learning.image_shape[0], learning.image_shape[1]


def _counts(spec: GazeExperiment) -> dict[str, int]:
    return {} if spec.data.synthetic is None else spec.data.synthetic.counts()


def _pictures(spec: GazeExperiment) -> Pictures:
    from privateyes.tasks.gaze.preprocess import Pictures

    given = spec.data
    size = None if given.resize is None else (given.resize[0], given.resize[1])
    return Pictures(grey=given.grey, resize=size, equalise=given.equalise)


TASK: Final = GazeEstimation()
