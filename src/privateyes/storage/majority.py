"""What it takes to start a store, or to change the set of its mirrors: more than half of it.

*Starting* takes three steps.

1. It draws a number that is larger than every promise in the mirrors that it reaches, and has each promise to take no
   write of a smaller one.
2. The newest mirror wins, and the others are brought up to it: first the files of large bodies, of which each is
   mended from any mirror that has it whole, then all rows.
3. All of it, rows and the start's number, is one transaction in every mirror that was reached. Then the store is open.

A word that was sent was written under some start to all mirrors that this start had reached, more than half. Any later
start reaches more than half, so one of those; if that mirror promised the later start first, it refused the earlier
one's write, and the word was not sent. So a later start finds the word in a mirror, and what it takes for the newest
has it too: positions compare the starts' numbers first, and by induction every start in between took it over. Counting
transactions alone would not do: a mirror that is left alone with a start that was killed, again and again, would
overtake the others, that went on without it. (The argument is that of [Lamport 1998] and [Raft], with all rows together
as the value.)

*Changing the set* adds one mirror or removes one, in a transaction of its own: more than half of the set before and
more than half of the set after have a mirror in common. Replacing is adding, then removing.

*What cannot be told.* Copies of more than half of the mirrors, put back together, look like the truth. What can be told
is refused: a mirror of another store, one that the set does not name (any more), and two that say to be the same. An
older copy of one mirror is brought up like a disk that was away; never put back more than that.

A store of one folder has a set of one, and starts the same way: whoever had it open before writes nothing any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from privateyes.errors import RunDirectoryError
from privateyes.storage.ended import has_ended
from privateyes.storage.mirror import (
    Head,
    Member,
    Mirror,
    Position,
    Unreached,
    Value,
    label_of,
    make_mirror,
    open_mirror,
    require_empty,
)
from privateyes.storage.sealed_file import copy_sealed, is_whole

STORE_ID_BYTES: Final = 32
MIRROR_ID_BYTES: Final = 16
FEWEST_MIRRORS: Final = 3


def open_set(folders: Sequence[Path]) -> tuple[list[Mirror], list[Unreached], int]:
    """Open the mirrors of a store that are in these folders, all of them at one position.

    Returns:
        The mirrors, the folders in which none could be read, and the number of this start.

    Raises:
        RunDirectoryError: more than half of its mirrors cannot be reached; they are not of one set; or the store is of
            another version.
    """
    _require_distinct(folders)
    reached: list[Mirror] = []
    unreached: list[Unreached] = []
    try:
        for folder in folders:
            found = open_mirror(folder)
            if isinstance(found, Unreached):
                unreached.append(found)
            elif len(folders) == 1 or found.is_sound():
                reached.append(found)
            else:
                found.connection.close()
                unreached.append(Unreached(folder, f"{folder} is damaged", "replace this mirror"))
        start = _start(reached, unreached)
        return reached, unreached, start
    except BaseException:
        for mirror in reached:
            mirror.connection.close()
        raise


def sort_out(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Which of these folders hold mirrors of one set, by the newest of them, and which hold others of the same store.

    A folder in which no mirror can be read is neither.
    """
    heads = {}
    for folder in folders:
        found = open_mirror(folder)
        if not isinstance(found, Unreached):
            heads[folder] = found.head()
            found.connection.close()
    if not heads:
        return [], []
    newest = max(heads.values(), key=lambda head: head.position)
    ids = {member.id for member in newest.members}
    members = [folder for folder, head in heads.items() if head.id in ids]
    strays = [folder for folder, head in heads.items() if head.store == newest.store and head.id not in ids]
    return members, strays


