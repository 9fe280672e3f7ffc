"""What a record proves about clients, the leader and whoever spoke in a set-up (protocol, "Setup", steps 0, 1 and 5).

Every function says why an honest party is never named alone. What that rests on: an honest client keeps its key, stores
a round as used before it sends anything, and keeps an epoch's keys once the epoch has started. During a set-up nothing
is on disk yet, so a party that is restarted in the middle may repeat it with other keys without ill will: two set-up
messages of one kind are noted, and held against nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from privateyes.aggregation.evidence import Evidence, SessionEvidence, Statements
from privateyes.aggregation.findings import Finding, Level, aggregator_party, client_party, everyone_of
from privateyes.aggregation.keys import session_key_hash, setup_id
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    VOID,
    AggregatorKey,
    Announcement,
    ClientKey,
    Closing,
    Disclosure,
    Header,
    ResultSignature,
    SealedGroupKey,
    SealedStreamKey,
    Signed,
    Voucher,
)

_RESTARTED: Final = "it was restarted during the set-up and repeated it, or gave different keys; the first one counts"


def headers(manifest: Manifest, session: SessionEvidence) -> Iterator[Finding]:
    """Two headers of one client, or two session keys under one group key.

    Alone: an honest client submits once to a session, and its round is stored as used before the header leaves. Several
    named: K_sid follows from K, so of clients that name one kc and different H(K_sid) somebody made it up.
    """
    by_key: dict[bytes, dict[bytes, set[int]]] = {}
    for client, words in session.signed.of(Header).items():
        if len(words) > 1:
            text = f"signed {len(words)} different headers for one session"
            yield Finding(Level.PROVEN, "step 1", text, (client_party(client),))
        if any(len(word.sealed_hashes) != len(manifest.aggregators) for word in words):
            text = "signed a header that does not name one stream key for each aggregator"
            yield Finding(Level.PROVEN, "step 1", text, (client_party(client),))
        for word in words:
            by_key.setdefault(word.group_check, {}).setdefault(word.session_key_hash, set()).add(client)
    for by_session_key in by_key.values():
        if len(by_session_key) > 1:
            text = "named the same group key and different session keys"
            everyone = everyone_of(clients=chain.from_iterable(by_session_key.values()))
            if len(everyone) > 1:
                yield Finding(Level.INCONSISTENT, "step 1", text, everyone)


def disclosures(manifest: Manifest, session: SessionEvidence) -> Iterator[Finding]:
    """K_sid published where it must not be, or another one than the header names.

    Alone: in a sealed task, twice differently, or against the client's own header; an honest client derives both from
    one K. Two named: a client and an aggregator that declared the session void, or that signed another result than the
    one disclosed for; an honest client publishes against n signatures on one result, and an honest aggregator signs at
    most one, and none of a session that it did not open.
    """
    void = [number for number, words in session.signed.of(Closing).items() if VOID in [word.outcome for word in words]]
    own_headers = session.signed.single(Header)
    for client, words in session.signed.of(Disclosure).items():
        own = (client_party(client),)
        if manifest.sealed:
            yield Finding(Level.PROVEN, "step 5", "published a session key of a sealed task", own)
        if len(words) > 1:
            yield Finding(Level.PROVEN, "step 5", f"published {len(words)} different keys for one session", own)
        header = own_headers.get(client)
        for word in words:
            if header is not None and header.session_key_hash != session_key_hash(word.sid, word.session_key):
                text = "published a session key that is not the one its own header names"
                yield Finding(Level.PROVEN, "step 5", text, own)
        yield from _against_results(session, client, words)
        for number in void:
            text = (
                f"client {client} published the key of a session that aggregator {number} declares void: too early, or "
                f"aggregator {number} signed its result"
            )
            yield Finding(Level.INCONSISTENT, "step 5", text, everyone_of([number], [client]))


def _against_results(session: SessionEvidence, client: int, words: tuple[Disclosure, ...]) -> Iterator[Finding]:
    for number, signed in session.signed.of(ResultSignature).items():
        if any(word.result not in [own.result for own in signed] for word in words):
            text = (
                f"client {client} published its key for a result that is not the one aggregator {number} signed here: "
                f"client {client} did not check, or aggregator {number} signed two"
            )
            yield Finding(Level.INCONSISTENT, "step 5", text, everyone_of([number], [client]))


def announcements(epoch: int, statements: Statements) -> Iterator[Finding]:
    """Two announcements of one aggregator for one round.

    Alone: an honest aggregator stores a round as announced before it signs, and signs no earlier or equal one. That
    different aggregators announce different states says nothing about them: each signs what the hub asks for.
    """
    states: dict[int, set[bytes]] = {}
    for number, words in statements.of(Announcement).items():
        by_round: dict[int, set[bytes]] = {}
        for word in words:
            by_round.setdefault(word.round, set()).add(word.state_id)
            states.setdefault(word.round, set()).add(word.state_id)
        for round_number in sorted(round_number for round_number, found in by_round.items() if len(found) > 1):
            text = (
                f"announced round {round_number} of epoch {epoch} from {len(by_round[round_number])} different states"
            )
            yield Finding(Level.PROVEN, "step 0", text, (aggregator_party(number),))
    for round_number in sorted(round_number for round_number, found in states.items() if len(found) > 1):
        text = (
            f"round {round_number} of epoch {epoch} was announced from different states, so from different sessions; "
            "each aggregator signs the state that the hub names"
        )
        yield Finding(Level.NOTED, "step 0", text)


def set_up(manifest: Manifest, epoch: int, statements: Statements) -> Iterator[Finding]:
    """The set-up's messages. Proven is only that a client which is not the leader sealed a group key."""
    kinds: tuple[tuple[type[Signed], str, str], ...] = (
        (AggregatorKey, "set-up 2", "sealing keys"),
        (ClientKey, "set-up 2", "sealing keys"),
        (Voucher, "set-up 7", "training states"),
    )
    for kind, step, what in kinds:
        for number, words in statements.of(kind).items():
            name = aggregator_party(number) if kind is AggregatorKey else client_party(number)
            if len(words) > 1:
                text = f"signed {len(words)} {what} in epoch {epoch}: {_RESTARTED}"
                yield Finding(Level.NOTED, step, text, (name,))
    for client, sealed in statements.of(SealedStreamKey).items():
        for number in _repeated([word.aggregator for word in sealed]):
            text = f"sealed different stream keys to aggregator {number} in epoch {epoch}: {_RESTARTED}"
            yield Finding(Level.NOTED, "set-up 3", text, (client_party(client),))
    for client, group in statements.of(SealedGroupKey).items():
        if client != manifest.leader:
            text = f"sealed a group key in epoch {epoch} without being the leader"
            yield Finding(Level.PROVEN, "set-up 4", text, (client_party(client),))
        for recipient in _repeated([word.recipient for word in group]):
            text = f"sealed different group keys to client {recipient} in epoch {epoch}: {_RESTARTED}"
            yield Finding(Level.NOTED, "set-up 4", text, (client_party(client),))


