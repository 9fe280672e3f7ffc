from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from mpiigaze_files import cell, day_path, eye_struct, write_day, write_list, write_mpiigaze
from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.prepare.converter import DAMAGED, ConvertOptions
from privateyes.tasks.gaze.prepare.mpiigaze import BAD_LINE, DAMAGED_DAY, NO_DAY, NO_FOLDER, NO_FRAME, TWICE, MPIIGaze
from privateyes.tasks.gaze.prepare.mpiigaze_day import read_day
from privateyes.tasks.gaze.prepare.tally import Tally

Rows = dict[str, np.ndarray]


def convert(source: Path, person: str = "p00", **options: object) -> tuple[Rows, Tally]:
    """All rows of a person, and the tally."""
    tally = Tally()
    blocks = list(MPIIGaze(source, ConvertOptions(**options)).blocks(person, tally))
    assert all(len(block["image"]) <= 512 for block in blocks)
    rows = {name: np.concatenate([block[name] for block in blocks]) for name in (blocks[0] if blocks else ())}
    assert tally.used == len(rows.get("image", ()))
    return rows, tally


def skips(tally: Tally) -> list[tuple[str, str]]:
    return [(skip.reason, skip.what) for skip in tally.skipped]


def one_sample(gaze: list[float], pose: list[float] | None = None, seed: int = 0) -> dict[str, np.ndarray]:
    sample = eye_struct(1, seed)
    return sample | {"gaze": np.array([gaze], dtype=np.float64), "pose": np.array([pose or [0.0, 0, 0]])}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_mpiigaze(tmp_path / "MPIIGaze")


def test_rows_come_in_the_order_of_the_list_with_images_and_columns(source: Path) -> None:
    write_list(source, "p00", ["day02/0003.jpg right", "day01/0005.jpg left", "day02/0003.jpg left"])
    rows, tally = convert(source)
    assert rows["frame"].tolist() == ["day02/0003.jpg right", "day01/0005.jpg left", "day02/0003.jpg left"]
    assert rows["eye"].tolist() == [1, 0, 0]
    assert rows["day"].tolist() == [2, 1, 2]
    np.testing.assert_array_equal(rows["image"][0], eye_struct(5, 52)["image"][2, :, ::-1])
    np.testing.assert_array_equal(rows["image"][1], eye_struct(5, 1)["image"][4])
    np.testing.assert_array_equal(rows["image"][2], eye_struct(5, 2)["image"][2])
    assert {name: str(rows[name].dtype) for name in ("image", "gaze", "pose", "eye", "day")} == {
        "image": "uint8", "gaze": "float32", "pose": "float32", "eye": "uint8", "day": "uint16",
    }  # fmt: skip
    assert tally.skipped == []


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_signs_follow_the_published_formulas_and_right_eyes_are_mirrored(tmp_path: Path, side: str, sign: int) -> None:
    """Down and towards the image's left; the head turned about y by 0.3 and about x by -0.2."""
    gaze = [-0.6, 0.48, -0.64]
    turned_x = one_sample(gaze, [-0.2, 0.0, 0.0])
    turned_y = one_sample(gaze, [0.0, 0.3, 0.0])
    write_day(day_path(tmp_path, "p00", 1), turned_x, turned_x, ["0001.jpg"])
    write_day(day_path(tmp_path, "p00", 2), turned_y, turned_y, ["0001.jpg"])
    write_list(tmp_path, "p00", [f"day01/0001.jpg {side}", f"day02/0001.jpg {side}"])
    rows, _ = convert(tmp_path)
    expected = [np.arcsin(-0.48), sign * np.arctan2(0.6, 0.64)]
    assert rows["gaze"] == pytest.approx(np.array([expected, expected]), abs=1e-6)
    # Rotating about x by a turns z to (0, -sin a, cos a); about y to (sin a, 0, cos a).
    assert rows["pose"] == pytest.approx(np.array([[0.2, 0.0], [0.0, sign * 0.3]]), abs=1e-6)


