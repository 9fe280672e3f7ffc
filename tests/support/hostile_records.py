"""Records of about a megabyte that make a careless auditor work for hours: every check gets the worst that it can get.

The parties that sign are corrupt: six aggregators of seven and every client. Nobody needs a set-up for that: an auditor
looks at signatures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from typing import Any

import numpy as np

from privateyes.aggregation.keys import session_id
from privateyes.aggregation.messages import (
    NO_SESSION,
    VOID,
    Abort,
    AggregatorKey,
    Agreement,
    Announcement,
    Closing,
    Complaint,
    Delivery,
    DeliveryReceipt,
    Disclosure,
    Header,
    HubCommitment,
    HubSumReceipt,
    Message,
    OpeningReceipt,
    Origin,
    ResultSignature,
    RosterCommitment,
    SealedStreamKey,
    Signed,
    Vote,
    Voucher,
)
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.aggregation.setup import AggregatorSetup, require_one_setup
from privateyes.crypto.commitment import commit_to_share, merkle_root
from privateyes.crypto.labels import Role
from privateyes.crypto.sealing import SEALED_KEY_BYTES, SEALING_PUBLIC_KEY_BYTES
from world import World

MEGABYTE = 1 << 20


def mark(number: int) -> bytes:
    """Some digest; each number has another one."""
    return number.to_bytes(32, "big")


@dataclass
class HostileTask:
    """Seven aggregators and 200 clients who sign what they like."""

    mode: str = "sealed"
    dimension: int = 7
    world: Any = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(n=7, m=200, d=self.dimension, mode=self.mode, set_up=False)
        keys = self.world.aggregator_keys
        self.manifest = self.world.manifest
        self.offers = [AggregatorSetup(self.manifest, s, key, 1, 1).key() for s, key in keys.items()]
        self.setup, _ = require_one_setup(self.manifest, self.offers)
        self.sid = self.session(0)

    def session(self, number: int) -> bytes:
        """The id of a session, by its round."""
        return session_id(self.setup, number, bytes(32))

    def signed(self, message: Any, context: bytes) -> Any:
        """A message, signed by whom it names."""
        keys = self.world.aggregator_keys if message.role is Role.AGGREGATOR else self.world.client_keys
        return message.signed_by(keys[message.signer], context)

    def say(self, *messages: Message) -> list[Message]:
        """What is said in one session, signed where it can be."""
        return [self.signed(own, own.sid) if isinstance(own, Signed) else own for own in messages]  # type: ignore[attr-defined]

    def announced(self, rounds: int = 1) -> list[Message]:
        """The set-up's keys, and the announcements of sessions."""
        words = [Announcement(self.setup, 1, number, bytes(32)) for number in range(rounds)]
        return [*self.offers, *(self.signed(word, self.setup) for word in words)]

    def header(self, client: int, number: int = 0, **changes: Any) -> Header:
        """A header of a corrupt client."""
        plain = Header(self.sid, client, mark(number), mark(1), mark(2), (mark(3),) * 7, mark(number))
        header: Header = self.signed(replace(plain, **changes), self.sid)
        return header

    def certified(self, entries: tuple[tuple[int, bytes], ...]) -> Delivery:
        """A delivery under all aggregators' signatures."""
        share = self.manifest.field.zeros(self.manifest.share_elements)
        digests = tuple(mark(number) for number in range(8))
        rho = roster_digest(self.sid, mark(1), entries)
        transcript = transcript_digest(self.sid, rho, digests)
        root = merkle_root(share, self.manifest.bulk_hash)
        result = result_digest(self.sid, transcript, root, len(entries))
        words = self.say(*(ResultSignature(self.sid, s, result) for s in range(1, 8)))
        return Delivery(self.sid, mark(1), entries, digests, tuple(word.signature for word in words), share)  # type: ignore[attr-defined]


def product_of_commitments(task: HostileTask) -> Iterator[Message]:
    """Six aggregators with twenty extra commitments: 20^6 combinations, and a T that none of them gives."""
    yield from task.announced()
    for s in range(1, 8):
        for number in range(1 if s == 1 else 21):
            yield from task.say(RosterCommitment(task.sid, s, mark(1), mark(1000 * s + number)))
        yield from task.say(Agreement(task.sid, s, mark(7)))
    yield from (HubCommitment(task.sid, mark(number)) for number in range(20))


def product_in_many_sessions(task: HostileTask) -> Iterator[Message]:
    """In each session every aggregator says two words of a kind."""
    sessions = 40
    yield from task.announced(sessions)
    for sid in map(task.session, range(sessions)):
        for s in range(1, 8):
            for number in range(3):
                yield from task.say(
                    Vote(sid, s, ((1, mark(number)),)),
                    RosterCommitment(sid, s, mark(number), mark(1000 * s + number)),
                    Agreement(sid, s, mark(number)),
                )
        yield from (HubCommitment(sid, mark(number)) for number in range(5))


