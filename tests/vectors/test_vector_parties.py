"""Every party of the implementation plays the rounds and refusals of vectors/, one at a time, from bytes."""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey
from privateyes.aggregation.snapshot import dump_committed, load_committed

from privateyes import errors
from privateyes.aggregation import hub, messages
from privateyes.aggregation.aggregator import Aggregator, Point
from privateyes.aggregation.audit import audit
from privateyes.aggregation.client import Client, SubmissionSecrets
from privateyes.aggregation.keys import GroupKey, KeyChain, setup_id
from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import NO_SESSION, Message, SealedGroupKey, Signed, Voucher
from privateyes.aggregation.result import verify_disclosed
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.crypto.sealing import UnsealingKey
from privateyes.crypto.signature import SigningKey
from privateyes.encoding.clips import ClipPlan

KINDS = {
    kind.kind: kind
    for _, kind in inspect.getmembers(messages, inspect.isclass)
    if issubclass(kind, Message) and kind not in (Message, Signed)
}
ROUNDS = [f"{n}-{field}-{mode}" for n in (2, 3, 5) for field in ("compact", "wide") for mode in ("sealed", "public")]


class Player:
    """One party of a recorded round.

    Args:
        given: the round.
        party: ``{"aggregator": s}`` or ``{"client": i}``; empty for the hub and an auditor.
    """

    def __init__(self, given: dict[str, Any], party: dict[str, int]) -> None:
        self.given, self.manifest = given, manifest_from_toml(given["manifest"])
        self.secrets = given["secrets"]
        self.setup = setup_id(self.manifest.digest(), given["epoch"])
        self.number = next(iter(party.values()), 0)
        self.clips = given["clips"] and ClipPlan(
            tuple(given["clips"]["lengths"]), tuple(_floats(given["clips"]["clips"], "8").tolist())
        )
        self.state: Any = None
        self.memory: Any = None
        if "aggregator" in party:
            identity = SigningKey(bytes.fromhex(self.secrets["aggregator_signing_keys"][self.number - 1]))
            self.own: Any = Aggregator(self.manifest, self.number, identity)
            self.memory = self._aggregator_memory()
        elif "client" in party:
            identity = SigningKey(bytes.fromhex(self.secrets["client_signing_keys"][self.number - 1]))
            self.own = Client(self.manifest, self.number, identity)
            self.memory = self._client_memory()

    def _aggregator_memory(self) -> AggregatorMemory:
        column = self.number - 1
        keys, hashes = self.secrets["stream_keys_by_client"], self.secrets["sealed_hashes_by_client"]
        chains = {i: KeyChain(0, bytes.fromhex(row[column])) for i, row in enumerate(keys, start=1)}
        sealed = {i: bytes.fromhex(row[column]) for i, row in enumerate(hashes, start=1)}
        return AggregatorMemory(self.given["epoch"], 1, -1, NO_SESSION, frozenset(), chains, sealed)

    def _client_memory(self) -> ClientMemory:
        row = self.number - 1
        group_key = bytes.fromhex(self.secrets["group_key"])
        group = GroupKey(self.setup, self.given["epoch"], group_key, self.manifest.sealed)
        chains = tuple(KeyChain(0, bytes.fromhex(key)) for key in self.secrets["stream_keys_by_client"][row])
        sealed = tuple(bytes.fromhex(value) for value in self.secrets["sealed_hashes_by_client"][row])
        return ClientMemory(group, chains, sealed, bytes.fromhex(self.secrets["state_digest"]))

    def said(self, kind: str, later: bool = False) -> list[Any]:
        """What was said in the round; the announcements of the next round are told apart by ``later``."""
        found = [self.parse(entry["bytes"]) for entry in self.given["messages"] if entry["kind"] == kind]
        if kind == "Announcement":
            found = [message for message in found if (message.round > self.given["round"]) == later]
        return found

    def parse(self, text: str) -> Any:
        """A message of any kind."""
        data = bytes.fromhex(text)
        return KINDS[data[0]].from_bytes(data, self.manifest)

    def act(self, call: dict[str, Any]) -> Any:
        """One call; without messages it takes those of the round."""
        return getattr(self, call["do"])(call)

    def _given(self, call: dict[str, Any], *kinds: str) -> list[Any]:
        if "messages" in call:
            return [self.parse(text) for text in call["messages"]]
        return [message for kind in kinds for message in self.said(kind)]

    def _next(self, step: Any) -> Any:
        self.state = step.state
        self.memory = step.memory or self.memory
        return step

    def _session(self, call: dict[str, Any]) -> tuple[int, int, bytes]:
        state_id = call.get("state_id", self.given["derived"]["state_id"])
        return call.get("epoch", self.given["epoch"]), call.get("round", self.given["round"]), bytes.fromhex(state_id)

    def announce(self, call: dict[str, Any]) -> Any:
        kept = self.state
        step = self._next(self.own.announce(self.memory, *self._session(call)))
        self.state = kept if call.get("keep_state") else self.state
        return step

    def closing(self, call: dict[str, Any]) -> Any:
        return self.own.closing(self.memory, *self._session(call))

    def vote(self, call: dict[str, Any]) -> Any:
        headers = self._given(call)
        if "messages" not in call:
            seen = self.given["headers_seen"][self.number - 1]
            headers = [message.header for message in self.said("Submission") if message.header.client in seen]
        return self._next(self.own.vote(self.memory, self.state, headers))

    def commit(self, call: dict[str, Any]) -> Any:
        salt = bytes.fromhex(self.secrets["salts"][self.number - 1])
        step = self._next(self.own.commit(self.memory, self.state, self._given(call, "Vote"), salt))
        self.stored = dump_committed(step.state)
        return step

    def reload(self, call: dict[str, Any]) -> None:
        self.state = load_committed(self.stored, self.number, self.manifest)

    def stop(self, call: dict[str, Any]) -> None:
        self.memory = self.own.stop(self.memory, Point(call["step"])).memory

    def agree(self, call: dict[str, Any]) -> Any:
        *commitments, com_0 = self._given(call, "RosterCommitment", "HubCommitment")
        return self._next(self.own.agree(self.memory, self.state, commitments, com_0))

    def open(self, call: dict[str, Any]) -> Any:
        return self._next(self.own.open(self.memory, self.state, self._given(call, "Agreement")))

    def certify(self, call: dict[str, Any]) -> Any:
        *openings, total = self._given(call, "Opening", "HubSum")
        return self._next(self.own.certify(self.state, openings, total))

    def observe(self, call: dict[str, Any]) -> None:
        self.memory = self.own.observe(self.memory, self._given(call, "Announcement"))

    def submit(self, call: dict[str, Any]) -> Any:
        (own,) = [entry for entry in self.given["inputs"] if entry["client"] == self.number]
        delta = _floats(call.get("delta", own["delta"]), "4")
        fresh = SubmissionSecrets(bytes.fromhex(own["nonce"]), bytes.fromhex(own["rounding_key"]))
        announcements = self._given(call, "Announcement")
        weight = call.get("weight", own["weight"])
        done = self.own.submit(self.memory, announcements, delta, weight, fresh, self.clips)
        self.memory = done.memory
        return done

    def settle(self, call: dict[str, Any]) -> None:
        self.memory = self.own.settle(self.memory, self._given(call, "Closing"))

    def accept(self, call: dict[str, Any]) -> None:
        self.memory = self.memory.with_state(bytes.fromhex(call["state_digest"]), self.memory.current_sid)

    def check(self, call: dict[str, Any]) -> Any:
        (delivery,) = self._given(call, "Delivery")
        return self.own.check(self.memory, delivery, self.clips)

    def disclose(self, call: dict[str, Any]) -> Any:
        (delivery,) = self._given(call, "Delivery")
        return self.own.disclose(self.memory, delivery)

    def intact(self, call: dict[str, Any]) -> Any:
        (submission,) = self._given(call)
        return hub.require_intact(submission)

    def choose_roster(self, call: dict[str, Any]) -> Any:
        return hub.choose_roster(self.manifest, self._given(call, "Vote"))

    def deliver(self, call: dict[str, Any]) -> Any:
        entries = hub.choose_roster(self.manifest, self.said("Vote"))
        (com_0,), (total,) = self.said("HubCommitment"), self.said("HubSum")
        kc = bytes.fromhex(self.given["derived"]["group_check"])
        commitments, openings = self.said("RosterCommitment"), self._given(call, "Opening")
        results = self.said("ResultSignature")
        return hub.deliver(self.manifest, kc, entries, (com_0, commitments), (total, openings), results)

    def verify(self, call: dict[str, Any]) -> Any:
        delivery, *headers, disclosure = self._given(call)
        return verify_disclosed(self.manifest, delivery, headers, disclosure, self.clips)


