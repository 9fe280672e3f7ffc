"""Which stores a folder held before they were erased: so that a copy of one, made before, is not taken for it.

The file holds the stores' random ids and no secret. It stays when a store's keys go.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from privateyes.files import write_atomically

ENDED_NAME: Final = "ended.json"


def note_ended(folder: Path, store: bytes) -> None:
    """Write down that a store ends here; before it is erased."""
    ended = _read(folder)
    if store.hex() not in ended:
        write_atomically(folder / ENDED_NAME, json.dumps([*ended, store.hex()]).encode())


def has_ended(folder: Path, store: bytes) -> bool:
    """Whether a store ended here."""
    return store.hex() in _read(folder)


def _read(folder: Path) -> list[str]:
    try:
        found = json.loads((folder / ENDED_NAME).read_bytes())
    except (OSError, ValueError):
        return []
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
