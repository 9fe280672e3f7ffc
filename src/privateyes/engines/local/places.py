"""Where a task's store is: in its own folder, or in mirrors on different disks, which a file there names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from privateyes.engines.local.mirror import label_of
from privateyes.engines.local.store import PartyStore
from privateyes.errors import RunDirectoryError
from privateyes.files import write_atomically

FOLDERS_NAME = "store.json"
"""In a task's folder: where its store is, if it is in mirrors."""


def store_folders(folder: Path) -> list[Path]:
    """Where the store of a task is: in its folder, or in the mirrors that it names.

    Raises:
        RunDirectoryError: the file that names them is damaged.
    """
    named = folder / FOLDERS_NAME
    if not named.is_file():
        return [folder]
    try:
        found = json.loads(named.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(text, str) and text for text in found):
        raise RunDirectoryError(
            f"{named} does not say where the store is", 'write the mirrors into it again, such as ["/a", "/b", "/c"]'
        )
    return [Path(text) for text in found]


def name_folders(folder: Path, folders: Sequence[Path]) -> None:
    """Write down where a task's store is, if it is not in the task's own folder."""
    if list(folders) != store_folders(folder):
        write_atomically(folder / FOLDERS_NAME, json.dumps([str(one) for one in folders]).encode())


def replace_mirror(folder: Path, old: Path, fresh: Path) -> None:
    """Put a fresh mirror of a task's store in the place of one that is, or was, elsewhere; the old one is erased.

    Called again after a kill, it ends what it began.

    Args:
        folder: the task's.
        old: one of its mirrors; its disk may be gone.
        fresh: an empty folder.

    Raises:
        RunDirectoryError: the store is not mirrored; ``old`` is none of its mirrors; ``fresh`` holds something; more
            than half of the mirrors cannot be reached; or a disk fails.
    """
    named = store_folders(folder)
    if old not in named:
        known = "it has none" if named == [folder] else f"its mirrors are: {', '.join(str(one) for one in named)}"
        raise RunDirectoryError(f"{old} is no mirror of the store of {folder}", known)
    if fresh in named:
        raise RunDirectoryError(f"{fresh} is a mirror of the store of {folder} already", "name an empty folder")
    begun = [fresh] if PartyStore.exists(fresh) else []
    with closing(PartyStore(*(one for one in named if one != old or not begun), *begun)) as store:
        is_left = label_of(old) in store.mirror_folders()
    if is_left:
        with closing(PartyStore(*named, *begun)) as store:
            if begun:
                store.remove_mirror(old)
            else:
                store.replace_mirror(old, fresh)
    name_folders(folder, [fresh if one == old else one for one in named])


def note_on_missing(mirror: str) -> str:
    """What an operator is told of a mirror that is not there."""
    return (
        f"warning: the mirror in {mirror} is missing; the store goes on without it, and one disk fewer may be lost. "
        "Attach its disk and continue the run with --resume, or put a fresh mirror in its place first: "
        "`privateyes task mirror RUN OLD NEW`"
    )
