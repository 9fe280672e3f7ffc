from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from mpiigaze_files import cell
from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare.matlab5 import read_mat

WANTED = ("data", "filenames")


def element(kind: int, data: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(array_class: int, shape: tuple[int, ...], name: str, rest: bytes, order: str = "<", flags: int = 0) -> bytes:
    head = element(6, struct.pack(f"{order}II", array_class | flags, 0), order)
    head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order) + element(1, name.encode(), order)
    return element(14, head + rest, order)


def mat_file(path: Path, *variables: bytes, order: str = "<") -> Path:
    version = b"\x00\x01IM" if order == "<" else b"\x01\x00MI"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + version + b"".join(variables))
    return path


def packed(variable: bytes) -> bytes:
    data = zlib.compress(variable)
    return struct.pack("<II", 15, len(data)) + data


@pytest.mark.parametrize("compressed", [False, True])
def test_structs_cells_numbers_and_text_are_read_as_they_were_saved(tmp_path: Path, compressed: bool) -> None:
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        f"field_{dtype}": (generator.random((2, 3, 4)) * 100).astype(dtype)
        for dtype in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
    }
    names = ["0001.jpg", "", "Übung.jpg"]
    scipy.io.savemat(
        tmp_path / "x.mat",
        {"data": {"left": arrays, "text": "hello"}, "filenames": cell(names), "other": np.zeros(3)},
        do_compression=compressed,
    )
    read = read_mat(tmp_path / "x.mat", WANTED)
    assert set(read) == {"data", "filenames"}
    assert read["data"]["text"] == "hello"
    for name, array in arrays.items():
        np.testing.assert_array_equal(read["data"]["left"][name], array)
        assert read["data"]["left"][name].dtype == array.dtype
    assert [name if isinstance(name, str) else "" for name in read["filenames"]] == names


@pytest.mark.parametrize("order", ["<", ">"])
def test_bytes_that_follow_the_specification_are_read_in_either_order(tmp_path: Path, order: str) -> None:
    """Column by column, doubles that are stored as bytes, and a small element, as MATLAB writes them."""
    small = struct.pack(f"{order}I", 4 << 16 | 2) + bytes([1, 2, 3, 4])
    value = matrix(6, (2, 2), "data", small, order)
    text = matrix(
        4, (2, 3), "filenames", element(4, "adbecf".encode(f"utf-16-{'le' if order == '<' else 'be'}"), order)
    )
    if order == ">":
        text = matrix(4, (2, 3), "filenames", element(4, "adbecf".encode("utf-16-be"), order), order)
    read = read_mat(mat_file(tmp_path / "x.mat", value, text, order=order), WANTED)
    np.testing.assert_array_equal(read["data"], np.float64([[1, 3], [2, 4]]))
    assert read["data"].dtype == np.float64
    assert read["filenames"] == ["abc", "def"]


def test_a_struct_array_is_a_list_and_an_empty_element_an_empty_array(tmp_path: Path) -> None:
    fields = struct.pack("<HHI", 5, 4, 8) + element(1, b"one\0\0\0\0\0two\0\0\0\0\0")
    values = [matrix(9, (1, 1), "", struct.pack("<HHI", 2, 1, number)) for number in range(3)]
    data = matrix(2, (1, 2), "data", fields + b"".join(values) + element(14, b""))
    read = read_mat(mat_file(tmp_path / "x.mat", data), WANTED)["data"]
    assert [structure["one"].tolist() for structure in read] == [[[0]], [[2]]]
    assert read[0]["two"].tolist() == [[1]]
    assert read[1]["two"].shape == (0, 0)


def deep(levels: int) -> bytes:
    inside = matrix(9, (1, 1), "", struct.pack("<HHI", 2, 1, 7))
    for _ in range(levels):
        inside = matrix(1, (1, 1), "", inside)
    return matrix(1, (1, 1), "data", inside)


