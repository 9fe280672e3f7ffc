"""A second implementation, which imports nothing from privateyes, computes the same rounds: the vectors suffice."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

NAMES = [f"{n}-{field}-{mode}" for n in (2, 3, 5) for field in ("compact", "wide") for mode in ("sealed", "public")]


def _round(vectors, name):
    (found,) = [entry for entry in vectors(f"rounds-{name[0]}")["rounds"] if entry["name"] == name]
    return found


def test_the_second_implementation_imports_nothing_from_privateyes() -> None:
    tree = ast.parse(Path(__file__).with_name("reference.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert len(imported) > 5
    libraries = {"cryptography", *sys.stdlib_module_names}
    assert {name.split(".")[0] for name in imported} <= libraries


@pytest.mark.parametrize("name", NAMES)
def test_every_message_of_a_round_follows_from_its_secrets(vectors, reference, name) -> None:
    given = _round(vectors, name)
    messages, results = reference.Round(given).play()
    assert [message.hex() for message in messages] == [entry["bytes"] for entry in given["messages"]]
    assert list(results.values()) == given["results"]


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_between_secrets_and_messages_is_as_given(vectors, reference, name) -> None:
    given = _round(vectors, name)
    played = reference.Round(given)
    derived = given["derived"]
    assert played.manifest.digest.hex() == derived["manifest_digest"]
    assert played.setup.hex() == derived["setup_id"]
    assert played.sid.hex() == derived["sid"]
    assert played.session_key.hex() == derived["session_key"]
    for entry in given["inputs"]:
        client = entry["client"]
        share = played.share(client)
        assert [str(value) for value in played.encoded[client]] == entry["encoded"]
        for s, stream in enumerate(entry["streams"], start=1):
            assert played.field.to_bytes(played.stream(client, s)).hex() == stream
        assert len(share) == played.manifest.dimension + 1 + played.field.tags


def test_another_secret_gives_other_messages(vectors, reference) -> None:
    """Without this the comparison above could compare nothing."""
    given = _round(vectors, "2-compact-sealed")
    messages, _ = reference.Round(given).play()
    for name in ("group_key", "state_digest"):
        other = {**given, "secrets": {**given["secrets"], name: "00" * 32}}
        again, _ = reference.Round(other).play()
        assert again != messages


def test_redrawn_words_and_uneven_trees_are_those_of_the_vectors(vectors, reference) -> None:
    for entry in vectors("fields")["fields"]:
        field = reference.FIELDS[entry["name"]]
        for case in entry["redrawn"]:
            main, tail = ([int(word) for word in case[name]] for name in ("main_words", "tail_words"))
            assert [str(value) for value in reference.redraw(field, main, tail)] == case["elements"], case["about"]
    trees = vectors("commitments")
    pattern = bytes.fromhex(trees["pattern"])
    for case in trees["merkle_roots"]:
        size = case["length_bytes"]
        data = (pattern * (size // len(pattern) + 1))[:size]
        assert reference.merkle_root(data).hex() == case["root"]


def test_tags_and_manifests_are_those_of_the_vectors(vectors, reference) -> None:
    challenges = vectors("challenges")
    key, sid = (bytes.fromhex(challenges[name]) for name in ("session_key", "sid"))
    for case in challenges["cases"]:
        vector = [int(value) for value in case["vector"]]
        for pads, name in ((1, "tags_with_one_pad"), (3, "tags_with_three_pads")):
            got = reference.tags(reference.FIELDS[case["field"]], key, sid, vector, pads)
            assert [str(value) for value in got] == case[name]
    for case in vectors("manifests")["accepted"]:
        assert reference.Manifest(case["toml"]).digest.hex() == case["digest"], case["about"]


def test_encodings_clips_and_streams_are_those_of_the_vectors(vectors, reference) -> None:
    given = vectors("encodings")
    for case in given["encode"]:
        if "error" in case:
            continue
        limits, delta = case["parameters"], [reference.float32(text) for text in case["delta"]]
        whole = reference.Segment(0, len(delta), reference.float64(limits["clip"]), limits["scale_bits"])
        got = reference.encode_update([whole], delta, case["weight"], [int(word) for word in case["rounding_words"]])
        assert [str(value) for value in got] == case["integers"], case["about"]
    streams = vectors("streams")
    key, context = bytes.fromhex(streams["key"]), bytes.fromhex(streams["context"])
    for case in streams["element_streams"]:
        field = reference.FIELDS[case["field"]]
        for entry in case["streams"]:
            label = entry["labels"][0]
            assert entry["labels"][1] == f"{label}-tail"
            got = reference.elements(field, 6, key, label, streams["role"], context, streams["part"])
            assert [str(value) for value in got] == entry["first"]


def test_statements_of_every_label_are_those_of_the_vectors(vectors, reference) -> None:
    given = vectors("statements")
    key, context, parts = bytes.fromhex(given["key"]), bytes.fromhex(given["context"]), [7, "text", b"\x00\xff"]
    for case in given["labels"]:
        named = (case["label"], case["role"], context, *parts)
        assert reference.statement(*named).hex() == case["statement"]
        assert reference.mac(key, *named).hex() == case["mac"]
        assert reference.derive(key, 48, *named).hex() == case["key_48"]
