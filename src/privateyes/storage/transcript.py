"""The record of a session on disk: what was said, in order, one JSON line for each message.

A line is ``{"type": ..., "bytes": ...}``: the message's class and its bytes in hexadecimal digits. It is written before
the message goes out, so a process that is killed leaves the record of everything that it said. A session that is
finished after a kill continues its own record; what it says again it said in the same bytes, and that is kept once.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from privateyes.errors import RunDirectoryError
from privateyes.files import force_directory


class TranscriptFile:
    """Appends to one session's record; the file begins with the first message.

    Args:
        path: in a directory that exists. If the file exists, it is continued after its last whole line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._earlier: set[bytes] = set()

    def add(self, kind: str, data: bytes) -> None:
        """Write one message, unless an earlier process wrote it already.

        Raises:
            RunDirectoryError: the disk is full or fails; so the message must not go out.
        """
        line = json.dumps({"type": kind, "bytes": data.hex()}).encode() + b"\n"
        try:
            if self._descriptor is None:
                self._descriptor = self._opened()
            if hashlib.sha256(line).digest() not in self._earlier:
                _append(self._descriptor, line)
        except OSError as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        """Force the record to disk.

        Raises:
            RunDirectoryError: the disk is full or fails.
        """
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.fsync(descriptor)
            force_directory(self._path.parent)
        except OSError as error:
            raise self._unwritable(error) from None
        finally:
            os.close(descriptor)

    def _opened(self) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        os.ftruncate(descriptor, whole)  # a line that a kill tore apart
        self._earlier = {hashlib.sha256(line).digest() for line in content[:whole].splitlines(keepends=True)}
        return descriptor

    def _unwritable(self, error: OSError) -> RunDirectoryError:
        return RunDirectoryError(f"{self._path} cannot be written ({error})", "free some space and resume the run")


def _append(descriptor: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
