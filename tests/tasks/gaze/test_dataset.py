from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze import dataset
from privateyes.tasks.gaze.dataset import (
    Outline,
    Person,
    list_persons,
    load_images,
    load_persons,
    outline_persons,
    write_persons,
)


@pytest.fixture
def path(tmp_path: Path, draw_person: Callable[..., Person]) -> Path:
    file = tmp_path / "eyes.h5"
    write_persons(file, (draw_person(name, 12, (9, 15), seed) for seed, name in enumerate(["b", "a", "c"])))
    return file


def test_written_persons_are_read_back_unchanged(path: Path, draw_person: Callable[..., Person]) -> None:
    person = load_persons(path, ["b"])[0]
    original = draw_person("b", 12, (9, 15), 0)
    assert person.name == "b"
    assert len(person) == 12
    for part in ("image", "pose", "gaze"):
        np.testing.assert_array_equal(getattr(person, part), getattr(original, part))
        assert getattr(person, part).dtype == getattr(original, part).dtype


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [
        ((100, 36, 60), (7, 36, 60)),
        ((3, 36, 60), (3, 36, 60)),
        ((5, 224, 224, 3), (1, 224, 224, 3)),
        ((9, 1, 1), (9, 1, 1)),
    ],
)
def test_few_pictures_are_packed_together_and_whole(
    tmp_path: Path, shape: tuple[int, ...], chunk: tuple[int, ...]
) -> None:
    labels = np.zeros((shape[0], 2), dtype=np.float32)
    write_persons(tmp_path / "eyes.h5", [Person("a", np.zeros(shape, dtype=np.uint8), None, labels)])
    with h5py.File(tmp_path / "eyes.h5") as file:
        assert file["a/image"].chunks == chunk


def test_persons_come_sorted_or_in_the_order_asked_for(path: Path) -> None:
    assert list_persons(path) == ["a", "b", "c"]
    assert [person.name for person in load_persons(path)] == ["a", "b", "c"]
    assert [person.name for person in load_persons(path, ["c", "a"])] == ["c", "a"]


def test_the_same_persons_make_the_same_bytes(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.h5"
    write_persons(again, load_persons(path, ["b", "a", "c"]))
    assert again.read_bytes() == path.read_bytes()


def test_other_data_sets_and_float64_labels_are_tolerated(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["a"]["day"] = np.zeros(12, dtype=np.uint8)
        file["remarks"] = np.zeros(3)
        gaze = file["a"]["gaze"][()]
        del file["a"]["gaze"]
        file["a"]["gaze"] = gaze.astype(np.float64)
    assert list_persons(path) == ["a", "b", "c"]
    person = load_persons(path, ["a"])[0]
    assert person.gaze.dtype == np.float32
    assert person.columns == {}
    assert load_persons(path, ["a"], ["day"])[0].columns["day"].dtype == np.uint16


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"eyes\.h5: there is no such file; .*data render"):
        load_persons(tmp_path / "eyes.h5")


def test_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no file"):
        list_persons(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the file is empty"), (b"pitch,yaw\n1,2\n" * 200, "no HDF5 file, or cut short")],
)
def test_empty_and_foreign_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "eyes.h5"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_persons(file)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"eyes\.h5"):
        load_persons(path)


def test_file_without_persons_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "eyes.h5"
    with h5py.File(file, "w") as opened:
        opened["image"] = np.zeros((3, 9, 15), dtype=np.uint8)
    with pytest.raises(DataError, match="holds no person"):
        load_persons(file)


def test_damaged_pixels_are_refused(path: Path) -> None:
    with h5py.File(path) as file:
        place = file["b"]["image"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"person b: the data cannot be read.*damaged"):
        load_persons(path)


def test_unknown_person_is_named_with_the_closest_one(path: Path) -> None:
    with pytest.raises(DataError, match=r"no person aa; did you mean a\? the file holds a, b, c"):
        load_persons(path, ["aa"])


def test_a_person_asked_for_twice_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match="person a is asked for twice"):
        load_persons(path, ["a", "b", "a"])


def test_a_link_to_nothing_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["d"] = h5py.SoftLink("/nowhere")
    with pytest.raises(DataError, match="person d: the data cannot be read"):
        load_persons(path)


def _set(array: np.ndarray, row: int, value: float) -> np.ndarray:
    changed = array.copy()
    changed[row] = value
    return changed


