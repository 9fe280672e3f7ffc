from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.check import CheckReport, Severity, check_file
from privateyes.tasks.gaze.dataset import Person, load_persons, write_persons
from privateyes.tasks.gaze.orientation import Verdict


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., CheckReport]:
    """Writes persons to a file and checks it."""

    def run(*persons: Person) -> CheckReport:
        path = tmp_path / "eyes.h5"
        write_persons(path, persons)
        return check_file(path)

    return run


@pytest.fixture
def good(draw_person: Callable[..., Person]) -> list[Person]:
    return [draw_person("a", seed=1), draw_person("b", seed=2)]


def test_good_data_has_no_finding_and_statistics_in_degrees(
    good: list[Person], check: Callable[..., CheckReport]
) -> None:
    report = check(*good)
    assert report.findings == ()
    first = report.persons[0]
    assert (first.name, first.images, first.size) == ("a", 200, (36, 60))
    assert first.gaze_mean_deg == pytest.approx(np.rad2deg(good[0].gaze.mean(axis=0)), abs=1e-4)
    assert first.gaze_sd_deg == pytest.approx(np.rad2deg(good[0].gaze.std(axis=0)), abs=1e-4)
    assert first.orientation.order is Verdict.RIGHT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda gaze: gaze[:, ::-1].copy(), "pitch and yaw look swapped"),
        (lambda gaze: gaze * np.float32([1, -1]), "yaw looks negated"),
        (lambda gaze: gaze * np.float32([-1, 1]), "pitch looks negated"),
    ],
    ids=["swapped", "yaw negated", "pitch negated"],
)
def test_contradicted_labels_are_an_error_of_that_person(
    good: list[Person], check: Callable[..., CheckReport], change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    report = check(good[0], replace(good[1], gaze=change(good[1].gaze)))
    assert [(finding.person, finding.severity) for finding in report.errors] == [("b", Severity.ERROR)]
    assert message in report.errors[0].what
    assert report.errors[0].remedy


def test_every_fault_of_every_person_is_listed(good: list[Person], tmp_path: Path) -> None:
    path = tmp_path / "eyes.h5"
    write_persons(path, [*good, replace(good[0], name="c", image=255 - good[0].image)])
    with h5py.File(path, "r+") as file:
        file["a"]["gaze"][...] = np.rad2deg(good[0].gaze)
        file["a"]["pose"][4, 1] = np.nan
        del file["b"]["image"]
        file["b"].create_group("image")
    report = check_file(path)
    whats = {(finding.person, finding.what.split(" is ")[0]) for finding in report.errors}
    assert ("a", "pose: row 4 holds NaN or infinity") in whats
    assert any(person == "a" and what.startswith("gaze: row 0") for person, what in whats)
    assert ("b", "'image'") in whats
    assert [entry.name for entry in report.persons] == ["c"]


def test_files_that_cannot_be_read_at_all_are_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        check_file(tmp_path / "eyes.h5")


def test_images_under_two_persons_are_found(good: list[Person], check: Callable[..., CheckReport]) -> None:
    image = good[1].image.copy()
    image[[3, 9]] = good[0].image[[17, 20]]
    findings = check(good[0], replace(good[1], image=image)).warnings
    assert [finding.what for finding in findings] == ["image: 2 rows are also under a, such as row 3 (row 17 there)"]


def test_constant_images_are_found_and_are_no_duplicates(good: list[Person], check: Callable[..., CheckReport]) -> None:
    spoiled = [replace(person, image=person.image.copy()) for person in good]
    for person in spoiled:
        person.image[5] = 0
    whats = [finding.what for finding in check(*spoiled).warnings]
    assert whats == ["image: 1 of 200 rows have one grey level only, the first is row 5"] * 2


def test_tiny_persons_and_lonely_persons_are_pointed_out(
    draw_person: Callable[..., Person], check: Callable[..., CheckReport]
) -> None:
    report = check(draw_person("a", 7))
    assert report.errors == ()
    assert "one person only" in " ".join(finding.what for finding in report.warnings)
    assert "only 7 images" in " ".join(finding.what for finding in report.warnings)


def test_labels_converted_to_radians_twice_are_suspected(good: list[Person], check: Callable[..., CheckReport]) -> None:
    report = check(good[0], replace(good[1], gaze=np.deg2rad(good[1].gaze)))
    assert [(finding.person, finding.severity) for finding in report.findings] == [("b", Severity.WARNING)]
    assert "labels hardly vary" in report.findings[0].what


def test_where_pixels_tell_nothing_statistics_only_warn(good: list[Person], check: Callable[..., CheckReport]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, good[1].image.shape).astype(np.uint8)
    upwards_and_swapped = -good[1].gaze[:, ::-1] + np.float32([0.1, 0.0])
    report = check(good[0], replace(good[1], image=noise, gaze=upwards_and_swapped))
    assert report.errors == ()
    whats = " ".join(finding.what for finding in report.warnings)
    assert "the first column varies more" in whats
    assert "upwards" in whats


def test_head_pose_against_confirmed_gaze_is_suspected(good: list[Person], check: Callable[..., CheckReport]) -> None:
    swapped = replace(good[0], pose=good[0].pose[:, ::-1].copy())
    negated = replace(good[1], pose=-good[1].pose)
    whats = [finding.what for finding in check(swapped, negated).warnings]
    assert len(whats) == 2
    assert "pose: pitch and yaw look swapped" in whats[0]
    assert "pose: head yaw runs against gaze yaw" in whats[1]


def test_a_person_with_another_image_size_is_an_error(
    good: list[Person], draw_person: Callable[..., Person], check: Callable[..., CheckReport]
) -> None:
    report = check(*good, draw_person("c", size=(24, 40)))
    assert [finding.person for finding in report.errors] == ["c"]
    assert "24x40 pixels, where most persons have 36x60" in report.errors[0].what


@pytest.mark.realdata
@pytest.mark.parametrize(
    "file",
    [
        "mpiigaze/MPIIGaze_crop9x15_p00-p09.h5",
        "mpiigaze/MPIIGaze_p00_36x60.h5",
        "synthetic_eyes/synthetic_eyes_s00-s13.h5",
    ],
)
def test_real_files_have_no_error_and_all_their_persons_in_the_table(data_folder: Path, file: str) -> None:
    report = check_file(data_folder / file)
    assert report.errors == ()
    assert len(report.persons) == len(load_persons(data_folder / file))
    # MPIIGaze itself holds one image without content (p08, row 911), and one file holds one person only.
    assert all("one grey level" in warning.what or "one person only" in warning.what for warning in report.warnings)
