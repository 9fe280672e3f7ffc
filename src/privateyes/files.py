"""Files that are there completely or not at all, even if the machine stops."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

_PIECE_BYTES: Final = 1 << 16


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name in the same directory, force it to disk, and rename it to `path`."""
    # One fixed name, so that what a kill leaves behind is overwritten the next time.
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    force_directory(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Append `line` and a newline, and force them to disk."""
    with path.open("ab") as file:
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


def overwrite(path: Path) -> None:
    """Write zeros over a file, force them to disk, and remove it; of a link, the link alone.

    A copy-on-write file system or a flash drive may keep the old blocks all the same.
    """
    if not path.is_symlink():
        with path.open("r+b") as file, _naming(path):
            left = path.stat().st_size  # and no byte more: the disk may be full
            while left > 0:
                left -= file.write(bytes(min(left, _PIECE_BYTES)))
            file.flush()
            os.fsync(file.fileno())
    path.unlink()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors of an open file name it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def sole_process(directory: Path) -> Iterator[None]:
    """Keep every other process that asks for the same out of a directory, at the longest until this process ends.

    Raises:
        BlockingIOError: another process is in it.
    """
    if sys.platform == "win32":  # no lock on directories there
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def force_directory(directory: Path) -> None:
    """Force a directory's entries to disk, where the platform can."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