def product_of_votes(task: HostileTask) -> Iterator[Message]:
    """Long votes, several of each aggregator."""
    yield from task.announced()
    for s in range(1, 8):
        for number in range(8):
            entries = tuple((client, mark(number if client > 190 else 0)) for client in range(1, 200))
            yield from task.say(Vote(task.sid, s, entries))
        yield from task.say(RosterCommitment(task.sid, s, mark(s), mark(s)))


def one_roster_of_many_group_keys(task: HostileTask) -> Iterator[Message]:
    """Every header has a group key of its own, and many rosters wait for the right one."""
    yield from task.announced()
    headers = [task.header(client, client, group_check=mark(client)) for client in range(1, 200)]
    entries = tuple((header.client, header.hash()) for header in headers)
    yield from headers
    for s in range(1, 8):
        yield from task.say(Vote(task.sid, s, entries))
    yield from chain.from_iterable(
        task.say(RosterCommitment(task.sid, s, mark(number), mark(number))) for number in count() for s in range(1, 8)
    )


def one_roster_signed_again_and_again(task: HostileTask) -> Iterator[Message]:
    """A roster of 199 forged headers that is known, and signed with thousands of commitments."""
    yield from task.announced()
    entries = tuple((client, mark(client)) for client in range(1, 200))
    yield task.certified(entries).receipt(task.manifest.bulk_hash)
    rho = roster_digest(task.sid, mark(1), entries)
    yield from chain.from_iterable(
        task.say(RosterCommitment(task.sid, s, rho, mark(number))) for number in count() for s in range(2, 8)
    )


def copied_commitments(task: HostileTask) -> Iterator[Message]:
    """Every aggregator copies every commitment of the others, and opens many."""
    yield from task.announced()
    for number in count():
        for s in range(1, 8):
            yield from task.say(RosterCommitment(task.sid, s, mark(1), mark(number)))
        yield from task.say(OpeningReceipt(task.sid, 1 + number % 7, mark(number), mark(number)))


def openings_against_commitments(task: HostileTask) -> Iterator[Message]:
    """One aggregator with as many openings as commitments."""
    yield from task.announced()
    for number in count():
        yield from task.say(
            OpeningReceipt(task.sid, 2, mark(number), mark(number)),
            RosterCommitment(task.sid, 2, mark(number), mark(number)),
            Agreement(task.sid, 2, mark(number)),
        )


def one_opening_of_many_fits(task: HostileTask) -> Iterator[Message]:
    """One commitment, and openings of which all but one do not fit."""
    yield from task.announced()
    right = commit_to_share(task.sid, mark(1), 2, mark(0), task.manifest.share_bytes, mark(0))
    yield from task.say(RosterCommitment(task.sid, 2, mark(1), right))
    yield from chain.from_iterable(
        task.say(OpeningReceipt(task.sid, 2, mark(number), mark(number))) for number in count()
    )


