"""The checks of a delivered result, one by one, at their limits, and for whoever audits a public task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privateyes.aggregation import result
from privateyes.aggregation.messages import Delivery
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.result import (
    Check,
    open_result,
    require_legal_roster,
    require_result_signatures,
    result_mask,
    verify_disclosed,
)
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.streams import scratch_words
from privateyes.encoding.clips import ClipPlan
from privateyes.encoding.fixed_point import exact_clip
from privateyes.errors import DeliveryError, MalformedError, RefusedError
from sessions import certified, result_of

SHARED = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
ZERO = bytes(32)


def _key(world: Any) -> bytes:
    key: bytes = world.group.session_key(world.sid)
    return key


def _shifted(world: Any, changes: Mapping[int, int]) -> Delivery:
    return replace(world.delivery, share=world.shifted(world.delivery.share, changes))


@pytest.fixture
def done(world):
    world.run(1, 2, 4)
    return world


@pytest.fixture(params=[COMPACT, WIDE], ids=lambda field: field.name)
def public(make_world, request):
    world = make_world(n=2, m=4, field=request.param, mode="public")
    world.run(1, 2, 4)
    world.disclosure = world.clients[1].disclose(world.client_memories[1], world.delivery)
    return world


# Checks 3 and 4


@pytest.mark.parametrize("clients", [(), (1,), (0, 1), (1, 5), (1, 2, 3, 4, 5), (1, 2**32 - 1)])
def test_rosters_outside_the_manifest_fail_check_3(done, clients) -> None:
    with pytest.raises(DeliveryError) as refusal:
        require_legal_roster(done.manifest, [(client, ZERO) for client in clients])
    assert refusal.value.check == Check.ROSTER


@pytest.mark.parametrize("clients", [(1, 4), (2, 3), (1, 2, 3, 4)])
def test_rosters_within_the_manifest_pass_check_3(done, clients) -> None:
    require_legal_roster(done.manifest, [(client, ZERO) for client in clients])


def test_every_part_of_a_delivery_is_under_the_signatures(done) -> None:
    delivery = done.delivery
    require_result_signatures(done.manifest, delivery.receipt(done.manifest.bulk_hash))
    altered = [
        replace(delivery, sid=ZERO),
        replace(delivery, group_check=ZERO),
        replace(delivery, roster=delivery.roster[:2]),
        replace(delivery, roster=((1, ZERO), *delivery.roster[1:])),
        replace(delivery, commitments=delivery.commitments[:-1]),
        replace(delivery, commitments=(*delivery.commitments, ZERO)),
        replace(delivery, commitments=delivery.commitments[::-1]),
        replace(delivery, results=delivery.results[:-1]),
        replace(delivery, results=(*delivery.results, delivery.results[0])),
        replace(delivery, results=delivery.results[::-1]),
        replace(delivery, results=(bytes(64), *delivery.results[1:])),
        *(_shifted(done, {position: 1}) for position in (0, done.d, done.manifest.share_elements - 1)),
    ]
    for wrong in altered:
        with pytest.raises(DeliveryError) as refusal:
            require_result_signatures(done.manifest, wrong.receipt(done.manifest.bulk_hash))
        assert refusal.value.check == Check.SIGNATURES


# Checks 5 to 7


def test_an_honest_sum_opens_to_the_ideal_average(done) -> None:
    average = open_result(done.manifest, _key(done), done.delivery)
    assert average.total_weight == done.ideal().total_weight
    assert np.array_equal(average.mean, done.mean_of(done.ideal()))


@pytest.fixture(scope="module")
def played(make_world):
    """A finished round in either field, which nobody changes."""
    worlds = {field.name: make_world(n=2, m=4, d=11, field=field) for field in (COMPACT, WIDE)}
    for world in worlds.values():
        world.run()
    return worlds


def test_a_complaint_names_a_check_by_the_number_of_the_protocol() -> None:
    numbers = {
        "SESSION": 1, "GROUP_KEY": 2, "ROSTER": 3, "SIGNATURES": 4, "TAG": 5, "WEIGHT": 6, "RANGE": 7, "NORM": 8,
    }  # fmt: skip
    assert {name: check.value for name, check in Check.__members__.items()} == numbers


@SHARED
@given(data=st.data())
def test_any_change_of_the_sum_fails_check_5(played, data) -> None:
    world = played[data.draw(st.sampled_from(["compact", "wide"]))]
    element = st.integers(0, world.manifest.share_elements - 1)
    changes = data.draw(st.dictionaries(element, st.integers(1, world.prime - 1), min_size=1, max_size=4))
    with pytest.raises(DeliveryError) as refusal:
        open_result(world.manifest, _key(world), _shifted(world, changes))
    assert refusal.value.check == Check.TAG


def test_another_roster_size_or_session_key_fails_check_5(done) -> None:
    fewer = replace(done.delivery, roster=done.delivery.roster[:2])
    for delivery, key in ((fewer, _key(done)), (done.delivery, ZERO), (replace(done.delivery, sid=ZERO), _key(done))):
        with pytest.raises(DeliveryError) as refusal:
            open_result(done.manifest, key, delivery)
        assert refusal.value.check == Check.TAG


def test_without_check_5_an_altered_sum_would_be_opened(done, monkeypatch) -> None:
    unmask = result._unmask
    monkeypatch.setattr(result, "_unmask", lambda *arguments: (unmask(*arguments)[0], True))
    average = open_result(done.manifest, _key(done), _shifted(done, {0: 1}))
    assert average.mean[0] != done.mean_of(done.ideal())[0]


def test_a_total_weight_is_accepted_up_to_its_limits_and_not_beyond(done) -> None:
    """The tags fit: whoever does this has the group key."""
    size, total = len(done.delivery.roster), done.ideal().total_weight
    largest = size * done.encoding.weight_max
    for weight, legal in (
        (size, True),
        (largest, True),
        (size - 1, False),
        (largest + 1, False),
        (0, False),
        (-1, False),
    ):
        changes = done.with_matching_tags({done.d: weight - total, **{t: -_sum(done, t) for t in range(done.d)}})
        if legal:
            assert open_result(done.manifest, _key(done), _shifted(done, changes)).total_weight == weight
        else:
            with pytest.raises(DeliveryError) as refusal:
                open_result(done.manifest, _key(done), _shifted(done, changes))
            assert refusal.value.check == Check.WEIGHT


def _sum(world: Any, t: int) -> int:
    return world.ideal().values[t]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("position", [0, 6])
def test_a_coordinate_is_accepted_up_to_its_bound_and_not_beyond(done, sign, position) -> None:
    ideal = done.ideal()
    bound = done.encoding.sum_bound(len(done.delivery.roster), ideal.total_weight)
    for beyond in (0, 1):
        change = sign * (bound + beyond) - ideal.values[position]
        delivery = _shifted(done, done.with_matching_tags({position: change}))
        if beyond:
            with pytest.raises(DeliveryError) as refusal:
                open_result(done.manifest, _key(done), delivery)
            assert refusal.value.check == Check.RANGE
        else:
            average = open_result(done.manifest, _key(done), delivery)
            assert average.mean[position] == sign * bound / (ideal.total_weight * 2.0**done.encoding.scale_bits)


@pytest.mark.parametrize("noise_bound", [0, 1, 7])
def test_noise_widens_the_bound_of_a_coordinate_by_that_of_every_client(done, noise_bound) -> None:
    """The manifest's bound is taken, exactly: one that is ignored refuses honest sums, a wider one widens a shift."""
    encoding, size, ideal = replace(done.encoding, noise_bound=noise_bound), len(done.delivery.roster), done.ideal()
    manifest = replace(done.manifest, encoding=encoding)
    bound = done.encoding.sum_bound(size, ideal.total_weight) + size * noise_bound
    for sign in (1, -1):
        for beyond in (0, 1):
            change = sign * (bound + beyond) - ideal.values[2]
            delivery = _shifted(done, done.with_matching_tags({2: change}))
            if not beyond:
                open_result(manifest, _key(done), delivery)
                continue
            with pytest.raises(DeliveryError) as refusal:
                open_result(manifest, _key(done), delivery)
            assert refusal.value.check == Check.RANGE


