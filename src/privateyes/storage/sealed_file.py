"""Large bodies in files of their own, each sealed under a key that is drawn for it and kept elsewhere.

AES-256-GCM [NIST SP 800-38D] under a fresh key for every body, so the nonce may be constant. Two things follow. Whoever
erases the 32 bytes of the key has erased the body, whatever its size and wherever the disk keeps copies of it; the file
itself need not be overwritten. And a file that is torn, damaged or mixed up with another never opens: no wrong byte is
ever read from one.

A body that goes to several disks is sealed once: its files are equal, and each of them mends the others.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from privateyes.crypto.statement import KEY_BYTES
from privateyes.errors import RunDirectoryError
from privateyes.files import force_directory

_PIECE_BYTES: Final = 1 << 18
_NONCE: Final = bytes(12)  # a key seals one body


@dataclass(frozen=True, slots=True)
class Seal:
    """What opens one sealed file.

    Attributes:
        key: 32 bytes; secret, and the only copy: without it the file is noise.
        tag: 16 bytes, by which damage is told.
        length_bytes: of the body, and of the file.
    """

    key: bytes = field(repr=False)
    tag: bytes
    length_bytes: int


class SealedWriter:
    """Takes a body in pieces and writes it to one file or to several; what the files held before is overwritten.

    Leave the ``with`` block without ``seal`` and the files are noise.

    Args:
        paths: readable by their owner alone; on different disks, if there are several.

    Raises:
        RunDirectoryError: a disk is full or fails.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._key = secrets.token_bytes(KEY_BYTES)
        self._encryptor = Cipher(AES(self._key), GCM(_NONCE)).encryptor()
        self._buffer = memoryview(bytearray(_PIECE_BYTES))
        self._length_bytes = 0
        self._files: list[BinaryIO] = []
        self._created: list[Path] = []

    def __enter__(self) -> SealedWriter:
        try:
            for path in self._paths:
                self._open(path)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _open(self, path: Path) -> None:
        with _naming(path):
            if not path.exists():
                self._created.append(path)
            # Not truncated first: blocks that the disk has given already are written faster than new ones.
            self._files.append(os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0))

    def write(self, piece: bytes | memoryview) -> None:
        """Add a piece of the body, of any size.

        Raises:
            RunDirectoryError: a disk is full or fails.
        """
        view = memoryview(piece)
        for start in range(0, view.nbytes, _PIECE_BYTES):
            count = self._encryptor.update_into(view[start : start + _PIECE_BYTES], self._buffer)
            for path, file in zip(self._paths, self._files, strict=True):
                with _naming(path):
                    _write_all(file, self._buffer[:count])
            self._length_bytes += count

    def seal(self) -> Seal:
        """End the body and force every file to disk.

        Raises:
            RunDirectoryError: a disk is full or fails.
        """
        self._encryptor.finalize()
        if len(self._files) == 1:
            self._force(self._paths[0], self._files[0])
        else:  # waiting for several disks side by side is waiting once
            with ThreadPoolExecutor(len(self._files), "privateyes-mirrors") as threads:
                list(threads.map(self._force, self._paths, self._files))
        return Seal(self._key, self._encryptor.tag, self._length_bytes)

    def _force(self, path: Path, file: BinaryIO) -> None:
        with _naming(path):
            file.truncate(self._length_bytes)
            os.fsync(file.fileno())
            if path in self._created:
                force_directory(path.parent)

    def _close(self) -> None:
        for file in self._files:
            file.close()


def write_sealed(paths: Sequence[Path], pieces: Iterable[bytes | memoryview]) -> Seal:
    """Write a body to one file or to several and force it to disk; what a file held before is overwritten.

    Args:
        paths: as for ``SealedWriter``.
        pieces: the body.

    Raises:
        RunDirectoryError: a disk is full or fails.
    """
    with SealedWriter(paths) as writer:
        for piece in pieces:
            writer.write(piece)
        return writer.seal()


def _write_all(file: BinaryIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


def read_sealed(path: Path, seal: Seal) -> bytearray:
    """The body of a sealed file.

    Raises:
        RunDirectoryError: the file is missing, torn or damaged.
    """
    body = bytearray(seal.length_bytes)
    _decrypt(path, seal, memoryview(body))
    return body


def is_whole(path: Path, seal: Seal) -> bool:
    """Whether a sealed file holds the body that the seal is of."""
    try:
        _decrypt(path, seal, None)
    except RunDirectoryError:
        return False
    return True


def _decrypt(path: Path, seal: Seal, target: memoryview | None) -> None:
    decryptor = Cipher(AES(seal.key), GCM(_NONCE, seal.tag)).decryptor()
    scratch = memoryview(bytearray(0 if target is not None else _PIECE_BYTES))
    try:
        with path.open("rb") as file:
            for start in range(0, seal.length_bytes, _PIECE_BYTES):
                piece = file.read(min(_PIECE_BYTES, seal.length_bytes - start))
                into = scratch if target is None else target[start:]
                decryptor.update_into(piece, into[: len(piece)])
            excess = file.read(1)
        decryptor.finalize()
    except (OSError, InvalidTag) as error:
        raise _damaged(path, str(error) or "it is torn or altered") from None
    if excess:
        raise _damaged(path, f"it is longer than {seal.length_bytes} bytes")


def copy_sealed(source: Path, target: Path) -> None:
    """Copy a sealed file to another disk and force it there.

    Raises:
        RunDirectoryError: the other disk is full or fails.
    """
    with _naming(target), source.open("rb") as whole:
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            shutil.copyfileobj(whole, file, _PIECE_BYTES)
            file.flush()
            os.fsync(file.fileno())
        force_directory(target.parent)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"{path} cannot be written ({error})", "free some space or repair the disk, and resume the run"
        ) from None


def _damaged(path: Path, how: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path} is not what the party stored ({how}); nothing was read from it", "start the run in a new directory"
    )