def _floats(texts: list[str], size: str) -> Any:
    return np.frombuffer(bytes.fromhex("".join(texts)), dtype=f">f{size}").astype(f"f{size}")


def _round(vectors, name: str) -> dict[str, Any]:
    (found,) = [entry for entry in vectors(f"rounds-{name[0]}")["rounds"] if entry["name"] == name]
    return found


# rounds-n.json


@pytest.mark.parametrize("name", ROUNDS)
def test_every_aggregator_says_what_the_vector_says(vectors, name) -> None:
    given = _round(vectors, name)
    kinds = ("Announcement", "Vote", "RosterCommitment", "Agreement", "Opening", "ResultSignature")
    steps = ("announce", "vote", "commit", "agree", "open", "certify")
    for s in range(1, int(name[0]) + 1):
        player = Player(given, {"aggregator": s})
        for step, kind in zip(steps, kinds, strict=True):
            expected = player.said(kind)[s - 1]
            assert player.act({"do": step}).message.to_bytes() == expected.to_bytes(), (s, step)
        later = player.act({"do": "announce", "round": given["round"] + 1})
        assert later.message.to_bytes() == player.said("Announcement", later=True)[s - 1].to_bytes()
        assert player.act({"do": "closing"}).to_bytes() == player.said("Closing")[s - 1].to_bytes()


