"""35. A client lost its store. With its key it could return, submit once more from the same weights, and so isolate a
client that lost nothing: so the key is in the store, is made with it, and is nowhere else.
"""

from __future__ import annotations

import inspect
import shutil

import pytest

from isolation import less, open_with, sum_of
from privateyes.crypto.signature import SigningKey
from privateyes.errors import RefusedError
from privateyes.storage.store import PartyStore

LOST = 1


def test_a_new_store_has_new_keys_and_takes_no_others(tmp_path) -> None:
    def made() -> tuple[bytes, dict[str, bytes]]:
        store = PartyStore.create(tmp_path / "a", parties=["client 1"], data_sets=["client 1"])
        found = SigningKey(store.identities()["client 1"]).public_bytes, store.data_sets()
        store.close()
        return found

    first = made()
    shutil.rmtree(tmp_path / "a")
    again = made()
    assert again[0] != first[0]
    assert again[1] != first[1]
    assert set(inspect.signature(PartyStore.create).parameters) == {"folders", "parties", "data_sets"}
    assert not [name for name in dir(PartyStore) if name.startswith("put_") and "ident" in name]


def test_those_that_lost_nothing_wait_for_the_session_whatever_a_returned_client_does(world) -> None:
    open_with(world, 1, 2, 3)
    _return(world)
    world.announce()
    for client in (2, 3):
        with pytest.raises(RefusedError, match="was opened, or is not proven void"):
            world.submit(client)


def test_with_its_key_elsewhere_a_client_that_lost_its_store_isolates_another(world) -> None:
    """Its own update is in both sums, so the adversary, who holds clients 3 and 4, is left with client 2's."""
    first = open_with(world, 1, 2, 3)
    victim, known = sum_of(world, 2), sum_of(world, 3)
    _return(world)
    second = open_with(world, 1, 4)
    returned = less(second, sum_of(world, 4))
    assert less(less(first, known), returned) == victim


def _return(world) -> None:
    """As somebody who has the key and nothing else: new to the task, with the state that the manifest pins."""
    del world.client_memories[LOST]
    world.ledgers[LOST] = []
    world.set_up()
