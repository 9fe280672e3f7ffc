"""Blocks of bytes on a pipe, each behind its length. Both sides of the pipes use this file; it needs no package."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

LARGEST_FRAME_BYTES = 1 << 32
_LENGTH_BYTES = 8


class BrokenFrameError(Exception):
    """The pipe ended inside a frame, or what came is none."""


class Share(NamedTuple):
    """One party's share of one array, as the engine writes it: opaque bytes.

    Attributes:
        name: of the array.
        meta: the array's type and shape.
        chunks: the share itself.
    """

    name: str
    meta: bytes
    chunks: tuple[bytes, ...]


def write_frame(pipe: BinaryIO, content: bytes) -> None:
    """One frame: its length as 8 bytes, big-endian, then `content`."""
    pipe.write(len(content).to_bytes(_LENGTH_BYTES, "big"))
    pipe.write(content)


def read_frame(pipe: BinaryIO) -> bytes:
    """The next frame.

    Raises:
        BrokenFrameError: the pipe ends early, or announces more than `LARGEST_FRAME_BYTES`.
    """
    length = int.from_bytes(_read(pipe, _LENGTH_BYTES), "big")
    if length > LARGEST_FRAME_BYTES:
        raise BrokenFrameError(f"a frame of {length} bytes")
    return _read(pipe, length)


def write_json(pipe: BinaryIO, content: object) -> None:
    """A frame that holds JSON."""
    write_frame(pipe, json.dumps(content).encode())


def read_json(pipe: BinaryIO) -> Any:
    """The content of a frame that `write_json` wrote.

    Raises:
        BrokenFrameError: the pipe ends early, or the frame is no JSON.
    """
    content = read_frame(pipe)
    try:
        return json.loads(content)
    except ValueError as error:
        raise BrokenFrameError(f"no JSON ({error})") from error


def write_share(pipe: BinaryIO, share: Share) -> None:
    """A share: name and number of chunks as JSON, the meta data, then each chunk."""
    write_json(pipe, {"name": share.name, "chunks": len(share.chunks)})
    for part in (share.meta, *share.chunks):
        write_frame(pipe, part)


def read_share(pipe: BinaryIO) -> Share:
    """What `write_share` wrote.

    Raises:
        BrokenFrameError: the pipe ends early, or something else comes.
    """
    header = read_json(pipe)
    if not isinstance(header, dict) or not isinstance(header.get("chunks"), int):
        raise BrokenFrameError("no share's header")
    meta = read_frame(pipe)
    return Share(str(header.get("name")), meta, tuple(read_frame(pipe) for _ in range(header["chunks"])))


def share_as_json(share: Share) -> dict[str, Any]:
    """A share as something that fits into a line of JSON."""
    return {"name": share.name, "meta": _text(share.meta), "chunks": [_text(chunk) for chunk in share.chunks]}


def share_from_json(content: Any) -> Share:
    """The inverse of `share_as_json`.

    Raises:
        BrokenFrameError: it is something else.
    """
    try:
        chunks: Sequence[str] = content["chunks"]
        return Share(str(content["name"]), _bytes(content["meta"]), tuple(_bytes(chunk) for chunk in chunks))
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenFrameError(f"no share ({error})") from error


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _read(pipe: BinaryIO, count: int) -> bytes:
    content = pipe.read(count)
    if len(content) < count:
        raise BrokenFrameError("the pipe ended early")
    return content
