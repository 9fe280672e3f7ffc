"""The record of a whole task: what follows what, and what is left out.

The record of a task holds every session that was announced. What shows that one is missing:

*A signed word about it*: an aggregator's word that it opened a session, or a roster, signed by all aggregators, whose
updates are those of an earlier session. The recorder left that session out, or lost it.

*The training state.* The state that clients submit from changes by an accepted result alone. Of the clients that
submitted to a session at least one is honest if they are more than the manifest assumes corrupt. A state names the
session whose result led to it, so a certified session leads to one state. Two counts follow, for every set-up and up to
each of its rounds:

- The state that a set-up begins from is no change: it was reached before. Every further one follows from a certified
  session before it in the same set-up, or from a late result of another set-up. Where every roster holds every client,
  late results are of one session, or of it and those that send its updates again: nobody submits afresh from a state
  from which an opened session began, so before the set-up nobody submitted from where a late result leads. Otherwise
  clients that sat out may bring about more.
- In public mode the id of the pinned initial state is known. Every other state, the one that the set-up begins from
  too, follows from a certified session, wherever that one ran.

Ids of different set-ups cannot be compared. In sealed mode the initial state is not known by its id either, so the
first count stands alone there.

*A gap in the numbers*: the sessions of a set-up are numbered by their rounds, from 0 on. Whoever writes down what the
hub asks for before it goes out has a word on every number that the hub used, whatever is killed; so a gap makes the
record incomplete. It is held against nobody all the same, since a hub may skip numbers. Labels of set-ups order
nothing, and set-ups that were not finished leave gaps in them: these are told, no more.

What was announced last, and is left out, leaves no trace unless a later word speaks of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from privateyes.aggregation.audit.evidence import Evidence, SessionEvidence, SetupEvidence, signed_by_all
from privateyes.aggregation.audit.findings import HUB, RECORDER, Finding, Level, aggregator_party, count_of
from privateyes.aggregation.audit.preimages import Case
from privateyes.aggregation.messages import (
    ANNOUNCE,
    NO_SESSION,
    OPENED,
    Closing,
    Header,
    HubRequest,
    RosterCommitment,
)
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest

_MOST_GAPS: Final = 20  # that are told of one set-up


def left_out(session: SessionEvidence, whole: bool) -> Iterator[Finding]:
    """A session that an aggregator says it opened, and of which the record has nothing."""
    opened = [
        number
        for number, words in session.signed.of(Closing).items()
        if OPENED in [word.outcome for word in words]
    ]  # fmt: skip
    if opened and session.is_empty:
        who = ", ".join(aggregator_party(number) for number in opened)
        text = f"the whole session, which {who} says was opened: it was left out or lost"
        if whole:
            yield Finding(Level.SUSPECTED, "record", text + ", or that word is wrong", (RECORDER,))
        else:
            yield Finding(Level.MISSING, "record", text + ", or it stands in another file")


def chain(evidence: Evidence, cases: Mapping[bytes, Case], certified: Collection[bytes]) -> Iterator[Finding]:
    """What the sessions and set-ups of a whole task's record show together.

    Args:
        cases: the sessions that are of the pinned manifest, by sid.
        certified: the ids of those whose result all aggregators signed.
    """
    yield from _repeated_sessions(evidence, cases)
    by_setup: dict[bytes, list[SessionEvidence]] = {setup.id: [] for setup in evidence.placed}
    for case in cases.values():
        if case.session.setup is not None and not case.session.is_empty:
            by_setup[case.session.setup.id].append(case.session)
    # A result that is late in some set-up is of one of these chains.
    firsts = Counter(_first_of(cases[sid]) for sid in certified)
    longest = max(firsts.values(), default=0)
    for setup in evidence.placed:
        sessions = sorted(by_setup[setup.id], key=lambda session: (session.round, session.sid))
        elsewhere = len(certified) - sum(session.sid in certified for session in sessions)
        late = min(elsewhere, longest) if evidence.manifest.is_fixed_cohort else elsewhere
        yield from _states(evidence, setup, sessions, certified, (elsewhere, late))
        yield from _asked_for(setup, sessions, elsewhere > 0)
    yield from _labels(evidence)


def _repeated_sessions(evidence: Evidence, cases: Mapping[bytes, Case]) -> Iterator[Finding]:
    """Sessions whose updates were sent again, with a roster that all aggregators signed: those were announced."""
    missing = set()
    for case in cases.values():
        for origin in _origins(case):
            first = evidence.sessions.get(origin)
            if first is None or first.is_empty:
                missing.add(origin)
    for origin in sorted(missing):
        text = f"the session with the id {origin.hex()[:8]}, whose updates were sent again, is left out"
        yield Finding(Level.SUSPECTED, "record", text, (RECORDER,))


def _origins(case: Case) -> Iterator[bytes]:
    """Earlier sessions that the rosters name which all aggregators signed."""
    words = ((word.aggregator, word.rho) for word in case.session.signed.all_of(RosterCommitment))
    for rho in signed_by_all(case.manifest, words):
        roster = case.known.rosters.get(rho)
        origin = NO_SESSION if roster is None else case.origin_of(roster)
        if origin != NO_SESSION:
            yield origin


def _first_of(case: Case) -> bytes:
    """The first session of a session's chain."""
    return next(_origins(case), case.session.sid)