def test_each_tensor_is_held_to_its_own_clip(done) -> None:
    """A clip of 0.6 has the manifest's grid, so the same sum is too large in one tensor and not in the other."""
    ideal, plan = done.ideal(), ClipPlan((3, 4), (1.0, 0.6))
    tighter = replace(done.encoding, clip=exact_clip(0.6)).sum_bound(len(done.delivery.roster), ideal.total_weight)
    for position, beyond, legal in ((0, 1, True), (2, 1, True), (3, 0, True), (3, 1, False), (6, 1, False)):
        others = {t: -_sum(done, t) for t in range(done.d)}
        changes = done.with_matching_tags({**others, position: tighter + beyond - _sum(done, position)})
        if legal:
            open_result(done.manifest, _key(done), _shifted(done, changes), plan)
        else:
            with pytest.raises(DeliveryError) as refusal:
                open_result(done.manifest, _key(done), _shifted(done, changes), plan)
            assert refusal.value.check == Check.RANGE


def test_a_tensor_with_a_small_clip_is_decoded_on_its_finer_grid(done) -> None:
    plain = open_result(done.manifest, _key(done), done.delivery)
    finer = open_result(done.manifest, _key(done), done.delivery, ClipPlan((3, 4), (1.0, 0.25)))
    assert np.array_equal(finer.mean[:3], plain.mean[:3])
    assert np.array_equal(finer.mean[3:], plain.mean[3:] / 4)


