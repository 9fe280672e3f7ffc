"""Pictures of a data set's download: decoding, crops and resizing, with Pillow.

What Pillow's decoder notices is refused: another format, a file cut short, a broken checksum, more pixels than any
camera of these data sets has. So are JPEG files whose picture data are visibly damaged, which decoders let pass
(`jpeg`).
"""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare.jpeg import fault_of_jpeg

# The data sets hold nothing else, and every further decoder is a further way in for a hostile file.
_FORMATS: Final = ("JPEG", "PNG", "BMP")
# Files of telephones that hold several pictures are JPEG as well.
_JPEGS: Final = ("JPEG", "MPO")
_MODES: Final = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_LARGEST_BYTES: Final = 64 << 20
_LARGEST_PIXELS: Final = 64 << 20
TURNED: Final = "picture is marked to be shown turned (EXIF orientation), and its labels do not say which way is meant"
_ORIENTATION: Final = 0x0112
# What Pillow's decoders raise for damaged files.
_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class Box(NamedTuple):
    """A rectangle of pixels: its top left corner and its size. The corner may lie outside of the picture."""

    x: int
    y: int
    width: int
    height: int


def is_missing(path: Path) -> bool:
    """Whether nothing has this name. Where nobody can say, as in a folder without permissions, reading tells why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def read_picture(path: Path, where: str) -> Image.Image:
    """Read and decode a picture file.

    Args:
        path: the file.
        where: names the picture in messages.

    Returns:
        The picture, completely decoded.

    Raises:
        DataError: the file cannot be read, or is no picture of a known format, or is damaged.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{where} is no file", "copy it again")
        size = status.st_size
        content = path.read_bytes() if size <= _LARGEST_BYTES else b""
    except OSError as error:
        remedy = "copy it again, or change its permissions"
        raise DataError(f"{where}: the file cannot be read ({error.strerror})", remedy) from error
    if size > _LARGEST_BYTES:
        raise DataError(f"{where}: {size} bytes are too many for a picture", "copy it again")
    return decode_picture(content, where)


def decode_picture(content: bytes, where: str) -> Image.Image:
    """Decode JPEG, PNG or BMP bytes.

    Args:
        content: the bytes of the file.
        where: names the picture in messages.

    Returns:
        The picture, completely decoded, in a mode of 8 bits for each channel.

    Raises:
        DataError: the bytes are no such picture, are damaged or cut short, or hold too many pixels or bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks about metadata that nobody reads
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
            if picture.width * picture.height > _LARGEST_PIXELS:
                raise DataError(f"{where}: {picture.width}x{picture.height} pixels are too many", "remove the file")
            if picture.mode not in _MODES:
                raise DataError(f"{where}: its pixels are of mode {picture.mode}, not 8 bits", "store 8 bits a channel")
            picture.load()
    except UnidentifiedImageError as error:  # whose text is an address in memory
        raise DataError(f"{where}: no picture, damaged or cut short (no JPEG, PNG or BMP)", "copy it again") from error
    except _DAMAGE as error:
        raise DataError(f"{where}: no picture, damaged or cut short ({error})", "copy it again") from error
    fault = fault_of_jpeg(content) if picture.format in _JPEGS else None
    if fault is not None:
        raise DataError(f"{where}: its picture data are damaged ({fault})", "copy it again")
    return picture


def is_turned(picture: Image.Image) -> bool:
    """Whether the file says, by its EXIF orientation, that its pixels are to be turned or mirrored before a look."""
    try:
        return picture.getexif().get(_ORIENTATION, 1) not in (0, 1)
    except _DAMAGE:  # an entry that nobody can read turns nothing in any viewer
        return False


def grey_pixels(picture: Image.Image, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The picture as (H, W) uint8, resized to `size` = (height, width) where given. Colours count as in ITU-R 601."""
    return _pixels(picture if picture.mode == "L" else picture.convert("L"), size)


def colour_pixels(picture: Image.Image, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The picture as (H, W, 3) uint8: red, green, blue; resized to `size` = (height, width) where given."""
    return _pixels(picture if picture.mode == "RGB" else picture.convert("RGB"), size)


def resized(pixels: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) resized to (height, width), or as they are."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    return _pixels(Image.fromarray(pixels), size)


def padded_crop(picture: Image.Image, box: Box) -> Image.Image:
    """The part of the picture inside the box; black where the box lies outside of the picture.

    Args:
        picture: any decoded picture.
        box: of a positive size; it should have been checked not to be enormous.
    """
    return picture.crop((box.x, box.y, box.x + box.width, box.y + box.height))


def overlaps(picture: Image.Image, box: Box) -> bool:
    """Whether at least one pixel of the picture lies inside the box."""
    across = box.x < picture.width and box.x + box.width > 0
    return across and box.y < picture.height and box.y + box.height > 0


def _pixels(picture: Image.Image, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    if size is not None and (picture.height, picture.width) != size:
        # Pillow widens the filter when it shrinks, so that no row of pixels is left out.
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.array(picture, dtype=np.uint8)