@pytest.mark.parametrize("name", ROUNDS)
def test_every_client_submits_and_accepts_what_the_vector_says(vectors, name) -> None:
    given = _round(vectors, name)
    submitted = {entry["client"]: entry for entry in given["inputs"]}
    for result in given["results"]:
        client = result["client"]
        player = Player(given, {"client": client})
        if client in submitted:
            done = player.act({"do": "submit"})
            (expected,) = [message for message in player.said("Submission") if message.header.client == client]
            assert done.submission.to_bytes() == expected.to_bytes()
            assert done.clipped == submitted[client]["clipped"]
        else:
            player.act({"do": "observe"})
        average = player.act({"do": "check"})
        assert average.mean.tobytes() == _floats(result["mean"], "8").tobytes()
        assert average.total_weight == result["total_weight"]
        assert list(average.roster) == result["roster"]
        assert average.counted == result["counted"]


@pytest.mark.parametrize("name", ROUNDS)
def test_the_hub_adds_and_delivers_what_the_vector_says(vectors, name) -> None:
    given = _round(vectors, name)
    player = Player(given, {})
    shares = {message.header.client: message for message in player.said("Submission")}
    for submission in shares.values():
        hub.require_intact(submission)
    entries = hub.choose_roster(player.manifest, player.said("Vote"))
    sid = bytes.fromhex(given["derived"]["sid"])
    total, com_0 = hub.add_shares(player.manifest, sid, entries, lambda client: shares[client].share)
    assert [total.to_bytes()] == [message.to_bytes() for message in player.said("HubSum")]
    assert [com_0.to_bytes()] == [message.to_bytes() for message in player.said("HubCommitment")]
    assert player.act({"do": "deliver"}).to_bytes() == player.said("Delivery")[0].to_bytes()