def _repeated(numbers: list[int]) -> list[int]:
    return sorted({number for number in numbers if numbers.count(number) > 1})


def across_sessions(evidence: Evidence) -> Iterator[Finding]:
    """What one client's headers in several sessions show together.

    Alone: one nonce in two sessions (an honest client draws 32 fresh bytes), or two group keys or two sets of stream
    keys in one epoch (an honest client keeps an epoch's keys). Several named: clients that use different group keys in
    one epoch; the leader gave out two, or one of them made its own up.
    """
    by_epoch: dict[int, dict[int, list[Header]]] = {}
    nonces: dict[tuple[int, bytes], set[bytes]] = {}
    for session in evidence.judged:
        for client, words in session.signed.of(Header).items():
            for word in words:
                nonces.setdefault((client, word.nonce), set()).add(word.sid)
            if session.epoch is not None:
                by_epoch.setdefault(session.epoch, {}).setdefault(client, []).extend(words)
    for (client, _), sids in sorted(nonces.items()):
        if len(sids) > 1:
            text = f"used one nonce in {len(sids)} sessions"
            yield Finding(Level.PROVEN, "step 1", text, (client_party(client),))
    for epoch in sorted(by_epoch):
        yield from _keys_of_epoch(evidence, epoch, by_epoch[epoch])


def _keys_of_epoch(evidence: Evidence, epoch: int, by_client: dict[int, list[Header]]) -> Iterator[Finding]:
    sealed = _sealed_hashes(evidence, epoch)
    checks: set[bytes] = set()
    for client, words in sorted(by_client.items()):
        own = (client_party(client),)
        own_checks = {word.group_check for word in words}
        checks |= own_checks
        if len(own_checks) > 1:
            yield Finding(Level.PROVEN, "set-up 4", f"used {len(own_checks)} group keys in epoch {epoch}", own)
        if len({word.sealed_hashes for word in words}) > 1:
            yield Finding(Level.PROVEN, "set-up 3", f"named different stream keys in epoch {epoch}", own)
        for word in words:
            for number, value in enumerate(word.sealed_hashes, start=1):
                if value not in sealed.get((client, number), {value}):
                    text = (
                        f"its header names another stream key for aggregator {number} than the one that it sealed in "
                        f"epoch {epoch}: {_RESTARTED}"
                    )
                    yield Finding(Level.NOTED, "set-up 3", text, own)
    if len(checks) > 1:
        leader = evidence.manifest.leader
        text = (
            f"the headers of epoch {epoch} stand under {len(checks)} group keys: the leader, client {leader}, gave out "
            "more than one, or a client made its own up"
        )
        yield Finding(Level.INCONSISTENT, "set-up 4", text, everyone_of(clients=[leader, *by_client]))


def _sealed_hashes(evidence: Evidence, epoch: int) -> dict[tuple[int, int], set[bytes]]:
    """H(sealed key) by client and aggregator, of what the record has of the epoch's set-up."""
    found: dict[tuple[int, int], set[bytes]] = {}
    setup = setup_id(evidence.manifest.digest(), epoch)
    for client, words in evidence.epochs.get(epoch, Statements()).of(SealedStreamKey).items():
        for word in words:
            found.setdefault((client, word.aggregator), set()).add(word.sealed_hash(setup))
    return found
