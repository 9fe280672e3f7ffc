"""Is a gaze file what it claims to be? Every finding names the person, what is wrong and the remedy.

Errors are broken rules of the layout (`layout.faults_of_person`) and labels that the pixels contradict strongly
(`orientation`). Warnings are what good data seldom shows: they never stop a run. Statistics are in degrees, for people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.tasks.gaze.layout import PICTURES, faults_of_person
from privateyes.tasks.gaze.orientation import (
    Orientation,
    Verdict,
    cannot_tell,
    evidence_of,
    evidence_rows,
    orientation_of,
)
from privateyes.tasks.gaze.row_fit import FEWEST_TO_MATCH, Fit, RowFit, no_fit_known, row_fit_of
from privateyes.tasks.gaze.stored import (
    device_names,
    image_content,
    open_file,
    person_names,
    read_part,
    read_rows,
    stored_parts,
)
from privateyes.tasks.gaze.survey import Survey, survey_pictures
from privateyes.training.counts import Tell, tell_nobody
from privateyes.wording import counted

_FEW_IMAGES: Final = 20
# People who look at a screen spread their gaze over 3 degrees and more; converted to radians twice, 0.2 remain.
_LEAST_SPREAD_DEG: Final = 1.0
_LEAST_SPREAD_CM: Final = 0.1
# The largest tablet measures 28 cm, with its camera at the edge.
_FAR_POINT_CM: Final = 50.0
_UPWARD_MEAN_DEG: Final = 2.0
# Heads and eyes turn together: over MPIIGaze the correlation of their yaws is -0.09 to 0.68 and 0.05 across angles.
_CONTRARY_HEAD: Final = 0.3
# Persons in a note on what cannot be told.
_NAMED: Final = 10
# Of each person, for a look before training.
_QUICK_ROWS: Final = 400
# What models take as input and learn from.
_MODEL_PARTS: Final = ("gaze", "point", "pose", "left", "right", "grid")
# More rows than any person has.
_MANY: Final = 1 << 32


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
    """What a person's data looks like. Angles are (pitch, yaw) in degrees, points (x, y) in cm.

    Attributes:
        images: number of images.
        size: (height, width), pixels.
        colour: whether they are in colour.
        gaze_mean_deg: None without `gaze`; so are the others without their labels.
        parts: the data sets of the layout that the person has.
        orientation: whether the pixels agree with the labels.
        row_fit: whether the labels belong to the images of their rows.
        compared: whether labels are compared with the pixels at all: only angles of single eyes are.
    """

    name: str
    images: int
    size: tuple[int, int]
    colour: bool
    gaze_mean_deg: tuple[float, float] | None
    gaze_sd_deg: tuple[float, float] | None
    head_mean_deg: tuple[float, float] | None
    head_sd_deg: tuple[float, float] | None
    point_mean_cm: tuple[float, float] | None
    point_sd_cm: tuple[float, float] | None
    grey_mean: float
    parts: frozenset[str]
    orientation: Orientation
    row_fit: RowFit
    compared: bool


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings about a file, errors first, and the statistics of every person whose data could be read.

    Attributes:
        path: the file.
        findings: what is wrong, or probably wrong.
        persons: statistics.
        untold: what nobody can tell from these images, so that no finding about it means nothing; with a remedy each.
    """

    path: Path
    findings: tuple[Finding, ...]
    persons: tuple[PersonStatistics, ...]
    untold: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is Severity.WARNING)