BAD_PARTS: list[tuple[str, Callable[[np.ndarray], np.ndarray | None], str]] = [
    ("image", lambda a: None, "there is no data set 'image'"),
    ("pose", lambda a: None, "there is no data set 'pose', but a has one"),
    ("gaze", lambda a: None, "there is no data set 'gaze' and none called 'point'"),
    ("image", lambda a: a.astype(np.float32) / 255, "image: values are float32 and not uint8"),
    ("image", lambda a: _set(a.astype(np.float32), 7, np.nan), "image: row 7 holds NaN or infinity"),
    ("image", lambda a: a.astype(np.int64), "image: values are int64 and not uint8"),
    ("image", lambda a: np.stack([a] * 3, axis=-1), r"image.* \(9, 15, 3\), but those of a \(9, 15\)"),
    ("image", lambda a: np.stack([a] * 3, axis=1), r"image: the shape is \(12, 3, 9, 15\).* blue last"),
    ("image", lambda a: a[:, :0], r"image: the shape is \(12, 0, 15\): no pixels"),
    ("image", lambda a: a[0, 0, 0], r"image: the shape is \(\)"),
    ("image", lambda a: a[:0], "image: there is no row"),
    ("image", lambda a: a[:11], "differ in length .*image 11, pose 12, gaze 12"),
    ("gaze", lambda a: a[:11], "differ in length"),
    ("gaze", lambda a: _set(a, 5, np.nan), "gaze: row 5 holds NaN or infinity"),
    ("pose", lambda a: _set(a, 5, np.inf), "pose: row 5 holds NaN or infinity"),
    ("gaze", np.rad2deg, r"gaze: row 0 is .* more than 90 degrees if these were radians; labels in degrees.*deg2rad"),
    ("pose", np.rad2deg, "pose: row .*labels in degrees"),
    ("gaze", lambda a: np.column_stack([a, a[:, 0]]), r"gaze: the shape is \(12, 3\) and not \(rows, 2\).*3-d vectors"),
    ("gaze", lambda a: a[:, 0], r"gaze: the shape is \(12,\)"),
    ("gaze", lambda a: a.astype(np.int32), "gaze: values are int32 and not float32"),
    ("gaze", lambda a: a.astype("S4"), "gaze: values are .S4 and not float32"),
]


@pytest.mark.parametrize(("part", "spoil", "message"), BAD_PARTS)
def test_a_fault_is_refused_with_file_person_part_and_row(
    path: Path, part: str, spoil: Callable[[np.ndarray], np.ndarray | None], message: str
) -> None:
    with h5py.File(path, "r+") as file:
        spoiled = spoil(file["b"][part][()])
        del file["b"][part]
        if spoiled is not None:
            file["b"][part] = spoiled
    with pytest.raises(DataError, match=rf"eyes\.h5, person b.*{message}") as caught:
        load_persons(path)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    assert [person.name for person in load_persons(path, ["a", "c"])] == ["a", "c"]


