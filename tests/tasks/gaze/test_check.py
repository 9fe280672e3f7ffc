from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.check import CheckReport, Severity, check_file, contradicted_labels
from privateyes.tasks.gaze.dataset import ImageOf, Person, load_persons, write_persons
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


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.roll(np.arange(200), 1), "labels look shifted by a row, since those a row after an image's fit it better"),
        (np.roll(np.arange(200), -2), "labels look shifted by 2 rows, since those 2 rows before an image's fit"),
        (np.random.default_rng(0).permutation(200), "labels do not follow the images"),
    ],
    ids=["a row late", "two rows early", "shuffled"],
)
def test_labels_of_other_rows_are_a_warning_about_that_person(
    good: list[Person], check: Callable[..., CheckReport], rows: np.ndarray, message: str
) -> None:
    report = check(good[0], replace(good[1], gaze=good[1].gaze[rows]))
    assert [(finding.person, finding.severity) for finding in report.findings] == [("b", Severity.WARNING)]
    assert message in report.findings[0].what
    assert report.findings[0].remedy


def test_a_quick_look_names_labels_of_other_rows(good: list[Person], tmp_path: Path) -> None:
    path = tmp_path / "eyes.h5"
    write_persons(path, [good[0], replace(good[1], gaze=np.roll(good[1].gaze, 1, axis=0))])
    found = contradicted_labels(path, ["a", "b"])
    assert [finding.person for finding in found] == ["b"]
    assert found[0].what.partition(",")[0] == "gaze: labels look shifted by a row"


def test_what_the_images_cannot_tell_is_said(good: list[Person], check: Callable[..., CheckReport]) -> None:
    assert check(*good).untold == ()
    noise = np.random.default_rng(0).integers(0, 256, good[1].image.shape).astype(np.uint8)
    few = {part: getattr(good[0], part)[:30] for part in ("image", "pose", "gaze")}
    untold = check(good[0], replace(good[1], image=noise), Person("c", **few)).untold
    assert [text.partition(";")[0] for text in untold] == [
        "whether pitch is negated or the eye upside down (b, c)",
        "whether pitch and yaw are swapped, yaw is negated or the eye mirrored (b, c)",
        "whether labels and images stand in the same order (c)",
    ]


def test_that_labels_of_faces_and_points_are_not_compared_is_said(good: list[Person], tmp_path: Path) -> None:
    path = tmp_path / "faces.h5"
    write_persons(path, good, "face")
    assert [text.partition(";")[0] for text in check_file(path).untold] == [
        "whether labels agree with the images, which is looked at for angles of single eyes only (all persons)"
    ]


def test_of_many_persons_the_first_ten_are_named(
    draw_person: Callable[..., Person], check: Callable[..., CheckReport]
) -> None:
    report = check(draw_person("z"), *(draw_person(f"p{number:02d}", 30) for number in range(12)))
    assert "(p00, p01, p02, p03, p04, p05, p06, p07, p08, p09 and 2 more)" in report.untold[0]


@pytest.mark.parametrize("image_of", ["eye", "face"])
def test_a_quick_look_names_contradicted_labels_of_the_persons_asked_about(
    good: list[Person], tmp_path: Path, image_of: ImageOf
) -> None:
    path = tmp_path / "eyes.h5"
    swapped = good[1].gaze[:, ::-1].copy()
    write_persons(path, [good[0], replace(good[1], gaze=swapped), replace(good[1], name="c", gaze=swapped)], image_of)
    found = contradicted_labels(path, ["a", "b"])
    assert [finding.person for finding in found] == (["b"] if image_of == "eye" else [])
    assert all("pitch and yaw look swapped" in finding.what for finding in found)


def test_a_quick_look_leaves_faults_to_the_check(good: list[Person], tmp_path: Path) -> None:
    path = tmp_path / "eyes.h5"
    write_persons(path, good)
    with h5py.File(path, "r+") as file:
        del file["a"]["gaze"]
        file["b"]["gaze"][3] = np.nan
    assert contradicted_labels(path, ["a", "b"]) == []


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
    assert [finding.what for finding in findings] == ["image: 2 rows also under a, such as row 3 (row 17 there)"]


def test_constant_images_are_found_and_are_no_duplicates(good: list[Person], check: Callable[..., CheckReport]) -> None:
    spoiled = [replace(person, image=person.image.copy()) for person in good]
    for person in spoiled:
        person.image[5] = 0
    whats = [finding.what for finding in check(*spoiled).warnings]
    assert whats == ["image: 1 of 200 rows with one grey level only, the first is row 5"] * 2


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


def _coloured(person: Person) -> Person:
    tint = np.float32([1.0, 0.8, 0.7])
    return replace(person, image=(person.image[..., None] * tint).astype(np.uint8))


def _with_points(person: Person, scale: float = 1.0) -> Person:
    """Points about 8 cm below the camera, no angles."""
    point = (np.float32([0, -8]) + 20 * person.gaze[:, ::-1]) * np.float32(scale)
    return replace(person, gaze=None, pose=None, columns={"point": point})


def test_coloured_eyes_of_any_size_are_judged_like_grey_ones(
    tmp_path: Path, draw_person: Callable[..., Person]
) -> None:
    path = tmp_path / "eyes.h5"
    big = _coloured(draw_person("a", size=(108, 180), seed=1))
    negated = replace(_coloured(draw_person("b", size=(108, 180), seed=2)), name="b")
    write_persons(path, [big, replace(negated, gaze=negated.gaze * np.float32([1, -1]))])
    report = check_file(path)
    assert [(entry.size, entry.colour) for entry in report.persons] == [((108, 180), True)] * 2
    assert report.persons[0].orientation.order is Verdict.RIGHT
    assert [(finding.person, finding.what[:22]) for finding in report.errors] == [("b", "gaze: yaw looks negate")]


