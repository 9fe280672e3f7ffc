"""The locked environment's content: every package with its exact version and the hash of its file."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from privateyes.errors import EngineError

LOCK_PATH: Final = Path(__file__).parent / "requirements.lock"
_REQUIREMENT: Final = re.compile(r"([a-z0-9][a-z0-9-]*)==([0-9][A-Za-z0-9.]*)((?: --hash=sha256:[0-9a-f]{64})+)")
_FACT: Final = re.compile(r"# (python|platform): (.+)")
_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file.

    Attributes:
        path: of the file.
        packages: package -> exact version.
        python: the Python that the files are for, such as "3.11".
        platform: the system and machine that they are for, such as "linux x86_64".
        digest: the first digits of the SHA-256 of the file's bytes.
    """

    path: Path
    packages: dict[str, str]
    python: str
    platform: str
    digest: str


def read_lock(path: Path = LOCK_PATH) -> Lock:
    """Read a lock file, and refuse one that leaves anything open.

    Raises:
        EngineError: the file is missing, or a requirement has no exact version or no hash.
    """
    try:
        content = path.read_bytes()
        lines = content.decode("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{path}: the lock file cannot be read", "install privateyes again") from error
    facts = {match[1]: match[2] for line in lines if (match := _FACT.fullmatch(line))}
    packages: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _REQUIREMENT.fullmatch(line.strip())
        if match is None or match[1] in packages:
            problem = f"{path}, line {number}: not one package with an exact version and a hash"
            raise EngineError(problem, "install privateyes again")
        packages[match[1]] = match[2]
    if not packages or set(facts) != {"python", "platform"}:
        raise EngineError(f"{path}: the lock file is not complete", "install privateyes again")
    return Lock(path, packages, facts["python"], facts["platform"], hashlib.sha256(content).hexdigest()[:_DIGITS])
