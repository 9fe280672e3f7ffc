"""Sample eyes with the true and the predicted gaze drawn as arrows.

An arrow is the gaze vector seen from the camera: dx = -sin(yaw) cos(pitch) to the right, dy = -sin(pitch) downwards
([MPIIGaze] angles in image coordinates). A point of gaze in cm has no place in the picture, so nothing is drawn then
and the picture stands with its errors alone. Pictures are stored as PNG inside the page.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from privateyes.experiments.report import quantities, svg
from privateyes.experiments.report.methods import Method, in_order, method
from privateyes.experiments.report.schema import Samples
from privateyes.tasks.gaze.angles import angular_error_deg
from privateyes.tasks.gaze.metrics import distance_cm
from privateyes.training.metric import Metric

MOST_SHOWN = 12
_LARGEST_SIDE = 160
_VIEW_WIDTH = 300.0
# px of the drawing that a whole unit vector may be long, as multiples of a picture's shorter side
_SHORTEST, _LONGEST = 1.2, 2.4


@dataclass(frozen=True, slots=True)
class Eye:
    """One picture: the drawing, whose it is, and each method's error."""

    drawing: Markup
    person: str
    errors: tuple[tuple[Method, str], ...]


def sample_eyes(samples: Samples, metric: Metric) -> list[Eye]:
    """At most `MOST_SHOWN` eyes, taken from the file in turn for each person, whatever their errors; by person."""
    measure = angular_error_deg if metric.key == "deg" else distance_cm
    errors = {key: measure(predicted, samples.true) for key, predicted in samples.predicted.items()}
    keys = in_order(samples.predicted)
    found = []
    indices = sorted(_in_turn(samples.person)[:MOST_SHOWN], key=lambda index: (samples.person[index], index))
    length = 0.0
    if metric.key == "deg":
        every = np.concatenate([gazes[indices] for gazes in (samples.true, *samples.predicted.values())])
        length = arrow_length(every, samples.images.shape[1:])
    for index in indices:
        written = tuple((method(key), metric.written(errors[key][index], 1)) for key in keys)
        where = _direction(samples.true[index]) if metric.key == "deg" else _place(samples.true[index])
        told = f"Picture of {samples.person[index]}, looking {where}. Errors: " + ", ".join(
            f"{shown.key} {error}" for shown, error in written
        )
        arrows: list[tuple[Method | None, NDArray[np.float64]]] = []
        if metric.key == "deg":
            arrows = [(None, samples.true[index]), *((method(key), samples.predicted[key][index]) for key in keys)]
        picture = _picture(samples.images[index], arrows, length, told)
        found.append(Eye(picture, samples.person[index], written))
    return found