@pytest.mark.parametrize("name", [name for name in ROUNDS if name.endswith("public")])
def test_anyone_verifies_a_public_round_as_the_vector_says(vectors, name) -> None:
    given = _round(vectors, name)
    player = Player(given, {})
    (delivery,), (disclosure,) = player.said("Delivery"), player.said("Disclosure")
    headers = [message.header for message in player.said("Submission")]
    average = verify_disclosed(player.manifest, delivery, headers, disclosure, player.clips)
    expected = given["results"][0]
    assert average.total_weight == expected["total_weight"]
    assert average.mean.tobytes() == _floats(expected["mean"], "8").tobytes()
    client = Player(given, {"client": disclosure.client})
    client.act({"do": "submit"})
    assert client.act({"do": "disclose"}).to_bytes() == disclosure.to_bytes()


# refusals.json


def _ends_as(expected: dict[str, Any] | None, error: Exception | None) -> None:
    if expected is None:
        assert error is None
        return
    assert type(error) is getattr(errors, expected["error"])
    assert getattr(error, "check", None) == expected.get("check")
    assert getattr(error, "party", None) == expected.get("blamed")


def _error_of(call: Any, *arguments: Any) -> Exception | None:
    try:
        call(*arguments)
    except errors.PrivateyesError as error:
        return error
    return None


def test_every_refusal_names_its_error_its_check_and_its_culprit(vectors) -> None:
    cases = vectors("refusals")["refused"]
    for case in cases:
        player = Player(_round(vectors, case["base"]), case["party"])
        for call in case["calls"][:-1]:
            player.act(call)
        error = _error_of(player.act, case["calls"][-1])
        assert error is not None, case["about"]
        _ends_as(case["expected"], error)
    checks = Counter(case["expected"].get("check") for case in cases)
    assert set(checks) == {None, 1, 2, 3, 4, 5, 6, 7}
    assert sum(case["expected"].get("blamed") == "aggregator 2" for case in cases) >= 3


def test_who_is_left_out_of_a_vote_and_how_the_vote_reads(vectors) -> None:
    for case in vectors("refusals")["left_out_of_the_vote"]:
        player = Player(_round(vectors, case["base"]), case["party"])
        steps = [player.act(call) for call in case["calls"]]
        assert steps[-1].message.to_bytes().hex() == case["expected"]["vote"], case["about"]
        assert sorted(steps[-1].state.rejected) == case["expected"]["rejected"], case["about"]


# records.json


def test_an_auditor_concludes_and_names_what_the_record_proves(vectors) -> None:
    named = Counter()
    for case in vectors("records")["cases"]:
        player = Player(_round(vectors, case["base"]), {})
        kept = [entry["bytes"] for entry in player.given["messages"] if entry["kind"] not in case["without"]]
        found = audit(player.manifest, [player.parse(text) for text in [*kept, *case["added"]]])
        (session,) = [own for own in found.sessions if own.sid.hex() == player.given["derived"]["sid"]]
        faults = sorted({(str(fault.level), fault.parties) for fault in found.faults})
        expected = [(fault["level"], tuple(fault["parties"])) for fault in case["expected"]["faults"]]
        assert (str(session.outcome), faults) == (case["expected"]["outcome"], expected), case["about"]
        named[case["expected"]["outcome"], bool(faults)] += 1
    endings = ("certified", "refused", "incomplete", "aborted")
    assert set(named) == {("certified", True), *((ending, False) for ending in endings)}


# sealing.json, and what is refused during a set-up


def _unsealing_key(entry: dict[str, Any]) -> UnsealingKey:
    mlkem = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(entry["mlkem768_seed"]))
    x25519 = X25519PrivateKey.from_private_bytes(bytes.fromhex(entry["x25519_private"]))
    key = UnsealingKey()
    key._private = MLKEM768X25519PrivateKey(mlkem, x25519)
    key.public_bytes = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return key