def test_a_group_per_row_is_refused_as_another_layout(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["b"]["image"]
        file["b"].create_group("image")["0000"] = np.zeros((9, 15), dtype=np.uint8)
    with pytest.raises(DataError, match="person b: 'image' is a group"):
        load_persons(path)


def test_a_data_set_that_holds_nothing_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["b"]["gaze"]
        file["b"]["gaze"] = h5py.Empty("f4")
    with pytest.raises(DataError, match="person b: 'gaze' holds nothing"):
        load_persons(path)


def test_names_that_could_leave_the_folder_of_a_run_are_refused(path: Path, draw_person: Callable[..., Person]) -> None:
    with h5py.File(path, "r+") as file:
        file.move("b", "..")
    with pytest.raises(DataError, match=r"'\.\.' cannot be a person's name"):
        list_persons(path)
    with pytest.raises(DataError, match="cannot be a person's name"):
        write_persons(path.with_name("new.h5"), [draw_person("a/b", 3, (9, 15))])


def test_persons_with_different_image_sizes_are_not_loaded_together(
    tmp_path: Path, draw_person: Callable[..., Person]
) -> None:
    file = tmp_path / "eyes.h5"
    write_persons(file, [draw_person("a", 3, (9, 15)), draw_person("b", 3, (36, 60))])
    with pytest.raises(DataError, match=r"person b: images are \(36, 60\), but those of a \(9, 15\)"):
        load_persons(file)
    assert len(load_persons(file, ["b"])) == 1


def test_failed_writing_leaves_the_old_file_and_nothing_else(path: Path, draw_person: Callable[..., Person]) -> None:
    before = path.read_bytes()
    good = draw_person("a", 3, (9, 15))
    bad = replace(good, name="b", gaze=np.full((3, 2), np.nan, dtype=np.float32))

    def interrupted() -> Iterator[Person]:
        yield good
        raise KeyboardInterrupt

    with pytest.raises(DataError, match="person b, gaze: row 0 holds NaN"):
        write_persons(path, [good, bad])
    with pytest.raises(DataError, match="person a comes twice"):
        write_persons(path, [good, good])
    with pytest.raises(DataError, match="no person to write"):
        write_persons(path, [])
    with pytest.raises(KeyboardInterrupt):
        write_persons(path, interrupted())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_writing_into_a_missing_folder_is_refused(tmp_path: Path, draw_person: Callable[..., Person]) -> None:
    with pytest.raises(DataError, match="does not exist; create it first"):
        write_persons(tmp_path / "nowhere" / "eyes.h5", [draw_person("a", 3, (9, 15))])
    with pytest.raises(DataError, match="is a folder"):
        write_persons(tmp_path, [draw_person("a", 3, (9, 15))])


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("file", "persons", "size"),
    [
        ("mpiigaze/MPIIGaze_crop9x15_p00-p09.h5", 10, (9, 15)),
        ("mpiigaze/MPIIGaze_p00_36x60.h5", 1, (36, 60)),
        ("synthetic_eyes/synthetic_eyes_s00-s13.h5", 14, (36, 60)),
    ],
)
def test_real_files_are_read(data_folder: Path, file: str, persons: int, size: tuple[int, int]) -> None:
    loaded = load_persons(data_folder / file)
    assert len(loaded) == persons
    assert {person.image.shape[1:] for person in loaded} == {size}


def test_a_person_without_rows_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for part in ("image", "pose", "gaze"):
            empty = file["a"][part][:0]
            del file["a"][part]
            file["a"][part] = empty
    with pytest.raises(DataError, match="person a, image: there is no row; remove the person"):
        load_persons(path, ["a"])