def check_file(path: Path, tell: Tell = tell_nobody) -> CheckReport:
    """Check every person of a file; labels of one person and a few of its images are held in memory at a time.

    Args:
        path: an HDF5 file in the layout of `layout`.
        tell: is told how many persons are checked, and of how many.

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
        content = image_content(file)
        for done, name in enumerate(names):
            tell(done, len(names))
            where = f"{path}, person {name}"
            try:
                parts = _labels_and_pictures(path, file, name, findings)
                if parts is None:
                    continue
                surveys: dict[str, Survey] = {
                    part: survey_pictures(f"{where}, {part}", parts[part]) for part in PICTURES if part in parts
                }
            except DataError as fault:
                findings.append(_as_finding(where, name, fault))
                continue
            statistics.append(_statistics_of(name, parts, surveys["image"], content))
            findings.extend(_findings_about(statistics[-1], parts, surveys))
            findings.extend(duplicates.add(name, surveys["image"]))
    findings.extend(_findings_about_sizes(statistics))
    findings.extend(_findings_about_parts(statistics))
    if len(names) == 1:
        what = "the file holds one person only: nobody is left to test on, and there is no federation of one"
        findings.append(Finding(Severity.WARNING, "", what, "use a file of several persons for training"))
    findings.sort(key=lambda finding: finding.severity is not Severity.ERROR)
    return CheckReport(path, tuple(findings), tuple(statistics), tuple(_untold(statistics)))


def contradicted_labels(path: Path, persons: Collection[str]) -> list[Finding]:
    """Labels of single eyes that the pixels contradict strongly: swapped, another sign, other rows'. A quick look.

    Reads a few hundred images of each person, and says nothing of whatever it cannot judge or read: `check_file` does.

    Args:
        path: a file in the layout of `layout`.
        persons: whom to look at.

    Raises:
        DataError: the file as a whole cannot be read.
    """
    findings: list[Finding] = []
    with open_file(path) as file:
        content = image_content(file)
        for name in person_names(path, file):
            where = f"{path}, person {name}"
            try:
                parts = stored_parts(path, file, name) if name in persons else {}
                if not {"image", "gaze"} <= parts.keys() or not _shows_one_eye(content, parts["image"].shape):
                    continue
                rows = evidence_rows(parts["image"].shape[0], _QUICK_ROWS)
                gaze = read_part(f"{where}, gaze", "gaze", parts["gaze"])
                sample = evidence_of(read_rows(f"{where}, image", parts["image"], rows))
                orientation, row_fit = orientation_of(sample, gaze[rows]), row_fit_of(sample, gaze, rows)
            except DataError:
                continue
            found = _findings_about_orientation(name, orientation)
            findings += [finding for finding in found if finding.severity is Severity.ERROR]
            findings += _findings_about_rows(name, row_fit)
    return findings


def _labels_and_pictures(path: Path, file: Any, name: str, findings: list[Finding]) -> dict[str, Any] | None:
    """The person's labels in memory and its pictures as open data sets, or None after noting every broken rule."""
    where = f"{path}, person {name}"
    stored = stored_parts(path, file, name)
    parts = {
        part: dataset if part in PICTURES else read_part(f"{where}, {part}", part, dataset)
        for part, dataset in stored.items()
    }
    faults = list(faults_of_person(where, parts, device_names(path, file, name)))
    findings.extend(_as_finding(where, name, fault) for fault in faults)
    return None if faults else parts


def _as_finding(where: str, name: str, fault: DataError) -> Finding:
    return Finding(Severity.ERROR, name, fault.problem.removeprefix(where).lstrip(",: "), fault.remedy)


def _statistics_of(name: str, parts: Mapping[str, Any], survey: Survey, content: str | None) -> PersonStatistics:
    gaze, pose = (np.rad2deg(parts[part].astype(np.float64)) if part in parts else None for part in ("gaze", "pose"))
    point = parts.get("point")
    image = parts["image"]
    judged = gaze is not None and _shows_one_eye(content, image.shape)
    rows = survey.sample_rows
    return PersonStatistics(
        name=name,
        images=image.shape[0],
        size=(image.shape[1], image.shape[2]),
        colour=image.ndim == 4,
        gaze_mean_deg=_mean(gaze),
        gaze_sd_deg=_spread(gaze),
        head_mean_deg=_mean(pose),
        head_sd_deg=_spread(pose),
        point_mean_cm=_mean(point),
        point_sd_cm=_spread(point),
        grey_mean=survey.grey_mean,
        parts=frozenset(parts),
        orientation=orientation_of(survey.sample, parts["gaze"][rows]) if judged else cannot_tell(),
        row_fit=row_fit_of(survey.sample, parts["gaze"], rows) if judged else no_fit_known(),
        compared=judged,
    )


def _shows_one_eye(content: str | None, shape: tuple[int, ...]) -> bool:
    """Faces show two small eyes; where the file does not say what it shows, square and coloured images may be faces."""
    return content == "eye" or (content is None and len(shape) == 3 and shape[1] != shape[2])


def _findings_about(
    statistics: PersonStatistics, parts: Mapping[str, Any], surveys: Mapping[str, Survey]
) -> Iterator[Finding]:
    name = statistics.name
    for part, survey in surveys.items():
        yield from _findings_about_pictures(name, part, survey)
    if statistics.images < _FEW_IMAGES:
        few = f"only {counted(statistics.images, 'image')}"
        what = f"{few}: a client with so few learns little, and its update says much"
        yield Finding(Severity.WARNING, name, what, f"give every person {_FEW_IMAGES} images or more")
        return
    yield from _findings_about_orientation(name, statistics.orientation)
    if statistics.gaze_sd_deg is not None and max(statistics.gaze_sd_deg) >= _LEAST_SPREAD_DEG:
        yield from _findings_about_rows(name, statistics.row_fit)
    yield from _findings_about_angles(name, statistics)
    yield from _findings_about_points(name, parts.get("point"), statistics)
    confirmed = statistics.orientation.yaw_sign is Verdict.RIGHT and statistics.orientation.order is Verdict.RIGHT
    if confirmed and "pose" in parts:
        yield from _findings_about_head(name, parts["pose"], parts["gaze"])


