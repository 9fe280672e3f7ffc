from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import ClientMemory
from privateyes.aggregation.messages import Delivery, HubSum, Message, Opening
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.message_log import Endpoint, MessageLog, endpoint_of
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import SecureExchange
from privateyes.experiments.learned import PARTIES, learned
from privateyes.experiments.method_names import METHODS
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from privateyes.parties.packets import Packet
from privateyes.storage.mirror import STORE_NAME
from taking_part import taking_part


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_what_each_party_learned(method: str) -> None:
    assert set(learned(method, 3)) == set(PARTIES)


def test_private_claims_no_more_than_all_but_one_aggregator() -> None:
    assert "even if 4 of the 5" in learned("private", 5)["aggregator"]


def test_a_public_task_does_not_claim_that_hub_and_aggregators_learn_no_average() -> None:
    sealed, public = learned("private", 3), learned("private", 3, "public")
    assert "no average" in sealed["hub"]
    for party in ("hub", "aggregator"):
        assert "no average" not in public[party]
    assert "the model" in public["hub"]
    assert learned("federated", 3, "public") == learned("federated", 3)


class Overheard:
    """Every message of a local session, as the bytes that each kind of party received."""

    manifest: Manifest

    def __init__(self) -> None:
        self.received: dict[Endpoint, list[tuple[str, bytes]]] = {place: [] for place in Endpoint}

    def types(self, place: Endpoint) -> set[str]:
        return {kind for kind, _ in self.received[place]}

    def everything(self, place: Endpoint) -> bytes:
        return b"".join(data for _, data in self.received[place])


def _bytes_of(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.to_bytes()


@pytest.fixture
def overheard(monkeypatch: pytest.MonkeyPatch) -> Overheard:
    heard, carry = Overheard(), MessageLog.carry

    def listen(self: MessageLog, packet: Packet) -> Packet:
        arrived, heard.manifest = carry(self, packet), self.manifest
        for message in arrived.parts:
            name = type(message).__name__ if isinstance(message, Message) else "plain bytes"
            heard.received[endpoint_of(packet.receiver)].append((name, _bytes_of(message)))
        return arrived

    monkeypatch.setattr(MessageLog, "carry", listen)
    return heard


def test_what_private_says_about_each_party_is_what_it_receives(overheard: Overheard, tmp_path: Path) -> None:
    """Setup and one round: the messages' types, and that nothing in the clear stands in their bytes."""
    random = np.random.default_rng(1)
    state = ServerState(random.normal(size=60).astype(np.float32))
    updates = [ClientUpdate(name, 9, random.normal(0, 0.1, 60).astype(np.float32), 0.0) for name in "abcd"]
    plan = SecurePlan(tuple("abcd"), 60, 3, FixedPoint(COMPACT, 1.0, 16, weight_max=9, roster_max=4), 4)
    with closing(SecureExchange(plan, FedAvg(), tmp_path, seed=1)) as exchange:
        following, _ = exchange.exchange(state, taking_part(updates))
        rows = sqlite3.connect(tmp_path / STORE_NAME).execute("SELECT body FROM memory WHERE party LIKE 'client%'")
        group_keys = {ClientMemory.from_bytes(bytes(body)).group.key for (body,) in rows}

    # "who took part": votes and headers. Submission is masked, Opening the sum of masks, keys are sealed or public.
    keys_of_setup = {"AggregatorKey", "ClientKey", "SealedStreamKey", "SealedGroupKey"}
    words_of_a_round = {"Announcement", "Vote", "RosterCommitment", "Agreement", "Opening", "ResultSignature"}
    assert overheard.types(Endpoint.HUB) == keys_of_setup | words_of_a_round | {"Submission"}
    # An aggregator gets no share of any single client, no delivery and nothing with the group key in it, even sealed;
    # a request names a session, and nothing else, as do plain bytes, or a set-up.
    assert overheard.types(Endpoint.AGGREGATOR) == {
        "AggregatorKey", "HubRequest", "SealedStreamKey", "plain bytes", "Header", "Vote", "RosterCommitment",
        "HubCommitment", "Agreement", "Opening", "HubSum", "ResultSignature",
    }  # fmt: skip
    # A client gets nothing of another client's but its public key and, from the leader, the group key sealed to it.
    assert overheard.types(Endpoint.CLIENT) == {
        "AggregatorKey", "ClientKey", "SealedGroupKey", "Announcement", "Delivery",
    }  # fmt: skip
    assert len(group_keys) == 1
    secrets = [*group_keys, *(update.delta.tobytes() for update in updates)]
    secrets += [state.vector.tobytes(), following.vector.tobytes(), (following.vector - state.vector).tobytes()]
    for place in Endpoint:
        traffic = overheard.everything(place)
        assert not any(secret in traffic for secret in secrets)


def test_hub_and_all_aggregators_together_open_only_a_sum_that_the_group_key_still_masks(
    overheard: Overheard, tmp_path: Path
) -> None:
    """No average: the opened value without the clients' pad is no small number anywhere near the true sum."""
    state = ServerState(np.zeros(60, np.float32))
    updates = [ClientUpdate(name, 9, np.full(60, 0.01, np.float32), 0.0) for name in "abcd"]
    plan = SecurePlan(tuple("abcd"), 60, 3, FixedPoint(COMPACT, 1.0, 16, weight_max=9, roster_max=4), 4)
    with closing(SecureExchange(plan, FedAvg(), tmp_path, seed=1)) as exchange:
        following, _ = exchange.exchange(state, taking_part(updates))
    heard, manifest = overheard.received[Endpoint.AGGREGATOR], overheard.manifest
    total = next(HubSum.from_bytes(data, manifest).share for kind, data in heard if kind == "HubSum")
    shares = [Opening.from_bytes(data, manifest).share for data in {data for kind, data in heard if kind == "Opening"}]
    deliveries = [data for kind, data in overheard.received[Endpoint.CLIENT] if kind == "Delivery"]
    opened = np.array(
        [sum(int(entry) for entry in column) % COMPACT.prime for column in zip(total, *shares, strict=True)]
    )
    assert len(shares) == 3
    assert np.array_equal(opened, Delivery.from_bytes(deliveries[0], manifest).share)
    true = 4 * 9 * 0.01 * (1 << 16)
    distance = np.abs(opened[:60] - true)
    # Of numbers that are spread over the whole field, half are further away than a quarter of it.
    assert np.median(np.minimum(distance, COMPACT.prime - distance)) > COMPACT.prime / 16
    np.testing.assert_allclose(following.vector, 0.01, atol=1e-4)
