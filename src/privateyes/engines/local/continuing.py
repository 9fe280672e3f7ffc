"""What may follow a session that was opened and refused: what happened, and the ways that are safe (protocol, "After a
session that was opened and refused").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from privateyes.aggregation.kept import KeptSubmission
from privateyes.aggregation.manifest import Manifest, manifest_from_toml
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.roster import roster_digest
from privateyes.engines.local.parties import aggregator_name, client_name
from privateyes.engines.local.stages import AGAIN, CLIENTS, OPENING, REFUSED
from privateyes.errors import MalformedError, RefusedError, RunDirectoryError
from privateyes.parties.again import Again
from privateyes.parties.packets import HUB
from privateyes.storage.places import note_on_missing, store_folders
from privateyes.storage.store import PartyStore

SEND_AGAIN: Final = "send again"


@dataclass(frozen=True, slots=True)
class Way:
    """One way on.

    Attributes:
        name: what people call it.
        is_safe: whether it is offered.
        why: what it does and costs, or why it is not offered.
    """

    name: str
    is_safe: bool
    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A session that was opened and whose result clients did not accept, or were never shown.

    Attributes:
        manifest: the task's.
        round: of training, which it was to end; the first is 1.
        sid: the session; of several that sent one update again, the first.
        sessions: the chain: the session and those that sent its updates again.
        roster: the clients that were counted, by name.
        refusals: the number of the check that failed, by client; none, if no result came to them.
        asked_again: whether it is to be sent again when the run goes on.
        ways: every way that people think of, and which are safe.
    """

    manifest: Manifest
    round: int
    sid: bytes
    sessions: tuple[bytes, ...]
    roster: tuple[str, ...]
    refusals: dict[str, int]
    asked_again: bool
    ways: tuple[Way, ...]

    def way(self, name: str) -> Way:
        """One of the ways."""
        return next(way for way in self.ways if way.name == name)


def task_folders(directory: Path) -> list[Path]:
    """The task folders in a run's directory; the directory itself, if it is one.

    Raises:
        RunDirectoryError: there is none.
    """
    if (directory / "manifest.toml").is_file():
        return [directory]
    found = sorted(path.parent for path in directory.glob("aggregation/*/*/manifest.toml"))
    if not found:
        raise RunDirectoryError(f"{directory} holds no task", "give a run's directory, or a task's folder in it")
    return found


def has_keys(folder: Path) -> bool:
    """Whether a task has its store; not once it is complete, or was cleaned.

    Raises:
        RunDirectoryError: the store is of another version.
    """
    return any(PartyStore.exists(one) for one in store_folders(folder))


def _tell_nobody(_: str) -> None:
    """For those who were told already."""


def look(folder: Path, note: Callable[[str], None] = _tell_nobody) -> Refused | None:
    """The session that a task waits for people to decide on; None where it can simply go on.

    Args:
        note: is told of mirrors that are missing.

    Raises:
        RunDirectoryError: the store cannot be read.
        MalformedError: it is damaged.
    """
    if not has_keys(folder):
        return None
    with closing(PartyStore(*store_folders(folder))) as store:
        for mirror in store.missing_mirrors():
            note(note_on_missing(store, mirror))
        pinned = store.manifest()
        return None if pinned is None else _Task(store, manifest_from_toml(pinned)).refused()


def send_again(folder: Path) -> Refused:
    """Let the session be sent again, once, when the run goes on.

    Raises:
        RefusedError: nothing waits for that, or it is not safe; says why.
        RunDirectoryError, MalformedError: as for ``look``.
    """
    found = look(folder)
    if found is None:
        raise RefusedError(f"{folder}: no session waits for a decision", "resume the run")
    way = found.way(SEND_AGAIN)
    if not way.is_safe:
        raise RefusedError(f"{folder}: the session cannot be sent again: {way.why}", "see the other ways")
    if not found.asked_again:
        with closing(PartyStore(*store_folders(folder))) as store:
            store.put_stage(found.sid, HUB, AGAIN, b"")
    return replace(found, asked_again=True)