def test_frozen_sealings_open_and_altered_ones_do_not(vectors) -> None:
    given = vectors("sealing")
    for case in given["opened"]:
        key = _unsealing_key(case)
        assert key.public_bytes.hex() == case["public_key"]
        assert key.unseal_text(bytes.fromhex(case["sealed"]), bytes.fromhex(case["info"])).hex() == case["text"]
    first = _unsealing_key(given["opened"][0])
    for case in given["refused_by_the_first_recipient"]:
        error = _error_of(first.unseal, bytes.fromhex(case["sealed"]), bytes.fromhex(case["info"]))
        _ends_as({"error": case["error"]}, error)


class SettingUp:
    """The parties of the vectors' set-up, with sealing keys from seeds."""

    def __init__(self, vectors: Any) -> None:
        self.given = vectors("refusals")["setup"]
        self.manifest, self.epoch = manifest_from_toml(self.given["manifest"]), self.given["epoch"]
        self.keys = {entry["name"]: entry for entry in vectors("sealing")["opened"]}
        self.state = bytes.fromhex(self.given["state_digest"])

    def aggregator(self) -> AggregatorSetup:
        identity = SigningKey(bytes.fromhex(self.given["aggregator_signing_keys"][0]))
        own = AggregatorSetup(self.manifest, 1, identity, self.epoch, None)
        own._unsealing = _unsealing_key(self.keys["stream key"])
        return own

    def client(self, number: int, key: str, state: bytes | None) -> ClientSetup:
        identity = SigningKey(bytes.fromhex(self.given["client_signing_keys"][number - 1]))
        own = ClientSetup(self.manifest, number, identity, self.epoch, state)
        own._unsealing = _unsealing_key(self.keys[key])
        return own

    def take_in(self, newcomer: ClientSetup, vouchers: list[Message], message: Message) -> None:
        """A newcomer's group key, the vouchers one by one, then the state."""
        if isinstance(message, Voucher):
            vouchers.append(message)
        elif isinstance(message, SealedGroupKey):
            newcomer.receive_group_key(message)
        else:
            newcomer.receive_state(message, vouchers, lambda state: hashlib.sha256(state).digest())

    def play(self, case: dict[str, Any], receive: Any) -> None:
        parsed = [
            KINDS[bytes.fromhex(text)[0]].from_bytes(bytes.fromhex(text), self.manifest) for text in case["messages"]
        ]
        for message in parsed[:-1]:
            receive(message)
        _ends_as(case["expected"], _error_of(receive, parsed[-1]))

    def play_together(self, case: dict[str, Any], receive: Any) -> None:
        parsed = [
            KINDS[bytes.fromhex(text)[0]].from_bytes(bytes.fromhex(text), self.manifest) for text in case["messages"]
        ]
        _ends_as(case["expected"], _error_of(receive, parsed))


def test_keys_and_states_of_a_set_up_are_received_or_refused_as_given(vectors) -> None:
    own = SettingUp(vectors)
    for case in own.given["aggregator_1_receives"]:
        own.play(case, own.aggregator().receive)
    for case in own.given["client_2_receives"]:
        own.play(case, own.client(2, "group key", own.state).receive_group_key)
    for case in own.given["client_3_receives_a_state"]:
        newcomer = own.client(3, "training state", None)
        own.play(case, partial(own.take_in, newcomer, []))
    for case in own.given["client_2_seals_to"]:
        client = own.client(2, "group key", own.state)
        own.play_together(case, lambda keys, client=client: client.seal_stream_keys(keys, [bytes(32)] * 2))
    for case in own.given["leader_seals_to"]:
        leader = own.client(1, "group key", own.state)
        own.play_together(case, lambda keys, leader=leader: leader.lead({key.client: key for key in keys}, bytes(32)))
    assert {case["expected"] and case["expected"]["error"] for case in own.given["aggregator_1_receives"]} == {
        None, "RefusedError", "MalformedError",
    }  # fmt: skip