def test_a_day_with_one_sample_is_wrapped_again(tmp_path: Path) -> None:
    write_day(day_path(tmp_path, "p00", 1), eye_struct(1, 1), eye_struct(1, 2), ["0007.jpg"])
    write_list(tmp_path, "p00", ["day01/0007.jpg right", "day01/0007.jpg left"])
    loaded = scipy.io.loadmat(day_path(tmp_path, "p00", 1), struct_as_record=False, squeeze_me=True)
    assert loaded["data"].left.image.shape == (36, 60), "the trap is not set"
    rows, tally = convert(tmp_path)
    np.testing.assert_array_equal(rows["image"][0], eye_struct(1, 2)["image"][0, :, ::-1])
    np.testing.assert_array_equal(rows["image"][1], eye_struct(1, 1)["image"][0])
    assert len(rows["gaze"]) == 2
    assert tally.skipped == []


def test_three_samples_are_not_taken_for_one_vector(tmp_path: Path) -> None:
    write_day(day_path(tmp_path, "p00", 1), eye_struct(3, 1), eye_struct(3, 2), ["a.jpg", "b.jpg", "c.jpg"])
    write_list(tmp_path, "p00", ["day01/b.jpg left"])
    gaze = eye_struct(3, 1)["gaze"][1]
    rows, _ = convert(tmp_path)
    assert rows["gaze"][0] == pytest.approx([np.arcsin(-gaze[1]), np.arctan2(-gaze[0], -gaze[2])], abs=1e-6)


def test_a_day_without_samples_gives_none(tmp_path: Path) -> None:
    matlab = {name: np.empty((0, 0)) for name in ("image", "gaze", "pose")}
    write_day(day_path(tmp_path, "p00", 1), eye_struct(0), matlab, [])
    write_day(day_path(tmp_path, "p00", 2), eye_struct(2), eye_struct(2), ["0001.jpg", "0002.jpg"])
    write_list(tmp_path, "p00", ["day01/0001.jpg left", "day02/0002.jpg left"])
    rows, tally = convert(tmp_path)
    assert len(rows["image"]) == 1
    assert skips(tally) == [(NO_FRAME, "day01/0001.jpg left")]
    assert len(convert(tmp_path, subset="all")[0]["image"]) == 4


def test_all_frames_come_day_by_day_left_before_right(source: Path) -> None:
    rows, tally = convert(source, "p01", subset="all")
    assert len(rows["image"]) == 3 * 5 * 2
    assert rows["frame"][:4].tolist() == [f"day01/000{n}.jpg {side}" for n in (1, 2) for side in ("left", "right")]
    assert rows["day"].tolist() == [1] * 10 + [2] * 10 + [3] * 10
    assert tally.warnings == []


def test_missing_days_in_between_are_warned_about_when_all_are_taken(source: Path) -> None:
    day_path(source, "p00", 2).unlink()
    assert convert(source, subset="all")[1].warnings == ["p00: no files of the days 2, though there are later ones"]


def test_list_lines_without_a_frame_are_named(source: Path) -> None:
    write_list(source, "p00", ["day01/0001.jpg left", "day01/0999.jpg left", "day03/0009.jpg right"])
    rows, tally = convert(source)
    assert len(rows["image"]) == 1
    assert skips(tally) == [(NO_FRAME, "day01/0999.jpg left"), (NO_FRAME, "day03/0009.jpg right")]


def test_list_lines_that_come_twice_or_say_something_else_are_named(source: Path) -> None:
    lines = ["day01/0001.jpg left"] * 2 + ["", "../../etc/passwd left", "day01/../0001.jpg left", "day01/0002.jpg both"]
    write_list(source, "p00", [*lines, "day01/0002.jpg   right\r", "day01/0003.jpg left", "day02/0001.jpg left"])
    rows, tally = convert(source)
    assert rows["frame"].tolist()[:2] == ["day01/0001.jpg left", "day01/0002.jpg right"]
    assert len(rows["frame"]) == 4
    assert skips(tally) == [
        (TWICE, "day01/0001.jpg left"),
        (BAD_LINE, "p00.txt: ../../etc/passwd left"),
        (BAD_LINE, "p00.txt: day01/../0001.jpg left"),
        (BAD_LINE, "p00.txt: day01/0002.jpg both"),
    ]


def test_a_list_of_another_kind_is_refused(source: Path) -> None:
    write_list(source, "p00", ["day01/0001.jpg 651 422 703 421"] * 3)
    with pytest.raises(DataError, match=r"p00\.txt: most lines are not such as .*651 422.*sample list for eye image"):
        convert(source)


