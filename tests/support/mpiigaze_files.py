"""MPIIGaze and MPIIFaceGaze in their original formats, written for tests: MATLAB 5 structs, and MATLAB 7.3 files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIZE = (36, 60)
FACE = (448, 448)
# MATLAB 7.3 files begin with a text of 116 bytes, 8 bytes of zeros, the version and the byte order.
MATLAB_73_BYTES = 512


def unit_vectors(count: int, seed: int = 0) -> np.ndarray:
    """(count, 3) gaze vectors towards the camera, float64."""
    generator = np.random.default_rng(seed)
    vectors = np.column_stack([generator.normal(0, 0.15, count), generator.normal(0.14, 0.08, count), -np.ones(count)])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def eye_struct(count: int, seed: int = 0, size: tuple[int, int] = SIZE) -> dict[str, np.ndarray]:
    """The fields of `data.left` or `data.right`."""
    generator = np.random.default_rng(seed)
    return {
        "image": generator.integers(0, 256, (count, *size)).astype(np.uint8),
        "gaze": unit_vectors(count, seed),
        "pose": generator.normal(0, 0.2, (count, 3)),
    }


def cell(names: Sequence[Any]) -> np.ndarray:
    """A MATLAB cell array, N x 1, as the data set has it."""
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = list(names)
    return cells


def write_day(path: Path, left: Mapping[str, Any], right: Mapping[str, Any], names: Sequence[Any]) -> Path:
    """A `dayYY.mat` as MATLAB writes it: compressed, format 5; arrays keep their first axis even for one sample."""
    import scipy.io  # the protocol's tests run without the train extra

    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"data": {"left": dict(left), "right": dict(right)}, "filenames": cell(names)}
    scipy.io.savemat(path, content, do_compression=True, oned_as="column")
    return path


def day_path(source: Path, person: str, day: int) -> Path:
    """Where a day's file belongs."""
    return source / "Data" / "Normalized" / person / f"day{day:02d}.mat"


def write_list(source: Path, person: str, lines: Sequence[str]) -> Path:
    """An evaluation list."""
    path = source / "Evaluation Subset" / "sample list for eye image" / f"{person}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def write_mpiigaze(source: Path, persons: Sequence[str] = ("p00", "p01"), days: int = 3, count: int = 5) -> Path:
    """A small MPIIGaze: every frame of every day in the lists, left eyes first, days backwards."""
    for number, person in enumerate(persons):
        for day in range(1, days + 1):
            seed = 100 * number + day
            names = [f"{frame:04d}.jpg" for frame in range(1, count + 1)]
            write_day(day_path(source, person, day), eye_struct(count, seed), eye_struct(count, seed + 50), names)
        frames = [f"day{day:02d}/{frame:04d}.jpg" for day in range(days, 0, -1) for frame in range(1, count + 1)]
        write_list(source, person, [f"{frame} {side}" for side in ("left", "right") for frame in frames])
    return source


def write_faces(
    path: Path, data: np.ndarray, label: np.ndarray, *, user_block: bool = True, chunk: int | None = None
) -> Path:
    """A `pXX.mat` of MPIIFaceGaze: a MATLAB 7.3 file with the struct Data."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=MATLAB_73_BYTES if user_block else 0) as file:
        group = file.create_group("Data")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        chunks = None if chunk is None else (chunk, *data.shape[1:])
        for name, array in (("data", data), ("label", label)):
            stored = group.create_dataset(name, data=array, chunks=chunks if name == "data" else None)
            stored.attrs["MATLAB_class"] = np.bytes_(str(array.dtype))
    if user_block:
        text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan 02 2017 HDF5 schema 1.00 ."
        with path.open("r+b") as file:
            file.write(text.ljust(116) + bytes(8) + b"\x00\x02IM")
    return path


def face_labels(count: int, seed: int = 0) -> np.ndarray:
    """(count, 16): gaze (pitch, yaw), head (pitch, yaw), 12 landmark coordinates; float64 as in MATLAB."""
    generator = np.random.default_rng(seed)
    gaze = generator.normal(np.deg2rad([-9, 0]), np.deg2rad([5, 9]), (count, 2))
    return np.hstack([gaze, generator.normal(0, 0.1, (count, 2)), generator.uniform(0, 448, (count, 12))])