def arrow_key(shown: Method | None) -> Markup:
    """A short arrow as it looks on the pictures, for the legend; None stands for the true gaze."""
    parts = [svg.rectangle(0, 0, 46, 20, "chip"), *_arrow(8, 10, 30, 0, shown)]
    return Markup('<svg class="key" viewBox="0 0 46 20" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def _in_turn(people: Sequence[str]) -> list[int]:
    """Indices: the first picture of every person, then the second of every person, and so on."""
    seen: dict[str, int] = {}
    order = []
    for index, person in enumerate(people):
        seen[person] = seen.get(person, 0) + 1
        order.append((seen[person], person, index))
    return [index for _, _, index in sorted(order)]


def _direction(gaze: NDArray[np.float64]) -> str:
    pitch, yaw = (math.degrees(angle) for angle in gaze)
    vertical = f"{abs(pitch):.0f}° {'up' if pitch >= 0 else 'down'}"
    return f"{vertical} and {abs(yaw):.0f}° to the picture's {'left' if yaw >= 0 else 'right'}"


def _place(point: NDArray[np.float64]) -> str:
    return f"at the point ({point[0]:.1f}, {point[1]:.1f}) cm in the camera's plane"


def arrow_length(gazes: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """The length of a unit vector, px, at which the longest arrow just stays inside its picture, within limits.

    Args:
        gazes: (N, 2), (pitch, yaw) in radians: every arrow of the page; all are drawn to one scale.
        shape: rows and columns of a picture.
    """
    width, height = _VIEW_WIDTH, _VIEW_WIDTH * shape[0] / shape[1]
    ends = np.abs([arrow(gaze) for gaze in gazes])
    room = np.array([width / 2, height / 2]) - 8
    fitting = float(np.min(room / np.maximum(ends.max(axis=0), 1e-9)))
    shorter = min(width, height)
    return min(max(fitting, _SHORTEST * shorter), _LONGEST * shorter)


def _picture(
    image: NDArray[np.uint8],
    arrows: Sequence[tuple[Method | None, NDArray[np.float64]]],
    length: float,
    told: str,
) -> Markup:
    rows, columns = image.shape
    width, height = _VIEW_WIDTH, _VIEW_WIDTH * rows / columns
    small = shrink(image, _LARGEST_SIDE)
    uri = "data:image/png;base64," + base64.b64encode(png_bytes(small)).decode("ascii")
    frame = Markup('<image href="{}" width="{:.1f}" height="{:.1f}" preserveAspectRatio="none"/>')
    parts = [frame.format(uri, width, height)]
    for shown, gaze in arrows:
        dx, dy = arrow(gaze)
        parts += _arrow(width / 2, height / 2, length * dx, length * dy, shown)
    return svg.drawing(width, height, told, parts, "eye")


def arrow(gaze: NDArray[np.float64]) -> tuple[float, float]:
    """(dx, dy), x to the right and y down, of a gaze (pitch, yaw) in radians; each in [-1, 1]."""
    pitch, yaw = float(gaze[0]), float(gaze[1])
    return -math.sin(yaw) * math.cos(pitch), -math.sin(pitch)


def _arrow(x: float, y: float, dx: float, dy: float, shown: Method | None) -> list[Markup]:
    """An arrow with a dark casing, so that it is seen on light skin as on a dark iris."""
    css, width = ("g-true", 6.6) if shown is None else (f"g-{shown.css}", 5.4 if shown.mark == "ring" else 2.0)
    length = math.hypot(dx, dy)
    if length < 1:
        return [Markup('<circle class="{} tip" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(css, x, y, width)]
    head = min(4.0 + 2.0 * width, 0.8 * length)
    along, across = (dx / length, dy / length), (-dy / length * head * 0.5, dx / length * head * 0.5)
    neck = (x + dx - along[0] * head, y + dy - along[1] * head)
    shaft = Markup('<line class="{} {}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke-width="{:.1f}"/>')
    tip = Markup('<path class="{} tip" d="M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}z"/>').format(
        css, x + dx, y + dy, neck[0] + across[0], neck[1] + across[1], neck[0] - across[0], neck[1] - across[1]
    )
    ends = (x, y, neck[0], neck[1])
    return [shaft.format("casing", "shaft", *ends, width + 1.4), tip, shaft.format(css, "shaft", *ends, width)]


def shrink(image: NDArray[np.uint8], largest_side: int) -> NDArray[np.uint8]:
    """Averages square blocks of a picture, uint8 (H, W), until no side is longer than `largest_side`."""
    block = math.ceil(max(image.shape) / largest_side)
    if block == 1:
        return image
    rows, columns = image.shape[0] // block, image.shape[1] // block
    blocks = image[: rows * block, : columns * block].reshape(rows, block, columns, block)
    return np.asarray(np.rint(blocks.mean(axis=(1, 3))), dtype=np.uint8)


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """An 8-bit grey PNG of a picture, uint8 (H, W)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return file.getvalue()


def legend(samples: Samples, metric: Metric) -> list[tuple[Markup, str]]:
    """The arrows' meanings: a drawing and a name for the truth and for each method; empty where there are none."""
    if metric.key != "deg":
        return []
    methods = [method(key) for key in in_order(samples.predicted)]
    return [(arrow_key(None), "true gaze"), *((arrow_key(shown), shown.key) for shown in methods)]


def caption(samples: Samples) -> str:
    """Which eyes are shown and how their arrows are drawn."""
    total, people = len(samples.person), len(set(samples.person))
    shown = min(total, MOST_SHOWN)
    which = f"{quantities.count(shown, 'eye')} of {quantities.count(people, 'person', 'people')} never trained on"
    if shown < total:
        which += f", out of {total} in samples.npz"
    caption = f"{which}; the page takes them in turn for each person and does not look at their errors."
    if "local" in samples.predicted:
        caption += (
            " For local, the model shown is that of the client in the middle when ordered by error on the person."
        )
    return caption
