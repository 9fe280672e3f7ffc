"""A second implementation, which imports nothing from privateyes, computes the same: the vectors suffice."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).with_name("reference")
NAMES = [f"{n}-{field}-{mode}" for n in (2, 3, 5) for field in ("compact", "wide") for mode in ("sealed", "public")]
NAMES += ["2-compact-public-norm", "2-wide-sealed-norm"]


def _round(vectors, name):
    (found,) = [entry for entry in vectors(f"rounds-{name[0]}")["rounds"] if entry["name"] == name]
    return found


def test_the_second_implementation_imports_nothing_from_privateyes() -> None:
    paths = sorted(FOLDER.glob("*.py"))
    assert len(paths) == 8
    imported = set()
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert len(imported) > 10
    libraries = {"blake3", "cryptography", *sys.stdlib_module_names}
    assert {name.split(".")[0] for name in imported} <= libraries


def test_every_round_is_among_those_that_are_played(vectors) -> None:
    assert [entry["name"] for n in (2, 3, 5) for entry in vectors(f"rounds-{n}")["rounds"]] == sorted(
        NAMES, key=lambda name: (name[0], "norm" in name, NAMES.index(name))
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_message_of_a_round_follows_from_its_secrets(vectors, reference, name) -> None:
    given = _round(vectors, name)
    played = reference.rounds.Round(given)
    messages, results = played.play()
    assert [message.hex() for message in (*messages, *played.ending())] == [e["bytes"] for e in given["messages"]]
    assert list(results.values()) == given["results"]


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_between_secrets_and_messages_is_as_given(vectors, reference, name) -> None:
    given = _round(vectors, name)
    played = reference.rounds.Round(given)
    derived = given["derived"]
    assert played.manifest.digest.hex() == derived["manifest_digest"]
    assert played.setup.hex() == derived["setup_id"]
    assert played.group_check.hex() == derived["group_check"]
    assert played.state_id.hex() == derived["state_id"]
    assert played.sid.hex() == derived["sid"]
    assert played.session_key.hex() == derived["session_key"]
    for entry in given["inputs"]:
        client = entry["client"]
        share = played.share(client)
        assert [str(value) for value in played.encoded[client][0]] == entry["encoded"]
        for s, stream in enumerate(entry["streams"], start=1):
            assert played.field.to_bytes(played.stream(client, s)).hex() == stream
        assert len(share) == played.manifest.elements


def test_an_update_that_is_too_long_is_shortened_to_what_the_exact_test_allows(vectors, reference) -> None:
    shortened = 0
    for name in NAMES[-2:]:
        given = _round(vectors, name)
        manifest = reference.manifests.Manifest(given["manifest"])
        segments = manifest.segments(given["clips"])
        for entry in given["inputs"]:
            values = [int(value) for value in entry["encoded"]]
            manifest.require_possible(segments, values, 1, entry["weight"])
            words = [int(word) for word in entry["rounding_words"]]
            delta = [reference.manifests.float32(text) for text in entry["delta"]]
            plain = reference.manifests.encode_update(segments, delta, entry["weight"], words)
            assert (plain != values) == entry["shortened"]
            shortened += entry["shortened"]
            if entry["shortened"]:
                with pytest.raises(ValueError, match="check 8"):
                    manifest.require_possible(segments, plain, 1, entry["weight"])
    assert shortened == 5


def _chains(vectors) -> list[Any]:
    return [pytest.param(chain, id=chain["name"]) for chain in vectors("repeats")["chains"]]


@pytest.mark.parametrize("position", [0, 1])
def test_every_message_of_a_chain_of_repeats_follows_from_its_secrets(vectors, reference, position) -> None:
    chain = vectors("repeats")["chains"][position]
    first = None
    for given in chain["sessions"]:
        assert given["repeats"] == (chain["sessions"][0]["name"] if first else None)
        played = reference.rounds.Round(given, first)
        messages, results = played.play()
        assert [message.hex() for message in messages] == [entry["bytes"] for entry in given["messages"]]
        assert list(results.values()) == given["results"]
        assert [result["sum"] for result in given["results"]] == [r["sum"] for r in chain["sessions"][0]["results"]]
        first = first or played


def test_another_secret_gives_other_messages(vectors, reference) -> None:
    """Without this the comparison above could compare nothing."""
    given = _round(vectors, "2-compact-sealed")
    messages, _ = reference.rounds.Round(given).play()
    for name in ("group_key", "state_digest", "hub_signing_key"):
        other = {**given, "secrets": {**given["secrets"], name: "00" * 32}}
        again, _ = reference.rounds.Round(other).play()
        assert again != messages
    for name in ("epoch", "leader", "round"):
        again, _ = reference.rounds.Round({**given, name: given[name] + 1}).play()
        assert again != messages


@pytest.mark.parametrize("position", [0, 1])
def test_every_message_of_a_set_up_follows_from_its_secrets(vectors, reference, position) -> None:
    task = vectors("setups")
    given = task["set_ups"][position]
    made = reference.setups.SetUp(task, given)
    assert [message.hex() for message in made.messages()] == [entry["bytes"] for entry in given["messages"]]
    assert made.id.hex() == given["setup_id"]
    assert made.group_check.hex() == given["group_check"]
    assert made.state_id.hex() == given["state_id"]
    hashes = [[made.sealed_hash(i, s).hex() for s in made.aggregator_keys] for i in given["clients"]]
    assert hashes == given["sealed_hashes_by_client"]
    opened = {key: text.hex() for key, text in made.unsealed().items()}
    expected = {
        ("SealedStreamKey", i, s): key
        for i, row in zip(given["clients"], given["stream_keys_by_client"], strict=True)
        for s, key in enumerate(row, 1)
    }
    expected |= {("SealedGroupKey", given["leader"], i): given["group_key"] for i in given["clients"]}
    expected |= {("SealedState", given["leader"], given["joining"]): given["state"]["bytes"]}
    assert opened == expected


def test_redrawn_words_uneven_trees_and_hashes_of_shares_are_those_of_the_vectors(vectors, reference) -> None:
    for entry in vectors("fields")["fields"]:
        field = reference.fields.FIELDS[entry["name"]]
        for case in entry["redrawn"]:
            main, tail = ([int(word) for word in case[name]] for name in ("main_words", "tail_words"))
            assert [str(value) for value in reference.fields.redraw(field, main, tail)] == case["elements"], case[
                "about"
            ]
    trees, statements = vectors("commitments"), reference.statements
    pattern = bytes.fromhex(trees["pattern"])
    for case in trees["merkle_roots"]:
        size = case["length_bytes"]
        data = (pattern * (size // len(pattern) + 1))[:size]
        for bulk_hash in ("blake3", "sha256"):
            assert statements.merkle_root(data, bulk_hash).hex() == case[bulk_hash]
    case, sid = trees["share_hash"], bytes.fromhex(trees["sid"])
    parts = (case["client"], case["length_bytes"], bytes.fromhex(case["root"]))
    assert statements.digest("share-hash", "client", sid, *parts).hex() == case["hash"]


def test_tags_and_manifests_are_those_of_the_vectors(vectors, reference) -> None:
    challenges = vectors("challenges")
    key, sid = (bytes.fromhex(challenges[name]) for name in ("session_key", "sid"))
    for case in challenges["cases"]:
        vector = [int(value) for value in case["vector"]]
        for pads, name in ((1, "tags_with_one_pad"), (3, "tags_with_three_pads")):
            got = reference.fields.tags(reference.fields.FIELDS[case["field"]], key, sid, vector, pads)
            assert [str(value) for value in got] == case[name]
    for case in vectors("manifests")["accepted"]:
        manifest = reference.manifests.Manifest(case["toml"])
        assert manifest.digest.hex() == case["digest"], case["about"]
        assert manifest.fixed_cohort == case["fixed_cohort"]
        assert manifest.norm_bound == case["norm_bound"]
        for seed, expected in case["weights_seed"].items():
            assert manifest.weights_seed(int(seed)).hex() == expected


def test_identifiers_are_those_of_the_vectors(vectors, reference) -> None:
    given, statements = vectors("identifiers"), reference.statements
    keys = [bytes.fromhex(key) for key in given["public_keys"]]
    for case in given["setups"]:
        chosen = [keys[position] for position in case["public_keys"]]
        named = (bytes.fromhex(case["manifest_digest"]), int(case["epoch"]), case["leader"])
        assert reference.setups.setup_id(*named, chosen).hex() == case["setup_id"], case["about"]
    assert len({case["setup_id"] for case in given["setups"]}) == len(given["setups"])
    key, setup, state = (bytes.fromhex(given[name]) for name in ("group_key", "setup_id", "state_digest"))
    assert reference.setups.group_check(key, setup).hex() == given["group_check"]
    for mode, expected in given["state_id"].items():
        assert reference.setups.state_id(key, setup, state, mode == "sealed").hex() == expected
    state_id = bytes.fromhex(given["state_id"]["sealed"])
    for number, sid in given["sid_of_round"].items():
        assert statements.digest("session-id", "all", setup, int(number), state_id).hex() == sid


def test_encodings_clips_and_streams_are_those_of_the_vectors(vectors, reference) -> None:
    given, manifests = vectors("encodings"), reference.manifests
    for case in given["encode"]:
        if "error" in case:
            continue
        limits, delta = case["parameters"], [manifests.float32(text) for text in case["delta"]]
        whole = manifests.Segment(0, len(delta), manifests.float64(limits["clip"]), limits["scale_bits"])
        got = manifests.encode_update([whole], delta, case["weight"], [int(word) for word in case["rounding_words"]])
        assert [str(value) for value in got] == case["integers"], case["about"]
    streams = vectors("streams")
    key, context = bytes.fromhex(streams["key"]), bytes.fromhex(streams["context"])
    for case in streams["element_streams"]:
        field = reference.fields.FIELDS[case["field"]]
        for entry in case["streams"]:
            label = entry["labels"][0]
            assert entry["labels"][1] == f"{label}-tail"
            got = reference.fields.elements(field, 6, key, label, streams["role"], context, streams["part"])
            assert [str(value) for value in got] == entry["first"]


def test_statements_of_every_label_are_those_of_the_vectors(vectors, reference) -> None:
    given, statements = vectors("statements"), reference.statements
    key, context, parts = bytes.fromhex(given["key"]), bytes.fromhex(given["context"]), [7, "text", b"\x00\xff"]
    assert given["version"] == statements.VERSION
    for case in given["labels"]:
        named = (case["label"], case["role"], context, *parts)
        assert statements.statement(*named).hex() == case["statement"]
        assert statements.mac(key, *named).hex() == case["mac"]
        assert statements.derive(key, 48, *named).hex() == case["key_48"]


# messages.json


def _field(kind: str, written: Any) -> Any:
    if kind[0] == "u":
        return int(written)
    if kind[0] == "l":
        return [bytes.fromhex(value) for value in written]
    if kind == "roster":
        return [(int(client), bytes.fromhex(value)) for client, value in written]
    if kind == "vector":
        return [int(value) for value in written]
    return bytes.fromhex(written)


def _values(reference, name: str, written: dict[str, Any]) -> dict[str, Any]:
    fields = reference.layouts.LAYOUTS[name].fields
    assert [field for field, _ in fields] == list(written)
    return {
        field: _values(reference, "Header", written[field]) if kind == "header" else _field(kind, written[field])
        for field, kind in fields
    }


def test_every_message_is_written_signed_and_read_as_given(vectors, reference) -> None:
    given, layouts = vectors("messages"), reference.layouts
    context, seen = bytes.fromhex(given["context"]), set()
    for task in given["tasks"]:
        manifest = reference.manifests.Manifest(task["manifest"])
        for case in task["messages"]:
            name, data = case["message"], bytes.fromhex(case["bytes"])
            seen.add(name)
            values = _values(reference, name, case["fields"])
            assert layouts.write(name, values, manifest) == data
            assert layouts.read(name, data, manifest) == values
            assert layouts.name_of(data) == name
            assert layouts.kind_byte(name) == case["kind"]
            assert ("signed_statement" in case) == bool(layouts.LAYOUTS[name].label)
            if "signed_statement" in case:
                assert layouts.signed_statement(name, values, context, manifest).hex() == case["signed_statement"]
    assert seen == set(layouts.LAYOUTS)
    assert len({layout.number for layout in layouts.LAYOUTS.values()}) == len(layouts.LAYOUTS)


def test_bytes_that_are_no_message_are_refused_as_given(vectors, reference) -> None:
    given, layouts = vectors("messages"), reference.layouts
    for task in given["tasks"]:
        manifest = reference.manifests.Manifest(task["manifest"])
        for entry in task["messages"]:
            data = bytes.fromhex(entry["bytes"])
            for case in entry["malformed"]:
                altered = data[: case["from"]] + bytes.fromhex(case["by"]) + data[case["to"] :]
                with pytest.raises(ValueError):
                    layouts.read(entry["message"], altered, manifest)
    manifest = reference.manifests.Manifest(given["tasks"][0]["manifest"])
    for case in given["messages_of_version_1"]:
        with pytest.raises(ValueError, match="another kind"):
            layouts.read(case["message"], bytes.fromhex(case["bytes"]), manifest)


# Rules


def test_the_ledger_allows_and_refuses_as_given(vectors, reference) -> None:
    given, rules, mine = vectors("ledger"), reference.rules, ("mine", "mine", "W")
    for case in given["submit"]:
        assert rules.may_submit(case["entries"], *mine) == case["allowed"], case["about"]
    for case in given["repeat"]:
        assert rules.may_repeat(case["entries"], case["origin"], *mine, "M") == case["allowed"], case["about"]
    for case in given["ended"]:
        assert rules.changed_by_end(case["entries"], case["session"]) == case["changed"], case["about"]
    for case in given["chain_of_s_is_void"]:
        assert rules.chain_is_void(case["entries"], "S") == case["void"], case["about"]
    for name, session in given["sessions"].items():
        parts = (session["round"], bytes.fromhex(session["state_id"]))
        sid = reference.statements.digest("session-id", "all", bytes.fromhex(session["setup_id"]), *parts)
        assert sid.hex() == session["sid"], name


class Model:
    """The reference's aggregator in a case of endings.json; a call tells what it says, or None where it refuses."""

    def __init__(self, reference, base: dict[str, Any]) -> None:
        self.reference, self.base = reference, base
        self.setup, self.state = base["derived"]["setup_id"], base["derived"]["state_id"]
        self.own, self.manifest = reference.rules.Aggregator(self.setup), reference.manifests.Manifest(base["manifest"])

    def _named(self, call: dict[str, Any]) -> tuple[str, int, str]:
        return (call.get("setup", self.setup), call.get("round", self.base["round"]), call.get("state_id", self.state))

    def tell(self, call: dict[str, Any]) -> int | None:
        """The outcome of a closing, the step of a give-up, else nothing."""
        do = call["do"]
        if do in ("vote", "commit", "agree", "open"):
            self.own.say(do)
        elif do == "announce":
            self.own.announce(*self._named(call))
        elif do == "start":
            self.own.start()
        elif do == "bind":
            keys = [self.reference.setups.SealingKey(seeds).public for seeds in call["sealing_seeds"]]
            setup = self.reference.setups.setup_id(self.manifest.digest, call["epoch"], call["leader"], keys)
            self.own.bind(setup.hex(), call.get("lost", False))
        elif do in ("closing", "give_up"):
            return int(getattr(self.own, do)(*self._named(call)))
        return None