def test_a_missing_list_is_refused_with_the_way_around_it(source: Path) -> None:
    (source / "Evaluation Subset" / "sample list for eye image" / "p01.txt").unlink()
    with pytest.raises(DataError, match=r"p01\.txt: there is no such list; .*--subset all"):
        convert(source, "p01")
    assert len(convert(source, "p01", subset="all")[0]["image"]) == 30
    rows, tally = convert(source, "p01", skip_damaged=True)
    assert rows == {}
    assert [skip.reason for skip in tally.skipped] == [DAMAGED]


def test_a_missing_day_stops_or_is_named_with_its_lines(source: Path) -> None:
    day_path(source, "p00", 2).unlink()
    with pytest.raises(DataError, match=r"day02\.mat: there is no such file; .*--skip-damaged"):
        convert(source)
    rows, tally = convert(source, skip_damaged=True)
    assert len(rows["image"]) == 20
    assert tally.by_reason() == {NO_DAY: 10, DAMAGED: 1}
    assert "day02.mat: there is no such file" in tally.skipped[0].what


def test_a_day_that_was_saved_again_without_its_first_axis_is_wrapped_again(tmp_path: Path) -> None:
    eyes = [{name: array[0] for name, array in eye_struct(1, seed).items()} for seed in (1, 2)]
    write_day(day_path(tmp_path, "p00", 1), *eyes, ["0007.jpg"])
    rows, _ = convert(tmp_path, subset="all")
    np.testing.assert_array_equal(rows["image"][0], eye_struct(1, 1)["image"][0])
    gaze = eye_struct(1, 1)["gaze"][0]
    assert rows["gaze"][0] == pytest.approx([np.arcsin(-gaze[1]), np.arctan2(-gaze[0], -gaze[2])], abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.002, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short_stops_or_is_named(source: Path, share: float) -> None:
    path = day_path(source, "p00", 2)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"day02\.mat.*; (unpack|use).*--skip-damaged") as caught:
        convert(source)
    assert "\n" not in str(caught.value)
    rows, tally = convert(source, skip_damaged=True)
    assert len(rows["image"]) == 20
    assert tally.by_reason()[DAMAGED] == 1


def test_damaged_bytes_are_never_anything_but_a_clear_error(source: Path) -> None:
    path = day_path(source, "p00", 1)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        spoiled = bytearray(content)
        for place in generator.integers(0, min(len(content), 400), 3):
            spoiled[place] = generator.integers(256)
        path.write_bytes(spoiled)
        with suppress(DataError):
            read_day(path)


def _without(field: str) -> Callable[[dict], None]:
    return lambda content: content["data"]["left"].pop(field)


def _set(side: str, field: str, value: object) -> Callable[[dict], None]:
    return lambda content: content["data"][side].__setitem__(field, value)