FINE = matrix(9, (1, 1), "data", struct.pack("<HHI", 2, 1, 7))
BAD: dict[str, tuple[bytes, str]] = {
    "an endless array": (matrix(9, (2**31 - 1, 2**31 - 1), "data", element(2, b"12")), "an array of shape"),
    "an endless cell": (matrix(1, (2**31 - 1, 2), "data", b""), "in 0 bytes"),
    "an endless struct": (
        matrix(2, (2**31 - 1, 2), "data", struct.pack("<HHI", 5, 4, 8) + element(1, b"one\0\0\0\0\0")),
        "an array of shape",
    ),
    "a negative shape": (matrix(9, (-1, -1), "data", element(2, b"1")), "an array of shape"),
    "an array of text": (matrix(9, (1, 1), "data", element(16, b"1")), "an array of type 16"),
    "an object": (matrix(3, (1, 1), "data", element(2, b"1")), "class 3"),
    "a sparse array": (matrix(5, (1, 1), "data", element(2, b"1")), "class 5"),
    "complex numbers": (matrix(6, (1, 1), "data", element(9, bytes(8)) * 2, flags=0x0800), "complex"),
    "the same twice": (FINE + FINE, "comes twice"),
    "boxes in boxes": (deep(30), "without end"),
    "too long an element": (struct.pack("<II", 14, 10_000), "an element of 10000 bytes where 0 are left"),
    "too long a small element": (struct.pack("<HHI", 2, 5, 7), "a small element of 5 bytes"),
    "no array": (element(2, bytes(8)), "a variable of type 2"),
    "half a number": (matrix(6, (1, 1), "data", element(9, bytes(5))), "of 5 bytes"),
    "three bytes": (b"abc", "ends inside an element"),
    "no compression": (struct.pack("<II", 15, 8) + b"abcdefgh", "header check"),
    "compression cut short": (packed(FINE)[:8] + b"x\x9c", "element of"),
    "compression without its end": (struct.pack("<II", 15, 12) + zlib.compress(bytes(1000))[:12], "end too early"),
    "a struct without names": (matrix(2, (1, 1), "data", struct.pack("<HHI", 5, 4, 0) + element(1, b"")), "names of"),
    "a field twice": (
        matrix(2, (1, 1), "data", struct.pack("<HHI", 5, 4, 2) + element(1, b"a\0a\0")), "impossible fields",
    ),
    "text of the wrong length": (matrix(4, (1, 9), "data", element(16, b"abc")), "text of 3 characters"),
    "text of numbers": (matrix(4, (1, 1), "data", element(9, bytes(8))), "text of type 9"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_bytes_that_break_the_format_are_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=r"x\.mat: no MATLAB file, damaged or cut short \(.*; unpack or") as caught:
        read_mat(mat_file(tmp_path / "x.mat", content), WANTED)
    assert message in caught.value.problem


def test_compressed_bytes_that_would_fill_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privateyes.tasks.gaze.prepare.matlab5._LARGEST_BYTES", 1 << 20)
    bomb = packed(matrix(9, (1 << 21, 1), "data", element(2, bytes(1 << 21))))
    assert len(bomb) < 5000
    with pytest.raises(DataError, match="too large"):
        read_mat(mat_file(tmp_path / "x.mat", bomb), WANTED)
    with pytest.raises(DataError, match="the file is too large"):
        read_mat(mat_file(tmp_path / "y.mat", bytes(1 << 21)), WANTED)


def test_other_formats_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM" + bytes(500))
    with pytest.raises(DataError, match=r"x\.mat: a file of MATLAB 7\.3"):
        read_mat(tmp_path / "x.mat", WANTED)
    (tmp_path / "x.mat").write_bytes(b"pitch,yaw\n" * 100)
    with pytest.raises(DataError, match="no header of MATLAB's format 5"):
        read_mat(tmp_path / "x.mat", WANTED)
    with pytest.raises(DataError, match="there is no such file"):
        read_mat(tmp_path / "none.mat", WANTED)


def test_damaged_bytes_are_never_anything_but_a_clear_error(tmp_path: Path) -> None:
    """Uncompressed, so that no checksum stands before the parser; such files end a process that uses SciPy's."""
    path = tmp_path / "x.mat"
    content = {
        "data": {"left": {"image": np.zeros((2, 3, 4), np.uint8), "gaze": np.ones((2, 3))}},
        "filenames": cell("ab"),
    }
    scipy.io.savemat(path, content)
    saved = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(3000):
        spoiled = bytearray(saved)
        for place in generator.integers(0, len(saved), generator.integers(1, 6)):
            spoiled[place] = generator.integers(256)
        path.write_bytes(spoiled)
        with suppress(DataError):
            read_mat(path, WANTED)
