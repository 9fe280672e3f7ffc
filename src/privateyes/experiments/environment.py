"""On what a run was made."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("privateyes", "torch", "numpy", "cryptography", "numba", "h5py", "safetensors")
_CHUNK_BYTES = 1 << 20


def describe_environment(data: Path | None, own: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Versions, platform, cores, git commit if there is one, and the SHA-256 of the data file if one is given.

    Args:
        data: the data file.
        own: hashes of somebody's own code, by their keys.
    """
    return {
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "git_commit": _git_commit(),
        "data_sha256": None if data is None else sha256_of(data),
        **(own or {}),
    }


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the checkout that this code runs from; None for an installed package."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (fixed arguments)
    return answer.stdout.strip() if answer.returncode == 0 else None
