"""Parties of the implementation that play the set-ups of vectors/ from bytes, with sealing keys from seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from privateyes.aggregation import setup
from privateyes.aggregation.client import Client
from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.aggregation.memory import TrainingState
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.statement import statement
from vector_player import KINDS, Call, read_state, unsealing_key


def state_of(data: bytes, counter: int) -> TrainingState:
    """What a client must know of a state of these files."""
    return TrainingState(hashlib.sha256(data).digest(), hashlib.sha256(b"weights" + data).digest(), counter)


class SetupPlayer:
    """One party that has no memory yet.

    Args:
        task: setups.json.
        party: for example ``{"aggregator": 1}``.
        table: the messages that calls name.
    """

    def __init__(self, task: dict[str, Any], party: dict[str, int], table: dict[str, str]) -> None:
        self.task, self.table, self.manifest = task, table, manifest_from_toml(task["manifest"])
        (self.role, self.number), self.memory = next(iter(party.items())), None
        seeds = task[f"{self.role}_signing_keys"]
        self.identity = SigningKey(bytes.fromhex(seeds[self.number - 1]))
        self.epoch, self.made = 1, {}

    @property
    def given(self) -> dict[str, Any]:
        """The set-up at hand."""
        (found,) = [made for made in self.task["set_ups"] if made["epoch"] == self.epoch]
        return found

    @property
    def own(self) -> Any:
        """The party's object in it."""
        return self.made[self.epoch]

    def said(self, kind: str, **fields: int) -> list[Any]:
        """What was said in it: messages of a kind, with the given sender or receiver."""
        found = [self.parse(entry["bytes"]) for entry in self.given["messages"] if entry["kind"] == kind]
        return [message for message in found if all(getattr(message, name) == value for name, value in fields.items())]

    def parse(self, text: str) -> Any:
        data = bytes.fromhex(text)
        return KINDS[data[0]].from_bytes(data, self.manifest)

    def act(self, call: Call) -> Any:
        """One call; without messages it takes those of the set-up."""
        self.epoch = call.get("epoch", self.epoch)
        return getattr(self, f"{self.role}_{call['do']}")(call)

    def _given(self, call: Call, default: list[Any]) -> list[Any]:
        return [self.parse(self.table[name]) for name in call["messages"]] if "messages" in call else default

    # An aggregator

    def aggregator_offer(self, call: Call) -> None:
        label, leader = int(call.get("label", self.epoch)), call.get("leader", self.given["leader"])
        own = AggregatorSetup(self.manifest, self.number, self.identity, label, leader)
        own._unsealing = unsealing_key(self.given["aggregator_sealing_seeds"][self.number - 1])
        self.made[self.epoch] = own

    def aggregator_key(self, call: Call) -> Any:
        return self.own.key()

    def aggregator_bind(self, call: Call) -> None:
        *keys, request = self._given(call, [*self.said("AggregatorKey"), *self.said("HubRequest")])
        self.memory = self.own.bind(self.memory, keys, request)

    def aggregator_receive(self, call: Call) -> None:
        (message,) = self._given(call, self.said("SealedStreamKey", aggregator=self.number, client=2))
        self.own.receive(self.memory, message)

    def aggregator_start(self, call: Call) -> None:
        self.memory = self.own.start(self.memory)

    # A client

    def client_begin(self, call: Call) -> None:
        initial = read_state(call["state"]) if "state" in call else None
        own = ClientSetup(self.manifest, self.number, self.identity, self.memory, initial)
        position = self.given["clients"].index(self.number)
        own._unsealing = unsealing_key(self.given["client_sealing_seeds"][position])
        self.made[self.epoch] = own

    def client_bind(self, call: Call) -> bytes:
        bound: bytes = self.own.bind(self._given(call, self.said("AggregatorKey")))
        return bound

    def client_key(self, call: Call) -> Any:
        return self.own.key()

    def client_seal(self, call: Call) -> Any:
        position = self.given["clients"].index(self.number)
        secrets = call.get("secrets", self.given["stream_keys_by_client"][position])
        return self.own.seal_stream_keys([bytes.fromhex(text) for text in secrets])

    def client_lead(self, call: Call) -> Any:
        keys = self._given(call, self.said("ClientKey"))
        filed = call.get("filed_under", [key.client for key in keys])
        return self.own.lead(
            dict(zip(filed, keys, strict=True)), bytes.fromhex(call.get("secret", self.given["group_key"]))
        )

    def client_receive_group_key(self, call: Call) -> None:
        (message,) = self._given(call, self.said("SealedGroupKey", recipient=self.number))
        self.own.receive_group_key(message)

    def client_receive_state(self, call: Call) -> Any:
        *vouchers, message = self._given(call, [*self.said("Voucher"), *self.said("SealedState")])
        counter = call.get("counter", self.given["state"]["counter"])
        return self.own.receive_state(message, vouchers, lambda data: state_of(data, counter))

    def client_start(self, call: Call) -> None:
        self.memory = self.own.start(None if call.get("without_memory") else self.memory)

    def client_move_on(self, call: Call) -> None:
        self.memory = self.memory.next(state=read_state(call["state"]))

    def client_vouch(self, call: Call) -> Any:
        return Client(self.manifest, self.number, self.identity, bytes(32)).vouch(self.memory)

    def client_give_state(self, call: Call) -> Any:
        (newcomer,) = self._given(call, self.said("ClientKey", client=self.given["joining"]))
        data = bytes.fromhex(call.get("state_bytes", self.given["state"]["bytes"]))
        client = Client(self.manifest, self.number, self.identity, bytes(32))
        return client.give_state(self.memory, newcomer, data, lambda state: state_of(state, self.memory.state.counter))

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """In here, what this set-up's parties seal is what the file says they sealed."""
        context = bytes.fromhex(self.given["setup_id"])
        kinds = {"SealedStreamKey": (Label.STREAM_KEY, "client", "aggregator"),
                 "SealedGroupKey": (Label.GROUP_KEY, "leader", "recipient"),
                 "SealedState": (Label.SEALED_STATE, "sender", "recipient")}  # fmt: skip
        sealed = {}
        for kind, (label, sender, receiver) in kinds.items():
            for message in self.said(kind):
                ends = (getattr(message, sender), getattr(message, receiver))
                sealed[statement(label, Role.CLIENT, context, *ends)] = message.sealed
        with mock.patch.object(setup, "seal", lambda text, public_key, info: sealed[info]):
            yield