FULL = eye_struct(5, 1)
BAD_FILES: list[tuple[str, Callable[[dict], object], str]] = [
    ("no data", lambda c: c.pop("data"), "there is no variable 'data'"),
    ("no filenames", lambda c: c.pop("filenames"), "there is no variable 'filenames'"),
    ("no right", lambda c: c["data"].pop("right"), r"data\.right\.image: there is no array of numbers"),
    ("no image", _without("image"), r"data\.left\.image: there is no array of numbers"),
    ("no gaze", _without("gaze"), r"data\.left\.gaze: there is no array"),
    ("no pose", _without("pose"), r"data\.left\.pose: there is no array"),
    ("data a number", lambda c: c.__setitem__("data", 7.0), r"data\.left\.image: there is no array"),
    ("data an array", lambda c: c.__setitem__("data", np.zeros((5, 3))), r"data\.left\.image: there is no array"),
    ("a struct array", lambda c: c["data"].__setitem__("left", np.array([(1,), (2,)], [("image", "O")])),
     r"left\.image: there is no array"),
    ("cells of images", _set("left", "image", cell(list(FULL["image"]))), r"left\.image: there is no array of numbers"),
    ("images of doubles", _set("left", "image", FULL["image"] / 255), r"left\.image: values are float64 and not uint8"),
    ("one image less", _set("left", "image", FULL["image"][:4]), r"left\.image: the shape is \(4, 36, 60\).*5 names"),
    ("colour", _set("left", "image", np.stack([FULL["image"]] * 3, -1)), r"the shape is \(5, 36, 60, 3\)"),
    ("angles", _set("left", "gaze", FULL["gaze"][:, :2]), r"left\.gaze: float64 of shape \(5, 2\).*not angles"),
    ("transposed", _set("left", "gaze", FULL["gaze"].T.copy()), r"left\.gaze: float64 of shape \(3, 5\)"),
    ("one pose less", _set("right", "pose", FULL["pose"][:4]), r"right\.pose: float64 of shape \(4, 3\)"),
    ("text", _set("left", "gaze", "looking"), r"left\.gaze: there is no array"),
    ("complex", _set("left", "gaze", FULL["gaze"] + 0j), r"15 complex numbers"),
    ("millimetres", _set("left", "gaze", FULL["gaze"] * 600), "vectors have a length of 600 and not of 1"),
    ("flipped", _set("left", "gaze", -FULL["gaze"]), "most vectors point away from the camera"),
    ("zyx", _set("right", "gaze", FULL["gaze"][:, ::-1].copy() * [-1, 1, 1]), None),
    ("another size", lambda c: c["data"].update({s: eye_struct(5, 1, (72, 120)) for s in ("left", "right")}),
     "images are 72x120 and not 36x60; .*--size"),
    ("two sizes", _set("left", "image", eye_struct(5, 1, (24, 40))["image"]), r"differ in size \(\(24, 40\) and"),
    ("numbers for names", lambda c: c.__setitem__("filenames", np.arange(5.0)), "'filenames' is no list of names"),
    ("cells of cells", lambda c: c.__setitem__("filenames", cell([cell(["a", "b"])] * 5)), "'filenames' is no list"),
    ("no names", lambda c: c.__setitem__("filenames", cell([])), r"the shape is \(5, 36, 60\) where 0 names"),
    ("fewer names", lambda c: c.__setitem__("filenames", cell(["a.jpg"])), r"the shape is \(5, 36, 60\) where 1 names"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES])
def test_files_with_something_else_in_them_stop_or_are_named(
    source: Path, spoil: Callable[[dict], object], message: str | None
) -> None:
    path = day_path(source, "p00", 2)
    names = [f"{frame:04d}.jpg" for frame in range(1, 6)]
    content = {"data": {"left": dict(FULL), "right": eye_struct(5, 2)}, "filenames": cell(names)}
    spoil(content)
    scipy.io.savemat(path, content, do_compression=True)
    with pytest.raises(DataError, match=rf"day02\.mat.*{message or 'away from the camera'}") as caught:
        convert(source)
    assert caught.value.remedy.endswith("or go on without it: --skip-damaged")
    rows, tally = convert(source, skip_damaged=True)
    assert len(rows["image"]) == 20
    assert tally.by_reason() == {DAMAGED_DAY: 10, DAMAGED: 1}


def test_another_size_is_brought_to_the_one_asked_for(source: Path) -> None:
    big = [eye_struct(5, seed, (72, 120)) for seed in (1, 2)]
    write_day(day_path(source, "p00", 2), big[0], big[1], [f"{frame:04d}.jpg" for frame in range(1, 6)])
    rows, _ = convert(source, size=(36, 60))
    assert rows["image"].shape == (30, 36, 60)
    other = rows["image"][rows["frame"].tolist().index("day02/0001.jpg left")].astype(float)
    averaged = big[0]["image"][0].reshape(36, 2, 60, 2).mean(axis=(1, 3))
    assert np.corrcoef(other.ravel(), averaged.ravel())[0, 1] > 0.9
    assert convert(source, size=(9, 15))[0]["image"].shape == (30, 9, 15)


