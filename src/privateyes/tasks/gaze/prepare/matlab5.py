"""Reading MATLAB's format 5 (.mat as MATLAB writes it without -v7.3): numbers, text, cells and structs [MAT-file].

A reader of its own, because damaged files make SciPy's end the process, and because SciPy's removes axes of length one
on request or wraps every field in two of them. Nothing is squeezed here. Sizes are checked before memory is taken.

A file is a header of 128 bytes and data elements: a tag (type, size) and its bytes, filled up to a multiple of eight.
Up to four bytes may stand in the tag itself. An array is an element whose parts are elements again: flags with its
class, dimensions, name, contents. A variable may be compressed as a whole.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError

# Text is str, or a list of rows; cells are a list in MATLAB's order of elements; a struct is a dict; several, a list.
Value: TypeAlias = "NDArray[np.generic] | str | list[Value] | dict[str, Value]"

_HEADER_BYTES: Final = 128
_LARGEST_BYTES: Final = 512 << 20
_DEEPEST: Final = 8
_MATRIX, _COMPRESSED = 14, 15
_TYPES: Final = MappingProxyType(
    {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
)
_TEXTS: Final = MappingProxyType({1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"})
_CELL, _STRUCT, _CHAR = 1, 2, 4
_CLASSES: Final = MappingProxyType(
    {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
)
_COMPLEX: Final = 0x0800


class _Damage(Exception):  # noqa: N818  # never leaves this module
    """The bytes do not follow the format."""


def read_mat(path: Path, wanted: Collection[str]) -> dict[str, Value]:
    """Read some variables of a file.

    Args:
        path: the file.
        wanted: names of variables; others are passed over.

    Returns:
        Name -> value, of those that are there. Arrays have MATLAB's axes, at least two.

    Raises:
        DataError: the file is missing, damaged, cut short, too large, or of another format.
    """
    again = "unpack or copy it again"
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"{path}: the file is too large for what it should hold", again)
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file", again) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", again) from error
    version = content[124:128]
    if version in (b"\x00\x02IM", b"\x02\x00MI"):
        problem = f"{path}: a file of MATLAB 7.3, where one of format 5 was expected"
        raise DataError(problem, "use the files of the original download")
    try:
        if version not in (b"\x00\x01IM", b"\x01\x00MI"):
            raise _Damage("no header of MATLAB's format 5")
        return _variables(_Reader(content[_HEADER_BYTES:], "<" if version.endswith(b"IM") else ">"), wanted)
    except _Damage as error:
        raise DataError(f"{path}: no MATLAB file, damaged or cut short ({error})", again) from error


@dataclass(slots=True)
class _Reader:
    """Takes data elements off some bytes, one after the other.

    Attributes:
        content: the bytes.
        order: "<" or ">".
        place: where the next element begins.
    """

    content: bytes = field(repr=False)
    order: str
    place: int = 0

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return len(self.content) - self.place

    def take(self) -> tuple[int, bytes]:
        """The next element: its type and its bytes."""
        if self.left < 8:
            raise _Damage("the file ends inside an element")
        kind, size = np.frombuffer(self.content, f"{self.order}u4", 2, self.place).tolist()
        if kind >> 16:  # a small element: size and type share four bytes, its own bytes are the other four
            small = kind >> 16
            if small > 4:
                raise _Damage(f"a small element of {small} bytes")
            data = self.content[self.place + 4 : self.place + 4 + small]
            self.place += 8
            return kind & 0xFFFF, data
        self.place += 8
        if size > self.left:
            raise _Damage(f"an element of {size} bytes where {self.left} are left")
        data = self.content[self.place : self.place + size]
        # Compressed elements are not filled up, and MATLAB leaves out what would fill up the last one.
        self.place = min(len(self.content), self.place + (size if kind == _COMPRESSED else -(-size // 8) * 8))
        return kind, data

    def numbers(self, what: str) -> NDArray[np.generic]:
        """The next element as numbers."""
        kind, data = self.take()
        if kind not in _TYPES:
            raise _Damage(f"{what} of type {kind}")
        dtype = np.dtype(f"{self.order}{_TYPES[kind]}")
        if len(data) % dtype.itemsize:
            raise _Damage(f"{what} of {len(data)} bytes")
        return np.frombuffer(data, dtype)


def _variables(reader: _Reader, wanted: Collection[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    while reader.left:
        kind, data = reader.take()
        if kind == _COMPRESSED:
            kind, data = _Reader(_inflated(data), reader.order).take()
        if kind != _MATRIX:
            raise _Damage(f"a variable of type {kind}")
        name, array_class, shape, complex_, inside = _opening(data, reader.order)
        if name in found:
            raise _Damage(f"the variable {name} comes twice")
        if name in wanted:
            found[name] = _contents(inside, array_class, shape, complex_, 0)
    return found


def _inflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, _LARGEST_BYTES)
    except zlib.error as error:
        raise _Damage(str(error)) from error
    if not unpacker.eof:
        raise _Damage("compressed data that end too early, or are too large")
    return content


def _opening(data: bytes, order: str) -> tuple[str, int, tuple[int, ...], bool, _Reader]:
    """An array's name, class, shape, whether it is complex, and the reader of its contents."""
    reader = _Reader(data, order)
    flags = reader.numbers("flags")
    dimensions = reader.numbers("dimensions")
    if flags.dtype.itemsize != 4 or len(flags) < 1 or dimensions.dtype.kind not in "iu" or len(dimensions) < 2:
        raise _Damage("an array without class or dimensions")
    shape = tuple(int(length) for length in dimensions.tolist())
    if min(shape) < 0:
        raise _Damage(f"an array of shape {shape}")
    name = reader.numbers("a name").tobytes().decode("latin-1")
    first = int(flags.tolist()[0])
    return name, first & 0xFF, shape, bool(first & _COMPLEX), reader


