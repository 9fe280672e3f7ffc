"""What a record proves about clients: headers and published keys (protocol, steps 1 and 5).

Every function says why an honest client is never named alone. What that rests on:

*One life, one set of sealed keys.* What a client seals to the aggregators is randomised, so nobody, not the client
itself, seals the same twice. A client that kept its store submits once to a session and holds one group key in a
set-up. One that lost its store, at any point, has lost its sealed keys with it: if it came back into the same set-up,
its headers would name others. So only headers that name identical sealed keys can contradict each other; all else
about doubled keys and headers is noted.

*What is repeated is repeated to the byte*: a submission that is sent again to the same session has the same header. An
update that is sent again in a later session has a fresh nonce.

*Hashes and MACs do not collide*: kc stands for one K, and K for one K_sid in a session.

Whatever label a set-up has, and under whatever other manifest a client's key stands, those are other set-ups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from privateyes.aggregation.audit.evidence import Evidence, SessionEvidence, SetupEvidence
from privateyes.aggregation.audit.findings import Finding, Level, client_party, everyone_of
from privateyes.aggregation.audit.preimages import Case
from privateyes.aggregation.keys import session_key_hash
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    VOID,
    Closing,
    Disclosure,
    Header,
    ResultSignature,
    SealedGroupKey,
    SealedStreamKey,
)


def headers(manifest: Manifest, session: SessionEvidence) -> Iterator[Finding]:
    """Several headers of one client, or several session keys under one group key.

    Alone: two headers that name identical sealed keys: of one life, in which an honest client submits once to a
    session. Or two H(K_sid) under one kc: both follow from one K, in any life. Several named: of clients that name one
    kc and different H(K_sid) somebody made it up.
    """
    by_key: dict[bytes, dict[bytes, set[int]]] = {}
    for client, words in session.signed.of(Header).items():
        own = (client_party(client),)
        most = max(Counter(word.sealed_hashes for word in words).values())
        if most > 1:
            text = f"signed {most} different headers for one session, with the same sealed keys"
            yield Finding(Level.PROVEN, "step 1", text, own)
        elif len(words) > 1:
            text = (
                f"signed {len(words)} headers for one session, each with other sealed keys: it lost its store and "
                "should not have come back, or it has more lives than one"
            )
            yield Finding(Level.NOTED, "step 1", text, own)
        if any(len(word.sealed_hashes) != len(manifest.aggregators) for word in words):
            text = "signed a header that does not name one stream key for each aggregator"
            yield Finding(Level.PROVEN, "step 1", text, own)
        for word in words:
            by_key.setdefault(word.group_check, {}).setdefault(word.session_key_hash, set()).add(client)
    for by_session_key in by_key.values():
        if len(by_session_key) > 1:
            yield from _different_session_keys(by_session_key.values())


def _different_session_keys(clients: Iterable[set[int]]) -> Iterator[Finding]:
    named = Counter(chain.from_iterable(clients))
    for client in sorted(client for client, count in named.items() if count > 1):
        text = "named the same group key and different session keys"
        yield Finding(Level.PROVEN, "step 1", text, (client_party(client),))
    if len(named) > 1:
        text = "named the same group key and different session keys"
        yield Finding(Level.INCONSISTENT, "step 1", text, everyone_of(clients=named))


def disclosures(case: Case) -> Iterator[Finding]:
    """K_sid published where it must not be, or another one than it has to be.

    Alone: in a sealed task, always. Twice differently for one result, or against the client's own header under that
    result's kc: the result pins kc, kc stands for one K, and an honest client publishes against n signatures on a
    result under its own kc, in whatever life. That its header names another key under another kc is noted: it may have
    lost its store in between, and been given another group key.

    Two named: a client and an aggregator that declared the session void, or that signed another result than the one
    disclosed for; an honest client publishes against n signatures on one result, and an honest aggregator signs at
    most one, and none of a session that it did not open.
    """
    session = case.session
    void = [number for number, words in session.signed.of(Closing).items() if VOID in [word.outcome for word in words]]
    results = {number: {word.result for word in words} for number, words in session.signed.of(ResultSignature).items()}
    own_headers = session.signed.of(Header)
    for client, words in session.signed.of(Disclosure).items():
        own = (client_party(client),)
        if case.manifest.sealed:
            yield Finding(Level.PROVEN, "step 5", "published a session key of a sealed task", own)
        yield from _different_keys(words, own)
        yield from _against_header(case, words, own_headers.get(client, ()), own)
        for number, signed in results.items():
            if any(word.result not in signed for word in words):
                text = (
                    f"client {client} published its key for a result that is not the one aggregator {number} signed "
                    f"here: client {client} did not check, or aggregator {number} signed two"
                )
                yield Finding(Level.INCONSISTENT, "step 5", text, everyone_of([number], [client]))
        for number in void:
            text = (
                f"client {client} published the key of a session that aggregator {number} declares void: too early, or "
                f"aggregator {number} signed its result"
            )
            yield Finding(Level.INCONSISTENT, "step 5", text, everyone_of([number], [client]))


def _different_keys(words: tuple[Disclosure, ...], own: tuple[str, ...]) -> Iterator[Finding]:
    by_result: dict[bytes, set[bytes]] = {}
    for word in words:
        by_result.setdefault(word.result, set()).add(word.session_key)
    most = max(len(keys) for keys in by_result.values())
    if most > 1:
        yield Finding(Level.PROVEN, "step 5", f"published {most} different keys for one result", own)
    elif len({word.session_key for word in words}) > 1:
        text = f"published {len(words)} keys for one session, each for another result"
        yield Finding(Level.NOTED, "step 5", text, own)


def _against_header(
    case: Case, words: tuple[Disclosure, ...], named: tuple[Header, ...], own: tuple[str, ...]
) -> Iterator[Finding]:
    certified = case.deliveries.certified
    by_check: dict[bytes, set[bytes]] = {}
    for header in named:
        by_check.setdefault(header.group_check, set()).add(header.session_key_hash)
    hashes = set().union(*by_check.values())
    for word in words:
        key_hash = session_key_hash(word.sid, word.session_key)
        delivery = certified.get(word.result)
        pinned = by_check.get(delivery.group_check, set()) if delivery is not None else set()
        if pinned - {key_hash}:
            text = "published a session key that is not the one its own header names"
            yield Finding(Level.PROVEN, "step 5", text, own)
        elif hashes and key_hash not in hashes:
            text = (
                "published a session key that its header does not name, of another group key as far as the record "
                "shows: it lost its store and was given another, or made one up"
            )
            yield Finding(Level.NOTED, "step 5", text, own)


def nonces(evidence: Evidence) -> Iterator[Finding]:
    """One nonce in two sessions: proven. An honest client draws 32 fresh bytes for each submission, in any life."""
    found: dict[tuple[int, bytes], set[bytes]] = {}
    for session in evidence.judged:
        for client, words in session.signed.of(Header).items():
            for word in words:
                found.setdefault((client, word.nonce), set()).add(word.sid)
    for (client, _), sids in sorted(found.items()):
        if len(sids) > 1:
            text = f"used one nonce in {len(sids)} sessions"
            yield Finding(Level.PROVEN, "step 1", text, (client_party(client),))


def keys_of_setups(evidence: Evidence) -> Iterator[Finding]:
    """What one client's headers in the sessions of a set-up show together.

    Alone: two group keys with identical sealed keys, so in one life, which has one group key in a set-up. Other
    differences are noted: a client that lost its store, or a leader that was restarted in the middle of the set-up,
    brings them about without ill will.
    """
    by_setup: dict[bytes, dict[int, list[Header]]] = {}
    for session in evidence.judged:
        if session.setup is not None:
            own = by_setup.setdefault(session.setup.id, {})
            for client, words in session.signed.of(Header).items():
                own.setdefault(client, []).extend(words)
    for setup in evidence.placed:
        yield from _keys_of_setup(setup, by_setup.get(setup.id, {}))


def _keys_of_setup(setup: SetupEvidence, by_client: Mapping[int, list[Header]]) -> Iterator[Finding]:
    sealed = _sealed_hashes(setup)
    checks: set[bytes] = set()
    missing: set[int] = set()
    for client, words in sorted(by_client.items()):
        own = (client_party(client),)
        by_keys: dict[tuple[bytes, ...], set[bytes]] = {}
        for word in words:
            by_keys.setdefault(word.sealed_hashes, set()).add(word.group_check)
            checks.add(word.group_check)
        most = max(len(found) for found in by_keys.values())
        if most > 1:
            text = f"used {most} group keys in {setup.name}, with the same sealed keys"
            yield Finding(Level.PROVEN, "set-up 4", text, own)
        if len(by_keys) > 1:
            text = f"named different stream keys in {setup.name}: it lost its store and came back, or made keys up"
            yield Finding(Level.NOTED, "set-up 3", text, own)
        for number, value in sorted({pair for keys in by_keys for pair in enumerate(keys, start=1)}):
            known = sealed.get((client, number))
            if known is None:
                missing.add(client)
            elif value not in known:
                text = (
                    f"its header names another stream key for aggregator {number} than the one that it sealed in "
                    f"{setup.name}: it repeated the set-up, or gave different keys"
                )
                yield Finding(Level.NOTED, "set-up 3", text, own)
    if len(checks) > 1:
        text = (
            f"the headers of {setup.name} stand under {len(checks)} group keys: its leader, client {setup.leader}, "
            "gave out more than one, after a restart for example, or a client made its own up"
        )
        yield Finding(Level.NOTED, "set-up 4", text, everyone_of(clients=[setup.leader or 0, *by_client]))
    if missing:
        text = f"sealed stream keys of {setup.name}, which headers name"
        yield Finding(Level.MISSING, "set-up 3", text, everyone_of(clients=missing))
    given = {word.recipient for word in setup.signed.all_of(SealedGroupKey)}
    if by_client.keys() - given:
        text = f"group keys sealed to them in {setup.name}, without which they could not have submitted"
        yield Finding(Level.MISSING, "set-up 4", text, everyone_of(clients=by_client.keys() - given))


def _sealed_hashes(setup: SetupEvidence) -> dict[tuple[int, int], set[bytes]]:
    """H(sealed key) by client and aggregator, of what the record has of the set-up."""
    found: dict[tuple[int, int], set[bytes]] = {}
    for client, words in setup.signed.of(SealedStreamKey).items():
        for word in words:
            found.setdefault((client, word.aggregator), set()).add(word.sealed_hash(setup.id))
    return found