def _start(reached: Sequence[Mirror], unreached: Sequence[Unreached]) -> int:
    if not reached:
        raise unreached[0].error() if len(unreached) == 1 else _lost(unreached)
    newest = _require_one_set(reached, unreached)
    if len(newest.members) == 1 and unreached:
        raise RunDirectoryError(
            f"the store in {reached[0].folder} was made in one folder", "a mirrored store is made so"
        )
    if len(newest.members) == 1:
        _require_no_copy(reached[0], newest.members[0])
    start = 1 + max(mirror.head().promised for mirror in reached)
    for mirror in reached:
        mirror.promise(start)
    newest = _require_one_set(reached, unreached)
    folder_of = {mirror.head().id: label_of(mirror.folder) for mirror in reached}
    members = [replace(member, folder=folder_of.get(member.id, member.folder)) for member in newest.members]
    settle(reached, members, start)
    for mirror in reached:
        mirror.fold_journal()
        mirror.remove_strays(start)
    return start


def _require_no_copy(mirror: Mirror, recorded: Member) -> None:
    """Refuse a store that was copied: both would go on with the same keys. One that was moved is not elsewhere too.

    Raises:
        RunDirectoryError: the store is still in the folder that it was last in, or was erased there.
    """
    before = Path(recorded.folder)
    if not before.is_dir() or before.samefile(mirror.folder):
        return
    if has_ended(before, mirror.head().store):
        raise RunDirectoryError(
            f"the store in {mirror.folder} is a copy of one that was in {before}, where the task has ended since",
            "delete the copy: it would use the same keys again; a run goes on in the folder that it was begun in alone",
        )
    found = open_mirror(before)
    if isinstance(found, Unreached):
        return
    head = found.head()
    found.connection.close()
    if (head.store, head.id) == (mirror.head().store, recorded.id):
        raise RunDirectoryError(
            f"the store in {mirror.folder} is a copy of the one in {before}; of two with the same keys one must stop",
            "work in that one, and delete the copy; a store is mirrored (store.mirrors), never copied",
        )


def _require_one_set(reached: Sequence[Mirror], unreached: Sequence[Unreached]) -> Head:
    """The head of the newest mirror, once all belong to its set and are more than half of it.

    Raises:
        RunDirectoryError: one does not belong to it, or they are too few.
    """
    heads = [mirror.head() for mirror in reached]
    newest = max(heads, key=lambda head: head.position)
    known = {member.id for member in newest.members}
    seen: dict[bytes, Mirror] = {}
    for mirror, head in zip(reached, heads, strict=True):
        if head.store != heads[0].store:
            raise RunDirectoryError(
                f"{mirror.folder} and {reached[0].folder} hold mirrors of different stores",
                "name the folders of one store",
            )
        if head.id in seen:
            raise RunDirectoryError(
                f"{mirror.folder} and {seen[head.id].folder} hold the same mirror: one of them is a copy",
                "take the copy out; a mirror is never copied, a fresh one takes its place",
            )
        if head.id not in known:
            raise RunDirectoryError(
                f"the mirror in {mirror.folder} was taken out of the set, or never fully put in",
                "take it out of store.mirrors; emptied, the folder may hold a fresh mirror",
            )
        seen[head.id] = mirror
    if newest.position.generation == 0:
        raise RunDirectoryError(
            f"the making of the store in {reached[0].folder} was not finished", "make it again in the same folders"
        )
    require_majority(reached, newest.members, unreached)
    return newest


def require_majority(mirrors: Sequence[Mirror], members: Sequence[Member], unreached: Sequence[Unreached]) -> None:
    """Refuse to go on with too few: what the others know could be newer.

    Raises:
        RunDirectoryError: the mirrors are not more than half of the set.
    """
    if 2 * len(mirrors) > len(members):
        return
    ids = {mirror.head().id for mirror in mirrors}
    away = ", ".join(member.folder for member in members if member.id not in ids)
    reasons = "".join(f" ({found.problem})" for found in unreached)
    raise RunDirectoryError(
        f"{len(mirrors)} of the {len(members)} mirrors of this store can be read, and it takes more than half{reasons}",
        f"attach another of its disks: {away}",
    )


