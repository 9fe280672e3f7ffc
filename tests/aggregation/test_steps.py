"""What transitions return shows no share, and says a session's words once more as far as they were said."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from privateyes.aggregation.steps import Committed, OwnShare, Point, Step, Voted, Words
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.commitment import merkle_root

SAID = {
    "announce": (), "vote": ("vote",), "commit": ("vote", "commitment"),
    "agree": ("vote", "commitment", "agreement"), "open": ("vote", "commitment", "agreement", "opening"),
    "certify": ("vote", "commitment", "agreement", "opening", "result"),
}  # fmt: skip


def test_an_abort_notice_names_the_step_of_the_protocol() -> None:
    assert {point.name: int(point) for point in Point} == {"ROSTER": 2, "COMMIT": 3, "OPEN": 4}


@pytest.mark.parametrize("to", SAID)
def test_all_words_of_a_session_come_back_as_they_were_said(make_world, to) -> None:
    world = make_world(n=2)
    world.announce()
    if to != "announce":
        world.submit_all()
        world.finish(to)
    words = world.aggregators[2].words(world.aggregator_memories[2], world.sid)
    expected = {*SAID[to], "commitments"} if "agreement" in SAID[to] else set(SAID[to])
    assert {part.name for part in fields(Words) if getattr(words, part.name)} == expected
    said = {"vote": "votes", "commitment": "commitments", "agreement": "agreements", "result": "results"}
    for name, listed in said.items():
        if name in SAID[to]:
            assert getattr(words, name).to_bytes() == getattr(world, listed)[1].to_bytes()
    if "agreement" in SAID[to]:
        commitments = [world.hub_commitment, *world.commitments]
        assert words.commitments == tuple(message.commitment for message in commitments)
    if "opening" in SAID[to]:
        assert words.opening == world.openings[1].receipt(world.manifest.bulk_hash)


@pytest.mark.parametrize("bulk_hash", BulkHash)
def test_an_own_share_has_the_root_of_its_elements(make_world, bulk_hash) -> None:
    world = make_world(n=2, bulk_hash=bulk_hash)
    elements = world.field.zeros(world.manifest.share_elements)
    elements[2] = 9
    share = world.aggregators[1].own_share(elements)
    assert share.root == merkle_root(elements, bulk_hash)
    assert share.elements is elements


def test_no_repr_shows_a_share_or_its_root(make_world) -> None:
    world = make_world(n=2)
    world.run(to="vote")
    step = world.aggregators[1].commit(world.aggregator_memories[1], world.headers, world.votes, bytes([7]) * 32)
    assert isinstance(step, Committed)
    assert step.share is not None
    for shown in (repr(step), repr(step.share)):
        assert "array" not in shown
        assert repr(step.share.root) not in shown
    assert repr(OwnShare(np.arange(3), b"root")) == "OwnShare()"


def test_a_word_that_was_stored_before_brings_no_memory_no_share_and_no_reason() -> None:
    assert Committed("word", None).share is None
    assert Voted("word", None).rejected == {}
    assert issubclass(Voted, Step)
    assert issubclass(Committed, Step)
