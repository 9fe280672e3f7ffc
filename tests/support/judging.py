"""The ideal functionality's judgement on everything that was said, opened and accepted in the tasks of some parties.

One oracle for all tests of misbehaviour and every random schedule: the invariant of protocol version 2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import RECORDER, Level
from privateyes.aggregation.functionality import aggregate
from privateyes.aggregation.messages import (
    NO_SESSION,
    VOID,
    Abort,
    Agreement,
    Announcement,
    Closing,
    Delivery,
    Disclosure,
    Opening,
    ResultSignature,
    RosterCommitment,
    Signed,
    Vote,
)
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto.commitment import merkle_root
from privateyes.errors import BlamedError

if TYPE_CHECKING:
    from client_actor import Made
    from network import Network

ONCE = (Vote, RosterCommitment, Agreement, Opening, ResultSignature, Closing, Abort)
"""What an honest aggregator says about a session once, however often it is asked."""


def require_sound(tasks: Sequence[Network]) -> None:
    """Nothing that was promised is broken.

    Raises:
        AssertionError: says what is.
    """
    broken = list(broken_promises(tasks))
    assert not broken, "; ".join(dict.fromkeys(broken))


def broken_promises(tasks: Sequence[Network]) -> Iterator[str]:
    """Every promise that is broken, in words."""
    for task in tasks:
        yield from _words(task)
        yield from _submissions(task)
        yield from _blamed(task)
        for i in task.honest_clients:
            for average, delivery in task.clients[i].verified:
                yield from _accepted(task, average, delivery)
    yield from _opened(tasks)


# The invariant


def _opened(tasks: Sequence[Network]) -> Iterator[str]:
    """For one honest client and W, over all tasks: one honest roster and one update; and never too few honest ones."""
    seen: dict[tuple[bytes, bytes], set[Any]] = defaultdict(set)
    for task in tasks:
        for sid, rho in task.opened:
            entries = task.aggregators[task.honest].rosters[sid, rho]
            members = dict(_members(task, entries))
            if None in members.values():
                yield "a sum was opened that counts an honest client which did not submit"
                continue
            if len(members) < task.manifest.roster_min - task.manifest.corrupt_clients:
                yield f"a sum of {len(members)} honest clients was opened"
            roster = frozenset(made.data_set for made in members.values())
            for made in members.values():
                update = (tuple(made.input.values), made.input.weight)
                seen[made.data_set, made.weights].add((roster, update))
    for found in seen.values():
        if len({roster for roster, _ in found}) > 1:
            yield "two opened sums of different rosters hold one client's update from the same weights"
        if len({update for _, update in found}) > 1:
            yield "two different updates of one client from the same weights were opened"


def _members(task: Network, entries: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Made | None]]:
    """The honest clients of a roster, and what they really sent."""
    for client, header_hash in entries:
        if client in task.honest_clients:
            yield client, task.clients[client].made.get(header_hash)


# Words


def _words(task: Network) -> Iterator[str]:
    words = task.honest_word((Signed, Opening))
    said: dict[tuple[type[Any], bytes], set[bytes]] = defaultdict(set)
    for message in words:
        if isinstance(message, ONCE):
            said[type(message), message.sid].add(message.to_bytes())
    for (kind, _), found in said.items():
        if len(found) > 1:
            yield f"two different {kind.__name__} for one session"
    announced = {(m.setup, m.round, m.state_id) for m in words if isinstance(m, Announcement)}
    if len({subject[:2] for subject in announced}) != len(announced):
        yield "two announcements of one round"
    opened = {message.sid for message in words if isinstance(message, Opening)}
    void = {message.sid for message in words if isinstance(message, Closing) and message.outcome == VOID}
    if opened & void:
        yield "opened a session that it called void"
    yield from _disclosed(task)


def _disclosed(task: Network) -> Iterator[str]:
    signed: set[bytes] = set()
    for name, message in task.said:
        if isinstance(message, ResultSignature) and message.aggregator == task.honest:
            signed.add(message.sid)
        if isinstance(message, Disclosure) and name not in task.corrupt and message.sid not in signed:
            yield "disclosed the key of a session whose result is not signed"


def _submissions(task: Network) -> Iterator[str]:
    """An honest client sends one header to a session, and a fresh update only where all before are void."""
    void = {message.sid for message in task.honest_word(Closing) if message.outcome == VOID}
    for i in task.honest_clients:
        sids = [made.sid for header, made in task.clients[i].made.items() if header in task.sent]
        if len(set(sids)) != len(sids):
            yield "two submissions to one session"
        fresh: dict[bytes, list[bytes]] = defaultdict(list)
        for header, made in task.clients[i].made.items():
            if header in task.sent and made.origin == NO_SESSION:
                fresh[made.weights].append(made.sid)
        if any(not set(found[:-1]) <= void for found in fresh.values()):
            yield "a second submission from the same weights without the honest word that the first is void"


def _blamed(task: Network) -> Iterator[str]:
    for failure in task.failures:
        error = failure.error
        if isinstance(error, BlamedError) and failure.party not in task.corrupt and error.party not in task.corrupt:
            yield f"{error.party} is blamed, which is honest"


# Results


def _accepted(task: Network, average: Any, delivery: Delivery) -> Iterator[str]:
    members = dict(_members(task, delivery.roster))
    if None in members.values():
        yield "somebody is counted who did not submit"
        return
    if len(average.roster) < task.manifest.roster_min:
        yield "too few are counted"
        return
    if not task.corrupt_clients:
        inputs = {client: made.input for client, made in members.items() if made is not None}
        expected = aggregate(inputs, average.roster, task.manifest.roster_min)
        if average.total_weight != expected.total_weight:
            yield "a wrong total weight was accepted"
        if not np.array_equal(average.mean, task.mean_of(expected)):
            yield "a wrong sum was accepted"
    yield from _fixed_before_opening(task, delivery)


def _fixed_before_opening(task: Network, delivery: Delivery) -> Iterator[str]:
    """The accepted sum stood in the T that the honest aggregator signed before it opened: any shift was blind."""
    rho = roster_digest(delivery.sid, delivery.group_check, delivery.roster)
    transcript = transcript_digest(delivery.sid, rho, delivery.commitments)
    words = [
        message for message in task.honest_word((Signed, Opening)) if getattr(message, "sid", None) == delivery.sid
    ]
    spoken = [message for message in words if isinstance(message, Agreement | Opening)]
    if not spoken or not isinstance(spoken[0], Agreement):
        yield "opened before it had signed T"
        return
    if spoken[0].transcript != transcript:
        yield "accepted what is not in the signed T"
    root = merkle_root(delivery.share, task.manifest.bulk_hash)
    result = result_digest(delivery.sid, transcript, root, len(delivery.roster))
    if {m.result for m in words if isinstance(m, ResultSignature)} != {result}:
        yield "accepted what is not signed"


# The audit


def wrongly_proven(heard: Mapping[Network, Iterable[Any]]) -> Iterator[str]:
    """What an audit of all that crossed the networks, forged and altered words too, says against honest parties."""
    for task, messages in heard.items():
        found = audit(task.manifest, [*(message for _, message in task.said), *messages])
        findings = [*found.findings, *(finding for session in found.sessions for finding in session.findings)]
        for finding in findings:
            honest = [party for party in finding.parties if party not in {*task.corrupt, RECORDER}]
            wrong = {Level.PROVEN: bool(honest), Level.INCONSISTENT: len(honest) == len(finding.parties)}
            if wrong.get(finding.level, False):
                yield f"{', '.join(honest)} proven guilty, though honest: {finding.what}"