def deliveries_and_complaints(task: HostileTask) -> Iterator[Message]:
    """Every client complains at every check, of thousands of deliveries."""
    yield from task.announced()
    yield from (task.header(client, client) for client in range(1, 200, 4))
    for number in count():
        client = 1 + number % 200
        roster = ((client, mark(number)), (201, mark(0)))
        yield DeliveryReceipt(task.sid, mark(number), roster, (), (), mark(0))
        yield from task.say(Complaint(task.sid, client, number // 200 % 256))


def keys_published_by_everyone(task: HostileTask) -> Iterator[Message]:
    """In a public task: a certified delivery, and thousands of keys and complaints about it."""
    yield from task.announced()
    headers = [task.header(client, client) for client in range(1, 200)]
    yield from headers
    delivery = task.certified(tuple((header.client, header.hash()) for header in headers))
    yield delivery
    receipt = delivery.receipt(task.manifest.bulk_hash)
    rho = roster_digest(task.sid, receipt.group_check, receipt.roster)
    transcript = transcript_digest(task.sid, rho, receipt.commitments)
    result = result_digest(task.sid, transcript, receipt.share_root, len(receipt.roster))
    for number in count():
        client = 1 + number % 200
        yield from task.say(
            Disclosure(task.sid, client, result if number % 2 else mark(number), mark(number)),
            Complaint(task.sid, client, 5 + number // 200 % 250),
            ResultSignature(task.sid, 1 + number % 7, mark(number)),
        )


def headers_of_everyone(task: HostileTask) -> Iterator[Message]:
    """Many headers of each client, under many keys, in one session."""
    yield from task.announced()
    for number in count():
        keys = {"group_check": mark(number % 3), "session_key_hash": mark(number), "origin": mark(number % 5)}
        yield task.header(1 + number % 200, number, **keys)


def sessions_without_end(task: HostileTask) -> Iterator[Message]:
    """Thousands of announced sessions, each with one word."""
    yield from task.offers
    for number in count():
        yield task.signed(Announcement(task.setup, 1 + number % 7, 3 * number, mark(number)), task.setup)
        sid = session_id(task.setup, 3 * number, mark(number))
        kinds = (Closing(sid, 2, VOID), Abort(sid, 2, 3), Complaint(sid, 3, 5), HubCommitment(sid, mark(0)))
        yield from task.say(kinds[number % 4])


def sessions_of_nobody(task: HostileTask) -> Iterator[Message]:
    """Unsigned words of sessions that nobody announced; set-ups that nobody made."""
    yield from task.announced()
    for number in count():
        yield HubSumReceipt(mark(number), mark(number))
        yield Voucher(mark(number), 1 + number % 200, mark(number))
        yield Origin(mark(number), mark(number), ((1, mark(number)),))


def sealing_keys(task: HostileTask) -> Iterator[Message]:
    """Tens of keys of every aggregator under one label; none of the combinations is named."""
    yield from task.announced()
    for number in count():
        key = number.to_bytes(SEALING_PUBLIC_KEY_BYTES, "big")
        yield task.signed(AggregatorKey(1, 1, 1 + number % 7, key), task.manifest.digest())


def stream_keys(task: HostileTask) -> Iterator[Message]:
    """One client seals key after key."""
    yield from task.announced()
    yield task.header(3)
    for number in count():
        sealed = number.to_bytes(SEALED_KEY_BYTES, "big")
        yield task.signed(SealedStreamKey(task.setup, 3, 1 + number % 7, sealed), task.setup)


def chains_of_repeats(task: HostileTask) -> Iterator[Message]:
    """Every session sends the updates of one session again, to other rosters."""
    yield from task.announced(100)
    for number, sid in enumerate(map(task.session, range(100))):
        origin = task.sid if number else NO_SESSION
        plain = Header(sid, 1, mark(number), mark(1), mark(2), (mark(3),) * 7, mark(4), origin)
        headers = [task.signed(replace(plain, client=client), sid) for client in range(1, 3 + number % 3)]
        entries = tuple((header.client, header.hash()) for header in headers)
        rho = roster_digest(sid, mark(1), entries)
        yield from headers
        for s in range(1, 8):
            yield from task.say(Vote(sid, s, entries), RosterCommitment(sid, s, rho, mark(s)))


def large_vectors(task: HostileTask) -> Iterator[Message]:
    """In a public task: deliveries with their vector, none of them certified, and a few thousand complaints."""
    yield from task.announced()
    delivery = task.certified(((1, mark(1)), (2, mark(2))))
    for number in range(60):
        share = np.array(delivery.share)
        share[0] = number
        yield Delivery(task.sid, mark(1), delivery.roster, delivery.commitments, delivery.results, share)
    for number in range(1000):
        yield from task.say(Complaint(task.sid, 1 + number % 200, number % 8))


SHAPES: dict[str, tuple[Callable[[HostileTask], Iterator[Message]], dict[str, Any]]] = {
    "a product of commitments": (product_of_commitments, {}),
    "products in many sessions": (product_in_many_sessions, {}),
    "a product of votes": (product_of_votes, {}),
    "one roster of many group keys": (one_roster_of_many_group_keys, {}),
    "one roster signed again and again": (one_roster_signed_again_and_again, {}),
    "copied commitments": (copied_commitments, {}),
    "openings against commitments": (openings_against_commitments, {}),
    "one opening of many fits": (one_opening_of_many_fits, {}),
    "deliveries and complaints": (deliveries_and_complaints, {}),
    "keys published by everyone": (keys_published_by_everyone, {"mode": "public"}),
    "headers of everyone": (headers_of_everyone, {}),
    "sessions without end": (sessions_without_end, {}),
    "sessions of nobody": (sessions_of_nobody, {}),
    "sealing keys": (sealing_keys, {}),
    "stream keys": (stream_keys, {}),
    "chains of repeats": (chains_of_repeats, {}),
    "large vectors": (large_vectors, {"mode": "public", "dimension": 1500}),
}


def lines_of(messages: Iterator[Message], size: int = MEGABYTE) -> Iterator[str]:
    """The lines of a record, until it is that large."""
    written = 0
    for message in messages:
        line = json.dumps({"type": type(message).__name__, "bytes": message.to_bytes().hex()}) + "\n"
        written += len(line)
        if written > size:
            return
        yield line


def first(messages: Iterator[Message], number: int) -> list[Message]:
    """The first few of them."""
    return list(islice(messages, number))