def gaps_in_numbers(evidence: Evidence) -> Iterator[Finding]:
    """Sessions of a whole task's record by their numbers: those of which it has no word, though it has later ones."""
    heard: dict[bytes, set[int]] = {setup.id: set() for setup in evidence.placed}
    for session in evidence.judged:
        if session.place is not None and not session.is_empty:
            heard[session.place.setup].add(session.place.round)
    for setup in evidence.placed:
        asked = {request.round for request in setup.signed.all_of(HubRequest) if request.action == ANNOUNCE}
        numbers = sorted(heard[setup.id] | asked)
        gaps = [(before + 1, after - 1) for before, after in pairwise([-1, *numbers]) if after > before + 1]
        if not gaps:
            continue
        if len(gaps) == 1 and gaps[0][0] == gaps[0][1]:
            text = f"session {gaps[0][0]} of {setup.name}: it was left out or lost, or the hub skipped this number"
        else:
            text = (
                f"sessions {_intervals(gaps)} of {setup.name}: they were left out or lost, or the hub skipped these "
                "numbers"
            )
        yield Finding(Level.MISSING, "record", text)


def _intervals(gaps: Sequence[tuple[int, int]]) -> str:
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in gaps[:_MOST_GAPS])
    return shown + (f" and {count_of(len(gaps) - _MOST_GAPS, 'more gap')}" if len(gaps) > _MOST_GAPS else "")


def _states(
    evidence: Evidence,
    setup: SetupEvidence,
    sessions: Sequence[SessionEvidence],
    certified: Collection[bytes],
    others: tuple[int, int],
) -> Iterator[Finding]:
    """Training states, by round, against the certified sessions that lead from one to the next.

    Args:
        others: how many sessions of other set-ups are certified, and how many of their results may come late to this
            one.
    """
    manifest = evidence.manifest
    elsewhere, late = others
    initial = None
    if not manifest.sealed:
        initial = digest(Label.PUBLIC_STATE_ID, Role.ALL, setup.id, manifest.initial_state)
    seen: set[bytes] = set()
    explained = 0  # states: by certified sessions of this set-up, or told already
    before: SessionEvidence | None = None
    for session in sessions:
        state, held = _state_of(session), len(session.signed.of(Header)) > manifest.corrupt_clients
        if held and before is not None and before.sid in certified and _state_of(before) == state:
            text = (
                f"session {session.round} of {setup.name} begins from the same training state as session "
                f"{before.round}, whose result was certified: clients did not accept it, or not yet"
            )
            yield Finding(Level.NOTED, "record", text)
        if held:
            seen.add(state)
        unexplained = len(seen) - 1 - late - explained
        if initial is not None:
            unexplained = max(unexplained, len(seen) - (initial in seen) - elsewhere - explained)
        if unexplained > 0:
            explained += unexplained
            text = (
                f"a certified session before session {session.round} of {setup.name}, which begins from a training "
                "state that no session in the record leads to: it was left out or lost"
            )
            yield Finding(Level.SUSPECTED, "record", text, (RECORDER,))
        explained += session.sid in certified
        before = session if held or session.sid in certified else before


def _asked_for(setup: SetupEvidence, sessions: Sequence[SessionEvidence], may_move: bool) -> Iterator[Finding]:
    """Sessions of which the record has the hub's request alone.

    Together: a hub that dies after its request asks again from the state that the clients are at, and that one has
    words. Between the two they move only by a result of another set-up that comes late. So where there is none, later
    sessions have words and none began from the state that was asked for, the words of some session are gone, or the hub
    named a state that nobody was at. Neither is proven.

    Args:
        may_move: whether another set-up has a certified session.
    """
    begun = {_state_of(session) for session in sessions}
    spoken = {session.place.round for session in sessions if session.place is not None}
    last = max(spoken, default=-1)
    for request in sorted(setup.signed.all_of(HubRequest), key=lambda request: request.round):
        alone = request.action == ANNOUNCE and request.round not in spoken and request.round < last
        if alone and request.state_id not in begun:
            text = (
                f"session {request.round} of {setup.name}, which the hub asked for from a training state that no "
                "session in the record begins from: it was left out or lost, or the hub named a state that nobody had"
            )
            if may_move:
                yield Finding(Level.MISSING, "record", f"{text}; or a result of another set-up came late")
            else:
                yield Finding(Level.SUSPECTED, "record", text, (HUB, RECORDER))


def _state_of(session: SessionEvidence) -> bytes:
    return b"" if session.place is None else session.place.state_id


def _labels(evidence: Evidence) -> Iterator[Finding]:
    labels = sorted({setup.epoch for setup in evidence.placed if setup.epoch is not None})
    gaps = [(before + 1, after - 1) for before, after in pairwise(labels) if after > before + 1]
    if gaps:
        text = f"set-ups with epoch labels {_intervals(gaps)}: nobody used these labels, or the set-ups were left out"
        yield Finding(Level.MISSING, "record", text)