class _Task:
    """One task's store, read."""

    def __init__(self, store: PartyStore, manifest: Manifest) -> None:
        self._store, self.manifest = store, manifest
        self.clients = {
            party.name: ClientMemory.from_bytes(store.memory(client_name(party.name)))
            for party in self.manifest.clients
        }
        self.aggregators = [
            AggregatorMemory.from_bytes(store.memory(aggregator_name(number)))
            for number in self.manifest.aggregator_numbers
        ]

    def refused(self) -> Refused | None:
        """The chain of sessions that was opened, and that a client still waits for; if the last of them was refused."""
        followed = {
            session.sid: session
            for memory in self.clients.values()
            for session in memory.followed
            if session.submitted and self._is_opened(session.sid)
        }
        last = next(reversed(followed), None)
        refusals = None if last is None else self._store.stages(last, REFUSED).get(CLIENTS)
        if last is None or refusals is None:
            return None
        sid = followed[last].chain
        chain = tuple(other for other, session in followed.items() if session.chain == sid)
        names = [party.name for party in self.manifest.clients]
        checks = json.loads(refusals)
        roster = self._roster(sid)
        return Refused(
            manifest=self.manifest,
            round=1 + max(memory.state.counter for memory in self.clients.values() if memory.session(last)),
            sid=sid,
            sessions=chain,
            roster=tuple(names[number - 1] for number in roster),
            refusals={names[int(number) - 1]: int(check) for number, check in checks.items()},
            asked_again=bool(self._store.stages(sid, AGAIN)),
            ways=tuple(self._ways(sid, roster)),
        )

    def _is_opened(self, sid: bytes) -> bool:
        """Whether an aggregator opened it, or the hub may have let one do so."""
        return bool(self._store.stages(sid, OPENING)) or any(sid in own.opened for own in self.aggregators)

    def _roster(self, sid: bytes) -> tuple[int, ...]:
        body = self._store.stages(sid, OPENING).get(HUB)
        if not body:
            return ()
        return tuple(client for client, _ in Again.from_bytes(body, self.manifest).origin.roster)

    def _ways(self, sid: bytes, roster: tuple[int, ...]) -> Iterator[Way]:
        hindrance = self._hindrance(sid, roster)
        yield Way(
            SEND_AGAIN,
            not hindrance,
            hindrance
            or f"the same {len(roster)} clients and nobody else send the same updates once more: it is the sum that "
            "was opened, so it says nothing new. But a corrupt client knows that sum before it fixes its own part",
        )
        yield Way("fresh noise", False, "only where every update was sent under differential privacy; here none was")
        yield Way(
            "start over",
            True,
            "a new run from other weights, in a new directory and with another seed: what was opened says nothing "
            "about updates from there. Leave out whom you no longer trust",
        )
        yield Way(
            "go on without a suspect",
            False,
            "the sum with it and the sum without it differ by its update, and it may be honest",
        )
        yield Way("add somebody", False, "the two sums would differ by the update of whoever is added")
        yield Way(
            "train again from the same model",
            False,
            "other random choices give a second sample of the same images' update; the two sums together say more than "
            "either",
        )
        yield Way("accept the risk", False, "it is the risk of the people whose images these are")

    def _keeps_update(self, party: str, sid: bytes) -> bool:
        """Whether a client can send again what it sent: the numbers, and what belongs to them."""
        body = self._store.stages(sid, "kept").get(party)
        try:
            KeptSubmission.from_bytes(body or b"", self.manifest)
            return self._store.large(sid, party, "update") is not None
        except (MalformedError, RunDirectoryError):
            return False

    def _hindrance(self, sid: bytes, roster: tuple[int, ...]) -> str:
        """Why the session cannot be sent again; empty if it can."""
        body = self._store.stages(sid, OPENING).get(HUB)
        if not body:
            return "the hub does not keep its roster"
        for own in self.aggregators:
            last = own.session
            if last is not None and last.commitments and not last.given_up and last.sid not in own.opened:
                return "an aggregator agreed to open it and has not yet; resume the run first"
        origin = Again.from_bytes(body, self.manifest).origin
        rho = roster_digest(sid, origin.group_check, origin.roster)
        if not self.manifest.is_fixed_cohort and any(own.opened.get(sid) != rho for own in self.aggregators):
            return "an aggregator does not remember that it opened that roster, so it could not tell another one"
        for number in roster:
            name = self.manifest.clients[number - 1].name
            memory = self.clients[name]
            if not any(session.chain == sid for session in memory.followed):
                return f"{name} accepted a result, or moved on, and has nothing to send again"
            if not self._keeps_update(client_name(name), sid):
                return f"{name} does not keep what it sent"
        return ""
