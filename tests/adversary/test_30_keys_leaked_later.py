"""30. Recorded traffic, and the aggregators' pinned keys leaked later: nothing opens."""

from __future__ import annotations

import pickle
import secrets

import pytest

from privateyes.aggregation.keys import setup_id
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import SealedStreamKey
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup, _stream_key_info
from privateyes.crypto.statement import KEY_BYTES
from privateyes.errors import MalformedError

EPOCH = 2


@pytest.fixture
def recorded(world):
    """A set-up of epoch 2 between aggregator 1 and client 2: the recorded key, the secret in it, and both ends."""
    numbers = range(1, len(world.manifest.aggregators) + 1)
    ends = [AggregatorSetup(world.manifest, s, world.aggregator_keys[s], EPOCH, None) for s in numbers]
    client = ClientSetup(world.manifest, 2, world.client_keys[2], EPOCH, bytes(32))
    stream_keys = [secrets.token_bytes(KEY_BYTES) for _ in ends]
    sealed = client.seal_stream_keys([end.key() for end in ends], stream_keys)
    return sealed[0], stream_keys[0], ends[0]


def _info(world) -> bytes:
    return _stream_key_info(setup_id(world.manifest.digest(), EPOCH), 2, 1)


def test_the_pinned_key_alone_opens_nothing_that_was_recorded(world, recorded) -> None:
    message, _, end = recorded
    end.receive(message)
    end.start(None)
    with_leaked_key = AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], EPOCH, None)
    with pytest.raises(MalformedError, match="does not open"):
        with_leaked_key.receive(message)


def test_the_sealing_key_is_gone_once_the_epoch_starts(recorded) -> None:
    message, _, end = recorded
    end.receive(message)
    memory = end.start(None)
    assert not hasattr(end, "_unsealing")
    assert isinstance(memory, AggregatorMemory)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(end)


def test_the_memory_of_a_later_round_does_not_hold_the_recorded_key(world, recorded) -> None:
    message, stream_key, end = recorded
    end.receive(message)
    aggregator = world.aggregators[1]
    memory = end.start(None)
    assert stream_key.hex().encode() in memory.to_bytes(), "before the first round it must be there"
    announced = aggregator.announce(memory, EPOCH, 0, bytes(32)).memory
    later = aggregator.announce(announced, EPOCH, 1, bytes(32)).memory
    assert later is not None
    assert stream_key.hex().encode() not in later.to_bytes()


def test_with_a_sealing_key_that_was_kept_the_recorded_traffic_opens(world, recorded) -> None:
    message, stream_key, end = recorded
    kept = end._unsealing
    end.receive(message)
    end.start(None)
    replayed = SealedStreamKey.from_bytes(message.to_bytes(), world.manifest)
    assert kept.unseal(replayed.sealed, _info(world)) == stream_key
