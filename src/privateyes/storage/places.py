"""Where a task's store is: in its own folder, or in mirrors on different disks, which a file there names.

A second file names folders that may hold keys of the task and are none of its mirrors, or not yet: a mirror that was
replaced while its disk was away, and one that is being made. It is written before such a folder can hold a key. Whoever
opens the store erases what it finds there, and so does whoever removes the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from privateyes.errors import RunDirectoryError
from privateyes.files import write_atomically
from privateyes.storage.majority import sort_out
from privateyes.storage.mirror import STORE_NAME, label_of
from privateyes.storage.mirrors import erase_mirror
from privateyes.storage.store import PartyStore

FOLDERS_NAME: Final = "store.json"
"""In a task's folder: where its store is, if it is in mirrors."""
LEFT_NAME: Final = "left_mirrors.json"
"""In a task's folder: where keys may be besides."""


def store_folders(folder: Path) -> list[Path]:
    """Where the store of a task is: in its folder, or in the mirrors that it names.

    Raises:
        RunDirectoryError: the file that names them is damaged; or this is a copy of the folder that they belong to.
    """
    named = folder / FOLDERS_NAME
    if not named.is_file():
        return [folder]
    owner, mirrors = _owner_and_mirrors(named)
    if (owner / FOLDERS_NAME).is_file() and not owner.samefile(folder):  # else it was moved here, or is named otherwise
        original, shared = _owner_and_mirrors(owner / FOLDERS_NAME)
        if original.is_dir() and original.samefile(owner) and set(shared) & set(mirrors):
            raise RunDirectoryError(
                f"{folder} is a copy of {owner}, whose store is in mirrors: {', '.join(str(one) for one in mirrors)}",
                "work in that one; the copy has no store of its own, and can be deleted",
            )
    return mirrors


def _owner_and_mirrors(named: Path) -> tuple[Path, list[Path]]:
    """The folder that the file was written for, and what it says."""
    found = _read(named)
    owner = found.get("folder") if isinstance(found, dict) else None
    mirrors = _folders_in(found.get("mirrors") if isinstance(found, dict) else None)
    if not isinstance(owner, str) or not owner or not mirrors:
        own = json.dumps({"folder": label_of(named.parent), "mirrors": ["/a", "/b", "/c"]})
        raise RunDirectoryError(
            f"{named} does not say where the store is", f"write the mirrors into it again, such as {own}"
        )
    return Path(owner), mirrors


def left_folders(folder: Path) -> list[Path]:
    """Where keys of a task may be besides.

    Raises:
        RunDirectoryError: the file that names them is damaged.
    """
    named = folder / LEFT_NAME
    if not named.is_file():
        return []
    folders = _folders_in(_read(named))
    if not folders:
        raise RunDirectoryError(
            f"{named} does not say where keys may be", 'write the folders into it again, such as ["/a", "/b"]'
        )
    return folders


def _read(named: Path) -> Any:
    try:
        return json.loads(named.read_bytes())
    except ValueError:
        return None


def _folders_in(found: Any) -> list[Path]:
    is_list = isinstance(found, list) and all(isinstance(text, str) and text for text in found)
    return [Path(text) for text in found] if is_list else []


def name_folders(folder: Path, folders: Sequence[Path]) -> None:
    """Write down where a task's store is, if it is not in the task's own folder."""
    mirrors = [] if list(folders) == [folder] else [str(one) for one in folders]
    _write(folder / FOLDERS_NAME, {"folder": label_of(folder), "mirrors": mirrors} if mirrors else None)


def _name_left(folder: Path, folders: Iterable[Path]) -> None:
    _write(folder / LEFT_NAME, [str(one) for one in dict.fromkeys(folders)] or None)


def _write(named: Path, content: Any) -> None:
    """Write it, or remove the file if there is nothing to be said; if it says so already, do neither."""
    if (_read(named) if named.is_file() else None) == content:
        return
    if content is None:
        named.unlink(missing_ok=True)
    else:
        write_atomically(named, json.dumps(content).encode())


