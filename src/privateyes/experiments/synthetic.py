"""The persons of [data.synthetic], made once and kept."""

from __future__ import annotations

from pathlib import Path

from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.task import Note
from privateyes.experiments.tasks import task_of
from privateyes.wording import counted


def data_of(spec: ExperimentSpec, folder: Path) -> Path:
    """The experiment's data file; of persons that are made, where they are kept in a run's or comparison's folder."""
    return folder / task_of(spec).words.made_file if spec.data.path is None else Path(spec.data.path)


def make_data(spec: ExperimentSpec, folder: Path, note: Note | None = None) -> bool:
    """Make the persons of [data.synthetic] with the experiment's seed, if they are not in `folder`; whether it did.

    Args:
        spec: the experiment.
        folder: the file is there completely or not at all.
        note: is told before.
    """
    synthetic, path = spec.data.synthetic, data_of(spec, folder)
    if synthetic is None or path.exists():
        return False
    for unfinished in folder.glob(f".{path.name}.*.part"):  # left behind by a kill
        unfinished.unlink(missing_ok=True)
    task = task_of(spec)
    if note is not None:
        each = counted(synthetic.images_per_person, task.words.sample)
        note(f"{task.words.making} {counted(synthetic.persons, 'person')} with {each} each")
    task.make_data(spec, path)
    return True