def test_faces_are_not_judged_by_one_iris(tmp_path: Path, good: list[Person]) -> None:
    path = tmp_path / "faces.h5"
    negated = [replace(person, gaze=person.gaze * np.float32([1, -1])) for person in good]
    write_persons(path, negated, image_of="face")
    report = check_file(path)
    assert report.errors == ()
    assert report.persons[0].orientation.yaw_sign is Verdict.UNKNOWN
    with h5py.File(path, "r+") as file:
        del file.attrs["image_of"]
    assert len(check_file(path).errors) == 2, "without a word about what it shows, a wide grey image is an eye"


def test_points_and_missing_angles_are_told(good: list[Person], check: Callable[..., CheckReport]) -> None:
    report = check(*map(_with_points, good))
    assert report.findings == ()
    first = report.persons[0]
    assert (first.gaze_mean_deg, first.gaze_sd_deg, first.head_mean_deg, first.head_sd_deg) == (None,) * 4
    expected = _with_points(good[0]).columns["point"]
    assert first.point_mean_cm == pytest.approx(expected.mean(axis=0), abs=1e-4)
    assert first.point_sd_cm == pytest.approx(expected.std(axis=0), abs=1e-4)


def test_points_in_other_units_are_suspected(good: list[Person], check: Callable[..., CheckReport]) -> None:
    whats = [finding.what for finding in check(_with_points(good[0], 0.01), _with_points(good[1], 5)).warnings]
    assert len(whats) == 2
    assert "points hardly vary" in whats[0]
    assert "more than 50 cm from the camera" in whats[1]


def test_a_part_that_some_lack_is_an_error_of_theirs(good: list[Person], check: Callable[..., CheckReport]) -> None:
    report = check(good[0], replace(good[1], pose=None))
    assert [(finding.person, finding.what) for finding in report.errors] == [
        ("b", "there is no data set 'pose', which 1 of 2 persons have")
    ]
    report = check(good[0], replace(good[1], columns={"day": np.zeros(200, dtype=np.uint16)}))
    assert report.findings == (), "no model needs the day"


def test_colour_and_grey_do_not_mix(good: list[Person], check: Callable[..., CheckReport]) -> None:
    errors = check(*good, replace(_coloured(good[0]), name="c")).errors
    assert [(finding.person, finding.what) for finding in errors] == [
        ("c", "image: colour, where most persons have grey images")
    ]


def test_columns_are_checked_too(good: list[Person], tmp_path: Path) -> None:
    path = tmp_path / "eyes.h5"
    crops = {side: np.zeros((200, 4, 6), dtype=np.uint8) for side in ("left", "right")}
    crops["left"][:199] = np.arange(24).reshape(4, 6)
    write_persons(path, [replace(good[0], columns=crops | {"day": np.zeros(200, dtype=np.uint16)}), good[1]])
    with h5py.File(path, "r+") as file:
        file["a/day"][...] = 3
        del file["a/day"]
        file["a/day"] = np.full(200, -1)
        file["b"].attrs["devices"] = "iPad"
    report = check_file(path)
    assert [finding.what for finding in report.errors] == [
        "day: row 0 is -1, not within 0 and 65535",
        "the attribute 'devices' is no list of names",
    ]
    with h5py.File(path, "r+") as file:
        del file["a/day"]
        del file["b"].attrs["devices"]
        for side in crops:
            file["b"][side] = file["a/left"][()]
    whats = [finding.what for finding in check_file(path).warnings]
    assert whats == [
        "left: 1 of 200 rows with one grey level only, the first is row 199",
        "right: 200 of 200 rows with one grey level only, the first is row 0",
        "left: 1 of 200 rows with one grey level only, the first is row 199",
        "right: 1 of 200 rows with one grey level only, the first is row 199",
    ]


def test_damaged_pictures_are_a_finding_of_that_person(good: list[Person], tmp_path: Path) -> None:
    path = tmp_path / "eyes.h5"
    write_persons(path, good)
    with h5py.File(path) as file:
        place = file["a"]["image"].id.get_chunk_info(2).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 40] = bytes(40)
    path.write_bytes(content)
    report = check_file(path)
    assert [finding.person for finding in report.errors] == ["a"]
    assert "the data cannot be read" in report.errors[0].what
    assert [entry.name for entry in report.persons] == ["b"]


def test_memory_stays_bounded_however_large_a_person_is(tmp_path: Path) -> None:
    """300 faces of 300 kB each are 86 MB; two blocks of 32 MiB, and a sample, are what may be held."""
    path = tmp_path / "faces.h5"
    with h5py.File(path, "w") as file:
        for name in ("a", "b"):
            file[f"{name}/gaze"] = np.random.default_rng(0).normal(0, 0.1, (300, 2)).astype(np.float32)
            file.create_dataset(f"{name}/image", (300, 310, 310, 3), np.uint8, chunks=(1, 310, 310, 3))
            file[f"{name}/image"][:, 5, 5] = 200
    tracemalloc.start()
    check_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6


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
    # Crops of the iris show nothing of pitch, which is said; everything else is compared.
    assert ("whether pitch" in " ".join(report.untold)) == ("9x15" in file)
    # MPIIGaze itself holds one image without content (p08, row 911), and one file holds one person only.
    assert all("one grey level" in warning.what or "one person only" in warning.what for warning in report.warnings)
