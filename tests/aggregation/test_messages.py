"""Every message survives the wire, and nothing else parses; signatures cover every bit."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privateyes.aggregation import messages
from privateyes.aggregation.codec import Fixed, Listed, RosterEntries, ShareVector, Text, Unsigned
from privateyes.aggregation.messages import NO_SESSION, Header, Message, Opening, OpeningReceipt, Signed, Submission
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.commitment import merkle_root
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.labels import Label
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.statement import statement
from privateyes.errors import MalformedError

KINDS = [
    kind
    for _, kind in inspect.getmembers(messages, inspect.isclass)
    if issubclass(kind, Message) and kind not in (Message, Signed)
]
PLAIN = [kind for kind in KINDS if kind is not Submission]
SIGNED = [kind for kind in KINDS if issubclass(kind, Signed)]
KEY, CONTEXT = SigningKey(bytes([5]) * 32), bytes([6]) * 32
QUICK = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def manifests(make_world):
    return {field.name: make_world(n=2, m=4, d=5, field=field).manifest for field in (COMPACT, WIDE)}


def _values(codec, manifest):
    match codec:
        case Unsigned(size):
            return st.integers(0, 2 ** (8 * size) - 1)
        case Fixed(size):
            return st.one_of(st.just(bytes(size)), st.randoms(use_true_random=False).map(lambda r: r.randbytes(size)))
        case Text(least):
            return st.binary(min_size=least, max_size=least + 40)
        case Listed(item):
            return st.lists(_values(item, manifest), max_size=8).map(tuple)
        case RosterEntries():
            digests = st.binary(min_size=32, max_size=32)
            return st.dictionaries(st.integers(0, 2**32 - 1), digests, max_size=len(manifest.clients)).map(
                lambda entries: tuple(sorted(entries.items()))
            )
        case ShareVector():
            field, count = manifest.field, manifest.share_elements
            return st.lists(st.integers(0, field.prime - 1), min_size=count, max_size=count).map(
                lambda values: np.array(values, dtype=field.dtype)
            )
    raise AssertionError(codec)


@st.composite
def _messages(draw, manifests, kinds):
    kind = draw(st.sampled_from(kinds))
    manifest = manifests[draw(st.sampled_from(["compact", "wide"]))]
    if kind is Submission:
        return Submission(draw(_one(Header, manifest)), draw(_values(ShareVector(), manifest))), manifest
    return draw(_one(kind, manifest)), manifest


def _one(kind, manifest):
    layout = messages._layout(kind)
    return st.fixed_dictionaries({name: _values(codec, manifest) for name, codec in layout}).map(
        lambda values: kind(**values)
    )


def _same(left, right) -> bool:
    for field in fields(left):
        one, other = getattr(left, field.name), getattr(right, field.name)
        if not (np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other):
            return isinstance(one, Message) and _same(one, other)
    return True


@QUICK
@given(data=st.data())
def test_every_message_reads_back_what_it_wrote(manifests, data) -> None:
    message, manifest = data.draw(_messages(manifests, KINDS))
    encoded = message.to_bytes()
    again = type(message).from_bytes(encoded, manifest)
    assert _same(message, again)
    assert again.to_bytes() == encoded
    assert encoded[0] == message.kind


def test_every_kind_of_message_has_its_own_number_and_every_signed_one_its_own_label() -> None:
    assert len(KINDS) == 26
    assert {kind.kind for kind in KINDS} == set(range(65, 91))
    # An opening carries its receipt's signature.
    assert len({kind.label for kind in SIGNED}) == len(SIGNED) == 18
    assert OpeningReceipt.label is Label.OPENING
    assert Opening not in SIGNED
    assert all(isinstance(kind.label, Label) for kind in SIGNED)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_message_of_version_1_is_named_as_one_and_any_other_number_as_another_kind(manifests, kind) -> None:
    encoded = _smallest(kind, manifests["compact"]).to_bytes()
    for number in range(256):
        if number == kind.kind:
            continue
        expected = "a message of protocol version 1 where" if 1 <= number <= 24 else f"a message of kind {number} where"
        with pytest.raises(MalformedError, match=expected) as refusal:
            kind.from_bytes(bytes([number]) + encoded[1:], manifests["compact"])
        assert bool(refusal.value.remedy) == (1 <= number <= 24)


def test_the_header_in_a_submission_is_one_of_this_version_too(manifests) -> None:
    encoded = _smallest(Submission, manifests["compact"]).to_bytes()
    with pytest.raises(MalformedError, match="of protocol version 1 where Header"):
        Submission.from_bytes(encoded[:1] + bytes([Header.kind - 64]) + encoded[2:], manifests["compact"])


@pytest.mark.parametrize("data", [b"", b"\x47"])
def test_a_submission_without_a_share_is_refused(manifests, data) -> None:
    with pytest.raises(MalformedError, match=r"submission is (empty|too short)"):
        Submission.from_bytes(data, manifests["compact"])


@QUICK
@given(data=st.data())
def test_every_truncation_extension_and_other_kind_is_refused(manifests, data) -> None:
    message, manifest = data.draw(_messages(manifests, KINDS))
    encoded = message.to_bytes()
    cuts = {0, 1, 2, len(encoded) - 1, len(encoded) // 2, data.draw(st.integers(0, len(encoded) - 1))}
    for cut in cuts:
        with pytest.raises(MalformedError):
            type(message).from_bytes(encoded[:cut], manifest)
    for tail in (b"\0", bytes(32), encoded):
        with pytest.raises(MalformedError):
            type(message).from_bytes(encoded + tail, manifest)
    for kind in KINDS:
        if kind is not type(message):
            with pytest.raises(MalformedError):
                kind.from_bytes(encoded, manifest)


FIELDS = pytest.mark.parametrize("field", ["compact", "wide"])


@FIELDS
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_single_truncation_of_a_short_message_is_refused(manifests, kind, field) -> None:
    manifest = manifests[field]
    encoded = _smallest(kind, manifest).to_bytes()
    for cut in range(len(encoded)):
        with pytest.raises(MalformedError):
            kind.from_bytes(encoded[:cut], manifest)


@FIELDS
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_byte_more_or_less_anywhere_is_refused(manifests, kind, field) -> None:
    """All lengths but one are wrong, wherever the missing or added byte stands."""
    manifest = manifests[field]
    encoded = _smallest(kind, manifest).to_bytes()
    for at in range(len(encoded)):
        for wrong in (encoded[:at] + encoded[at + 1 :], encoded[:at] + b"\x01" + encoded[at:]):
            with pytest.raises(MalformedError):
                kind.from_bytes(wrong, manifest)


@FIELDS
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if "share" in kind.__annotations__], ids=lambda kind: kind.__name__
)
def test_a_word_that_is_no_element_is_refused_at_every_position(manifests, kind, field) -> None:
    manifest = manifests[field]
    prime, size = manifest.field.prime, manifest.field.element_bytes
    encoded = _smallest(kind, manifest).to_bytes()
    start = len(encoded) - manifest.share_elements * size - (64 if kind is Opening else 0)
    for position in range(manifest.share_elements):
        at = start + position * size
        for word in (prime - 1, prime, prime + 1, 2 ** (8 * size) - 1):
            altered = encoded[:at] + word.to_bytes(size, "little") + encoded[at + size :]
            if word < prime:
                assert int(kind.from_bytes(altered, manifest).share[position]) == word
            else:
                with pytest.raises(MalformedError, match=f"word {position} is {word}"):
                    kind.from_bytes(altered, manifest)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if "share" in kind.__annotations__], ids=lambda kind: kind.__name__
)
def test_a_share_of_the_other_field_or_of_another_dimension_is_refused(manifests, make_world, kind) -> None:
    longer = make_world(n=2, m=4, d=6).manifest
    for manifest, other in ((manifests["compact"], manifests["wide"]), (manifests["wide"], manifests["compact"])):
        encoded = _smallest(kind, manifest).to_bytes()
        for wrong in (other, longer):
            with pytest.raises(MalformedError):
                kind.from_bytes(encoded, wrong)


@FIELDS
@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if {"entries", "roster"} & set(kind.__annotations__)],
    ids=lambda kind: kind.__name__,
)
def test_a_roster_in_a_message_has_one_encoding(manifests, kind, field) -> None:
    manifest = manifests[field]
    encoded = _smallest(kind, manifest).to_bytes()
    first = (1).to_bytes(4, "big") + bytes(32)
    third = (3).to_bytes(4, "big") + bytes(32)
    assert encoded.count((2).to_bytes(4, "big") + first + third) == 1
    for changed in (third + first, first + first, third + third, (5).to_bytes(4, "big") + bytes(32) + first):
        with pytest.raises(MalformedError, match="not sorted"):
            kind.from_bytes(encoded.replace(first + third, changed), manifest)
    for count in (0, 1, 3, 4, 5, 2**31, 2**32 - 1):
        wrong = encoded.replace((2).to_bytes(4, "big") + first, count.to_bytes(4, "big") + first)
        with pytest.raises(MalformedError):
            kind.from_bytes(wrong, manifest)


def _smallest(kind, manifest):
    if kind is Submission:
        return Submission(_smallest(Header, manifest), manifest.field.zeros(manifest.share_elements))
    simple = {
        Unsigned: lambda c: 1,
        Fixed: lambda c: bytes(c.size),
        Listed: lambda c: (bytes(c.item.size),) * 2,
        Text: lambda c: bytes(c.least),
    }
    values = {}
    for name, codec in messages._layout(kind):
        if isinstance(codec, RosterEntries):
            values[name] = ((1, bytes(32)), (3, bytes(32)))
        elif isinstance(codec, ShareVector):
            values[name] = manifest.field.zeros(manifest.share_elements)
        else:
            values[name] = simple[type(codec)](codec)
    return kind(**values)


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.__name__)
def test_every_flipped_bit_is_malformed_or_breaks_the_signature(manifests, kind) -> None:
    manifest = manifests["compact"]
    signed = _smallest(kind, manifest).signed_by(KEY, CONTEXT)
    signed.require_signature_of(KEY.public_bytes, CONTEXT)
    encoded = signed.to_bytes()
    step = max(1, len(encoded) * 8 // 600)
    for bit in range(0, len(encoded) * 8, step):
        altered = bytearray(encoded)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MalformedError):
            kind.from_bytes(altered, manifest).require_signature_of(KEY.public_bytes, CONTEXT)


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.__name__)
def test_a_signature_is_for_one_context_one_key_and_one_kind(manifests, kind) -> None:
    signed = _smallest(kind, manifests["compact"]).signed_by(KEY, CONTEXT)
    with pytest.raises(MalformedError):
        signed.require_signature_of(KEY.public_bytes, bytes(32))
    with pytest.raises(MalformedError):
        signed.require_signature_of(SigningKey(bytes(32)).public_bytes, CONTEXT)
    for other in SIGNED:
        if other is not kind:
            unsigned = _smallest(other, manifests["compact"])
            assert unsigned.signed_statement(CONTEXT) != signed.signed_statement(CONTEXT)


@QUICK
@given(data=st.data())
def test_two_different_messages_of_one_kind_have_two_signed_statements(manifests, data) -> None:
    kind = data.draw(st.sampled_from(SIGNED))
    manifest = manifests[data.draw(st.sampled_from(["compact", "wide"]))]
    left, right = data.draw(_one(kind, manifest)), data.draw(_one(kind, manifest))
    unsigned = {f.name: getattr(left, f.name) for f in fields(left)} | {"signature": right.signature}
    same = _same(kind(**unsigned), right)
    assert (left.signed_statement(CONTEXT) == right.signed_statement(CONTEXT)) == same


def _others(kind, name):
    """Values of one field other than those of the smallest message."""
    codec = dict(messages._layout(kind))[name]
    match codec:
        case Unsigned(size):
            return [0, 2, 2 ** (8 * size) - 1]
        case Fixed(size):
            return [bytes([1]) + bytes(size - 1), bytes(size - 1) + bytes([1])]
        case Text(least):
            return [bytes(least + 1), bytes(least - 1) + b"\x01"]
        case Listed(item):
            value = bytes(item.size)
            return [(), (value,), (value,) * 3, (value[:-1] + b"\x01", value), (value, value[:-1] + b"\x01")]
        case RosterEntries():
            one, other = bytes(32), bytes(31) + b"\x01"
            return [(), ((1, one),), ((1, other), (3, one)), ((1, one), (3, other)), ((1, one), (4, one))]
    raise AssertionError(codec)


@pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.__name__)
def test_every_field_enters_what_is_signed(manifests, kind) -> None:
    manifest = manifests["compact"]
    message = _smallest(kind, manifest)
    names = [name for name, _ in messages._layout(kind) if name != "signature"]
    statements = [message.signed_statement(CONTEXT)]
    for name in names:
        others = [replace(message, **{name: value}) for value in _others(kind, name)]
        assert all(other != message for other in others)
        statements += [other.signed_statement(CONTEXT) for other in others]
    assert len(names) >= 3
    assert len(set(statements)) == len(statements)
    assert replace(message, signature=bytes([1]) * 64).signed_statement(CONTEXT) == statements[0]


def test_what_is_signed_are_the_encoded_fields_in_a_row(manifests) -> None:
    header = _smallest(Header, manifests["compact"])
    *rest, signature = [codec.write(getattr(header, name)) for name, codec in messages._layout(Header)]
    assert signature == header.signature
    assert header.signed_statement(CONTEXT) == statement(Header.label, Header.role, CONTEXT, b"".join(rest))
    assert header.to_bytes() == bytes([Header.kind]) + b"".join(rest) + signature


def test_every_field_of_a_header_enters_its_hash(manifests) -> None:
    manifest = manifests["compact"]
    header = _smallest(Header, manifest)
    others = [
        replace(header, **{name: value}) for name, _ in messages._layout(Header) for value in _others(Header, name)
    ]
    assert len({own.hash() for own in (header, *others)}) == len(others) + 1
    assert {name for name, _ in messages._layout(Header)} >= {"origin", "nonce", "signature"}


def test_a_sealed_key_is_named_by_client_aggregator_set_up_and_all_its_bytes(manifests) -> None:
    message = _smallest(messages.SealedStreamKey, manifests["compact"])
    others = [
        replace(message, client=2),
        replace(message, aggregator=2),
        replace(message, sealed=bytes(1167) + b"\x01"),
    ]
    names = [own.sealed_hash(CONTEXT) for own in (message, *others)]
    assert len({*names, message.sealed_hash(bytes(32))}) == 5


def test_who_signed_is_read_from_the_field_that_names_the_party() -> None:
    assert messages.SealedGroupKey(bytes(32), 3, 9, bytes(1168)).signer == 3
    assert messages.SealedState(bytes(32), 4, 9, bytes(1168)).signer == 4
    assert messages.HubRequest(1, bytes(32), 5, bytes(32)).signer == 0
    assert messages.Vote(bytes(32), 7, ()).signer == 7
    assert messages.Complaint(bytes(32), 8, 1).signer == 8


def test_what_the_hub_asks_for_has_the_numbers_of_the_protocol() -> None:
    assert (messages.ANNOUNCE, messages.CLOSING, messages.GIVE_UP, messages.BIND) == (1, 2, 3, 4)
    assert (messages.VOID, messages.OPENED) == (0, 1)


def test_a_fresh_header_names_no_session() -> None:
    header = Header(bytes(32), 1, bytes(32), bytes(32), bytes(32), (), bytes(32))
    assert header.origin == NO_SESSION == bytes(32)


@pytest.mark.parametrize("bulk", BulkHash)
def test_a_receipt_has_its_messages_fields_and_the_root_under_the_manifests_hash(manifests, bulk) -> None:
    manifest = manifests["compact"]
    share = manifest.field.zeros(manifest.share_elements)
    share[3] = 7
    root = merkle_root(share, bulk)
    opening = messages.Opening(bytes([1]) * 32, 2, bytes([3]) * 32, share, bytes([4]) * 64)
    assert opening.receipt(bulk) == OpeningReceipt(bytes([1]) * 32, 2, bytes([3]) * 32, root, bytes([4]) * 64)
    assert messages.HubSum(CONTEXT, share).receipt(bulk) == messages.HubSumReceipt(CONTEXT, root)
    lists = (CONTEXT, ((1, bytes(32)),), (bytes(32),) * 3, (bytes(64),) * 2)
    delivery = messages.Delivery(bytes([1]) * 32, *lists, share)
    assert delivery.receipt(bulk) == messages.DeliveryReceipt(bytes([1]) * 32, *lists, root)


def test_the_bulk_hash_is_part_of_what_an_opening_signs(manifests) -> None:
    """A receipt under the other hash is another statement, so a hub cannot swap it."""
    manifest = manifests["compact"]
    opening = _smallest(Opening, manifest)
    first, second = (opening.receipt(bulk).signed_statement(CONTEXT) for bulk in BulkHash)
    assert first != second


def test_what_was_parsed_cannot_change_behind_the_readers_back(manifests) -> None:
    manifest = manifests["compact"]
    for message in (_smallest(kind, manifest) for kind in KINDS):
        data = bytearray(message.to_bytes())
        again = type(message).from_bytes(data, manifest)
        if hasattr(again, "share"):
            with pytest.raises(ValueError, match="read-only"):
                again.share[0] = 1


def test_a_header_hash_covers_its_signature_too(manifests) -> None:
    header = _smallest(Header, manifests["compact"])
    assert header.hash() != header.signed_by(KEY, CONTEXT).hash()


def test_a_field_of_another_length_is_not_written() -> None:
    with pytest.raises(MalformedError):
        messages.HubCommitment(bytes(31), bytes(32)).to_bytes()
    with pytest.raises(OverflowError):
        messages.Vote(bytes(32), 2**16, ()).to_bytes()
