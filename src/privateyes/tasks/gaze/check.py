"""Is a gaze file what it claims to be? Every finding names the person, what is wrong and the remedy.

Errors are broken rules of the layout (`dataset.faults_of_person`) and labels that the pixels contradict strongly
(`orientation`). Warnings are what good data seldom shows: they never stop a run. Statistics are in degrees, for people.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.tasks.gaze.dataset import Person, faults_of_person, open_file, person_names, read_parts
from privateyes.tasks.gaze.orientation import Orientation, Verdict, orientation_of

_FEW_IMAGES: Final = 20
# People who look at a screen spread their gaze over 3 degrees and more; converted to radians twice, 0.2 remain.
_LEAST_SPREAD_DEG: Final = 1.0
_UPWARD_MEAN_DEG: Final = 2.0
# Heads and eyes turn together: over MPIIGaze the correlation of their yaws is -0.09 to 0.68 and 0.05 across angles.
_CONTRARY_HEAD: Final = 0.3


class Severity(Enum):
    """Errors must be mended before training; warnings deserve a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or probably wrong.

    Attributes:
        person: whose data it is; empty if it concerns the file.
        what: the problem, naming the data set and row where possible.
        remedy: what to do.
    """

    severity: Severity
    person: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class PersonStatistics:
    """What a person's data looks like. Angles are (pitch, yaw) in degrees.

    Attributes:
        images: number of images.
        size: (height, width), pixels.
        orientation: whether the pixels agree with the labels.
    """

    name: str
    images: int
    size: tuple[int, int]
    gaze_mean_deg: tuple[float, float]
    gaze_sd_deg: tuple[float, float]
    head_mean_deg: tuple[float, float]
    head_sd_deg: tuple[float, float]
    grey_mean: float
    orientation: Orientation


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings about a file, errors first, and the statistics of every person whose data could be read."""

    path: Path
    findings: tuple[Finding, ...]
    persons: tuple[PersonStatistics, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.WARNING)


def check_file(path: Path) -> CheckReport:
    """Check every person of a file; one person at a time is held in memory.

    Args:
        path: an HDF5 file in the layout of `dataset`.

    Returns:
        The report. Faults of persons are findings in it and are not raised.

    Raises:
        DataError: the file as a whole cannot be read: missing, empty, damaged, no HDF5 file, or without a person.
    """
    findings: list[Finding] = []
    statistics: list[PersonStatistics] = []
    duplicates = _Duplicates()
    with open_file(path) as file:
        names = person_names(path, file)
        for name in names:
            person = _readable_person(path, file, name, findings)
            if person is None:
                continue
            statistics.append(_statistics_of(person))
            findings.extend(_findings_about(person, statistics[-1]))
            findings.extend(duplicates.add(person))
    findings.extend(_findings_about_sizes(statistics))
    if len(names) == 1:
        what = "the file holds one person only: nobody is left to test on, and there is no federation of one"
        findings.append(Finding(Severity.WARNING, "", what, "use a file of several persons for training"))
    findings.sort(key=lambda finding: finding.severity is not Severity.ERROR)
    return CheckReport(path, tuple(findings), tuple(statistics))


def _readable_person(path: Path, file: Any, name: str, findings: list[Finding]) -> Person | None:
    """The person's data, or None after noting every fault that makes it unusable."""
    where = f"{path}, person {name}"
    try:
        parts = read_parts(path, file, name)
        faults = list(faults_of_person(where, parts))
    except DataError as fault:
        faults = [fault]
    if faults:
        for each in faults:
            what = each.problem.removeprefix(where).lstrip(",: ")
            findings.append(Finding(Severity.ERROR, name, what, each.remedy))
        return None
    return Person(name, parts["image"], parts["pose"].astype(np.float32), parts["gaze"].astype(np.float32))


def _statistics_of(person: Person) -> PersonStatistics:
    gaze, pose = np.rad2deg(person.gaze.astype(np.float64)), np.rad2deg(person.pose.astype(np.float64))
    return PersonStatistics(
        name=person.name,
        images=len(person),
        size=(person.image.shape[1], person.image.shape[2]),
        gaze_mean_deg=_pair(gaze.mean(axis=0)),
        gaze_sd_deg=_pair(gaze.std(axis=0)),
        head_mean_deg=_pair(pose.mean(axis=0)),
        head_sd_deg=_pair(pose.std(axis=0)),
        grey_mean=float(person.image.mean()),
        orientation=orientation_of(person.image, person.gaze),
    )


def _findings_about(person: Person, statistics: PersonStatistics) -> Iterator[Finding]:
    yield from _findings_about_images(person)
    if len(person) < _FEW_IMAGES:
        what = f"only {len(person)} images: a client with so few learns little, and its update says much about each"
        yield Finding(Severity.WARNING, person.name, what, f"give every person {_FEW_IMAGES} images or more")
        return
    yield from _findings_about_orientation(person.name, statistics.orientation)
    yield from _findings_about_labels(person.name, statistics)
    if statistics.orientation.yaw_sign is Verdict.RIGHT and statistics.orientation.order is Verdict.RIGHT:
        yield from _findings_about_head(person)


def _findings_about_images(person: Person) -> Iterator[Finding]:
    flat = person.image.reshape(len(person), -1)
    constant = np.flatnonzero(flat.min(axis=1) == flat.max(axis=1))
    if len(constant):
        what = f"image: {len(constant)} of {len(person)} rows have one grey level only, the first is row {constant[0]}"
        yield Finding(Severity.WARNING, person.name, what, "remove these rows from image, pose and gaze")


