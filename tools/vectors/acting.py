"""Plays one party of a recorded session from bytes, with some inputs replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from privateyes.aggregation import hub, messages
from privateyes.aggregation.client import SubmissionSecrets, Update
from privateyes.aggregation.kept import Kept
from privateyes.aggregation.memory import AggregatorMemory, TrainingState
from privateyes.aggregation.messages import (
    ANNOUNCE,
    BIND,
    CLOSING,
    GIVE_UP,
    Announcement,
    Delivery,
    Header,
    Message,
    Origin,
    RosterCommitment,
)
from privateyes.aggregation.result import verify_disclosed
from privateyes.aggregation.setup import AggregatorSetup
from privateyes.encoding.clips import ClipPlan
from vectors.cast import Session, SetUp
from vectors.keys import unsealing_key

KINDS = {
    kind.kind: kind for kind in vars(messages).values() if isinstance(kind, type) and hasattr(kind, "kind")
}  # fmt: skip
Call = dict[str, Any]


class Actor:
    """One party, before the session.

    Args:
        done: the whole honest session, whose messages stand in where a call gives none.
        party: for example ``{"aggregator": 2}``; empty for the hub and for an auditor.
        table: the messages that calls name.
    """

    def __init__(self, done: Session, party: dict[str, int], table: Mapping[str, bytes]) -> None:
        self.done, self.cast, self.table = done, done.cast, table
        self.share: Any = None
        self.number = next(iter(party.values()), 0)
        if "aggregator" in party:
            self.own: Any = done.aggregators[self.number]
            self.memory: Any = done.aggregators_before[self.number]
        elif "client" in party:
            self.own, self.memory = done.clients[self.number], done.clients_before[self.number]
            self.ledger = list(done.ledgers_before[self.number])
            self.kept: Kept | None = done.kept_before.get(self.number)

    def perform(self, calls: list[Call]) -> Any:
        """All calls; the result of the last."""
        result = None
        for call in calls:
            result = getattr(self, f"_{call['do']}")(call)
        return result

    def _given(self, call: Call, honest: list[Any]) -> list[Any]:
        if "messages" not in call:
            return honest
        return [self._parse(self.table[name]) for name in call["messages"]]

    def _parse(self, data: bytes) -> Message:
        parsed: Message = KINDS[data[0]].from_bytes(data, self.done.manifest)
        return parsed

    def _took(self, step: Any) -> Any:
        self.memory = step.memory or self.memory
        return step

    def _request(self, call: Call, action: int) -> Any:
        """The hub's request: as given, or about the session with what differs."""
        done = self.done
        setup = bytes.fromhex(call["setup"]) if "setup" in call else done.setup
        state_id = bytes.fromhex(call["state_id"]) if "state_id" in call else done.state_id
        (request,) = self._given(call, [self.cast.request(action, setup, call.get("round", done.round), state_id)])
        return request

    # An aggregator

    def _announce(self, call: Call) -> Any:
        return self._took(self.own.announce(self.memory, self._request(call, ANNOUNCE)))

    def _closing(self, call: Call) -> Any:
        return self.own.closing(self.memory, self._request(call, CLOSING))

    def _give_up(self, call: Call) -> Any:
        return self._took(self.own.give_up(self.memory, self._request(call, GIVE_UP)))

    def _vote(self, call: Call) -> Any:
        given = self._given(call, [*self.done.headers_seen(self.number), *self._honest_origin()])
        headers, origin = _without_origin(given)
        return self._took(self.own.vote(self.memory, self.done.sid, headers, origin))

    def _honest_origin(self) -> list[Origin]:
        return [] if self.done.origin is None else [self.done.origin]

    def _commit(self, call: Call) -> Any:
        given, origin = _without_origin(self._given(call, [*self.done.votes, *self._honest_origin()]))
        headers = [message for message in given if isinstance(message, Header)]
        votes = [message for message in given if not isinstance(message, Header)]
        salt = bytes.fromhex(call["salt"]) if "salt" in call else self.done.salt(self.number)
        headers = headers or self.done.headers_seen(self.number)
        step = self._took(self.own.commit(self.memory, headers, votes, salt, origin))
        self.share = step.share or self.share
        return step

    def _agree(self, call: Call) -> Any:
        *commitments, hubs = self._given(call, [*self.done.commitments, self.done.hub_commitment])
        return self._took(self.own.agree(self.memory, commitments, hubs))

    def _own_share(self, call: Call) -> Any:
        if "share" not in call:
            return self.share
        data = bytes.fromhex(call["share"])
        return self.own.own_share(self.done.field.from_bytes(data, self.done.manifest.share_elements))

    def _open(self, call: Call) -> Any:
        given = self._given(call, self.done.agreements)
        return self._took(self.own.open(self.memory, self._own_share(call), given))

    def _certify(self, call: Call) -> Any:
        *openings, total = self._given(call, [*self.done.openings, self.done.total])
        own_share = self._own_share(call) if "share" in call else None
        return self._took(self.own.certify(self.memory, openings, total, own_share))

    def _finish(self, call: Call) -> Any:
        after = self.own.finish(self.memory, self._given(call, self.done.results))
        self.memory = after or self.memory
        return after

    def _words(self, call: Call) -> Any:
        sid = bytes.fromhex(call["sid"]) if "sid" in call else self.done.sid
        return self.own.words(self.memory, sid)

    def _bind(self, call: Call) -> None:
        """The next set-up, whose sealing keys come from the call's seeds."""
        cast, epoch, leader = self.cast, call["epoch"], call["leader"]
        mine, *_ = (bytes.fromhex(seed) for seed in call["sealing_seeds"][self.number - 1])
        keys = SetUp(cast, epoch, leader)
        if keys.seeds[self.number][0] != mine:
            raise RuntimeError("other seeds than those of this epoch")
        own = AggregatorSetup(cast.manifest, self.number, self.own.identity, epoch, leader)
        own._unsealing = unsealing_key(*keys.seeds[self.number])
        memory = None if call.get("lost") else self.memory
        self.memory = own.bind(memory, keys.offered, cast.request(BIND, keys.id, 0, bytes(32)))
        self.setting_up = own

    def _start(self, _: Call) -> None:
        if isinstance(self.memory, AggregatorMemory):
            self.memory = self.setting_up.start(self.memory)

    def _reload(self, _: Call) -> None:
        self.memory = type(self.memory).from_bytes(self.memory.to_bytes())

    # A client

    def _observe(self, call: Call) -> None:
        self.memory = self.own.observe(self.memory, self._given(call, self.done.announcements))

    def _submit(self, call: Call) -> Any:
        delta = self.cast.delta(self.number)
        if "delta" in call:
            delta = np.frombuffer(bytes.fromhex("".join(call["delta"])), dtype=">f4").astype(np.float32)
        update = Update(delta, call.get("weight", self.cast.weight(self.number)), self._clips(call))
        fresh = SubmissionSecrets(self.done.nonce(self.number), self.cast.rounding_key(self.number))
        announcements, pieces = self._given(call, self.done.announcements), list[Any]()
        done = self.own.submit(
            self.memory, self.ledger, announcements, update, fresh, lambda piece: pieces.append(piece.copy())
        )
        return self._sent(done, np.concatenate(pieces))

    def _repeat(self, call: Call) -> Any:
        origin, first = self.done.origin, self.done.first
        given = self._given(call, [*self.done.announcements, *first.commitments, *([origin] if origin else [])])
        announcements = [message for message in given if isinstance(message, Announcement)]
        commitments = [message for message in given if isinstance(message, RosterCommitment)]
        (named,) = [message for message in given if isinstance(message, Origin)]
        kept, nonce = self._kept(call), self.done.nonce(self.number)
        done = self.own.submit_again(self.memory, self.ledger, announcements, kept, nonce, (named, commitments))
        return self._sent(done, kept.encoded)

    def _sent(self, done: Any, encoded: Any) -> Any:
        self.memory, self.kept = done.memory, done.kept.with_update(encoded)
        self.ledger.append(done.entry)
        return done

    def _kept(self, call: Call) -> Kept:
        if self.kept is None:
            raise RuntimeError("nothing was submitted yet")
        if "encoded" not in call:
            return self.kept
        return self.kept.with_update(np.array([int(value) for value in call["encoded"]], dtype=self.done.field.dtype))

    def _resend(self, call: Call) -> Any:
        return self.own.resend(self.memory, self._kept(call))

    def _changed(self, changed: Any) -> Any:
        known = {entry.sid: entry for entry in changed.entries}
        self.memory, self.ledger = changed.memory, [known.get(entry.sid, entry) for entry in self.ledger]
        return changed

    def _settle(self, call: Call) -> Any:
        return self._changed(self.own.settle(self.memory, self.ledger, self._given(call, self.done.closings())))

    def _accept(self, call: Call) -> Any:
        average = self.own.check(self.memory, self.done.delivery, self.done.plot.clips)
        sid = bytes.fromhex(call["sid"]) if "sid" in call else average.sid
        return self._changed(
            self.own.accept(self.memory, self.ledger, replace(average, sid=sid), read_state(call["state"]))
        )

    def _clips(self, call: Call) -> ClipPlan | None:
        if "clips" not in call:
            return self.done.plot.clips
        clips = np.frombuffer(bytes.fromhex("".join(call["clips"]["clips"])), dtype=">f8")
        return ClipPlan(tuple(call["clips"]["lengths"]), tuple(clips.tolist()))

    def _check(self, call: Call) -> Any:
        (delivery,) = self._given(call, [self.done.delivery])
        return self.own.check(self.memory, delivery, self._clips(call))

    def _disclose(self, call: Call) -> Any:
        (delivery,) = self._given(call, [self.done.delivery])
        return self.own.disclose(self.memory, delivery)

    def _jump(self, call: Call) -> Any:
        self.memory = self.own.jump(self.memory, self._given(call, []), read_state(call["state"]))
        return self.memory

    # The hub, and anyone

    def _intact(self, call: Call) -> Any:
        (submission,) = self._given(call, [])
        return hub.require_intact(self.done.manifest, submission)

    def _choose_roster(self, call: Call) -> Any:
        return hub.choose_roster(self.done.manifest, self._given(call, self.done.votes))

    def _agreed_sum(self, call: Call) -> Any:
        *commitments, total = self._given(call, [*self.done.commitments, self.done.hub_commitment])
        transcript = self.done.agreements[0].transcript
        return hub.require_agreed_sum(total, self.done.commitments[0].rho, commitments, transcript)

    def _agreed_transcript(self, call: Call) -> Any:
        return hub.agreed_transcript(self.done.manifest, self._given(call, self.done.agreements))

    def _deliver(self, call: Call) -> Any:
        done = self.done
        openings = self._given(call, done.openings)
        return hub.deliver(
            done.manifest, done.group.check_value(), done.entries, (done.hub_commitment, done.commitments),
            (done.total, openings), done.results,
        )  # fmt: skip

    def _verify(self, call: Call) -> Any:
        delivery, *headers, disclosure = self._given(call, [])
        if not isinstance(delivery, Delivery) or not all(isinstance(header, Header) for header in headers):
            raise RuntimeError("verify takes a delivery, headers and a disclosure")
        return verify_disclosed(self.done.manifest, delivery, headers, disclosure)


def _without_origin(given: list[Any]) -> tuple[list[Any], Origin | None]:
    origins = [message for message in given if isinstance(message, Origin)]
    return [message for message in given if not isinstance(message, Origin)], origins[0] if origins else None


def read_state(written: dict[str, Any]) -> TrainingState:
    """A training state as the vectors write it."""
    return TrainingState(bytes.fromhex(written["digest"]), bytes.fromhex(written["weights"]), written["counter"])
