"""The implementation against vectors/, read as somebody else's implementation would: nothing but the JSON files."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from privateyes import errors
from privateyes.aggregation import messages
from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.keys import GroupKey, KeyChain, session_id, session_key_hash, setup_id, share_stream
from privateyes.aggregation.ledger import LedgerEntry, SessionEnd, at_weights, chain_of, ended, is_void, require_unused
from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.aggregation.messages import NO_SESSION, Message, Opening, SealedStreamKey, Signed
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto import statement as statements
from privateyes.crypto import streams
from privateyes.crypto.bulk import LEAF_CONTEXT, BulkHash
from privateyes.crypto.commitment import LEAF_BYTES, commit_to_share, commit_to_sum_root, merkle_root, share_hash
from privateyes.crypto.field import field_by_name
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.streams import ElementStream, KeyStream, scratch_words
from privateyes.encoding.clips import ClipPlan, segments
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits

KINDS = {
    name: kind
    for name, kind in inspect.getmembers(messages, inspect.isclass)
    if issubclass(kind, Message) and kind not in (Message, Signed)
}


def _error(name: str) -> type[Exception]:
    return {"TypeError": TypeError, "OverflowError": OverflowError}.get(name) or getattr(errors, name)


def _part(written: Any) -> Any:
    if not isinstance(written, dict):
        return written
    ((kind, value),) = written.items()
    return {"bytes": bytes.fromhex, "text": str, "integer": int}[kind](value)


def _floats(texts: list[str], kind: str) -> Any:
    return np.frombuffer(bytes.fromhex("".join(texts)), dtype=f">f{kind}").astype(f"f{kind}")


def _elements(field: Any, values: list[str]) -> Any:
    return np.array([int(value) for value in values], dtype=field.dtype)


# statements.json


def test_tuples_have_their_bytes_and_other_parts_are_refused(vectors) -> None:
    given = vectors("statements")
    for case in given["tuples"]:
        assert statements.encode_tuple([_part(part) for part in case["parts"]]).hex() == case["bytes"]
    for case in given["refused_parts"]:
        with pytest.raises(_error(case["error"])):
            statements.encode_tuple([_part(case["part"])])


def test_every_label_separates_hash_mac_and_key(vectors) -> None:
    given = vectors("statements")
    key, context = bytes.fromhex(given["key"]), bytes.fromhex(given["context"])
    parts = [_part(part) for part in given["parts"]]
    assert [case["label"] for case in given["labels"]] == [label.value for label in Label]
    for case in given["labels"]:
        named = (Label(case["label"]), Role(case["role"]), context, *parts)
        assert statements.statement(*named).hex() == case["statement"]
        assert statements.digest(*named).hex() == case["digest"]
        assert statements.mac(key, *named).hex() == case["mac"]
        for length in (32, 48):
            assert statements.derive_key(key, length, *named).hex() == case[f"key_{length}"]
    assert len({case["digest"] for case in given["labels"]}) == len(Label)


# fields.json and streams.json


@pytest.mark.parametrize("position", [0, 1])
def test_a_field_computes_and_reads_as_given(vectors, position) -> None:
    given = vectors("fields")["fields"][position]
    field = field_by_name(given["name"])
    assert (str(field.prime), field.element_bytes, field.tags) == (
        given["prime"],
        given["element_bytes"],
        given["tags"],
    )
    numbers = given["arithmetic"]
    left, right = (_elements(field, numbers[name]) for name in ("left", "right"))
    assert field.add(left, right).tolist() == [int(value) for value in numbers["sum"]]
    assert field.subtract(left, right).tolist() == [int(value) for value in numbers["difference"]]
    assert field.dot(left, right) == int(numbers["product_sum"])
    assert field.lift(left).tolist() == [int(value) for value in numbers["left_lifted"]]
    for case in given["reading"]:
        data = bytes.fromhex(case["bytes"])
        if "error" in case:
            with pytest.raises(_error(case["error"])):
                field.from_bytes(data, case["count"])
        else:
            assert field.from_bytes(data, case["count"]).tolist() == [int(value) for value in case["elements"]]


@pytest.mark.parametrize("chunk", [1, 3, 4, 100])
def test_rejected_words_are_replaced_from_the_tail(vectors, monkeypatch, chunk) -> None:
    for given in vectors("fields")["fields"]:
        field = field_by_name(given["name"])
        for case in given["redrawn"]:
            words = {
                Label.PAD: _elements(field, case["main_words"]).tobytes(),
                Label.PAD_TAIL: _elements(field, case["tail_words"]).tobytes(),
            }

            class Given:
                def __init__(self, key, label, *rest, words=words) -> None:
                    self.data = memoryview(words[label])

                def fill(self, buffer) -> None:
                    buffer[:], self.data = self.data[: buffer.nbytes], self.data[buffer.nbytes :]

            monkeypatch.setattr(streams, "KeyStream", Given)
            labels = (Label.PAD, Label.PAD_TAIL)
            stream = ElementStream(field, bytes(32), labels, Role.ALL, b"", scratch=field.zeros(chunk))
            got = stream.read(len(case["main_words"])).tolist()
            assert got == [int(value) for value in case["elements"]], case["about"]


def test_key_streams_begin_and_go_on_as_given(vectors) -> None:
    given = vectors("streams")
    key, context = bytes.fromhex(given["key"]), bytes.fromhex(given["context"])
    role = Role(given["role"])
    for case in given["key_streams"]:
        label = Label(case["label"])
        material = statements.derive_key(key, 44, label, role, context, given["part"])
        assert material.hex() == case["aes_key"] + case["nonce"]
        data = bytearray(given["long_run_bytes"])
        KeyStream(key, label, role, context, given["part"]).fill(memoryview(data))
        assert data[:48].hex() == case["first_bytes"]
        around = given["around_byte"]
        assert bytes.fromhex(case["bytes_around"]) == data[around - 16 : around + 16]
        assert hashlib.sha256(data).hexdigest() == case["sha256"]


def test_element_streams_begin_and_go_on_as_given(vectors) -> None:
    given = vectors("streams")
    key, context, role = bytes.fromhex(given["key"]), bytes.fromhex(given["context"]), Role(given["role"])

    def stream(field, labels):
        return ElementStream(field, key, labels, role, context, given["part"], scratch=scratch_words(field))

    for case in given["element_streams"]:
        field, around = field_by_name(case["field"]), case["around_element"]
        for entry in case["streams"]:
            values = stream(field, tuple(map(Label, entry["labels"]))).read(case["elements"])
            assert values[:6].tolist() == [int(value) for value in entry["first"]]
            assert values[around - 2 : around + 2].tolist() == [int(value) for value in entry["around"]]
            assert hashlib.sha256(values.tobytes()).hexdigest() == entry["sha256"]
        three = case["three_masks_subtracted"]
        values = _elements(field, three["before"])
        stream(field, (Label.MASK, Label.MASK_TAIL)).subtract_from(values, 3)
        assert values.tolist() == [int(value) for value in three["after"]]


# commitments.json and challenges.json


def test_roots_and_commitments_are_as_given(vectors) -> None:
    given = vectors("commitments")
    assert given["leaf_bytes"] == LEAF_BYTES
    pattern = bytes.fromhex(given["pattern"])
    for case in given["merkle_roots"]:
        size = case["length_bytes"]
        data = (pattern * (size // len(pattern) + 1))[:size]
        for bulk in BulkHash:
            assert merkle_root(np.frombuffer(data, dtype="<u4"), bulk).hex() == case[bulk.value]
    assert given["blake3_leaf_context"] == LEAF_CONTEXT
    sid = bytes.fromhex(given["sid"])
    case = given["share_hash"]
    hashed = share_hash(sid, case["client"], case["length_bytes"], bytes.fromhex(case["root"]))
    assert hashed.hex() == case["hash"]
    case = given["roster"]
    entries = tuple((client, bytes.fromhex(value)) for client, value in case["entries"])
    assert roster_digest(sid, bytes.fromhex(case["group_check"]), entries).hex() == case["rho"]
    case = given["commitment"]
    rho, salt, root = (bytes.fromhex(case[name]) for name in ("rho", "salt", "root"))
    assert commit_to_share(sid, rho, case["aggregator"], salt, case["length_bytes"], root).hex() == case["commitment"]
    case = given["hub_commitment"]
    assert commit_to_sum_root(sid, case["length_bytes"], bytes.fromhex(case["root"])).hex() == case["commitment"]
    case = given["transcript"]
    commitments = [bytes.fromhex(value) for value in case["commitments"]]
    assert transcript_digest(sid, bytes.fromhex(case["rho"]), commitments).hex() == case["transcript"]
    case = given["result"]
    transcript, root = bytes.fromhex(case["transcript"]), bytes.fromhex(case["root"])
    assert result_digest(sid, transcript, root, case["roster_size"]).hex() == case["result"]


def test_coefficients_pads_and_tags_are_as_given(vectors) -> None:
    given = vectors("challenges")
    key, sid = bytes.fromhex(given["session_key"]), bytes.fromhex(given["sid"])
    assert {case["coordinates"] for case in given["cases"]} >= {3, 4, 5, 15, 16, 17}
    for case in given["cases"]:
        field, count = field_by_name(case["field"]), case["coordinates"]
        challenge = TensorChallenge(field, count, key, sid)

        def tags(vector, pads, challenge=challenge):
            accumulator = challenge.accumulator()
            accumulator.update(vector)
            return [str(tag) for tag in accumulator.tags(pads).tolist()]

        for t in range(count):
            unit = field.zeros(count)
            unit[t] = 1
            row, column = divmod(t, case["columns"])
            pairs = zip(case["a"], case["b"], strict=True)
            assert tags(unit, 0) == [str(int(a[row]) * int(b[column]) % field.prime) for a, b in pairs]
        assert tags(field.zeros(count), 1) == case["v"]
        vector = _elements(field, case["vector"])
        assert tags(vector, 1) == case["tags_with_one_pad"]
        assert tags(vector, 3) == case["tags_with_three_pads"]


# encodings.json


def _encoding(given: dict[str, Any]) -> FixedPoint:
    clip = float(_floats([given["clip"]], "8")[0])
    values = {name: value for name, value in given.items() if name not in ("field", "clip")}
    return FixedPoint(field=field_by_name(given["field"]), clip=clip, **values)


def test_updates_are_encoded_as_given(vectors) -> None:
    for case in vectors("encodings")["encode"]:
        encoding, delta = _encoding(case["parameters"]), _floats(case["delta"], "4")
        words = np.array([int(word) for word in case["rounding_words"]], dtype=np.uint32)
        out = encoding.field.zeros(delta.size)
        if "error" in case:
            with pytest.raises(_error(case["error"])):
                encoding.encode(delta, case["weight"], words, out)
        else:
            assert encoding.encode(delta, case["weight"], words, out) == case["clipped"]
            assert out.tolist() == [int(value) for value in case["elements"]], case["about"]
            assert encoding.field.lift(out).tolist() == [int(value) for value in case["integers"]]


def test_sums_are_decoded_and_bounded_as_given(vectors) -> None:
    given = vectors("encodings")
    for case in given["decode"]:
        encoding = _encoding(case["parameters"])
        sums = np.array([int(value) for value in case["sum"]], dtype=np.int64)
        assert np.array_equal(encoding.decode(sums, case["total_weight"]), _floats(case["mean"], "8"))
        assert encoding.sum_bound(case["roster_size"], case["total_weight"]) == int(case["largest_accepted"])
    for case in given["finest_scale"]:
        numbers = (case["weight_max"], case["roster_max"], case["noise_bound"])
        clip = float(_floats([case["clip"]], "8")[0])
        assert largest_scale_bits(field_by_name(case["field"]), clip, *numbers) == case["scale_bits"]
    for case in given["refused_parameters"]:
        with pytest.raises(_error(case["error"])):
            _encoding(case["parameters"])


def _segments(parameters: dict[str, Any], case: dict[str, Any]) -> Any:
    plan = ClipPlan(tuple(case["lengths"]), tuple(_floats(case["clips"], "8").tolist()))
    return segments(_encoding(parameters), case["dimension"], plan)


def test_clip_plans_give_the_segments_as_given(vectors) -> None:
    given = vectors("encodings")
    for case in given["clip_plans"]:
        parts = _segments(case["parameters"], case)
        assert [(part.start, part.stop, part.encoding.clip, part.encoding.scale_bits) for part in parts] == [
            (part["start"], part["stop"], float(_floats([part["clip"]], "8")[0]), part["scale_bits"])
            for part in case["segments"]
        ], case["about"]
    refused = given["refused_clip_plans"]
    for case in refused["cases"]:
        with pytest.raises(_error(case["error"])):
            _segments(refused["parameters"], case)


# manifests.json and identifiers.json


def test_manifests_have_their_digest_and_unsafe_ones_are_refused(vectors) -> None:
    given = vectors("manifests")
    for case in given["accepted"]:
        manifest = manifest_from_toml(case["toml"])
        assert manifest.digest().hex() == case["digest"], case["about"]
        assert manifest.share_elements == case["share_elements"]
        assert manifest.is_fixed_cohort == case["fixed_cohort"]
        privacy = manifest.privacy
        assert (privacy and privacy.limit(manifest.encoding).bound) == case["norm_bound"]
        for seed, expected in case["weights_seed"].items():
            assert manifest.weights_seed(int(seed)).hex() == expected
    digests = [case["digest"] for case in given["accepted"]]
    assert len(set(digests)) == len(digests) - 1
    assert digests[0] == digests[1]
    first = given["accepted"][0]["toml"]
    for case in given["refused"]:
        text = case["toml"] if "toml" in case else first.replace(case["old"], case["new"], 1)
        assert text != first
        with pytest.raises(_error(case["error"])) as refusal:
            manifest_from_toml(text)
        assert type(refusal.value).__name__ == case["error"], case["about"]


def test_identifiers_and_keys_follow_from_each_other_as_given(vectors) -> None:
    given = vectors("identifiers")
    setup, key, state = (bytes.fromhex(given[name]) for name in ("setup_id", "group_key", "state_digest"))
    keys = [bytes.fromhex(text) for text in given["public_keys"]]
    for case in given["setups"]:
        chosen = [keys[position] for position in case["public_keys"]]
        named = (bytes.fromhex(case["manifest_digest"]), int(case["epoch"]), case["leader"])
        assert setup_id(*named, chosen).hex() == case["setup_id"], case["about"]
    assert given["setups"][0]["setup_id"] == setup.hex()
    for mode, state_id in given["state_id"].items():
        group = GroupKey(setup, key, sealed=mode == "sealed")
        assert group.state_id(state).hex() == state_id
        assert group.check_value().hex() == given["group_check"]
    state_id = bytes.fromhex(given["state_id"]["sealed"])
    for number, sid in given["sid_of_round"].items():
        assert session_id(setup, int(number), state_id).hex() == sid
    session = given["session"]
    sid, session_key = bytes.fromhex(session["sid"]), bytes.fromhex(session["session_key"])
    assert GroupKey(setup, key).session_key(sid) == session_key
    assert session_key_hash(sid, session_key).hex() == session["session_key_hash"]
    sealed = given["sealed_key"]
    message = SealedStreamKey(setup, sealed["client"], sealed["aggregator"], bytes.fromhex(sealed["sealed"]))
    assert message.sealed_hash(setup).hex() == sealed["hash"]


def test_key_chains_and_share_streams_are_as_given(vectors) -> None:
    given = vectors("identifiers")
    chain = given["chain"]
    setup, start = bytes.fromhex(chain["setup_id"]), bytes.fromhex(chain["stream_key"])
    for case in chain["rounds"]:
        later = KeyChain(0, start).advance_to(case["round"], setup)
        assert (later.key.hex(), later.round_key(setup).hex()) == (case["chain_key"], case["round_key"])
    for case in chain["refused"]:
        with pytest.raises(_error(case["error"])):
            KeyChain(case["next_round"], start).advance_to(case["asked_for"], setup)
    case = given["share_stream"]
    round_key, sid, nonce = (bytes.fromhex(case[name]) for name in ("round_key", "sid", "nonce"))
    for name, first in case["first_elements"].items():
        field = field_by_name(name)
        named = (round_key, sid, case["client"], case["aggregator"], nonce)
        stream = share_stream(field, *named, scratch_words(field))
        assert stream.read(len(first)).tolist() == [int(value) for value in first]


# messages.json


def _field_value(written: Any) -> Any:
    if not isinstance(written, list):
        return bytes.fromhex(written)
    pairs = [item if isinstance(item, list) else [None, item] for item in written]
    return tuple(bytes.fromhex(value) if i is None else (int(i), bytes.fromhex(value)) for i, value in pairs)


def _built(name: str, written: dict[str, Any], manifest: Any) -> Any:
    kind, values = KINDS[name], {}
    for field in fields(kind):
        value = written[field.name]
        if field.name == "header":
            values[field.name] = _built("Header", value, manifest)
        elif field.name == "share":
            values[field.name] = _elements(manifest.field, value)
        elif field.type in ("U8", "U16", "U32", "U64"):
            values[field.name] = int(value)
        else:
            values[field.name] = _field_value(value)
    return kind(**values)


def test_every_message_is_written_read_and_signed_as_given(vectors) -> None:
    given = vectors("messages")
    key, context = SigningKey(bytes.fromhex(given["signing_key"])), bytes.fromhex(given["context"])
    assert key.public_bytes.hex() == given["public_key"]
    seen = set()
    for task in given["tasks"]:
        manifest = manifest_from_toml(task["manifest"])
        for case in task["messages"]:
            seen.add(case["message"])
            message = _built(case["message"], case["fields"], manifest)
            assert message.to_bytes().hex() == case["bytes"]
            assert case["kind"] == message.kind
            again = KINDS[case["message"]].from_bytes(bytes.fromhex(case["bytes"]), manifest)
            assert again.to_bytes().hex() == case["bytes"]
            if "signed_statement" in case:
                signed = message.receipt(manifest.bulk_hash) if isinstance(message, Opening) else message
                assert signed.signed_statement(context).hex() == case["signed_statement"]
                assert signed.signed_by(key, context).signature == again.signature
                signed.require_signature_of(key.public_bytes, context)
    assert seen == set(KINDS)


def test_bytes_that_are_no_message_are_refused_as_given(vectors) -> None:
    given = vectors("messages")
    refused = set()
    for task in given["tasks"]:
        manifest = manifest_from_toml(task["manifest"])
        for entry in task["messages"]:
            data = bytes.fromhex(entry["bytes"])
            refused.add(entry["message"])
            for case in entry["malformed"]:
                altered = data[: case["from"]] + bytes.fromhex(case["by"]) + data[case["to"] :]
                with pytest.raises(_error(case["error"])) as refusal:
                    KINDS[entry["message"]].from_bytes(altered, manifest)
                if "of protocol version 1" in case["about"]:
                    assert "protocol version 1" in refusal.value.problem
    assert refused == set(KINDS)


def test_messages_of_version_1_and_wrong_signatures_are_refused_as_given(vectors) -> None:
    given = vectors("messages")
    manifest = manifest_from_toml(given["tasks"][0]["manifest"])
    assert len(given["messages_of_version_1"]) == 5
    for case in given["messages_of_version_1"]:
        with pytest.raises(_error(case["error"]), match="a message of protocol version 1"):
            KINDS[case["message"]].from_bytes(bytes.fromhex(case["bytes"]), manifest)
    for case in given["signatures_that_do_not_verify"]:
        message = KINDS[case["message"]].from_bytes(bytes.fromhex(case["bytes"]), manifest)
        with pytest.raises(_error(case["error"])):
            message.require_signature_of(bytes.fromhex(case["public_key"]), bytes.fromhex(case["context"]))


# ledger.json


def _named(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


class Ledger:
    """The rows of ledger.json as entries; keys, data sets, weights and manifests are compared only."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.sessions = {
            name: (bytes.fromhex(own["setup_id"]), own["round"], bytes.fromhex(own["state_id"]))
            for name, own in given["sessions"].items()
        }

    def sid(self, name: str | None) -> bytes:
        return NO_SESSION if name is None else session_id(*self.sessions[name])

    def entries(self, rows: list[dict[str, Any]]) -> list[LedgerEntry]:
        return [
            LedgerEntry(
                *(_named(row[name]) for name in ("key", "data_set", "weights", "manifest")),
                *self.sessions[row["session"]], self.sid(row["origin"]), bytes(32), SessionEnd[row["end"].upper()],
            )
            for row in rows
        ]  # fmt: skip

    def here(self, rows: list[dict[str, Any]]) -> tuple[LedgerEntry, ...]:
        return at_weights(self.entries(rows), _named("W"), _named("mine"), _named("mine"))


def _is_allowed(call: Any, *arguments: Any) -> bool:
    try:
        call(*arguments)
    except errors.RefusedError:
        return False
    return True


def test_a_ledger_allows_and_refuses_as_given(vectors) -> None:
    given = vectors("ledger")
    ledger = Ledger(given)
    for name, session in given["sessions"].items():
        assert ledger.sid(name).hex() == session["sid"]
    for case in given["submit"]:
        assert _is_allowed(require_unused, ledger.here(case["entries"])) == case["allowed"], case["about"]
    for case in given["repeat"]:
        named = (ledger.sid(case["origin"]), _named("mine"), _named("M"))
        assert _is_allowed(chain_of, ledger.here(case["entries"]), *named) == case["allowed"], case["about"]
    for case in given["ended"]:
        entries, end = ledger.entries(case["entries"]), SessionEnd[case["end"].upper()]
        changed = ended(entries, ledger.sid(case["session"]), end)
        expected = [replace(entries[position], end=end) for position in case["changed"]]
        assert list(changed) == expected, case["about"]
    for case in given["chain_of_s_is_void"]:
        assert is_void(ledger.entries(case["entries"]), ledger.sid("S")) == case["void"], case["about"]
