from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze import data_summary as summary_module
from privateyes.tasks.gaze.data_summary import grey_eyes, take_stock
from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.tasks.gaze.reader import FileStamp
from privateyes.tasks.gaze.stored import open_file, require_readable

PLAIN = Pictures()


def test_eyes_with_gaze_and_pose(eyes: Path) -> None:
    summary = take_stock(eyes, PLAIN)
    assert summary.image_shape == (9, 15)
    assert summary.eye_shape is None
    assert summary.counts == {f"p{index:02d}": 24 for index in range(5)}
    assert set(summary.without) == {"point", "left", "right", "grid"}
    offer = summary.offer("gaze")
    assert set(offer.without) == {"left", "right", "grid"}
    assert offer.without["left"] == f"person p00 of {eyes} has none"


def test_faces_with_eyes_and_points(faces: Path) -> None:
    summary = take_stock(faces, PLAIN)
    assert (summary.image_shape, summary.eye_shape) == ((48, 48, 3), (36, 36, 3))
    assert set(summary.without) == {"gaze", "pose"}
    smaller = take_stock(faces, Pictures(grey=True, resize=(20, 30)))
    assert (smaller.image_shape, smaller.eye_shape) == ((20, 30), (20, 30))


def test_one_person_who_lacks_something_is_named(tmp_path: Path, make_eyes: Callable[..., Path]) -> None:
    path = make_eyes(tmp_path / "eyes.h5")
    with h5py.File(path, "r+") as file:
        del file["p03/pose"]
    assert take_stock(path, PLAIN).offer("gaze").without["pose"] == f"person p03 of {path} has none"


def test_a_label_that_somebody_lacks_is_refused_with_the_one_that_is_there(faces: Path) -> None:
    with pytest.raises(ConfigError, match=r'data.label = "gaze": person 00000 of .*; set data.label = "point"'):
        take_stock(faces, PLAIN).offer("gaze")


def test_without_a_label_for_everyone_persons_have_to_be_left_out(
    tmp_path: Path, make_eyes: Callable[..., Path]
) -> None:
    path = make_eyes(tmp_path / "eyes.h5")
    with h5py.File(path, "r+") as file:
        file["p01/point"] = file["p01/gaze"][()]
        del file["p01/gaze"]
    with pytest.raises(ConfigError, match=r"person p01 of .* has no gaze; leave"):
        take_stock(path, PLAIN).offer("gaze")


@pytest.mark.parametrize("shape", [(24, 10, 15), (24, 9, 15, 3)])
def test_pictures_of_another_kind_are_refused_and_brought_to_one_kind_on_request(
    tmp_path: Path, make_eyes: Callable[..., Path], shape: tuple[int, ...]
) -> None:
    path = make_eyes(tmp_path / "eyes.h5")
    with h5py.File(path, "r+") as file:
        del file["p02/image"]
        file["p02/image"] = np.zeros(shape, dtype=np.uint8)
    with pytest.raises(DataError, match=r"person p02 has .* images, person p00 has 9x15"):
        take_stock(path, PLAIN)
    assert take_stock(path, Pictures(grey=True, resize=(9, 15))).image_shape == (9, 15)


def test_eye_crops_of_another_size_are_refused(tmp_path: Path, faces: Path) -> None:
    path = tmp_path / "faces.h5"
    path.write_bytes(faces.read_bytes())
    with h5py.File(path, "r+") as file:
        for side in ("left", "right"):
            del file[f"00002/{side}"]
            file[f"00002/{side}"] = np.zeros((24, 30, 30, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="person 00002 has 30x30 RGB left eyes, person 00000 has 36x36 RGB"):
        take_stock(path, PLAIN)


def test_damaged_pictures_show_before_a_run(tmp_path: Path, faces: Path) -> None:
    content = bytearray(faces.read_bytes())
    with h5py.File(faces) as file:
        where = file["00002/right"].id.get_chunk_info(0).byte_offset
    content[where : where + 64] = bytes(64)
    path = tmp_path / "damaged.h5"
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="person 00002, right: the data cannot be read"):
        take_stock(path, PLAIN)


def test_a_rule_of_the_layout_is_checked_for_every_person(tmp_path: Path, make_eyes: Callable[..., Path]) -> None:
    path = make_eyes(tmp_path / "eyes.h5")
    with h5py.File(path, "r+") as file:
        file["p04/gaze"][3] = np.nan
    with pytest.raises(DataError, match="person p04, gaze: row 3 holds NaN"):
        take_stock(path, PLAIN)


def test_rendered_eyes_need_no_file() -> None:
    summary = grey_eyes("[data.synthetic]", (36, 60), {"r00": 7})
    assert not summary.offer("gaze").without.keys() & {"image", "pose"}
    with pytest.raises(ConfigError, match=r'person r00 of .*synthetic.* has no point; set data.label = "gaze"'):
        summary.offer("point")


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every opening of a file while summary is taken."""
    noted: list[Path] = []

    def noting(path: Path) -> Any:
        noted.append(path)
        return open_file(path)

    monkeypatch.setattr(summary_module, "open_file", noting)
    return noted


def test_a_file_is_checked_once_and_again_if_it_has_changed(
    tmp_path: Path, make_eyes: Callable[..., Path], opens: list[Path]
) -> None:
    path = make_eyes(tmp_path / "eyes.h5")
    first = take_stock(path, PLAIN)
    assert first.stamp == FileStamp.of(path)
    assert take_stock(path, PLAIN) == first
    assert take_stock(path, Pictures(resize=(5, 6))).image_shape == (5, 6)
    assert opens == [path]
    make_eyes(path, 2)
    assert list(take_stock(path, PLAIN).counts) == ["p00", "p01"]
    assert opens == [path, path]


def test_a_file_that_breaks_a_rule_is_refused_again_and_again(
    tmp_path: Path, make_eyes: Callable[..., Path], opens: list[Path]
) -> None:
    path = make_eyes(tmp_path / "eyes.h5")
    with h5py.File(path, "r+") as file:
        file["p01/gaze"][3] = 7.0
    for _ in range(2):
        with pytest.raises(DataError, match="person p01, gaze: row 3"):
            take_stock(path, PLAIN)
    assert opens == [path, path]


def test_a_file_that_changes_while_it_is_checked_is_refused(
    tmp_path: Path, make_eyes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_eyes(tmp_path / "eyes.h5")

    def growing(*given: Any) -> Any:
        with path.open("ab") as file:
            file.write(b"more")
        return require_readable(*given)

    monkeypatch.setattr(summary_module, "require_readable", growing)
    with pytest.raises(DataError, match=r"eyes\.h5 was changed while it was checked"):
        take_stock(path, PLAIN)


def test_frames_are_checked(tmp_path: Path, faces: Path) -> None:
    path = tmp_path / "faces.h5"
    path.write_bytes(faces.read_bytes())
    with h5py.File(path, "r+") as file:
        file["00001/frame"] = np.array(["x" * 256] * 24, dtype=object)
    with pytest.raises(DataError, match="person 00001, frame: there is a text of more than 255 characters"):
        take_stock(path, PLAIN)
