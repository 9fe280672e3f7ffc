"""Large bodies in files of their own, each sealed under a key that is drawn for it and kept elsewhere.

AES-256-GCM [NIST SP 800-38D] under a fresh key for every body, so the nonce may be constant. Two things follow. Whoever
erases the 32 bytes of the key has erased the body, whatever its size and wherever the disk keeps copies of it; the file
itself need not be overwritten. And a file that is torn, damaged or mixed up with another never opens: no wrong byte is
ever read from one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
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


def write_sealed(path: Path, pieces: Iterable[bytes | memoryview]) -> Seal:
    """Write a body and force it to disk; what the file held before is overwritten.

    Args:
        path: readable by its owner alone.
        pieces: the body, in order.

    Returns:
        The seal. Keep it, durably, before anything relies on the body.

    Raises:
        RunDirectoryError: the disk is full or fails.
    """
    key = secrets.token_bytes(KEY_BYTES)
    encryptor = Cipher(AES(key), GCM(_NONCE)).encryptor()
    try:
        created = not path.exists()
        # Not truncated first: blocks that the disk has given already are written faster than new ones.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0) as file:
            buffer = memoryview(bytearray(_PIECE_BYTES))
            length = 0
            for piece in pieces:
                view = memoryview(piece)
                for start in range(0, view.nbytes, _PIECE_BYTES):
                    count = encryptor.update_into(view[start : start + _PIECE_BYTES], buffer)
                    _write_all(file, buffer[:count])
                    length += count
            encryptor.finalize()
            file.truncate(length)
            os.fsync(file.fileno())
        if created:
            force_directory(path.parent)
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be written ({error})", "free some space and resume the run") from None
    return Seal(key, encryptor.tag, length)


def _write_all(file: BinaryIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


def read_sealed(path: Path, seal: Seal) -> bytearray:
    """The body of a sealed file.

    Raises:
        RunDirectoryError: the file is missing, torn or damaged.
    """
    body = bytearray(seal.length_bytes)
    view = memoryview(body)
    decryptor = Cipher(AES(seal.key), GCM(_NONCE, seal.tag)).decryptor()
    try:
        with path.open("rb") as file:
            for start in range(0, seal.length_bytes, _PIECE_BYTES):
                piece = file.read(min(_PIECE_BYTES, seal.length_bytes - start))
                decryptor.update_into(piece, view[start : start + len(piece)])
            excess = file.read(1)
        decryptor.finalize()
    except (OSError, InvalidTag) as error:
        raise _damaged(path, str(error) or "it is torn or altered") from None
    if excess:
        raise _damaged(path, f"it is longer than {seal.length_bytes} bytes")
    return body


def _damaged(path: Path, how: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path} is not what the party stored ({how}); nothing was read from it", "start the run in a new directory"
    )