@pytest.mark.parametrize(
    ("field", "row", "reason"),
    [
        ("gaze", [np.nan, 0.1, -0.9], "gaze or head pose is not a number"),
        ("gaze", [0.0, 0.0, 0.0], "gaze is no unit vector"),
        ("gaze", [1e300, 1e300, -1e300], "gaze is no unit vector"),
        ("gaze", [0.0, 0.6, -0.9], "gaze is no unit vector"),
        ("gaze", [0.0, 0.6, 0.8], "gaze points away from the camera"),
        ("gaze", [1.0, 0.0, 0.0], "gaze points away from the camera"),
        ("pose", [0.0, np.inf, 0.0], "gaze or head pose is not a number"),
        ("pose", [0.0, 2.0, 0.0], "head is turned away from the camera"),
        ("pose", [0.0, 0.0, 3.5], "head's rotation vector is longer than half a turn, as one in degrees is"),
    ],
)
def test_a_row_with_impossible_labels_is_named_and_its_other_eye_is_kept(
    source: Path, field: str, row: list[float], reason: str
) -> None:
    left = eye_struct(5, 1)
    left[field][3] = row
    write_day(day_path(source, "p00", 1), left, eye_struct(5, 51), [f"{frame:04d}.jpg" for frame in range(1, 6)])
    for subset in ("evaluation", "all"):
        rows, tally = convert(source, subset=subset)
        assert skips(tally) == [(reason, "day01/0004.jpg left")]
        assert "day01/0004.jpg right" in rows["frame"]
        assert len(rows["frame"]) == 29


def test_a_zero_rotation_is_a_head_that_faces_the_camera(tmp_path: Path) -> None:
    write_day(day_path(tmp_path, "p00", 1), *[one_sample([0.0, 0.0, -1.0])] * 2, ["0001.jpg"])
    write_list(tmp_path, "p00", ["day01/0001.jpg left"])
    rows, _ = convert(tmp_path)
    np.testing.assert_array_equal(rows["pose"], [[0, 0]])
    np.testing.assert_array_equal(rows["gaze"], [[0, 0]])


def test_a_frame_that_is_there_twice_and_an_image_of_one_level_are_warned_about(source: Path) -> None:
    left = eye_struct(5, 1)
    left["image"][1] = 0
    names = ["0001.jpg", "0002.jpg", "0003.jpg", "0004.jpg", "0001.jpg"]
    write_day(day_path(source, "p00", 1), left, eye_struct(5, 51), names)
    rows, tally = convert(source)
    assert (rows["image"][rows["frame"].tolist().index("day01/0002.jpg left")] == 0).all()
    np.testing.assert_array_equal(rows["image"][rows["frame"].tolist().index("day01/0001.jpg left")], left["image"][0])
    assert tally.warnings == [
        "p00/day01: the frame 0001.jpg is there twice; lists get the first one",
        "day01/0002.jpg left: the image has one grey level only; it is kept, as in everyone's results",
    ]
    assert skips(tally) == [(NO_FRAME, f"day01/0005.jpg {side}") for side in ("left", "right")]


def test_names_of_frames_from_a_hostile_file_stay_text(tmp_path: Path) -> None:
    names = ["../../x.jpg", "=cmd()\n", "a" * 400, "\x00\x1b[31m"]
    write_day(day_path(tmp_path, "p00", 1), eye_struct(4, 1), eye_struct(4, 2), names)
    rows, tally = convert(tmp_path, subset="all")
    assert len(rows["frame"]) == 8
    assert tally.skipped == []


