"""Plays one party of the recorded set-ups from bytes, with some inputs replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from privateyes.aggregation.client import Client
from privateyes.aggregation.memory import TrainingState
from privateyes.aggregation.messages import (
    AggregatorKey,
    ClientKey,
    HubRequest,
    Message,
    SealedGroupKey,
    SealedState,
    SealedStreamKey,
    Voucher,
)
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from vectors import sealing, setups
from vectors.acting import KINDS, read_state
from vectors.cast import state_of

Call = dict[str, Any]


@cache
def played() -> dict[int, setups.Played]:
    """The set-ups by epoch."""
    return {own.epoch: own for own in setups.played()}


def honest(epoch: int, kind: type[Message], **fields: int) -> list[Any]:
    """What was said in a set-up: messages of a kind, with the given sender or receiver."""
    found = [message for _, message in played()[epoch].said if isinstance(message, kind)]
    return [message for message in found if all(getattr(message, name) == value for name, value in fields.items())]


class SetupActor:
    """One party that has no memory yet.

    Args:
        party: for example ``{"aggregator": 1}``.
        table: the messages that calls name.
    """

    def __init__(self, party: dict[str, int], table: Mapping[str, bytes]) -> None:
        self.cast, _ = sealing.set_ups()
        (self.role, self.number), self.table = next(iter(party.items())), table
        self.memory: Any = None
        self.made: dict[int, Any] = {}
        self.epoch = 1

    def perform(self, calls: list[Call]) -> Any:
        """All calls; the result of the last."""
        result = None
        for call in calls:
            self.epoch = call.get("epoch", self.epoch)
            result = getattr(self, f"_{self.role}_{call['do']}")(call)
        return result

    @property
    def own(self) -> Any:
        """The party's object in the set-up at hand."""
        return self.made[self.epoch]

    def _given(self, call: Call, default: list[Any]) -> list[Any]:
        if "messages" not in call:
            return default
        data = [self.table[name] for name in call["messages"]]
        return [KINDS[text[0]].from_bytes(text, self.cast.manifest) for text in data]

    # An aggregator

    def _aggregator_offer(self, call: Call) -> None:
        leader = call.get("leader", played()[self.epoch].keys.leader)
        label = int(call.get("label", self.epoch))
        own = AggregatorSetup(self.cast.manifest, self.number, self.cast.aggregator_keys[self.number], label, leader)
        own._unsealing = sealing.recipient(f"{self.epoch}/aggregator {self.number}")
        self.made[self.epoch] = own

    def _aggregator_key(self, _: Call) -> Any:
        return self.own.key()

    def _aggregator_bind(self, call: Call) -> None:
        default = [*honest(self.epoch, AggregatorKey), *honest(self.epoch, HubRequest)]
        *keys, request = self._given(call, default)
        self.memory = self.own.bind(self.memory, keys, request)

    def _aggregator_receive(self, call: Call) -> None:
        default = honest(self.epoch, SealedStreamKey, aggregator=self.number, client=2)
        (message,) = self._given(call, default)
        self.own.receive(self.memory, message)

    def _aggregator_start(self, _: Call) -> None:
        self.memory = self.own.start(self.memory)

    # A client

    def _client_begin(self, call: Call) -> None:
        initial = read_state(call["state"]) if "state" in call else None
        identity = self.cast.client_keys[self.number]
        own = ClientSetup(self.cast.manifest, self.number, identity, self.memory, initial)
        own._unsealing = sealing.recipient(f"{self.epoch}/client {self.number}")
        self.made[self.epoch] = own

    def _client_bind(self, call: Call) -> None:
        self.own.bind(self._given(call, honest(self.epoch, AggregatorKey)))

    def _client_key(self, _: Call) -> Any:
        return self.own.key()

    def _client_seal(self, call: Call) -> Any:
        keys = played()[self.epoch].keys
        secrets = [keys.stream_key(self.number, s) for s in self.cast.aggregators]
        if "secrets" in call:
            secrets = [bytes.fromhex(text) for text in call["secrets"]]
        return self.own.seal_stream_keys(secrets)

    def _client_lead(self, call: Call) -> Any:
        keys = self._given(call, honest(self.epoch, ClientKey))
        filed = call.get("filed_under", [key.client for key in keys])
        secret = bytes.fromhex(call["secret"]) if "secret" in call else played()[self.epoch].keys.group.key
        return self.own.lead(dict(zip(filed, keys, strict=True)), secret)

    def _client_receive_group_key(self, call: Call) -> None:
        (message,) = self._given(call, honest(self.epoch, SealedGroupKey, recipient=self.number))
        self.own.receive_group_key(message)

    def _client_receive_state(self, call: Call) -> Any:
        *vouchers, message = self._given(call, [*honest(self.epoch, Voucher), *honest(self.epoch, SealedState)])
        counter = call.get("counter", sealing.STATES[self.epoch])
        return self.own.receive_state(message, vouchers, lambda data: state_of(data, counter))

    def _client_start(self, call: Call) -> None:
        self.memory = self.own.start(None if call.get("without_memory") else self.memory)

    def _client_move_on(self, call: Call) -> None:
        self.memory = self.memory.next(state=read_state(call["state"]))

    def _client_give_state(self, call: Call) -> Any:
        (newcomer,) = self._given(call, honest(self.epoch, ClientKey, client=4))
        data = bytes.fromhex(call["state_bytes"]) if "state_bytes" in call else sealing.training_state(self.epoch)
        identity = self.cast.client_keys[self.number]
        client = Client(self.cast.manifest, self.number, identity, bytes(32))

        def read(state: bytes) -> TrainingState:
            return replace(self.memory.state, digest=state_of(state, 0).digest)

        return client.give_state(self.memory, newcomer, data, read)
