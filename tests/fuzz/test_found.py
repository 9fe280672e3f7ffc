"""Inputs that once broke a parser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.errors import ConfigError, MalformedError

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.mark.parametrize("kind", [AggregatorMemory, ClientMemory])
@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000], ids=["brackets", "braces"])
def test_a_memory_nested_without_end_is_damaged(kind, data) -> None:
    with pytest.raises(MalformedError, match="is damaged"):
        kind.from_bytes(data)


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "1e999", "NaN"])
def test_a_memory_with_an_infinite_number_is_damaged(make_world, value) -> None:
    world = make_world(n=2, m=2)
    for memory in (world.aggregator_memories[1], world.client_memories[1]):
        text = memory.to_bytes().decode().replace(f'"version":{memory.version}', f'"version":{value}')
        assert value in text
        with pytest.raises(MalformedError, match="is damaged"):
            type(memory).from_bytes(text.encode())


@pytest.fixture(scope="module")
def text() -> str:
    return json.loads((VECTORS / "manifests.json").read_text(encoding="utf-8"))["accepted"][0]["toml"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("leaders = [2, 5]", "leaders = [" + "9" * 5000 + "]", "a list that nests or does not end"),
        ("leaders = [2, 5]", "leaders = [0x" + "f" * 900 + "]", "leaders"),
        ("version = 2", "version = 0x" + "f" * 900, "version is too large"),
        ("dimension = 10", "dimension = 9223372036854775808", "dimension is too large"),
        ("version", "x = " + "[" * 3000 + "\nversion", "a list that nests or does not end"),
        ("version", "x = " + "{a=" * 2000 + "\nversion", "a table as a value"),
        ("version", "x = " + "1," * 5000 + "\nversion", "longer than 8192 characters"),
        ('"client 1"', '"client\\n1"', "control character"),
        ('"clinic"', '"\\u0007"', "control character"),
        ('"sealed"', '"sealed\\u007f"', "control character"),
    ],
)
def test_a_manifest_with_endless_numbers_or_brackets_or_unprintable_names_is_refused(text, old, new, problem) -> None:
    altered = text.replace(old, new, 1)
    assert altered != text
    with pytest.raises(ConfigError, match=problem) as refusal:
        manifest_from_toml(altered)
    assert refusal.value.remedy