def test_sessions_end_at_an_aggregator_as_given(vectors, reference) -> None:
    given = vectors("endings")
    bases = {entry["name"]: entry for entry in vectors("rounds-3")["rounds"]}
    told = []
    for case in given["cases"]:
        if "aggregator" not in case["party"]:
            continue
        model = Model(reference, bases[case["base"]])
        for call in case["calls"]:
            if call["do"] in ("certify", "finish", "words", "reload"):
                continue
            try:
                answer = model.tell(call)
            except reference.rules.Refused:
                assert call["error"] == "RefusedError", case["about"]
                continue
            assert "error" not in call, case["about"]
            if answer is None:
                continue
            message = bytes.fromhex(given["messages"][call["says"]])
            values = reference.layouts.read(reference.layouts.name_of(message), message, model.manifest)
            assert answer == values.get("outcome", values.get("step")), case["about"]
            told.append(answer)
    assert set(told) == {0, 1, 2, 3, 4}
    assert len(told) > 30


def test_vouchers_suffice_as_given(vectors, reference) -> None:
    given, manifests = vectors("refusals"), {}
    (base,) = [s for chain in vectors("repeats")["chains"] for s in chain["sessions"] if s["name"] == "repeats-fixed/1"]
    manifest = manifests.setdefault("fixed", reference.manifests.Manifest(base["manifest"]))
    setup, seen = bytes.fromhex(base["derived"]["setup_id"]), []
    for case in given["refused"]:
        call = case["calls"][-1]
        if (case["base"], call["do"], case["expected"]) != ("repeats-fixed/1", "jump", {"error": "RefusedError"}):
            continue
        read = [bytes.fromhex(given["messages"][name]) for name in call["messages"]]
        vouchers = [reference.layouts.read("Voucher", data, manifest) for data in read]
        state = bytes.fromhex(call["state"]["digest"])
        wanted = (setup, reference.setups.state_id(b"", setup, state, manifest.sealed))
        enough = reference.rules.enough_vouchers(vouchers, 1, wanted, manifest.clients, 1)
        # A state that is not later is refused whoever vouches for it.
        later = call["state"]["counter"] > 0 and len(case["calls"]) == 1
        assert not (enough and later), case["about"]
        seen.append(enough)
    assert seen.count(False) >= 8
    assert seen.count(True) == 2