def open_store(folder: Path, given: Sequence[Path]) -> PartyStore:
    """Open a task's store in the folders that were given, and in those of its mirrors that are there besides.

    Raises:
        RunDirectoryError: a folder that was given is no mirror of the store, or too few of them can be read.
    """
    if len(given) == 1:
        name_folders(folder, given)
        return PartyStore(*given)
    left = left_folders(folder)
    members, strays = sort_out([*dict.fromkeys((*given, *store_folders(folder), *left))])
    unfinished = [one for one in left if (one / STORE_NAME).exists() and not PartyStore.exists(one)]
    doomed = [*(one for one in strays if one in left), *unfinished]
    store = PartyStore(*dict.fromkeys([one for one in given if one not in doomed] + members))
    besides = [Path(one) for one in store.missing_mirrors() if Path(one) not in given and PartyStore.exists(Path(one))]
    if besides:
        reached = [Path(one) for one in store.mirror_folders() if one not in store.missing_mirrors()]
        store.close()
        store = PartyStore(*reached, *besides, *(one for one in given if one not in (*reached, *doomed)))
    try:
        _require_members(folder, store, [one for one in given if one not in left])
        for one in doomed:
            erase_mirror(one)
        name_folders(folder, [Path(one) for one in store.mirror_folders()])
        _name_left(folder, _still_left(store, left))
    except BaseException:
        store.close()
        raise
    return store


def _still_left(store: PartyStore, left: Sequence[Path]) -> list[Path]:
    """Both ends of a replacement that is under way, and what is in no set and on a disk that is away."""
    members = [one for one in left if label_of(one) in store.mirror_folders()]
    return [*(members if len(members) > 1 else ()), *(one for one in left if one not in members and not one.is_dir())]


def _require_members(folder: Path, store: PartyStore, given: Sequence[Path]) -> None:
    members = store.mirror_folders()
    strange = [one for one in given if label_of(one) not in members]
    if strange:
        raise RunDirectoryError(
            f"{strange[0]} is no mirror of the store of {folder}, whose mirrors are: {', '.join(members)}",
            "name those in store.mirrors; `privateyes task mirror RUN OLD NEW` puts a fresh one in another's place",
        )


def replace_mirror(folder: Path, old: Path, fresh: Path) -> bool:
    """Put a fresh mirror of a task's store in the place of one that is, or was, elsewhere; the old one is erased.

    Called again after a kill, it ends what it began, also if the task went on in between.

    Args:
        folder: the task's.
        old: one of its mirrors; its disk may be gone.
        fresh: an empty folder.

    Returns:
        Whether the old one was there. If not, it may still hold the keys, and is written down as one to be erased.

    Raises:
        RunDirectoryError: the store is not mirrored; ``old`` is none of its mirrors; ``fresh`` holds something; more
            than half of the mirrors cannot be reached; or a disk fails.
    """
    named, left = store_folders(folder), left_folders(folder)
    if old not in named:
        known = "it has none" if named == [folder] else f"its mirrors are: {', '.join(str(one) for one in named)}"
        raise RunDirectoryError(f"{old} is no mirror of the store of {folder}", known)
    if fresh in named and fresh not in left:
        raise RunDirectoryError(f"{fresh} is a mirror of the store of {folder} already", "name an empty folder")
    if fresh not in left and PartyStore.exists(fresh):
        raise RunDirectoryError(f"{fresh} holds a store already", "name an empty folder on another disk")
    rest = [one for one in named if one != fresh]
    open_store(folder, rest).close()  # whether it can be done at all
    fresh.mkdir(parents=True, exist_ok=True)  # where its disk is, the folder is: so an erased one is told from one away
    _name_left(folder, [*left, old, fresh])
    was_there = old.is_dir()
    with closing(open_store(folder, rest)) as store:
        _name_left(folder, [*left_folders(folder), old, fresh])  # what was a stray is made anew
        if label_of(fresh) not in store.mirror_folders():
            store.add_mirror(fresh)
        if label_of(old) in store.mirror_folders():
            store.remove_mirror(old)
        name_folders(folder, [fresh if one == old else one for one in rest])
    gone = (fresh, old) if was_there else (fresh,)
    _name_left(folder, [one for one in left_folders(folder) if one not in gone])
    return was_there


def unreached_folders(folder: Path) -> list[Path]:
    """Where keys of a task may be, and the disk is away."""
    mirrors = [one for one in store_folders(folder) if one != folder]
    return [one for one in dict.fromkeys((*mirrors, *left_folders(folder))) if not one.is_dir()]


def forget_folders(folder: Path, unreached: Sequence[Path]) -> None:
    """Write down that a task's store was removed, but for what could not be reached."""
    if folder.is_dir():  # else nothing was ever stored
        _name_left(folder, unreached)
        name_folders(folder, [folder])


def note_on_missing(store: PartyStore, mirror: str, command: str = "privateyes task mirror RUN OLD NEW") -> str:
    """What an operator is told of a mirror that is not there, or cannot be used.

    Args:
        command: puts a fresh mirror in its place.
    """
    problem = store.problem_of(mirror)
    return (
        f"warning: the mirror in {mirror} {f'cannot be used ({problem})' if problem else 'is missing'}; the store goes "
        "on without it, and one disk fewer may be lost. Mend or attach its disk and continue the run with --resume, or "
        f"put a fresh mirror in its place first: `{command}`"
    )
