"""A task of one's own: find drawn shapes in noisy pictures. It is all that privateyes needs to know of it.

task = "shapes_task:SHAPES"
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from privateyes.errors import ConfigError, DataError
from privateyes.experiments.report.files import RunFiles
from privateyes.experiments.report.section import Section
from privateyes.experiments.spec_tables import Data, ExperimentSpec, Table
from privateyes.experiments.task import Inventory, Task, Words
from privateyes.federation.partition import PersonRows
from privateyes.files import write_atomically
from privateyes.training.metric import Metric
from privateyes.training.task import Examples

# The experiment file


class ShapesData(Data):
    """[data] of shapes: which of them are looked for."""

    wanted: Literal["all", "discs"] = "all"


class Drawing(Table):
    """[drawing]: how [data.synthetic] is drawn."""

    side_px: Annotated[int, Field(ge=8, le=256)] = 16
    noise: Annotated[float, Field(ge=0, le=128)] = 40.0


class ShapesExperiment(ExperimentSpec):
    """An experiment file about shapes."""

    data: ShapesData
    drawing: Drawing = Drawing()


# How good a mask is


def dice(predicted: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    """Mean over the pictures of twice the overlap over both areas [Dice 1945]; of probabilities, from a half on."""
    found, there = (np.reshape(masks, (len(masks), -1)) >= 0.5 for masks in (predicted, true))
    both = 2 * np.sum(found & there, axis=1)
    return float(np.mean(both / np.maximum(np.sum(found, axis=1) + np.sum(there, axis=1), 1)))


def missed(predicted: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    """The share of the shapes' pixels that was not found, in percent."""
    there = np.asarray(true) >= 0.5
    return float(100 * np.sum(there & (np.asarray(predicted) < 0.5)) / max(1, np.sum(there)))


DICE = Metric(
    key="dice", name="Dice score", plural="Dice scores", measure="Dice score", sign="", word="", mean="mean mask",
    of=dice, lower_is_better=False, places=3,
)  # fmt: skip
MISSED = Metric(
    key="missed", name="missed area", plural="missed areas", measure="missed area", sign=" %", word="percent",
    mean="mean mask", of=missed, places=1,
)  # fmt: skip


# Data, model and loss


def drawn(seed: int, person: int, count: int, drawing: Drawing) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pictures and what is in them: 0 nothing, 1 a disc, 2 a square; uint8 (N, side, side) each."""
    generator, side = np.random.default_rng([seed, person]), drawing.side_px
    rows, columns = np.mgrid[:side, :side]
    pictures, masks = [], []
    for _ in range(count):
        row, column = generator.uniform(0.3 * side, 0.7 * side, 2)
        radius, kind = generator.uniform(0.15 * side, 0.3 * side), generator.integers(1, 3)
        across = np.hypot(rows - row, columns - column)
        inside = (across if kind == 1 else np.maximum(abs(rows - row), abs(columns - column))) <= radius
        grey = 90.0 + 80.0 * inside + generator.normal(0.0, drawing.noise, (side, side))
        pictures.append(np.clip(grey, 0, 255).astype(np.uint8))
        masks.append((kind * inside).astype(np.uint8))
    return np.stack(pictures), np.stack(masks)


def read(path: Path) -> Mapping[str, NDArray[np.uint8]]:
    """The arrays ``<person>/pictures`` and ``<person>/masks`` of a file.

    Raises:
        DataError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error})", "name an .npz file of pictures and masks") from error