def _findings_about_orientation(name: str, orientation: Orientation) -> Iterator[Finding]:
    """Verdicts of the pixels; a strong contradiction is an error."""
    yaw_column = int(np.argmax(np.abs(orientation.sideways)))
    sideways, across = orientation.sideways[yaw_column], orientation.sideways[1 - yaw_column]
    if orientation.order in (Verdict.WRONG, Verdict.SUSPECT):
        what = (
            f"gaze: pitch and yaw look swapped, since the iris moves sideways with the first column (correlation "
            f"{sideways:+.2f}) and not with the second ({across:+.2f})"
        )
        yield Finding(_severity(orientation.order), name, what, "store (pitch, yaw) in this order")
    if orientation.yaw_sign in (Verdict.WRONG, Verdict.SUSPECT):
        what = f"gaze: yaw looks negated, since the iris moves to the right as it grows (correlation {sideways:+.2f})"
        remedy = "make yaw positive towards the image's left, after mirroring right eyes"
        yield Finding(_severity(orientation.yaw_sign), name, what, remedy)
    if orientation.pitch_sign in (Verdict.WRONG, Verdict.SUSPECT):
        vertical = orientation.vertical[1 - yaw_column]
        what = f"gaze: pitch looks negated, since the iris moves down as it grows (correlation {vertical:+.2f})"
        yield Finding(_severity(orientation.pitch_sign), name, what, "make pitch positive upwards")


def _findings_about_labels(name: str, statistics: PersonStatistics) -> Iterator[Finding]:
    """What the labels alone suggest; only hints, so the pixels overrule them."""
    (pitch_mean, _), (pitch_sd, yaw_sd) = statistics.gaze_mean_deg, statistics.gaze_sd_deg
    if max(pitch_sd, yaw_sd) < _LEAST_SPREAD_DEG:
        what = f"gaze: labels hardly vary (SD of pitch {pitch_sd:.2f}, of yaw {yaw_sd:.2f} degrees)"
        yield Finding(Severity.WARNING, name, what, "check that they were converted from degrees to radians only once")
        return
    if statistics.orientation.order is Verdict.UNKNOWN and pitch_sd > yaw_sd:
        what = f"gaze: the first column varies more (SD {pitch_sd:.1f} degrees) than the second ({yaw_sd:.1f})"
        yield Finding(Severity.WARNING, name, what, "check that the order is (pitch, yaw); screens are wider than high")
    if statistics.orientation.pitch_sign is Verdict.UNKNOWN and pitch_mean > _UPWARD_MEAN_DEG:
        what = f"gaze: the mean pitch is {pitch_mean:+.1f} degrees, upwards"
        yield Finding(Severity.WARNING, name, what, "check its sign: people look down at screens below the camera")


def _findings_about_head(person: Person) -> Iterator[Finding]:
    """Compare head angles with gaze angles that the pixels have confirmed."""
    pitch, yaw = (_correlation(person.pose[:, column], person.gaze[:, 1]) for column in (0, 1))
    if abs(pitch) >= _CONTRARY_HEAD and abs(pitch) > 2 * abs(yaw):
        what = f"pose: pitch and yaw look swapped, since the first column follows gaze yaw (correlation {pitch:+.2f})"
        yield Finding(Severity.WARNING, person.name, what, "store the head's (pitch, yaw) in this order")
    elif yaw <= -_CONTRARY_HEAD:
        what = f"pose: head yaw runs against gaze yaw (correlation {yaw:+.2f})"
        yield Finding(Severity.WARNING, person.name, what, "check its sign: positive towards the image's left")


def _findings_about_sizes(statistics: Sequence[PersonStatistics]) -> Iterator[Finding]:
    sizes = Counter(entry.size for entry in statistics)
    if len(sizes) < 2:
        return
    common = sizes.most_common(1)[0][0]
    for entry in statistics:
        if entry.size != common:
            what = f"image: {_written(entry.size)} pixels, where most persons have {_written(common)}"
            yield Finding(Severity.ERROR, entry.name, what, "one model takes one size: resize, or use another file")


class _Duplicates:
    """Finds images that stand, byte for byte, under two persons: a leak from training into testing."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[str, int]] = {}

    def add(self, person: Person) -> Iterator[Finding]:
        """Findings about images of this person that an earlier person has too; constant images are left out."""
        shared: dict[str, list[tuple[int, int]]] = {}
        for row, image in enumerate(person.image):
            if image.min() == image.max():
                continue
            digest = hashlib.blake2b(str(image.shape).encode() + image.tobytes(), digest_size=16).digest()
            owner, owner_row = self._seen.setdefault(digest, (person.name, row))
            if owner != person.name:
                shared.setdefault(owner, []).append((row, owner_row))
        for owner, rows in shared.items():
            what = f"image: {len(rows)} rows are also under {owner}, such as row {rows[0][0]} (row {rows[0][1]} there)"
            yield Finding(
                Severity.WARNING, person.name, what, "remove them from one person, or test results mean nothing"
            )


def _severity(verdict: Verdict) -> Severity:
    return Severity.ERROR if verdict is Verdict.WRONG else Severity.WARNING


def _correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    a, b = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (first, second))
    product = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / product if product > 0 else 0.0


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
