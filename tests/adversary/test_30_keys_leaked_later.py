"""30. Recorded traffic, and the aggregators' pinned keys leaked later: nothing opens.

The adversary holds the hub, n - 1 aggregators and a client; it recorded everything, and later takes the honest
aggregator's pinned key and memory too.
"""

from __future__ import annotations

import pickle

import pytest

from privateyes.aggregation.keys import share_stream
from privateyes.aggregation.messages import SealedStreamKey
from privateyes.aggregation.setup import AggregatorSetup, _stream_key_info
from privateyes.crypto.streams import scratch_words
from privateyes.errors import MalformedError, RefusedError


@pytest.fixture
def recorded(coalition):
    """A second set-up over the network with one round in it; client 1's key for the honest aggregator as recorded."""
    coalition.kept_setups = []
    actor = coalition.aggregators[coalition.honest]
    start = actor.do_start

    def keep_and_start(packet):
        coalition.kept_setups.append((actor.setup, getattr(actor.setup, "_unsealing", None)))
        return start(packet)

    actor.do_start = keep_and_start
    coalition.set_up()
    before = coalition.clients[1].memory.chains[coalition.honest - 1].key
    coalition.play()
    name = f"aggregator {coalition.honest}"
    packets = [p for p in coalition.adversary.seen if p.step == "stream" and p.receiver == name]
    messages = [SealedStreamKey.from_bytes(p.parts[0], coalition.manifest) for p in packets]
    return coalition, before, next(message for message in messages if message.client == 1)


def _info(network) -> bytes:
    return _stream_key_info(network.hub.setup, 1, network.honest)


def test_the_pinned_key_alone_opens_nothing_that_was_recorded(recorded) -> None:
    network, _, message = recorded
    leaked = network.aggregators[network.honest].own.identity
    with_leaked_key = AggregatorSetup(network.manifest, network.honest, leaked, network.epoch, 1)
    with pytest.raises(MalformedError, match="does not open"):
        with_leaked_key._unsealing.unseal(message.sealed, _info(network))
    network.require_sound()


def test_the_sealing_key_is_gone_once_the_set_up_starts(recorded) -> None:
    network, _, _ = recorded
    ((setup, _),) = network.kept_setups
    assert setup._unsealing is None
    assert setup._received == {}, "nor does it hold the first chain keys"
    with pytest.raises(RefusedError, match="its private keys are gone"):
        setup.key()
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(setup)


def test_the_memory_after_the_round_holds_no_key_of_it(recorded) -> None:
    network, key, _ = recorded
    actor = network.aggregators[network.honest]
    assert key.hex().encode() not in actor.memory.to_bytes()
    with pytest.raises(RefusedError, match="keys are erased"):
        actor.memory.chains[1].advance_to(network.round, network.hub.setup)


def test_with_a_sealing_key_that_was_kept_the_recorded_upload_opens(recorded) -> None:
    """The double did not drop it; with the other aggregators' streams and the group key, client 1's update is read."""
    network, key, message = recorded
    ((_, kept),) = network.kept_setups
    assert kept.unseal(message.sealed, _info(network)) == key
    setup = network.hub.setup
    submission = network.session.submissions[1]
    header, scratch = submission.header, scratch_words(network.field)
    shares = [
        network.aggregators[s].own._regenerate(kept_memory, kept_memory.session, [header])[0]
        for s, kept_memory in network.kept.items()
    ]
    stream = network.field.zeros(network.manifest.share_elements)
    chain = type(network.clients[1].memory.chains[0])(0, key).advance_to(network.round, setup)
    round_key = chain.round_key(setup)
    share_stream(network.field, round_key, network.sid, 1, network.honest, header.nonce, scratch).add_to(stream)
    stolen = network.read(network.add(submission.share, stream, *shares), masks=1)
    assert stolen == [*network.input_of(1).values, network.input_of(1).weight]
