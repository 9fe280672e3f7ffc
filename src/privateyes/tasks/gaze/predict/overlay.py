"""Pictures of what was estimated: arrows on eye images and on camera frames.

They show people's eyes and faces, and belong where the pictures came from and nowhere else.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from privateyes.errors import DataError
from privateyes.files import write_atomically
from privateyes.tasks.gaze.angles import vectors_from_angles
from privateyes.tasks.gaze.camera import Camera

Point = tuple[float, float]

_COLOUR: Final = (209, 73, 91)
_RIM: Final = (255, 255, 255)
# Eye images are tiny: they are drawn at this width at least, by a whole factor, so that no pixel is blurred.
_LEAST_WIDTH: Final = 480
# As on contact sheets: gazes stay within 25 degrees of the camera, whose arrows would be too short to read.
_GAIN: Final = 1.6
# How much of the way to the edge an arrow may go.
_EDGE: Final = 0.92
_ARROW_MM: Final = 120.0
_NEAREST_MM: Final = 20.0


def draw_on_eye(image: NDArray[np.uint8], pitch_yaw: NDArray[np.floating], text: str) -> Image.Image:
    """An eye (or a face), enlarged, with its gaze as an arrow from the middle.

    The arrow is the gaze vector as the camera sees it: (dx, dy) = (-cos p sin y, -sin p); it ends within the picture.

    Args:
        image: (H, W) or (H, W, 3) uint8, at least one pixel.
        pitch_yaw: (2,) radians.
        text: written below it.
    """
    height, width = image.shape[:2]
    right, down = (float(part) for part in vectors_from_angles(pitch_yaw)[:2])
    reach = _GAIN * min(height, width)
    factor = max(1, math.ceil(_LEAST_WIDTH / width))
    picture = _enlarged(image, factor)
    middle = (width * factor / 2, height * factor / 2)
    inside = min(
        1.0, *(_EDGE * side / 2 / max(abs(part) * reach, 1e-9) for part, side in ((right, width), (down, height)))
    )
    length = inside * reach * factor
    tip = (middle[0] + right * length, middle[1] + down * length)
    _draw_arrow(ImageDraw.Draw(picture), middle, tip, line=max(2, picture.width // 160))
    return _with_line(picture, text)


def draw_text_on(image: NDArray[np.uint8], text: str) -> Image.Image:
    """A picture, enlarged, with a line below it; for points of gaze, which lie outside of the picture."""
    return _with_line(_enlarged(image, max(1, math.ceil(_LEAST_WIDTH / image.shape[1]))), text)


def draw_on_frame(
    frame: NDArray[np.uint8],
    camera: Camera,
    gazes: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    text: str,
) -> Image.Image:
    """A camera frame with arrows from the eyes (or the face), 12 cm long in space, as the camera sees them.

    Args:
        frame: (H, W) or (H, W, 3) uint8.
        camera: took it.
        gazes: origin (3,) mm and unit direction (3,), both in the camera's frame.
        text: written below the frame.
    """
    picture = Image.fromarray(frame).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for origin, direction in gazes:
        # A gaze into the camera must not pass it: behind the camera nothing is seen.
        length = _ARROW_MM
        if direction[2] < 0:
            length = min(length, (origin[2] - _NEAREST_MM) / -direction[2])
        start, tip = camera.project(np.stack([origin, origin + length * direction]))
        _draw_arrow(draw, _point(start), _point(tip), line=max(2, picture.width // 320))
    return _with_line(picture, text)


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG, completely or not at all.

    Raises:
        DataError: the folder cannot be made or written.
    """
    content = io.BytesIO()
    picture.save(content, format="PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
    except OSError as error:
        problem = f"{path}: the picture cannot be written ({error.strerror})"
        raise DataError(problem, "choose another --overlay folder") from error


def _enlarged(image: NDArray[np.uint8], factor: int) -> Image.Image:
    picture = Image.fromarray(image).convert("RGB")
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _draw_arrow(draw: ImageDraw.ImageDraw, start: Point, tip: Point, line: int) -> None:
    """A white rim keeps it visible on dark irises and on light skin."""
    along = np.array(tip) - np.array(start)
    length = float(np.linalg.norm(along))
    heading = math.atan2(along[1], along[0])
    head = min(6.0 * line, length / 2)
    wings = [
        (tip[0] - head * math.cos(heading + turn), tip[1] - head * math.sin(heading + turn)) for turn in (-0.5, 0.5)
    ]
    for colour, width in ((_RIM, 3 * line), (_COLOUR, line)):
        radius = width
        draw.ellipse([start[0] - radius, start[1] - radius, start[0] + radius, start[1] + radius], fill=colour)
        draw.line([start, tip], fill=colour, width=width)
        for wing in wings:
            draw.line([wing, tip], fill=colour, width=width)


def _with_line(picture: Image.Image, text: str) -> Image.Image:
    font = ImageFont.load_default(size=max(12, picture.width // 30))
    band = int(font.size * 1.8) if isinstance(font, ImageFont.FreeTypeFont) else 20
    extended = Image.new("RGB", (picture.width, picture.height + band), "white")
    extended.paste(picture, (0, 0))
    ImageDraw.Draw(extended).text((band // 4, picture.height + band // 6), text, fill="black", font=font)
    return extended


def _point(pixels: NDArray[np.float64]) -> Point:
    return float(pixels[0]), float(pixels[1])