@pytest.mark.parametrize("elements", [1, 2, 3, 5, 8])
def test_a_result_opened_in_small_chunks_is_the_same(done, monkeypatch, elements) -> None:
    expected = open_result(done.manifest, _key(done), done.delivery)
    monkeypatch.setattr(result, "CHUNK_BYTES", elements * 8)
    again = open_result(done.manifest, _key(done), done.delivery)
    assert np.array_equal(again.mean, expected.mean)
    assert again.total_weight == expected.total_weight
    with pytest.raises(DeliveryError):
        open_result(done.manifest, _key(done), _shifted(done, {done.d - 1: 1}))


def test_a_sealed_result_is_masked_and_a_public_one_is_not(done, public) -> None:
    assert result_mask(done.manifest, _key(done), done.sid, scratch_words(done.field)) is not None
    assert result_mask(public.manifest, _key(public), public.sid, scratch_words(public.field)) is None
    shown = public.field.lift(public.delivery.share[: public.d]).tolist()
    assert shown == list(public.ideal().values)
    hidden = done.field.lift(done.delivery.share[: done.d]).tolist()
    assert hidden != list(done.ideal().values)


# Check 8


def _limited(make_world: Any, field: Any, mode: str = "sealed") -> Any:
    """Updates of all zeros in a task whose L2 norm is limited to 1; W = 2 + 3 + 5."""
    world = make_world(n=2, m=4, d=16, field=field, mode=mode, privacy=Privacy(1.0))
    world.announce()
    for client in (1, 2, 4):
        world.submit(client, np.zeros(16, np.float32))
    world.finish()
    return world


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_the_l2_norm_of_a_sum_is_accepted_up_to_its_limit_and_not_beyond(make_world, field, mode) -> None:
    """Every coordinate is within its bound in both."""
    world = _limited(make_world, field, mode)
    longest = world.ideal().total_weight * 2**world.encoding.scale_bits
    for changes, legal in (
        ({0: longest}, True),
        ({15: -longest}, True),
        ({0: longest, 15: 1}, False),
        (dict.fromkeys(range(16), longest // 4), True),
        (dict.fromkeys(range(16), longest // 4 + 1), False),
    ):
        delivery = _shifted(world, world.with_matching_tags(changes))
        if legal:
            open_result(world.manifest, _key(world), delivery)
        else:
            with pytest.raises(DeliveryError) as refusal:
                open_result(world.manifest, _key(world), delivery)
            assert refusal.value.check == Check.NORM


def test_without_a_limit_in_the_manifest_no_norm_is_too_large(make_world, field) -> None:
    world = _limited(make_world, field)
    longest = world.ideal().total_weight * 2**world.encoding.scale_bits
    delivery = _shifted(world, world.with_matching_tags(dict.fromkeys(range(16), longest)))
    average = open_result(replace(world.manifest, privacy=None), _key(world), delivery)
    assert average.mean.tolist() == [1.0] * 16


def test_a_tensor_on_a_finer_grid_counts_as_long_as_it_is(make_world, field) -> None:
    """A quarter of the clip: four steps there are one step of the manifest's grid."""
    world, plan = _limited(make_world, field), ClipPlan((8, 8), (1.0, 0.25))
    longest = world.ideal().total_weight * 2**world.encoding.scale_bits
    for position, steps, legal in ((0, longest, True), (0, longest + 1, False), (8, longest, True)):
        delivery = _shifted(world, world.with_matching_tags({position: steps}))
        if legal:
            open_result(world.manifest, _key(world), delivery, plan)
        else:
            with pytest.raises(DeliveryError) as refusal:
                open_result(world.manifest, _key(world), delivery, plan)
            assert refusal.value.check == Check.NORM


@pytest.mark.parametrize("elements", [1, 3, 5, 15, 16])
def test_the_norm_of_a_sum_is_the_same_in_small_chunks(make_world, field, monkeypatch, elements) -> None:
    world = _limited(make_world, field)
    longest = world.ideal().total_weight * 2**world.encoding.scale_bits
    monkeypatch.setattr(result, "CHUNK_BYTES", elements * 8)
    open_result(world.manifest, _key(world), _shifted(world, world.with_matching_tags({3: longest})))
    for more in (9, 15):
        with pytest.raises(DeliveryError) as refusal:
            open_result(world.manifest, _key(world), _shifted(world, world.with_matching_tags({3: longest, more: 1})))
        assert refusal.value.check == Check.NORM


def test_honest_updates_pass_however_long_they_were(make_world, field) -> None:
    world = make_world(n=2, m=4, d=16, field=field, privacy=Privacy(1.0))
    world.announce()
    for client in (1, 2, 4):
        world.submit(client, np.full(16, 0.9, np.float32))
    world.finish()
    average = open_result(world.manifest, _key(world), world.delivery)
    assert np.array_equal(average.mean, world.mean_of(world.ideal()))
    assert 0.999 < float(np.linalg.norm(average.mean)) <= 1.0


# Anyone, in a public task


def test_anyone_verifies_a_public_result_with_the_disclosed_key(public) -> None:
    average = verify_disclosed(public.manifest, public.delivery, public.headers, public.disclosure)
    assert average.total_weight == public.ideal().total_weight
    assert np.array_equal(average.mean, public.mean_of(public.ideal()))


def test_a_sealed_result_is_verified_by_nobody_else(done) -> None:
    with pytest.raises(RefusedError, match="sealed"):
        verify_disclosed(done.manifest, done.delivery, done.headers, None)


def _fails(world: Any, check: Check, **changes: Any) -> None:
    given = {"delivery": world.delivery, "headers": world.headers, "disclosure": world.disclosure, **changes}
    with pytest.raises(DeliveryError) as refusal:
        verify_disclosed(world.manifest, given["delivery"], given["headers"], given["disclosure"])
    assert refusal.value.check == check


def test_a_public_result_that_was_altered_is_refused_at_the_check_that_it_fails(public) -> None:
    altered = _shifted(public, {0: 1})
    _fails(public, Check.SIGNATURES, delivery=altered)
    # All aggregators sign again: the disclosure names another result; with one that names this, the tags decide.
    _fails(public, Check.SIGNATURES, delivery=certified(public, altered))
    vouched = replace(public.disclosure, result=result_of(public, altered)).signed_by(public.client_keys[1], public.sid)
    _fails(public, Check.TAG, delivery=certified(public, altered), disclosure=vouched)
    _fails(
        public, Check.ROSTER, delivery=certified(public, replace(public.delivery, roster=public.delivery.roster[:1]))
    )
    _fails(public, Check.ROSTER, headers=public.headers[:-1])
    other = replace(public.headers[0], nonce=ZERO).signed_by(public.client_keys[1], public.sid)
    _fails(public, Check.ROSTER, headers=[other, *public.headers[1:]])


def test_a_public_result_that_is_too_long_is_refused_by_anyone(make_world, field) -> None:
    """Signed by all aggregators and vouched for by a client: the manifest's limit decides."""
    world = _limited(make_world, field, "public")
    world.disclosure = world.clients[1].disclose(world.client_memories[1], world.delivery)
    longest = world.ideal().total_weight * 2**world.encoding.scale_bits
    long = _shifted(world, world.with_matching_tags({0: longest, 1: longest}))
    vouched = replace(world.disclosure, result=result_of(world, long)).signed_by(world.client_keys[1], world.sid)
    _fails(world, Check.NORM, delivery=certified(world, long), disclosure=vouched)


def test_a_member_under_another_group_key_or_another_session_key_fails_check_2(public) -> None:
    for changes in ({"group_check": ZERO}, {"session_key_hash": ZERO}):
        other = replace(public.headers[0], **changes).signed_by(public.client_keys[1], public.sid)
        roster = ((1, other.hash()), *public.delivery.roster[1:])
        delivery = certified(public, replace(public.delivery, roster=roster))
        _fails(public, Check.GROUP_KEY, delivery=delivery, headers=[other, *public.headers[1:]])
    wrong = replace(public.disclosure, session_key=ZERO).signed_by(public.client_keys[1], public.sid)
    _fails(public, Check.GROUP_KEY, disclosure=wrong)


def test_unsigned_headers_and_disclosures_are_refused(public) -> None:
    unsigned = replace(public.headers[0], signature=bytes(64))
    roster = ((1, unsigned.hash()), *public.delivery.roster[1:])
    delivery = certified(public, replace(public.delivery, roster=roster))
    with pytest.raises(MalformedError):
        verify_disclosed(public.manifest, delivery, [unsigned, *public.headers[1:]], public.disclosure)
    for changes in ({"signature": bytes(64)}, {"client": 2}, {"session_key": ZERO}, {"result": ZERO}):
        with pytest.raises(MalformedError):
            verify_disclosed(public.manifest, public.delivery, public.headers, replace(public.disclosure, **changes))


@pytest.mark.parametrize("changes", [{"sid": ZERO}, {"client": 0}, {"client": 5}])
def test_a_disclosure_of_another_session_or_from_no_client_is_refused(public, changes) -> None:
    wrong = replace(public.disclosure, **changes).signed_by(public.client_keys[1], public.sid)
    with pytest.raises(RefusedError):
        verify_disclosed(public.manifest, public.delivery, public.headers, wrong)