def test_a_disk_that_fills_up_or_may_not_be_written_is_one_error(
    tmp_path: Path, draw_person: Callable[..., Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError("No space left on device")

    def read_only(self: Path, missing_ok: bool = False) -> None:
        raise OSError("Read-only file system")

    monkeypatch.setattr(dataset, "_write_all", full)
    with pytest.raises(DataError, match=r"cannot be written .* free some space"):
        write_persons(tmp_path / "eyes.h5", [draw_person("a", 3, (9, 15))])
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(DataError, match="cannot be written"):
        write_persons(tmp_path / "eyes.h5", [draw_person("a", 3, (9, 15))])


def test_writing_stops_before_the_disk_is_full(
    tmp_path: Path, draw_person: Callable[..., Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 would end in a segmentation fault."""
    monkeypatch.setattr(dataset.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1 << 20))
    with pytest.raises(DataError, match="the disk is nearly full; free some space"):
        write_persons(tmp_path / "eyes.h5", [draw_person("a", 3, (9, 15))])
    assert list(tmp_path.iterdir()) == []


ROWS = 12
FULL: dict[str, np.ndarray] = {
    "point": np.linspace(-20, 20, 2 * ROWS, dtype=np.float32).reshape(ROWS, 2),
    "left": np.arange(ROWS * 4 * 6 * 3, dtype=np.uint8).reshape(ROWS, 4, 6, 3),
    "right": np.arange(ROWS * 4 * 6 * 3, dtype=np.uint8).reshape(ROWS, 4, 6, 3)[::-1],
    "grid": np.tile(np.int16([-2, 20, 9, 9]), (ROWS, 1)),
    "eye": np.uint8([0, 1] * (ROWS // 2)),
    "day": np.arange(ROWS, dtype=np.uint16) + 65000,
    "device": np.uint16([0, 1, 2] * (ROWS // 3)),
    "frame": np.array([f"day{row:02d}/0001.jpg left" for row in range(ROWS - 1)] + ["Übung/眼.jpg"]),
}


@pytest.fixture
def full(draw_person: Callable[..., Person]) -> Person:
    """A person with everything that the layout knows, in colour."""
    person = draw_person("f", ROWS, (9, 15))
    image = np.stack([person.image, person.image // 2, person.image // 3], axis=-1)
    return replace(person, image=image, columns=dict(FULL), devices=("iPhone 6", "iPad Air 2", "Gerät"))


def test_every_column_is_read_back_unchanged_and_only_when_asked_for(tmp_path: Path, full: Person) -> None:
    path = tmp_path / "faces.h5"
    write_persons(path, [full], image_of="face")
    assert load_persons(path)[0].columns == {}
    read = load_persons(path, columns=list(FULL))[0]
    assert read.image.shape == (ROWS, 9, 15, 3)
    assert read.devices == full.devices
    assert set(read.columns) == set(FULL)
    for name, column in FULL.items():
        np.testing.assert_array_equal(read.columns[name], column)
        assert read.columns[name].dtype.kind == column.dtype.kind
    with h5py.File(path) as file:
        assert dict(file.attrs) == {"privateyes_layout": "2", "image_of": "face"}
        kinds = {name: file["f"][name].dtype for name in file["f"]}
    assert {str(kinds[name]) for name in ("gaze", "pose", "point")} == {"float32"}
    assert [str(kinds[name]) for name in ("grid", "eye", "day", "device")] == ["int16", "uint8", "uint16", "uint16"]


def test_only_what_is_asked_for_is_read(tmp_path: Path, full: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "faces.h5"
    write_persons(path, [full])
    read: list[str] = []
    original = dataset.read_part
    monkeypatch.setattr(
        dataset, "read_part", lambda where, part, stored: read.append(part) or original(where, part, stored)
    )
    load_persons(path, columns=["day"])
    assert read == ["pose", "gaze", "day", "image"], "pictures come after the rules"
    read.clear()
    assert set(dataset.load_labels(path, "f")) == {"pose", "gaze", *FULL} - {"left", "right"}
    assert not set(read) & {"image", "left", "right"}


def test_a_column_that_the_layout_does_not_know_is_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'days'; it has point, left, right"):
        load_persons(path, columns=["days"])


def test_columns_that_a_file_does_not_have_are_left_out(path: Path) -> None:
    assert load_persons(path, ["a"], ["day", "eye"])[0].columns == {}


def test_a_person_without_gaze_brings_the_point_along(tmp_path: Path, full: Person) -> None:
    path = tmp_path / "faces.h5"
    write_persons(path, [replace(full, gaze=None, pose=None)])
    person = load_persons(path)[0]
    assert person.gaze is None
    assert person.pose is None
    np.testing.assert_array_equal(person.columns["point"], FULL["point"])


def test_rows_are_taken_from_every_array(full: Person) -> None:
    index = np.array([7, 0, 7])
    some = full.rows(index)
    assert len(some) == 3
    assert (some.name, some.devices) == (full.name, full.devices)
    assert some.parts().keys() == full.parts().keys()
    for name, array in some.parts().items():
        np.testing.assert_array_equal(array, full.parts()[name][index])
    assert len(replace(full, pose=None, gaze=None).rows(slice(2, 5))) == 3


def test_outlines_tell_sizes_without_reading_images(tmp_path: Path, full: Person, path: Path) -> None:
    write_persons(tmp_path / "faces.h5", [full])
    assert outline_persons(tmp_path / "faces.h5") == [
        Outline("f", ROWS, (9, 15, 3), frozenset({"image", "pose", "gaze", *FULL}))
    ]
    assert [outline.name for outline in outline_persons(path)] == ["a", "b", "c"]
    with h5py.File(path, "r+") as file:
        del file["b/image"]
    with pytest.raises(DataError, match="person b: there are no images"):
        outline_persons(path)


def test_some_images_are_read_in_the_order_asked_for(tmp_path: Path, full: Person) -> None:
    write_persons(tmp_path / "faces.h5", [full])
    rows = np.array([9, 2])
    np.testing.assert_array_equal(load_images(tmp_path / "faces.h5", "f", rows), full.image[rows])
    with pytest.raises(DataError, match="there is no person g"):
        load_images(tmp_path / "faces.h5", "g", rows)


def test_a_layout_from_the_future_is_refused_and_the_first_one_is_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["privateyes_layout"] = "1"
        del file.attrs["image_of"]
    assert len(load_persons(path)) == 3
    with h5py.File(path, "r+") as file:
        file.attrs["privateyes_layout"] = "3"
    with pytest.raises(DataError, match="layout '3' is not known here; update privateyes"):
        load_persons(path)


def test_a_person_with_labels_of_another_kind_is_not_loaded_together_with_others(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["b"]["point"] = np.zeros((12, 2), dtype=np.float32)
        del file["b"]["gaze"]
    with pytest.raises(DataError, match=r"there is no data set '(gaze|point)', but [ab] has one"):
        load_persons(path)


BAD_COLUMNS: list[tuple[str, Callable[[np.ndarray], np.ndarray | None], str]] = [
    ("point", lambda a: _set(a, 3, np.nan), "point: row 3 holds NaN"),
    ("point", lambda a: a * 10, r"point: row 0 is \(-200, -182.6\): more than a metre.*no millimetres"),
    ("point", lambda a: np.column_stack([a, a]), r"point: the shape is \(12, 4\) and not \(rows, 2\)"),
    ("point", lambda a: a.astype(np.int32), "point: values are int32 and not float32"),
    ("left", lambda a: None, "there is 'right' without 'left'"),
    ("right", lambda a: None, "there is 'left' without 'right'"),
    ("left", lambda a: a[:, :3], r"differ in size \(\(3, 6, 3\) and \(4, 6, 3\)\)"),
    ("left", lambda a: a / 255, "left: values are float64 and not uint8"),
    ("right", lambda a: a[..., :2], r"right: the shape is \(12, 4, 6, 2\)"),
    ("grid", lambda a: a.astype(np.float32), "grid: values are float32 and not int16"),
    ("grid", lambda a: a[:, :2], r"grid: the shape is \(12, 2\)"),
    ("grid", lambda a: _set(a, 4, 26), r"grid: row 4 is \(26, 26, 26, 26\): no part of 25x25"),
    ("grid", lambda a: _set(a, 4, 0), "grid: row 4 is"),
    ("grid", lambda a: _set(a.astype(np.int64), 4, 2**40), "grid: row 4 is"),
    ("grid", lambda a: _set(a, 4, -(2**15)), "grid: row 4 is"),
    ("eye", lambda a: _set(a, 5, 2), "eye: row 5 is 2, not within 0 and 1"),
    ("eye", lambda a: a.astype(bool), "eye: values are bool"),
    ("eye", lambda a: a[:, None], r"eye: the shape is \(12, 1\)"),
    ("day", lambda a: a.astype(np.int64) - 65001, "day: row 0 is -1, not within 0 and 65535"),
    ("day", lambda a: a.astype(np.int64) + 65001, "day: row 0 is 130001"),
    ("day", lambda a: a[:11], "differ in length .*day 11"),
    ("device", lambda a: a + np.uint16(1), "device: there is a device 3, but only 3 names"),
    ("device", lambda a: a.astype(np.float32), "device: values are float32"),
    ("frame", lambda a: np.arange(12), "frame: values are int64 and not text"),
    ("frame", lambda a: np.array([b"x" * 256] * 12), "frame: there is a text of more than 255 characters"),
    ("frame", lambda a: np.array([[b"x"]] * 12), r"frame: the shape is \(12, 1\)"),
]


@pytest.mark.parametrize(("part", "spoil", "message"), BAD_COLUMNS)
def test_a_fault_of_a_column_is_refused(
    tmp_path: Path, full: Person, part: str, spoil: Callable[[np.ndarray], np.ndarray | None], message: str
) -> None:
    path = tmp_path / "faces.h5"
    write_persons(path, [full])
    with h5py.File(path, "r+") as file:
        del file["f"][part]
        spoiled = spoil(FULL[part])
        if spoiled is not None:
            file["f"][part] = spoiled
    with pytest.raises(DataError, match=rf"faces\.h5, person f.*{message}") as caught:
        load_persons(path, columns=list(FULL))
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    if part not in ("left", "right"):
        assert len(load_persons(path, columns=["right"])[0]) == ROWS, "what nobody asks for is no obstacle"


@pytest.mark.parametrize("text", ["iPhone", '{"0": "iPhone"}', '["a", "a"]', "[1]", '[""]', "[" * 10_000, 7])
def test_names_of_devices_that_are_no_list_of_names_are_refused(tmp_path: Path, full: Person, text: object) -> None:
    path = tmp_path / "faces.h5"
    write_persons(path, [full])
    with h5py.File(path, "r+") as file:
        file["f"].attrs["devices"] = text
    with pytest.raises(DataError, match="person f: the attribute 'devices' is no list of names"):
        load_persons(path, columns=["device"])
    assert len(load_persons(path)) == 1


def test_a_bad_column_is_not_written(tmp_path: Path, full: Person) -> None:
    with pytest.raises(DataError, match="eye: row 0 is 3"):
        write_persons(tmp_path / "faces.h5", [replace(full, columns={"eye": np.full(ROWS, 3, dtype=np.uint8)})])
    assert list(tmp_path.iterdir()) == []
