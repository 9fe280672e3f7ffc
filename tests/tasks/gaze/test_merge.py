from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.check import check_file
from privateyes.tasks.gaze.dataset import Person, load_persons, write_persons
from privateyes.tasks.gaze.merge import merge_files
from privateyes.tasks.gaze.predict.estimator import ModelFacts
from privateyes.tasks.gaze.predict.onnx_model import licence_note
from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.tasks.gaze.stored import open_file, stated_licence

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, draw_person: Callable[..., Person]) -> Write:
    """A function (file name, person names, attributes) -> the path of a file."""

    def run(name: str, persons: str, attributes: dict[str, Any] | None = None, **settings: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        seed = sum(name.encode())
        drawn = [draw_person(person, count=30, seed=seed + place, **settings) for place, person in enumerate(persons)]
        columns = {"day": np.arange(30, dtype=np.uint16), "device": np.zeros(30, np.uint16)}
        write_persons(path, [replace(person, columns=columns, devices=(f"phone {name}",)) for person in drawn])
        with h5py.File(path, "r+") as file:
            file.attrs.update(attributes or {})
        return path

    return run


def test_persons_of_all_files_come_out_as_they_are_stored(write: Write, tmp_path: Path) -> None:
    files = [write("one.h5", "ab"), write("two.h5", "c"), write("three.h5", "de")]
    merged = merge_files(files, tmp_path / "out.h5")
    assert (merged.persons, merged.rows, merged.notes) == (("a", "b", "c", "d", "e"), 150, ())
    expected = [person for path in files for person in load_persons(path, columns=["day", "device"])]
    for person, original in zip(load_persons(tmp_path / "out.h5", columns=["day", "device"]), expected, strict=True):
        assert (person.name, person.devices) == (original.name, original.devices)
        for part, array in original.parts().items():
            np.testing.assert_array_equal(person.parts()[part], array)
    assert not check_file(tmp_path / "out.h5").errors
    with h5py.File(tmp_path / "out.h5") as file:
        assert (file.attrs["privateyes_layout"], file.attrs["image_of"]) == ("2", "eye")
        assert json.loads(file.attrs["merged_from"])[1] == {
            "file": "two.h5", "sha256": hashlib.sha256(files[1].read_bytes()).hexdigest(), "persons": 1,
        }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5", "out.h5", "three.h5", "two.h5"]


def test_people_of_one_name_are_refused_and_get_the_number_of_their_file_if_asked(write: Write, tmp_path: Path) -> None:
    files = [write("one.h5", "abc"), write("two.h5", "bcd")]
    with pytest.raises(DataError, match=r"person b is in \S*one\.h5 and \S*two\.h5 \(2 names in all\); if they are"):
        merge_files(files, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    merged = merge_files(files, tmp_path / "out.h5", rename=True)
    assert merged.persons == ("a", "b-1", "b-2", "c-1", "c-2", "d")
    assert merged.notes[0].startswith(f"renamed: b of {files[0]} is b-1, c of {files[0]} is c-1")
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["b-2"].attrs["merged_from"] == "two.h5: b"
        assert "merged_from" not in file["a"].attrs
    theirs, there = load_persons(tmp_path / "out.h5", ["b-2"])[0], load_persons(files[1], ["b"])[0]
    np.testing.assert_array_equal(theirs.image, there.image)


def test_a_name_that_renaming_would_make_twice_is_refused(write: Write, tmp_path: Path) -> None:
    files = [write("one.h5", "a"), write("two.h5", "a")]
    with h5py.File(files[0], "r+") as file:
        file.copy("a", "a-2")
    with pytest.raises(DataError, match="two persons would be called a-2"):
        merge_files(files, tmp_path / "out.h5", rename=True)


def test_what_all_files_say_is_kept_and_licences_that_differ_are_listed(write: Write, tmp_path: Path) -> None:
    same = {"licence": "CC BY 4.0", "dataset": "mpiigaze"}
    files = [write("one.h5", "a", same), write("two.h5", "b", same)]
    assert merge_files(files, tmp_path / "same.h5").notes == ()
    with h5py.File(tmp_path / "same.h5") as file:
        assert (file.attrs["licence"], file.attrs["dataset"]) == ("CC BY 4.0", "mpiigaze")
    files += [write("x/one.h5", "c", {"licence": "MIT\nand more", "source": "here"}), write("three.h5", "d")]
    merged = merge_files(files, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        listed = "one.h5 (1): CC BY 4.0; two.h5: CC BY 4.0; one.h5 (3): MIT and more; three.h5: not stated"
        assert file.attrs["licence"] == listed
        assert "dataset" not in file.attrs
        assert file.attrs["source"].startswith("one.h5 (1): not stated; ")
    told = " | ".join(merged.notes)
    assert f"not every file has the same licence, so that all are listed ({listed})" in told
    assert "not every file says the same about dataset, so that it was left out" in told
    assert "equalised and labels normalised" in told
    with open_file(tmp_path / "out.h5") as file:
        licence = stated_licence(file)
    facts = ModelFacts("lenet", ("image",), (36, 60), None, "gaze", Pictures(), licence=licence)
    assert listed in licence_note(facts)


def test_a_merged_file_can_be_merged_again_and_tells_both(write: Write, tmp_path: Path) -> None:
    merge_files([write("one.h5", "a"), write("two.h5", "b")], tmp_path / "first.h5")
    merge_files([tmp_path / "first.h5", write("three.h5", "c")], tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert "one.h5" in json.loads(file.attrs["merged_from"])[0]["merged_from"]


def test_what_the_layout_does_not_name_is_left_out_and_named(write: Write, tmp_path: Path) -> None:
    files = [write("one.h5", "a"), write("two.h5", "b")]
    with h5py.File(files[1], "r+") as file:
        file["b"]["pupil"] = np.zeros(30)
        file["b"]["elsewhere"] = h5py.ExternalLink("none.h5", "/x")
    merged = merge_files(files, tmp_path / "out.h5")
    assert merged.notes == ("left out, since the layout does not name them: elsewhere, pupil",)


def _without_pose(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["b"]["pose"]


def _of_faces(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["image_of"] = "face"


def _in_degrees(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["b"]["gaze"][...] *= 57.3


def _in_another_file(path: Path) -> None:
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["pose"] = np.zeros((30, 2), np.float32)
    with h5py.File(path, "r+") as file:
        del file["b"]["pose"]
        layout = h5py.VirtualLayout((30, 2), np.float32)
        layout[...] = h5py.VirtualSource(str(path.with_name("other.h5")), "pose", (30, 2))
        file["b"].create_virtual_dataset("pose", layout)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without_pose, r"two\.h5, person b: there is no data set 'pose', which \S*one\.h5, person a has"),
        (_of_faces, r"images show different things \(one\.h5: eye; two\.h5: face\)"),
        (_in_degrees, "labels in degrees must be converted"),
        (_in_another_file, "person b, pose: the data lie in another file"),
        (lambda path: path.write_bytes(b"cut"), "no HDF5 file, or cut short"),
        (lambda path: path.unlink(), "there is no such file"),
    ],
)
def test_files_that_do_not_go_together_are_refused_and_leave_nothing(
    write: Write, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    files = [write("one.h5", "a"), write("two.h5", "b")]
    spoil(files[1])
    with pytest.raises(DataError, match=message) as refused:
        merge_files(files, tmp_path / "out.h5")
    assert refused.value.remedy
    assert not list(tmp_path.glob("*out.h5*"))


def test_images_of_other_sizes_are_refused(write: Write, tmp_path: Path) -> None:
    files = [write("one.h5", "a"), write("two.h5", "b", size=(24, 40))]
    with pytest.raises(DataError, match=r"person b: the size of image is \(24, 40\), and \(36, 60\) in \S*one\.h5"):
        merge_files(files, tmp_path / "out.h5")


def test_one_file_or_one_twice_is_nothing_to_merge(write: Write, tmp_path: Path) -> None:
    path = write("one.h5", "a")
    with pytest.raises(UsageError, match="nothing to merge"):
        merge_files([path], tmp_path / "out.h5")
    with pytest.raises(UsageError, match="comes twice"):
        merge_files([path, tmp_path / "." / "one.h5"], tmp_path / "out.h5")


def test_an_output_that_is_there_is_not_touched(write: Write, tmp_path: Path) -> None:
    files = [write("one.h5", "a"), write("two.h5", "b")]
    before = files[1].read_bytes()
    for out, message in ((files[1], "is there already"), (tmp_path / "none" / "out.h5", "create it first")):
        with pytest.raises(DataError, match=message):
            merge_files(files, out)
    assert files[1].read_bytes() == before


def test_a_full_disk_leaves_no_half_file(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write("one.h5", "a"), write("two.h5", "b")]

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.Group, "copy", full)
    with pytest.raises(DataError, match=r"No space left on device.*free some space"):
        merge_files(files, tmp_path / "out.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.h5", "two.h5"]