def _findings_about_pictures(name: str, part: str, survey: Survey) -> Iterator[Finding]:
    constant = survey.constant
    if len(constant):
        blank = f"{len(constant)} of {counted(len(survey.digests), 'row')} with one grey level only"
        what = f"{part}: {blank}, the first is row {constant[0]}"
        yield Finding(Severity.WARNING, name, what, "remove these rows from all data sets of the person")


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
        what = (
            "gaze: yaw looks negated, or the eye mirrored or upside down, since the iris moves to the right as yaw "
            f"grows (correlation {sideways:+.2f})"
        )
        remedy = "make yaw positive towards the image's left, after mirroring right eyes"
        yield Finding(_severity(orientation.yaw_sign), name, what, remedy)
    if orientation.pitch_sign in (Verdict.WRONG, Verdict.SUSPECT):
        vertical = orientation.vertical[1 - yaw_column]
        what = f"gaze: pitch looks negated, since the iris moves down as it grows (correlation {vertical:+.2f})"
        yield Finding(_severity(orientation.pitch_sign), name, what, "make pitch positive upwards")


def _findings_about_rows(name: str, row_fit: RowFit) -> Iterator[Finding]:
    """Labels of other rows are a warning only: images may show an eye that nobody can read."""
    if row_fit.fit is Fit.SHIFTED:
        count = abs(row_fit.shift)
        rows, where = "a row" if count == 1 else f"{count} rows", "after" if row_fit.shift > 0 else "before"
        what = (
            f"gaze: labels look shifted by {rows}, since those {rows} {where} an image's fit it better (correlation "
            f"{row_fit.best:.2f}) than its own ({row_fit.own:.2f})"
        )
        yield Finding(Severity.WARNING, name, what, "check that no row was lost or added in one of both")
    if row_fit.fit is Fit.NONE:
        what = (
            f"gaze: labels do not follow the images, since no guess from the pixels agrees with them (correlation "
            f"{row_fit.own:.2f})"
        )
        yield Finding(Severity.WARNING, name, what, "check that rows of both were not shuffled, shifted or mixed up")


def _findings_about_angles(name: str, statistics: PersonStatistics) -> Iterator[Finding]:
    """What the labels alone suggest; only hints, so the pixels overrule them."""
    if statistics.gaze_mean_deg is None or statistics.gaze_sd_deg is None:
        return
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


def _findings_about_points(
    name: str, point: NDArray[np.floating] | None, statistics: PersonStatistics
) -> Iterator[Finding]:
    if point is None or statistics.point_sd_cm is None:
        return
    if max(statistics.point_sd_cm) < _LEAST_SPREAD_CM:
        x, y = statistics.point_sd_cm
        what = f"point: points hardly vary (SD of x {x:.2f}, of y {y:.2f} cm)"
        yield Finding(Severity.WARNING, name, what, "check that they are centimetres and not metres")
    far = np.flatnonzero((np.abs(point) > _FAR_POINT_CM).any(axis=1))
    if len(far):
        what = (
            f"point: {counted(len(far), 'row')} with points more than {_FAR_POINT_CM:.0f} cm from the camera, the "
            f"first is row {far[0]}"
        )
        yield Finding(Severity.WARNING, name, what, "check that they are centimetres: no screen is so large")


def _findings_about_head(name: str, pose: NDArray[np.floating], gaze: NDArray[np.floating]) -> Iterator[Finding]:
    """Compare head angles with gaze angles that the pixels have confirmed."""
    pitch, yaw = (_correlation(pose[:, column], gaze[:, 1]) for column in (0, 1))
    if abs(pitch) >= _CONTRARY_HEAD and abs(pitch) > 2 * abs(yaw):
        what = f"pose: pitch and yaw look swapped, since the first column follows gaze yaw (correlation {pitch:+.2f})"
        yield Finding(Severity.WARNING, name, what, "store the head's (pitch, yaw) in this order")
    elif yaw <= -_CONTRARY_HEAD:
        what = f"pose: head yaw runs against gaze yaw (correlation {yaw:+.2f})"
        yield Finding(Severity.WARNING, name, what, "check its sign: positive towards the image's left")