def _lost(unreached: Sequence[Unreached]) -> RunDirectoryError:
    reasons = "; ".join(found.problem for found in unreached)
    return RunDirectoryError(
        f"no mirror of this store can be read ({reasons})",
        "attach its disks; if all are lost, this party is out: its keys and its data never take part again",
    )


def _require_distinct(folders: Sequence[Path]) -> None:
    labels = [label_of(folder) for folder in folders]
    if len(set(labels)) < len(labels):
        raise RunDirectoryError(f"{', '.join(labels)}: a folder is named twice", "name each mirror once")


@contextmanager
def transaction_in(mirrors: Sequence[Mirror]) -> Iterator[None]:
    """One transaction in each mirror; they commit in order."""
    try:
        for mirror in mirrors:
            mirror.begin()
        yield
        for mirror in mirrors:
            mirror.commit()
    except BaseException:
        for mirror in mirrors:
            mirror.roll_back()
        raise


def settle(mirrors: Sequence[Mirror], members: Sequence[Member], start: int) -> None:
    """Bring all mirrors up to the newest of them and write down a set and a start: one transaction in each.

    Raises:
        RunDirectoryError: another start has a mirror's promise by now, or a disk is full or fails.
    """
    newest = max(mirrors, key=lambda mirror: mirror.head().position)
    _mend_bodies(newest, mirrors)
    with transaction_in(mirrors):
        heads = [mirror.head() for mirror in mirrors]
        position = newest.head().position
        if any(head.promised != start or head.position > position for head in heads):
            raise RunDirectoryError(f"another process opens the store in {newest.folder}", "let one of them use it")
        for mirror, head in zip(mirrors, heads, strict=True):
            with mirror.guarded():
                if head.position != position:
                    mirror.take_over(newest)
                mirror.put_members(members)
                mirror.put_position(Position(start, position.generation + 1))


def _mend_bodies(newest: Mirror, mirrors: Sequence[Mirror]) -> None:
    """Give every mirror the large bodies that the newest one's rows name, each from any mirror that has it whole.

    One that is whole nowhere stays so: reading it is an error. Older rows are never taken for its sake.
    """
    for name, seal in newest.bodies():
        whole = [mirror for mirror in mirrors if is_whole(mirror.body(name), seal)]
        for mirror in mirrors:
            if whole and mirror not in whole:
                copy_sealed(whole[0].body(name), mirror.body(name))


# Making


def make_set(folders: Sequence[Path], rows: Mapping[str, Collection[tuple[Value, ...]]]) -> None:
    """Make a store in one folder, or in three or more, and close it.

    Args:
        folders: of different disks; empty. What a making that was not finished left there is replaced.
        rows: the first rows, by table.

    Raises:
        RunDirectoryError: two folders; one of them holds something; or a disk is full or fails.
    """
    _require_distinct(folders)
    if 1 < len(folders) < FEWEST_MIRRORS or not folders:
        raise RunDirectoryError(
            f"a store cannot have {len(folders)} mirrors: with two, losing either is final",
            "name one folder, or three or more on different disks",
        )
    for folder in folders:
        require_empty(folder)
    store = secrets.token_bytes(STORE_ID_BYTES)
    members = tuple(Member(secrets.token_bytes(MIRROR_ID_BYTES), label_of(folder)) for folder in folders)
    made: list[Mirror] = []
    try:
        for folder, member in zip(folders, members, strict=True):
            # Generation 0 until all are made: nobody has seen these keys, so they may be replaced.
            position = Position(0, int(len(folders) == 1))
            made.append(make_mirror(folder, Head(store, member.id, members, 0, position), rows))
        if len(made) > 1:
            with transaction_in(made):
                for mirror in made:
                    mirror.put_position(Position(0, 1))
    finally:
        for mirror in made:
            mirror.connection.close()
