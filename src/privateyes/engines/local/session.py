"""One aggregation session among local parties, which are hosts: what a run asks of them, and what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from privateyes.aggregation.client import VerifiedAverage
from privateyes.aggregation.memory import FollowedSession, SessionRecord, TrainingState
from privateyes.aggregation.messages import Complaint, Delivery
from privateyes.aggregation.result import Check
from privateyes.encoding.clips import ClipPlan
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import Endpoint, MessageLog
from privateyes.engines.local.network import Give, LocalNetwork, Step, Trainer, trainers_of
from privateyes.engines.local.parties import LocalParties
from privateyes.engines.local.stages import AGAIN, CLIENTS, CLIPPED, OPENING, agreed_by_all, client_party, followed_by
from privateyes.engines.local.thread_team import ThreadTeam
from privateyes.errors import DeliveryError, MalformedError, ProtocolError, RunDirectoryError
from privateyes.parties.again import Again
from privateyes.parties.effects import Effects
from privateyes.parties.hub import Named
from privateyes.parties.packets import HUB, client_name
from privateyes.parties.round import finish_round, run_round
from privateyes.storage.store import PartyStore


@dataclass(slots=True)
class SessionResult:
    """How a session ended at every client.

    Attributes:
        sid: the session.
        averages: by client number, for those that accepted.
        refusals: by client number, for those that refused; with the signed complaint.
        clipped: coordinates clipped, over all clients; in a real deployment each client knows its own count only.
        shortened: clients whose update was longer than the L2 norm allows; likewise.
        dropped: what was wrong with the submissions that the hub did not take, by client number.
    """

    sid: bytes
    averages: dict[int, VerifiedAverage] = field(default_factory=dict)
    refusals: dict[int, tuple[DeliveryError, Complaint]] = field(default_factory=dict)
    clipped: int = 0
    shortened: int = 0
    dropped: dict[int, str] = field(default_factory=dict)


def another_state(before: TrainingState, average: VerifiedAverage) -> TrainingState:
    """For a session on which no training goes on: a state that depends on what was averaged."""
    digest = hashlib.sha256(before.digest + average.sid + average.mean.tobytes()).digest()
    return TrainingState(digest, hashlib.sha256(digest).digest(), before.counter + 1)


class Session:
    """Drives one session.

    Args:
        parties: the task's.
        message_log: counts and records.
        store: every party's, in which its word is before it is sent.
        clock: where the roles' work is added up.
        team: does the work of several parties side by side; without one, they take turns.
        clips: the training state's, if it has any.
        step: the server step, which every client takes on the average that it verified.
    """

    def __init__(
        self,
        parties: LocalParties,
        message_log: MessageLog,
        store: PartyStore,
        clock: RoleClock,
        team: ThreadTeam | None = None,
        clips: ClipPlan | None = None,
        step: Step = another_state,
    ) -> None:
        self._parties, self._store, self._message_log = parties, store, message_log
        self._trainers = trainers_of(parties, None, step, clips)
        self._network = LocalNetwork(parties, store, self._trainers, message_log, clock, team or ThreadTeam(1))

    def run(self, round_number: int, inputs: Mapping[int, Give]) -> SessionResult:
        """Announce, submit, form the roster, commit, open, deliver. ``accept`` ends it.

        Args:
            round_number: later than every earlier one.
            inputs: what clients give, by number; the other clients follow the round without submitting.

        Raises:
            ProtocolError: a party could not go on; every aggregator gave the session up, unless it could be opened
                already.
            TrainingError: an update cannot be encoded.
            RunDirectoryError: something cannot be stored, so it was not sent.
        """
        named = self._next(round_number)
        for number, gives in inputs.items():
            self._trainers[number].gives = gives
        self._network.besides["submit"] = partial(_note_clipped, self._store, self._trainers, named.sid)
        with self._given_up_on_failure(named):
            delivery = run_round(self._network, named, [client_name(i) for i in inputs], self._unsettled())
        return self._result(delivery)

    def run_again(self, round_number: int, sid: bytes) -> SessionResult:
        """Send the updates of an earlier session again: the same numbers to the same roster, after it was opened and
        its result was not accepted (protocol, "After a session that was opened and refused").

        Args:
            round_number: later than every earlier one.
            sid: the first session from these weights.

        Raises:
            ProtocolError, RunDirectoryError: as for ``run``.
        """
        body = self._store.stages(sid, OPENING).get(HUB)
        if not body:
            raise RunDirectoryError(
                "the hub does not keep the roster of the session that is to be sent again",
                "see what `privateyes task continue` offers",
            )
        again = Again.from_bytes(body, self._parties.manifest)
        self._finish_refused()
        named, unsettled = self._next(round_number), self._unsettled()
        # What people decided holds until something is opened.
        self._network.besides["open"] = partial(self._store.remove_stage, sid, HUB, AGAIN)
        roster = [client_name(client) for client, _ in again.origin.roster]
        with self._given_up_on_failure(named):
            delivery = run_round(self._network, named, roster, unsettled, (again.origin, *again.commitments))
        return self._result(delivery)

    def _next(self, round_number: int) -> Named:
        any_client = self._parties.client_memories(self._store)[1]
        return Named(any_client.group.setup, round_number, any_client.state_id)

    def _unsettled(self) -> list[Named]:
        """The sessions whose end a client does not know, after a kill for example. Each aggregator is asked once."""
        return [_named(session) for session in followed_by(self._parties, self._store)]

    def _finish_refused(self) -> None:
        """Show the aggregators the result signatures of the last session, which every client has refused: nobody needs
        its words any more but its roster, which the hub keeps.
        """
        last, network = self._last_of_first_aggregator(), self._network
        if last is None or agreed_by_all(self._parties, self._store, last.sid) is None:
            return
        network.carry(network.hub.hear_again(_named(last)))
        if len(network.hub.session.words("certify")) == len(self._parties.aggregators):
            network.carry(network.hub.effects(network.hub.session.finish()))
            network.store_end()

    def _last_of_first_aggregator(self) -> SessionRecord | None:
        return self._parties.aggregator_memories(self._store)[1].session

    def finish_agreed(self, sid: bytes) -> SessionResult:
        """Finish a session on which all aggregators agreed before the process died: it may have been opened.

        Raises:
            RunDirectoryError: the store lacks a party's word, or it was damaged.
        """
        if agreed_by_all(self._parties, self._store, sid) is None:
            raise RunDirectoryError("not every aggregator agreed on that session", "run the next round")
        waiting = next((one for one in followed_by(self._parties, self._store) if one.sid == sid), None)
        if waiting is None:
            raise RunDirectoryError("nobody waits for that session", "run the next round")
        network = self._network
        session = network.hub.know(_named(waiting))
        session.closed = True  # what is sent again is held against what was agreed on before it goes on
        network.carry(network.hub.look(session.named))
        session.gather()
        for client, _ in session.entries:
            if client not in session.submissions:
                problem = network.failures.get((client_name(client), "resend"))
                raise RunDirectoryError(
                    f"{client_party(self._parties, client)} does not keep its submission to a session that was agreed "
                    f"on{f' ({problem.problem})' if problem else ''}",
                    "see what `privateyes task continue` offers",
                )
        session.require_agreed_sum()
        network.carry(network.hub.effects(session.proceed()))
        result = self._result(finish_round(network))
        counts = self._store.stages(sid, CLIPPED).get(CLIENTS, b"")
        result.clipped, result.shortened = int.from_bytes(counts[:8], "big"), int.from_bytes(counts[8:], "big")
        return result

    def give_up_outstanding(self) -> None:
        """Give a session up that some aggregators agreed on before the process died, and not all: nobody opened it."""
        for memory in self._parties.aggregator_memories(self._store).values():
            last = memory.session
            if last is not None and last.commitments and not last.given_up and last.sid not in memory.opened:
                self._give_up(_named(last))
                return

    def _give_up(self, named: Named) -> None:
        self._network.carry(self._network.hub.give_up(named))

    @contextmanager
    def _given_up_on_failure(self, named: Named) -> Iterator[None]:
        """Before the hub has passed n agreements on, a session that cannot go on is given up by all."""
        try:
            yield
        except (ProtocolError, MalformedError):
            last = self._last_of_first_aggregator()
            # With n agreements on one T it can be opened, whatever was damaged on the way: the next try finishes it.
            is_last = last is not None and last.sid == named.sid
            if is_last and agreed_by_all(self._parties, self._store, named.sid) is None:
                self._give_up(named)
            raise

    def _result(self, delivery: Delivery) -> SessionResult:
        """What came of it. Where a client refuses, nobody accepts: what follows is for people to decide."""
        network, result = self._network, SessionResult(delivery.sid)
        for number, trainer in self._trainers.items():
            name = client_name(number)
            failure = network.failures.get((name, "check"))
            if isinstance(failure, DeliveryError):
                (complaint,) = network.hub.read(name, "check", network.answers[name, "check"])
                result.refusals[number] = (failure, complaint)
            elif trainer.average is not None:
                result.averages[number] = trainer.average
        result.clipped, result.shortened = _clipped(self._trainers)
        result.dropped = dict(network.dropped)
        if result.refusals:
            network.drop_end()
        if not self._parties.manifest.sealed:
            self._disclose(delivery, result.refusals)
        return result

    def _disclose(self, delivery: Delivery, refusals: Mapping[int, tuple[DeliveryError, Complaint]]) -> None:
        """In a public task, one client publishes K_sid once it has seen n signatures on the result.

        Also where the clients refuse what was signed: then everyone can see that their complaint is right.
        """
        network, everyone = self._network, self._parties.clients
        for client in everyone:
            refusal = refusals.get(client.number)
            if refusal is None or refusal[0].check > Check.SIGNATURES:
                name = client_name(client.number)
                network.carry(Effects(packets=tuple(network.hub.ask([name], "disclose", [delivery]))))
                (disclosure,) = network.hub.read(name, "disclose", network.answers[name, "disclose"])
                self._message_log.count(disclosure, Endpoint.HUB, Endpoint.CLIENT, len(everyone) - 1)
                return

    def accept(self, *besides: Callable[[], object]) -> None:
        """Store that all clients accepted and moved on, that the aggregators need nothing more, and what else is
        written then: in one transaction. What the clients kept of the session goes too, as nobody waits for it.

        Raises:
            RunDirectoryError: it cannot be stored, and nobody has accepted.
        """
        kept: Collection[bytes] = {self._parties.manifest.digest()}
        self._network.store_end(*besides, lambda: self._store.clear_stages(but=kept))
        self._store.fold_journal()


def _note_clipped(store: PartyStore, trainers: Mapping[int, Trainer], sid: bytes) -> None:
    store.put_stage(sid, CLIENTS, CLIPPED, b"".join(count.to_bytes(8, "big") for count in _clipped(trainers)))


def _clipped(trainers: Mapping[int, Trainer]) -> tuple[int, int]:
    """How many coordinates were clipped, and how many updates shortened."""
    own = trainers.values()
    return sum(trainer.clipped for trainer in own), sum(trainer.shortened for trainer in own)


def _named(session: FollowedSession | SessionRecord) -> Named:
    return Named(session.setup, session.round, session.state_id)