def _array(reader: _Reader, depth: int) -> Value:
    """An array inside of another one. An element of no bytes is an empty array."""
    if depth > _DEEPEST:
        raise _Damage("arrays inside of arrays without end")
    kind, data = reader.take()
    if kind != _MATRIX:
        raise _Damage(f"type {kind} in place of an array")
    if not data:
        return np.empty((0, 0))
    _, array_class, shape, complex_, inside = _opening(data, reader.order)
    return _contents(inside, array_class, shape, complex_, depth)


def _contents(reader: _Reader, array_class: int, shape: tuple[int, ...], complex_: bool, depth: int) -> Value:
    count = math.prod(shape)
    if array_class in _CLASSES:
        stored = reader.numbers("an array")
        if len(stored) != count or complex_:
            raise _Damage(f"an array of shape {shape} with {len(stored)} {'complex ' if complex_ else ''}numbers")
        # Whole numbers of any class may be stored in fewer bytes.
        return stored.astype(_CLASSES[array_class]).reshape(shape, order="F")
    if array_class == _CHAR:
        return _text(reader, shape)
    if array_class in (_CELL, _STRUCT) and 8 * count > max(reader.left, 8):
        raise _Damage(f"an array of shape {shape} in {reader.left} bytes")
    if array_class == _CELL:
        return [_array(reader, depth + 1) for _ in range(count)]
    if array_class == _STRUCT:
        return _structs(reader, count, depth)
    raise _Damage(f"an array of class {array_class}, which is not read here")


def _text(reader: _Reader, shape: tuple[int, ...]) -> Value:
    kind, data = reader.take()
    if kind not in _TEXTS:
        raise _Damage(f"text of type {kind}")
    encoding = _TEXTS[kind]
    if not encoding.endswith(("8", "1")):
        encoding += "-le" if reader.order == "<" else "-be"
    text = data.decode(encoding, "replace")
    if len(shape) != 2 or len(text) != math.prod(shape):
        raise _Damage(f"text of {len(text)} characters in the shape {shape}")
    if shape[0] <= 1:
        return text
    return [text[row :: shape[0]] for row in range(shape[0])]


def _structs(reader: _Reader, count: int, depth: int) -> Value:
    lengths = reader.numbers("a length of names")
    names = reader.numbers("names of fields").tobytes()
    length = int(lengths.tolist()[0]) if len(lengths) == 1 and lengths.dtype.kind in "iu" else 0
    if length <= 0 or len(names) % length:
        raise _Damage("a struct without names of fields")
    fields = [names[at : at + length].split(b"\0")[0].decode("latin-1") for at in range(0, len(names), length)]
    if len(set(fields)) != len(fields) or count > max(reader.left, 8):
        raise _Damage("a struct with impossible fields")
    structs: list[Value] = [{field: _array(reader, depth + 1) for field in fields} for _ in range(count)]
    return structs[0] if count == 1 else structs
