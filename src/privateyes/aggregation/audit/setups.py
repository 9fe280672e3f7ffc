"""What a record proves about whoever spoke in a set-up: sealing keys, sealed secrets, announcements (protocol, "Setup"
and step 0).

Every function says why an honest party is never named alone. A set-up is identified by the keys that it was made from;
its epoch is a label that orders nothing. During a set-up little is on disk: a party that is restarted in the middle, or
loses its store at any time, may offer another key, seal other secrets or make the set-up with another group key without
ill will. So messages of one kind that differ are noted, and held against nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from privateyes.aggregation.audit.evidence import Evidence, SetupEvidence, is_possible
from privateyes.aggregation.audit.findings import RECORDER, Finding, Level, aggregator_party, client_party, count_of
from privateyes.aggregation.messages import (
    AggregatorKey,
    Announcement,
    ClientKey,
    SealedGroupKey,
    SealedStreamKey,
)

_RESTARTED: Final = "it was restarted or lost its store and repeated it, or gave different keys; the first one counts"


def offers(evidence: Evidence) -> Iterator[Finding]:
    """The aggregators' sealing keys, whose context is the pinned manifest.

    Alone: a key for a leader that the manifest does not name, or under a label that does not exist; an honest
    aggregator makes no such offer, and its signature holds the manifest, so it is not of another task. Several keys
    under one label are no fault: labels order nothing.
    """
    for number, keys in evidence.offers.of(AggregatorKey).items():
        own = (aggregator_party(number),)
        if not all(is_possible(evidence.manifest, key) for key in keys):
            text = "offered a sealing key for a leader that the manifest does not name, or under an impossible label"
            yield Finding(Level.PROVEN, "set-up 2", text, own)
        labels = Counter(key.epoch for key in keys)
        for epoch, count in sorted(labels.items()):
            if count > 1:
                text = f"offered {count} sealing keys under epoch label {epoch}: a restart, or several set-ups"
                yield Finding(Level.NOTED, "set-up 2", text, own)
    if evidence.unsearched:
        text = "there are too many combinations of sealing keys to try: not searched further for set-ups"
        yield Finding(Level.NOTED, "set-up 2", text)


def announcements(setup: SetupEvidence) -> Iterator[Finding]:
    """Two announcements of one aggregator for one round of one set-up.

    Alone: an honest aggregator stores a round as announced before it signs, and signs no earlier or equal one. If it
    loses its store, the set-up's chains are lost with it and the key that it was bound with is never bound again: it
    announces nothing in that set-up any more. Other set-ups, under the same label too, count their own rounds. That
    different aggregators announce different states says nothing about them: each signs what the hub asks for.
    """
    states: dict[int, set[bytes]] = {}
    for number, words in setup.signed.of(Announcement).items():
        by_round: dict[int, set[bytes]] = {}
        for word in words:
            by_round.setdefault(word.round, set()).add(word.state_id)
            states.setdefault(word.round, set()).add(word.state_id)
        for round_number in sorted(round_number for round_number, found in by_round.items() if len(found) > 1):
            text = (
                f"announced session {round_number} of {setup.name} from {len(by_round[round_number])} different states"
            )
            yield Finding(Level.PROVEN, "step 0", text, (aggregator_party(number),))
    for round_number in sorted(round_number for round_number, found in states.items() if len(found) > 1):
        text = (
            f"session {round_number} of {setup.name} was announced from different states, so it is several; each "
            "aggregator signs the state that the hub names"
        )
        yield Finding(Level.NOTED, "step 0", text)


def secrets_of(setup: SetupEvidence) -> Iterator[Finding]:
    """The set-up's sealed secrets. Proven is only that a client which is not the leader sealed a group key.

    The leader's number is hashed into the set-up's id, so an honest client that is not it leads in no such set-up,
    whatever it lost.
    """
    for number, words in setup.signed.of(ClientKey).items():
        if len(words) > 1:
            text = f"signed {len(words)} sealing keys in {setup.name}: {_RESTARTED}"
            yield Finding(Level.NOTED, "set-up 2", text, (client_party(number),))
    for client, sealed in setup.signed.of(SealedStreamKey).items():
        for number in _repeated(word.aggregator for word in sealed):
            text = f"sealed different stream keys to aggregator {number} in {setup.name}: {_RESTARTED}"
            yield Finding(Level.NOTED, "set-up 3", text, (client_party(client),))
    for client, group in setup.signed.of(SealedGroupKey).items():
        if client != setup.leader:
            text = f"sealed a group key in {setup.name} without being its leader"
            yield Finding(Level.PROVEN, "set-up 4", text, (client_party(client),))
        for recipient in _repeated(word.recipient for word in group):
            text = f"sealed different group keys to client {recipient} in {setup.name}: {_RESTARTED}"
            yield Finding(Level.NOTED, "set-up 4", text, (client_party(client),))


def _repeated(numbers: Iterable[int]) -> list[int]:
    return sorted(number for number, count in Counter(numbers).items() if count > 1)


def unplaced(evidence: Evidence, whole: bool) -> Iterator[Finding]:
    """Set-ups of which nothing shows that they are of the pinned manifest: not judged.

    Parties of this manifest may speak in those of another task; the whole record of this one has none. Where nothing
    at all verifies, the messages were altered or made up, or belong to parties of another task.
    """
    count, altered = 0, Counter[bytes]()
    for setup in evidence.setups.values():
        if setup.is_placed:
            continue
        if setup.signed.count:
            count += 1
        else:
            altered[setup.id] = setup.set_aside.total()
    if count:
        text = (
            f"{count_of(count, 'set-up')} without the sealing keys that show the manifest: of another task, or the "
            "keys are left out; not judged"
        )
        yield (
            Finding(Level.SUSPECTED, "set-up 2", text, (RECORDER,)) if whole else Finding(Level.NOTED, "set-up 2", text)
        )
    if altered:
        text = (
            f"{count_of(len(altered), 'set-up')} in which nothing is signed by a party of this manifest, with "
            f"{count_of(altered.total(), 'message')}: altered, forged, or of another task"
        )
        yield Finding(Level.SUSPECTED, "set-up 2", text, (RECORDER,))