def _findings_about_sizes(statistics: Sequence[PersonStatistics]) -> Iterator[Finding]:
    sizes = Counter((entry.size, entry.colour) for entry in statistics)
    if len(sizes) < 2:
        return
    common, colour = sizes.most_common(1)[0][0]
    for entry in statistics:
        if entry.size != common:
            what = f"image: {_written(entry.size)} pixels, where most persons have {_written(common)}"
            yield Finding(Severity.ERROR, entry.name, what, "one model takes one size: resize, or use another file")
        elif entry.colour != colour:
            theirs, others = ("colour", "grey") if entry.colour else ("grey", "colour")
            what = f"image: {theirs}, where most persons have {others} images"
            yield Finding(Severity.ERROR, entry.name, what, "one model takes one kind: convert, or use another file")


def _findings_about_parts(statistics: Sequence[PersonStatistics]) -> Iterator[Finding]:
    """A model's inputs and labels must be there for everyone."""
    for part in _MODEL_PARTS:
        holders = [entry.name for entry in statistics if part in entry.parts]
        if 0 < len(holders) < len(statistics):
            for entry in statistics:
                if part not in entry.parts:
                    what = f"there is no data set '{part}', which {len(holders)} of {len(statistics)} persons have"
                    yield Finding(Severity.ERROR, entry.name, what, "complete it, or use another file")


def _untold(statistics: Sequence[PersonStatistics]) -> Iterator[str]:
    """What no finding speaks of because the pixels do not show it, with the persons concerned."""
    sheets = "look at contact sheets (--sheets)"
    compared = [entry for entry in statistics if entry.compared]
    # Verdicts on the order and on yaw's sign rest on one measure, so that both are there or none.
    sideways = [entry.name for entry in compared if entry.orientation.order is Verdict.UNKNOWN]
    pitch = [entry.name for entry in compared if entry.orientation.pitch_sign is Verdict.UNKNOWN]
    rows = [entry.name for entry in compared if entry.row_fit.fit is Fit.UNKNOWN]
    others = [entry.name for entry in statistics if not entry.compared]
    if pitch:
        yield f"whether pitch is negated or the eye upside down ({_whose(pitch, statistics)}); {sheets}"
    if sideways:
        what = "whether pitch and yaw are swapped, yaw is negated or the eye mirrored"
        yield f"{what} ({_whose(sideways, statistics)}); {sheets}"
    if rows:
        what = "whether labels and images stand in the same order"
        yield f"{what} ({_whose(rows, statistics)}); {FEWEST_TO_MATCH} images of one eye may show it"
    if others:
        what = "whether labels agree with the images, which is looked at for angles of single eyes only"
        yield f"{what} ({_whose(others, statistics)}); {sheets}"


def _whose(names: Sequence[str], statistics: Sequence[PersonStatistics]) -> str:
    if len(names) == len(statistics):
        return "all persons" if len(names) > 1 else names[0]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


class _Duplicates:
    """Finds images that stand, byte for byte, under two persons: a leak from training into testing."""

    def __init__(self) -> None:
        self._names: list[str] = []
        # Digest -> person and row in one number: millions of images must fit.
        self._seen: dict[int, int] = {}

    def add(self, name: str, survey: Survey) -> Iterator[Finding]:
        """Findings about images of this person that an earlier person has too; constant images are left out."""
        me = len(self._names)
        self._names.append(name)
        shared: dict[int, list[tuple[int, int]]] = {}
        for row, digest in enumerate(survey.digests):
            if digest is None:
                continue
            owner, owner_row = divmod(self._seen.setdefault(digest, me * _MANY + row), _MANY)
            if owner != me:
                shared.setdefault(owner, []).append((row, owner_row))
        for owner, rows in shared.items():
            first, there = rows[0]
            what = (
                f"image: {counted(len(rows), 'row')} also under {self._names[owner]}, such as row {first} "
                f"(row {there} there)"
            )
            yield Finding(Severity.WARNING, name, what, "remove them from one person, or test results mean nothing")


def _severity(verdict: Verdict) -> Severity:
    return Severity.ERROR if verdict is Verdict.WRONG else Severity.WARNING


def _correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    a, b = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (first, second))
    product = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / product if product > 0 else 0.0


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _mean(pairs: NDArray[Any] | None) -> tuple[float, float] | None:
    if pairs is None:
        return None
    x, y = pairs.mean(axis=0, dtype=np.float64)
    return float(x), float(y)


def _spread(pairs: NDArray[Any] | None) -> tuple[float, float] | None:
    if pairs is None:
        return None
    x, y = pairs.std(axis=0, dtype=np.float64)
    return float(x), float(y)
