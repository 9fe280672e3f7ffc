"""Parties of the implementation that play the sessions of vectors/ from bytes, and nothing but the JSON files."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from privateyes.aggregation import hub, messages
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client, SubmissionSecrets, Update
from privateyes.aggregation.keys import GroupKey, KeyChain
from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.aggregation.memory import AggregatorMemory, BoundSetup, ClientMemory, TrainingState
from privateyes.aggregation.messages import (
    ANNOUNCE,
    BIND,
    CLOSING,
    GIVE_UP,
    AggregatorKey,
    Announcement,
    Header,
    HubRequest,
    Message,
    Origin,
    RosterCommitment,
    Signed,
)
from privateyes.aggregation.result import verify_disclosed
from privateyes.aggregation.setup import AggregatorSetup, require_one_setup
from privateyes.crypto.sealing import UnsealingKey
from privateyes.crypto.signature import SigningKey
from privateyes.encoding.clips import ClipPlan

KINDS = {
    kind.kind: kind
    for _, kind in inspect.getmembers(messages, inspect.isclass)
    if issubclass(kind, Message) and kind not in (Message, Signed)
}
Call = dict[str, Any]


def floats(texts: list[str], size: str) -> Any:
    """float32 or float64 values from their big-endian bytes."""
    return np.frombuffer(bytes.fromhex("".join(texts)), dtype=f">f{size}").astype(f"f{size}")


def unsealing_key(seeds: list[str]) -> UnsealingKey:
    """A sealing key from the seeds of ML-KEM-768 and X25519."""
    mlkem = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(seeds[0]))
    x25519 = X25519PrivateKey.from_private_bytes(bytes.fromhex(seeds[1]))
    key = UnsealingKey()
    key._private = MLKEM768X25519PrivateKey(mlkem, x25519)
    key.public_bytes = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return key


def read_state(written: dict[str, Any]) -> TrainingState:
    """A training state as the vectors write it."""
    return TrainingState(bytes.fromhex(written["digest"]), bytes.fromhex(written["weights"]), written["counter"])


def require_as(expected: dict[str, Any] | None, error: Exception | None, about: str) -> None:
    """A call ended as the vector says."""
    got = None if error is None else {
        "error": type(error).__name__, "check": getattr(error, "check", None), "blamed": getattr(error, "party", None)
    }  # fmt: skip
    wanted = None if expected is None else {"check": None, "blamed": None, **expected}
    assert got == wanted, about


def _without_origin(given: list[Any]) -> tuple[list[Any], Origin | None]:
    origins = [message for message in given if isinstance(message, Origin)]
    return [message for message in given if not isinstance(message, Origin)], origins[0] if origins else None


class Player:
    """One party of a recorded session; it remembers what the sessions before left to it.

    Args:
        sessions: those of its task in order; the last is the one that is played.
        party: ``{"aggregator": s}`` or ``{"client": i}``; empty for the hub and an auditor.
        table: the messages that calls name.
    """

    def __init__(self, sessions: list[dict[str, Any]], party: dict[str, int], table: dict[str, str]) -> None:
        self.given, self.manifest = sessions[0], manifest_from_toml(sessions[0]["manifest"])
        self.role, self.number = next(iter(party.items()), ("", 0))
        self.table, self.memory, self.share, self.kept = table, None, None, None
        secrets = self.given["secrets"]
        if self.role == "aggregator":
            identity = SigningKey(bytes.fromhex(secrets["aggregator_signing_keys"][self.number - 1]))
            self.own: Any = Aggregator(self.manifest, self.number, identity)
        elif self.role == "client":
            identity = SigningKey(bytes.fromhex(secrets["client_signing_keys"][self.number - 1]))
            self.own, self.ledger = Client(self.manifest, self.number, identity, bytes([self.number]) * 32), []
        self.first = sessions[0]
        for given in sessions:
            self.begin(given)
            if given is not sessions[-1] and self.role:
                self.play_through()

    def begin(self, given: dict[str, Any]) -> None:
        """The next session, after its set-up if that is another one."""
        self.given = given
        self.setup = bytes.fromhex(given["derived"]["setup_id"])
        self.sid = bytes.fromhex(given["derived"]["sid"])
        self.clips = given["clips"] and ClipPlan(
            tuple(given["clips"]["lengths"]), tuple(floats(given["clips"]["clips"], "8").tolist())
        )
        if self.role == "aggregator":
            known = None if self.number in given.get("lost", []) else self.memory
            self.memory = known if known is not None and known.current.id == self.setup else self._bound(known)
        elif self.role == "client":
            started = self.memory is not None and self.memory.group.setup == self.setup
            self.memory = self.memory if started else self._started(self.memory)

    def play_through(self) -> None:
        """The honest calls of a whole session."""
        if self.role == "aggregator":
            for do in ("announce", "vote", "commit", "agree", "open", "certify"):
                self.act({"do": do})
        elif self.number in [entry["client"] for entry in self.given["inputs"]]:
            self.act({"do": "repeat" if self.given.get("repeats") else "submit"})
        else:
            self.act({"do": "observe"})

    def _bound(self, before: AggregatorMemory | None) -> AggregatorMemory:
        column, secrets = self.number - 1, self.given["secrets"]
        current = BoundSetup(self.setup, self.given["epoch"], self.given["leader"], started=True)
        keys, hashes = secrets["stream_keys_by_client"], secrets["sealed_hashes_by_client"]
        chains = {i: KeyChain(0, bytes.fromhex(row[column])) for i, row in enumerate(keys, start=1)}
        sealed = {i: bytes.fromhex(row[column]) for i, row in enumerate(hashes, start=1)}
        if before is None:
            return AggregatorMemory(1, current, chains=chains, sealed_hashes=sealed)
        terminal = {**before.terminal, before.current.id: False}
        return before.next(current=current, terminal=terminal, chains=chains, sealed_hashes=sealed)

    def _started(self, before: ClientMemory | None) -> ClientMemory:
        row, secrets = self.number - 1, self.given["secrets"]
        group = GroupKey(self.setup, bytes.fromhex(secrets["group_key"]), self.manifest.sealed)
        chains = tuple(KeyChain(0, bytes.fromhex(key)) for key in secrets["stream_keys_by_client"][row])
        sealed = tuple(bytes.fromhex(value) for value in secrets["sealed_hashes_by_client"][row])
        if before is None:
            digest, weights = (bytes.fromhex(secrets[name]) for name in ("state_digest", "state_weights"))
            state = TrainingState(digest, weights, 0)
            return ClientMemory(1, group, chains, sealed, state, frozenset({self.setup}))
        started = before.started | {self.setup}
        return before.next(group=group, chains=chains, sealed_hashes=sealed, started=started, last_round=-1)

    # What was said

    def said(self, kind: str, later: bool = False, given: dict[str, Any] | None = None) -> list[Any]:
        """What was said in the session; what is said of the next round is told apart by ``later``."""
        given = given or self.given
        found = [self.parse(entry["bytes"]) for entry in given["messages"] if entry["kind"] == kind]
        if kind == "Announcement":
            found = [message for message in found if (message.round > given["round"]) == later]
        return found

    def parse(self, text: str) -> Any:
        """A message of any kind."""
        data = bytes.fromhex(text)
        return KINDS[data[0]].from_bytes(data, self.manifest)

    def act(self, call: Call) -> Any:
        """One call; without messages it takes those of the session."""
        return getattr(self, call["do"])(call)

    def _given(self, call: Call, *kinds: str) -> list[Any]:
        if "messages" in call:
            return [self.parse(self.table[name]) for name in call["messages"]]
        return [message for kind in kinds for message in self.said(kind)]

    def _next(self, step: Any) -> Any:
        self.memory = step.memory or self.memory
        return step

    def _request(self, call: Call, action: int) -> Any:
        if "messages" in call:
            (request,) = self._given(call)
            return request
        setup = bytes.fromhex(call["setup"]) if "setup" in call else self.setup
        state_id = bytes.fromhex(call.get("state_id", self.given["derived"]["state_id"]))
        return self._signed_by_hub(HubRequest(action, setup, call.get("round", self.given["round"]), state_id))

    def _signed_by_hub(self, request: HubRequest) -> HubRequest:
        hub_key = SigningKey(bytes.fromhex(self.given["secrets"]["hub_signing_key"]))
        return request.signed_by(hub_key, request.setup)

    # An aggregator

    def announce(self, call: Call) -> Any:
        return self._next(self.own.announce(self.memory, self._request(call, ANNOUNCE)))

    def closing(self, call: Call) -> Any:
        return self.own.closing(self.memory, self._request(call, CLOSING))

    def give_up(self, call: Call) -> Any:
        return self._next(self.own.give_up(self.memory, self._request(call, GIVE_UP)))

    def _headers(self) -> list[Header]:
        seen = self.given["headers_seen"][self.number - 1]
        return [message.header for message in self.said("Submission") if message.header.client in seen]

    def vote(self, call: Call) -> Any:
        given = self._given(call, "Origin") if "messages" in call else [*self._headers(), *self.said("Origin")]
        headers, origin = _without_origin(given)
        return self._next(self.own.vote(self.memory, self.sid, headers, origin))

    def commit(self, call: Call) -> Any:
        given, origin = _without_origin(self._given(call, "Vote", "Origin"))
        headers = [message for message in given if isinstance(message, Header)] or self._headers()
        votes = [message for message in given if not isinstance(message, Header)]
        salt = bytes.fromhex(call.get("salt", self.given["secrets"]["salts"][self.number - 1]))
        step = self._next(self.own.commit(self.memory, headers, votes, salt, origin))
        self.share = step.share or self.share
        return step

    def agree(self, call: Call) -> Any:
        *commitments, com_0 = self._given(call, "RosterCommitment", "HubCommitment")
        return self._next(self.own.agree(self.memory, commitments, com_0))

    def _own_share(self, call: Call) -> Any:
        data = bytes.fromhex(call["share"])
        return self.own.own_share(self.manifest.field.from_bytes(data, self.manifest.share_elements))

    def open(self, call: Call) -> Any:
        share = self._own_share(call) if "share" in call else self.share
        return self._next(self.own.open(self.memory, share, self._given(call, "Agreement")))

    def certify(self, call: Call) -> Any:
        *openings, total = self._given(call, "Opening", "HubSum")
        share = self._own_share(call) if "share" in call else None
        return self._next(self.own.certify(self.memory, openings, total, share))

    def finish(self, call: Call) -> Any:
        after = self.own.finish(self.memory, self._given(call, "ResultSignature"))
        self.memory = after or self.memory

    def words(self, call: Call) -> Any:
        return self.own.words(self.memory, bytes.fromhex(call["sid"]) if "sid" in call else self.sid)

    def bind(self, call: Call) -> None:
        """The next set-up, with the keys of the call's seeds."""
        offers = []
        for s, seeds in enumerate(call["sealing_seeds"], start=1):
            identity = SigningKey(bytes.fromhex(self.given["secrets"]["aggregator_signing_keys"][s - 1]))
            key = AggregatorKey(call["epoch"], call["leader"], s, unsealing_key(seeds).public_bytes)
            offers.append(key.signed_by(identity, self.manifest.digest()))
        own = AggregatorSetup(self.manifest, self.number, self.own.identity, call["epoch"], call["leader"])
        own._unsealing = unsealing_key(call["sealing_seeds"][self.number - 1])
        setup, _ = require_one_setup(self.manifest, offers)
        request = self._signed_by_hub(HubRequest(BIND, setup, 0, bytes(32)))
        self.memory, self.setting_up = own.bind(None if call.get("lost") else self.memory, offers, request), own

    def start(self, call: Call) -> None:
        self.memory = self.setting_up.start(self.memory)

    def reload(self, call: Call) -> None:
        self.memory = type(self.memory).from_bytes(self.memory.to_bytes())

    # A client

    def observe(self, call: Call) -> None:
        self.memory = self.own.observe(self.memory, self._given(call, "Announcement"))

    def _plan(self, call: Call) -> ClipPlan | None:
        if "clips" not in call:
            return self.clips
        return ClipPlan(tuple(call["clips"]["lengths"]), tuple(floats(call["clips"]["clips"], "8").tolist()))

    def _input(self) -> dict[str, Any]:
        (own,) = [entry for entry in self.first["inputs"] if entry["client"] == self.number]
        (now,) = [entry for entry in self.given["inputs"] if entry["client"] == self.number]
        return {**own, **now}

    def submit(self, call: Call) -> Any:
        own, pieces = self._input(), []
        update = Update(
            floats(call.get("delta", own["delta"]), "4"), call.get("weight", own["weight"]), self._plan(call)
        )
        fresh = SubmissionSecrets(bytes.fromhex(own["nonce"]), bytes.fromhex(own["rounding_key"]))
        announcements = self._given(call, "Announcement")
        done = self.own.submit(
            self.memory, self.ledger, announcements, update, fresh, lambda piece: pieces.append(piece.copy())
        )
        return self._sent(done, np.concatenate(pieces))

    def repeat(self, call: Call) -> Any:
        given = self._given(call, "Announcement", "Origin")
        if "messages" not in call:
            given += self.said("RosterCommitment", given=self.first)
        announcements = [message for message in given if isinstance(message, Announcement)]
        commitments = [message for message in given if isinstance(message, RosterCommitment)]
        (origin,) = [message for message in given if isinstance(message, Origin)]
        kept, nonce = self._kept(call), bytes.fromhex(self._input()["nonce"])
        evidence = (origin, commitments)
        done = self.own.submit_again(self.memory, self.ledger, announcements, kept, nonce, evidence)
        return self._sent(done, kept.encoded)

    def _sent(self, done: Any, encoded: Any) -> Any:
        kept = type(done.kept).from_bytes(done.kept.to_bytes(), self.manifest)
        self.memory, self.kept = done.memory, kept.with_update(encoded)
        self.ledger.append(done.entry)
        return done

    def _kept(self, call: Call) -> Any:
        if "encoded" not in call:
            return self.kept
        return self.kept.with_update(np.array([int(value) for value in call["encoded"]], self.manifest.field.dtype))

    def resend(self, call: Call) -> Any:
        return self.own.resend(self.memory, self._kept(call))

    def _changed(self, changed: Any) -> None:
        known = {entry.sid: entry for entry in changed.entries}
        self.memory, self.ledger = changed.memory, [known.get(entry.sid, entry) for entry in self.ledger]

    def settle(self, call: Call) -> None:
        self._changed(self.own.settle(self.memory, self.ledger, self._given(call, "Closing")))

    def accept(self, call: Call) -> None:
        (delivery,) = self.said("Delivery")
        average = self.own.check(self.memory, delivery, self.clips)
        average = replace(average, sid=bytes.fromhex(call["sid"])) if "sid" in call else average
        self._changed(self.own.accept(self.memory, self.ledger, average, read_state(call["state"])))

    def check(self, call: Call) -> Any:
        (delivery,) = self._given(call, "Delivery")
        return self.own.check(self.memory, delivery, self._plan(call))

    def disclose(self, call: Call) -> Any:
        (delivery,) = self._given(call, "Delivery")
        return self.own.disclose(self.memory, delivery)

    def jump(self, call: Call) -> None:
        self.memory = self.own.jump(self.memory, self._given(call), read_state(call["state"]))

    # The hub, and anyone

    def intact(self, call: Call) -> Any:
        (submission,) = self._given(call)
        return hub.require_intact(self.manifest, submission)

    def choose_roster(self, call: Call) -> Any:
        return hub.choose_roster(self.manifest, self._given(call, "Vote"))

    def agreed_transcript(self, call: Call) -> Any:
        return hub.agreed_transcript(self.manifest, self._given(call, "Agreement"))

    def agreed_sum(self, call: Call) -> Any:
        *commitments, total = self._given(call, "RosterCommitment", "HubCommitment")
        rho, transcript = self.said("RosterCommitment")[0].rho, self.said("Agreement")[0].transcript
        return hub.require_agreed_sum(total, rho, commitments, transcript)

    def deliver(self, call: Call) -> Any:
        entries = hub.choose_roster(self.manifest, self.said("Vote"))
        (com_0,), (total,) = self.said("HubCommitment"), self.said("HubSum")
        kc = bytes.fromhex(self.given["derived"]["group_check"])
        commitments, openings = self.said("RosterCommitment"), self._given(call, "Opening")
        results = self.said("ResultSignature")
        return hub.deliver(self.manifest, kc, entries, (com_0, commitments), (total, openings), results)

    def verify(self, call: Call) -> Any:
        delivery, *headers, disclosure = self._given(call)
        return verify_disclosed(self.manifest, delivery, headers, disclosure)
