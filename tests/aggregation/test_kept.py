"""What a client keeps of a submission gives the same bytes again, and damage is found before anything leaves."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from privateyes.aggregation.client import SubmissionSecrets, Update
from privateyes.aggregation.kept import KeptSubmission
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.streams import CHUNK_BYTES
from privateyes.encoding.clips import ClipPlan
from privateyes.errors import MalformedError, RefusedError


def _kept(world, client: int = 1):
    return world.kept[client].with_update(world.encoded_updates[client])


@pytest.fixture
def submitted(world):
    world.run(to="submit")
    return world


def test_the_small_part_reads_back_what_it_wrote(submitted) -> None:
    for kept in submitted.kept.values():
        again = KeptSubmission.from_bytes(kept.to_bytes(), submitted.manifest)
        assert again == kept
        assert len(again.round_keys) == submitted.n


def test_the_small_part_begins_with_a_weight_of_eight_bytes(submitted) -> None:
    for kept in submitted.kept.values():
        assert kept.to_bytes()[:9] == kept.weight.to_bytes(8, "big") + kept.session_key[:1]


def test_every_truncation_and_extension_is_damage(submitted) -> None:
    data = submitted.kept[1].to_bytes()
    for damaged in (b"", data[:7], data[:8], data[:39], data[:-1], data + b"\0", data[1:]):
        with pytest.raises(MalformedError):
            KeptSubmission.from_bytes(damaged, submitted.manifest)


@pytest.mark.parametrize("mode", ["sealed", "public"])
@pytest.mark.parametrize("bulk_hash", BulkHash)
def test_the_same_bytes_leave_again_as_often_as_they_are_asked_for(make_world, field, mode, bulk_hash) -> None:
    world = make_world(n=3, field=field, mode=mode, bulk_hash=bulk_hash)
    world.run(to="submit")
    for client, submission in world.submissions.items():
        memory = world.client_memories[client]
        stored = KeptSubmission.from_bytes(world.kept[client].to_bytes(), world.manifest)
        for _ in range(2):
            again = world.clients[client].resend(memory, stored.with_update(world.encoded_updates[client]))
            assert again.to_bytes() == submission.to_bytes()


def _submit_directly(world, update) -> tuple[object, object]:
    """Client 1's submission, without the ideal one beside it; and what it kept."""
    pieces = []
    done = world.clients[1].submit(
        world.client_memories[1], [], world.announcements, update, SubmissionSecrets(bytes(32), bytes(32)),
        lambda piece: pieces.append(piece.copy()),
    )  # fmt: skip
    return done, done.kept.with_update(np.concatenate(pieces))


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_an_update_that_fills_several_chunks_leaves_again_too(make_world, field, beyond) -> None:
    d = 2 * CHUNK_BYTES // field.element_bytes + beyond
    world = make_world(n=2, m=2, d=d, field=field)
    world.announce()
    done, kept = _submit_directly(world, Update(world.delta(1), 3))
    assert kept.encoded.shape == (d,)
    assert world.clients[1].resend(done.memory, kept).to_bytes() == done.submission.to_bytes()


def test_what_was_kept_does_not_depend_on_the_clips_of_the_time(make_world) -> None:
    """q is kept as it left, on its own grid: nothing is clipped or rounded again."""
    world = make_world(n=2)
    world.announce()
    done, kept = _submit_directly(world, Update(world.delta(1), 3, ClipPlan((3, 4), (0.25, 1.0))))
    assert world.clients[1].resend(done.memory, kept).to_bytes() == done.submission.to_bytes()


@pytest.mark.parametrize("position", [0, 3, 6])
def test_a_damaged_update_does_not_leave(submitted, position) -> None:
    """Else one header would name two shares, and the difference of two uploads be known."""
    kept = _kept(submitted)
    damaged = submitted.shifted(kept.encoded, {position: 1})
    with pytest.raises(MalformedError, match="what was stored of the submission is damaged"):
        submitted.clients[1].resend(submitted.client_memories[1], submitted.kept[1].with_update(damaged))


def test_other_keys_or_another_weight_than_it_left_with_do_not_fit_the_header(submitted) -> None:
    kept = submitted.kept[1]
    wrong = [
        replace(kept, weight=kept.weight + 1),
        replace(kept, session_key=bytes(32)),
        *(
            replace(kept, round_keys=(*kept.round_keys[:s], bytes(32), *kept.round_keys[s + 1 :]))
            for s in range(submitted.n)
        ),
    ]
    for damaged in wrong:
        with pytest.raises(MalformedError, match="is damaged"):
            submitted.clients[1].resend(submitted.client_memories[1], damaged.with_update(submitted.encoded_updates[1]))
    other = replace(kept, header=replace(kept.header, nonce=bytes(32)))
    with pytest.raises(RefusedError, match="does not follow that session"):
        submitted.clients[1].resend(submitted.client_memories[1], other.with_update(submitted.encoded_updates[1]))


@pytest.mark.parametrize("size", [0, 6, 8])
def test_an_update_of_another_length_is_damage(submitted, size) -> None:
    encoded = submitted.field.zeros(size)
    with pytest.raises(MalformedError, match="another length than the model"):
        submitted.clients[1].resend(submitted.client_memories[1], submitted.kept[1].with_update(encoded))


def test_what_is_handed_out_may_be_changed_and_what_is_kept_stays(submitted) -> None:
    kept = _kept(submitted)
    before, out = kept.encoded.copy(), submitted.field.zeros(submitted.d)
    for piece in kept.pieces(out):
        piece[:] = 0
    assert np.array_equal(kept.encoded, before)


def test_a_session_that_is_followed_no_more_is_not_sent_to(submitted) -> None:
    forgotten = replace(submitted.client_memories[1], followed=())
    with pytest.raises(RefusedError, match="does not follow that session"):
        submitted.clients[1].resend(forgotten, _kept(submitted))
    watched = replace(
        submitted.client_memories[1],
        followed=tuple(replace(own, header_hash=b"") for own in submitted.client_memories[1].followed),
    )
    with pytest.raises(RefusedError, match="does not follow that session"):
        submitted.clients[1].resend(watched, _kept(submitted))


def test_no_repr_shows_the_weight_the_keys_or_the_update(submitted) -> None:
    kept = _kept(submitted)
    shown = repr(kept) + repr(submitted.kept[1])
    for value in (kept.session_key, *kept.round_keys):
        assert repr(value) not in shown
        assert value.hex() not in shown
    assert "weight" not in shown
    assert "encoded" not in shown
    assert {part.name for part in fields(KeptSubmission)} == {"header", "weight", "session_key", "round_keys"}