@dataclass(frozen=True, slots=True)
class ShapesOnData:
    """`training.task.TaskOnData` for shapes."""

    path: Path
    wanted: str
    limit: int | None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return DICE, MISSED

    def on(self, data: Path) -> Self:
        return replace(self, path=data)

    def unlimited(self) -> Self:
        return replace(self, limit=None)

    def build_model(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Sequential(
                nn.Conv2d(1, 8, 5, padding=2), nn.GroupNorm(2, 8), nn.ReLU(),
                nn.Conv2d(8, 8, 5, padding=2), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 1, 1),
            )  # fmt: skip

    first_model = build_model

    def examples(self, owner: str) -> Examples:
        arrays = read(self.path)
        if f"{owner}/pictures" not in arrays:
            raise DataError(f"{self.path}: there is no person {owner}", "name another")
        return Examples(
            (torch.from_numpy(arrays[f"{owner}/pictures"][: self.limit]),), torch.from_numpy(self.labels_of(owner))
        )

    def labels_of(self, owner: str) -> NDArray[np.float32]:
        kinds = read(self.path)[f"{owner}/masks"][: self.limit]
        return (kinds == 1 if self.wanted == "discs" else kinds > 0).astype(np.float32)

    def pictures_of(self, examples: Examples) -> NDArray[np.uint8]:
        return examples.inputs[0].numpy()

    @property
    def bytes_per_sample(self) -> int:
        return 2 * next(iter(read(self.path).values()))[0].size

    def augment(self, batch: Examples, generator: torch.Generator) -> Examples:
        return batch

    def predict(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """The probability that each pixel is of a shape, (B, side, side)."""
        return torch.sigmoid(model(inputs[0][:, None].to(torch.float32) / 255 - 0.5)[:, 0])

    def loss_of(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """One minus a soft Dice score, plus the cross-entropy."""
        both = (predicted * targets).sum(dim=(1, 2))
        soft = (2 * both + 1) / (predicted.sum(dim=(1, 2)) + targets.sum(dim=(1, 2)) + 1)
        return 1 - soft.mean() + nn.functional.binary_cross_entropy(predicted, targets)


# What experiments, pages and the command line ask for


class Shapes(Task[ShapesExperiment, ShapesOnData]):
    """Where drawn shapes are, from noisy pictures of them."""

    experiment = ShapesExperiment
    metrics = (DICE, MISSED)
    words = Words(
        title="private training on drawn shapes", labels="masks", sample="picture", making="drawing",
        have_made="drew", made="Drawn shapes", made_file="shapes.npz",
    )  # fmt: skip

    def check(self, spec: ShapesExperiment) -> None:
        if spec.model.name != "two_layers":
            raise ConfigError(f'model.name = "{spec.model.name}" is not known', 'say "two_layers"')

    def inventory(self, spec: ShapesExperiment) -> Inventory:
        limit, path = spec.data.image_limit, Path(spec.data.path or "shapes.npz")
        if spec.data.synthetic is not None:
            counts = spec.data.synthetic.counts()
        else:
            counts = {name: len(read(path)[f"{name}/pictures"]) for name in self.persons_of(path)}
        samples = {name: count if limit is None else min(count, limit) for name, count in counts.items()}
        return Inventory(str(path), samples, ShapesOnData(path, spec.data.wanted, limit))

    def persons_of(self, data: Path) -> list[str]:
        return sorted({name.partition("/")[0] for name in read(data)})

    def make_data(self, spec: ShapesExperiment, out: Path) -> None:
        arrays, buffer = {}, io.BytesIO()
        for index, (name, count) in enumerate(spec.data.synthetic.counts().items() if spec.data.synthetic else ()):
            arrays[f"{name}/pictures"], arrays[f"{name}/masks"] = drawn(spec.seed, index, count, spec.drawing)
        np.savez(buffer, **arrays)
        write_atomically(out, buffer.getvalue())

    def label_rows(self, spec: ShapesExperiment) -> Mapping[str, PersonRows]:
        """Row and column of each shape's middle."""
        rows = {}
        for index, (name, count) in enumerate(spec.data.synthetic.counts().items() if spec.data.synthetic else ()):
            masks = drawn(spec.seed, index, count, spec.drawing)[1][: spec.data.image_limit]
            middles = [np.argwhere(mask > 0).mean(axis=0) for mask in masks]
            rows[name] = PersonRows(np.array(middles, dtype=np.float32))
        return rows

    def picture_section(self, files: RunFiles, shown: bool) -> Section | None:
        """How many pixels of each sample were found, by every method."""
        if files.samples is None or not shown:
            return None
        lines = [
            Markup("<li>{}: {}</li>").format(
                person,
                ", ".join(
                    f"{method} {dice(masks[index : index + 1], files.samples.true[index : index + 1]):.2f}"
                    for method, masks in files.samples.predicted.items()
                ),
            )
            for index, person in enumerate(files.samples.person)
        ]
        html = Markup('<section id="shapes"><h2>Sample shapes</h2><ul>{}</ul></section>').format(Markup("").join(lines))
        return Section("shapes", "Sample shapes", html)


SHAPES = Shapes()
