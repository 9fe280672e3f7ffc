"""The parties of a local run with a store of their own, set up and ready for a first round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from failing_disks import Killed
from privateyes.aggregation.memory import TrainingState
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.engines.local.message_log import MessageLog
from privateyes.engines.local.misbehaviour import AlteringAggregator
from privateyes.engines.local.network import LocalNetwork, set_up_locally
from privateyes.engines.local.parties import (
    Identities,
    LocalParties,
    SecurePlan,
    draw_identities,
    parties_from,
)
from privateyes.engines.local.secure import SecureExchange
from privateyes.errors import AbortError
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from privateyes.parties.packets import Packet
from privateyes.storage.store import PartyStore
from taking_part import taking_part

INITIAL = TrainingState(bytes(32), bytes([1]) * 32, 0)
"""The training state that these tasks begin with."""


def local_parties(plan: SecurePlan, identities: Identities | None = None, lanes: Lanes = ONE_LANE) -> LocalParties:
    """The parties before any set-up."""
    return parties_from(plan, identities or draw_identities(plan), INITIAL.digest, lanes)


def set_up_in(store: PartyStore, parties: LocalParties, message_log: MessageLog | None = None) -> None:
    """The first set-up, each memory stored as it comes."""
    set_up_locally(parties, store, INITIAL, message_log or MessageLog(parties.manifest))


def local_task(plan: SecurePlan, folder: Path) -> tuple[LocalParties, PartyStore]:
    """Parties that are set up, and their store."""
    parties, store = local_parties(plan), PartyStore.create(folder)
    set_up_in(store, parties)
    return parties, store


@contextmanager
def dying_before(step: str, error: BaseException | type[BaseException] = Killed) -> Iterator[None]:
    """The process dies before anybody is asked for a step, or there is another error."""
    ask = LocalNetwork.ask

    def die(self: LocalNetwork, batch: Sequence[Packet]) -> list[Packet]:
        if any(packet.step == step for packet in batch):
            raise error
        return ask(self, batch)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LocalNetwork, "ask", die)
        yield


@contextmanager
def dying_after(step: str) -> Iterator[None]:
    """The process dies when all have stored their words of a step, and before these are sent."""
    ask = LocalNetwork.ask

    def die(self: LocalNetwork, batch: Sequence[Packet]) -> list[Packet]:
        answers = ask(self, batch)
        if any(packet.step == step for packet in batch):
            raise Killed
        return answers

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LocalNetwork, "ask", die)
        yield


def refuse(private: SecureExchange, state: ServerState, updates: Sequence[ClientUpdate]) -> None:
    """A round in which an aggregator alters its share, so that every client refuses what was opened."""
    parties = private._parties
    assert parties is not None
    honest = parties.aggregators[1]
    altering = AlteringAggregator(honest.manifest, honest.number, honest.identity, coordinate=3, amount=5)
    private._parties = parties.with_aggregator(altering)
    with pytest.raises(AbortError, match="privateyes task continue"):
        private.exchange(state, taking_part(updates))
    private._parties = private._parties.with_aggregator(honest)