def test_files_of_matlab_73_are_told_apart(source: Path) -> None:
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM"
    day_path(source, "p00", 1).write_bytes(header + b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(DataError, match=r"day01\.mat: a file of MATLAB 7\.3, where .*format 5"):
        convert(source)


def test_persons_are_the_folders_of_the_normalised_part(source: Path) -> None:
    for other in ("p100", "notes", ".p01"):
        (source / "Data" / "Normalized" / other).mkdir()
    (source / "Data" / "Normalized" / "p07").write_text("no folder")
    assert MPIIGaze(source, ConvertOptions()).persons() == ["p00", "p01"]
    assert MPIIGaze(source.parent, ConvertOptions()).persons() == ["p00", "p01"], "the folder around it will do"


def test_another_source_is_refused_saying_what_was_expected_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Data/Normalized: there is no such folder, .* is not MPIIGaze; name the"):
        MPIIGaze(tmp_path, ConvertOptions()).persons()
    (tmp_path / "Data" / "Normalized").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no folder such as p00"):
        MPIIGaze(tmp_path, ConvertOptions()).persons()


def test_the_manifest_is_to_hold_every_day_and_the_list(source: Path) -> None:
    (source / "Data" / "Normalized" / "p00" / "notes.mat").write_text("")
    files = MPIIGaze(source, ConvertOptions()).source_files("p00")
    assert [path.name for path in files] == ["day01.mat", "day02.mat", "day03.mat", "p00.txt"]
    files = MPIIGaze(source, ConvertOptions(subset="all")).source_files("p00")
    assert [path.name for path in files] == ["day01.mat", "day02.mat", "day03.mat"]


def test_options_of_other_data_sets_are_refused(source: Path) -> None:
    with pytest.raises(UsageError, match="MPIIGaze has no option split"):
        MPIIGaze(source, ConvertOptions(split="train"))
    with pytest.raises(UsageError, match="MPIIGaze has no option largest-blink"):
        MPIIGaze(source, ConvertOptions(largest_blink=0.2))


def _like_people(count: int, change: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """Gaze as people at laptops have it: 9 degrees down on average, wider sideways than up and down; then changed."""
    generator = np.random.default_rng(4)
    pitch, yaw = np.deg2rad(generator.normal(-9, 5, count)), np.deg2rad(generator.normal(1, 8, count))
    gaze = np.column_stack([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])
    return eye_struct(count) | {"gaze": change(gaze)}


@pytest.mark.parametrize("subset", ["evaluation", "all"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda gaze: gaze, None),
        (lambda gaze: gaze[:, [1, 0, 2]], "labels look swapped"),
        (lambda gaze: gaze * [1, -1, 1], "labels look sign-flipped"),
    ],
    ids=["true", "swapped", "flipped"],
)
def test_labels_in_another_order_or_with_other_signs_are_warned_about(
    tmp_path: Path, subset: str, change: Callable[[np.ndarray], np.ndarray], expected: str | None
) -> None:
    names = [f"{row:04d}.jpg" for row in range(40)]
    write_day(day_path(tmp_path, "p00", 1), _like_people(40, change), _like_people(40, change), names)
    write_list(tmp_path, "p00", [f"day01/{name} {side}" for name in names for side in ("left", "right")])
    rows, tally = convert(tmp_path, subset=subset)
    assert len(rows["gaze"]) == 80
    if expected is None:
        assert tally.warnings == []
    else:
        assert len(tally.warnings) == 1
        assert tally.warnings[0].startswith(f"p00: {expected}")


def test_a_handful_of_labels_is_not_suspected(tmp_path: Path) -> None:
    up = _like_people(10, lambda gaze: gaze * [1, -1, 1])
    names = [f"{row:04d}.jpg" for row in range(10)]
    write_day(day_path(tmp_path, "p00", 1), up, up, names)
    write_list(tmp_path, "p00", [f"day01/{name} left" for name in names])
    assert convert(tmp_path)[1].warnings == []


def test_rotation_vectors_in_degrees_are_refused_as_such(source: Path) -> None:
    left = eye_struct(5, 1)
    left["pose"] = np.rad2deg(left["pose"])
    write_day(day_path(source, "p00", 1), left, eye_struct(5, 51), [f"{frame:04d}.jpg" for frame in range(1, 6)])
    with pytest.raises(DataError, match=r"day01\.mat, data\.left\.pose: .* look like degrees; store them in radians"):
        convert(source)


def test_a_person_who_is_still_packed_is_named(source: Path) -> None:
    (source / "Data/Normalized/p07.zip").write_bytes(b"x")
    assert MPIIGaze(source, ConvertOptions()).persons() == ["p00", "p01", "p07"]
    with pytest.raises(DataError, match=r"p07\.zip is still packed; unpack it"):
        convert(source, "p07")
    _, tally = convert(source, "p07", skip_damaged=True)
    assert [skip.reason for skip in tally.skipped] == [DAMAGED]
    assert MPIIGaze(source, ConvertOptions()).source_files("p07") == []


def test_a_person_with_a_list_and_without_images_is_named_and_stops_nobody(source: Path) -> None:
    write_list(source, "p09", ["day01/0001.jpg left"])
    assert MPIIGaze(source, ConvertOptions()).persons() == ["p00", "p01", "p09"]
    assert MPIIGaze(source, ConvertOptions(subset="all")).persons() == ["p00", "p01"]
    rows, tally = convert(source, "p09")
    assert rows == {}
    assert [skip.reason for skip in tally.skipped] == [NO_FOLDER]
