"""No secret shows where people look: in a repr, an error or a log; and none is compared byte by byte."""

from __future__ import annotations

import ast
import dataclasses
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import privateyes
from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.client import SubmissionSecrets
from privateyes.aggregation.keys import share_stream
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.crypto.streams import scratch_words
from privateyes.errors import PrivateyesError

SOURCE = Path(privateyes.__file__).parent


def _shown(secret: bytes) -> set[str]:
    """The forms in which a secret would be recognised."""
    return {secret.hex(), repr(secret), repr(secret)[2:-1], str(list(secret)), str(int.from_bytes(secret, "big"))}


def _everything(world: Any) -> Iterator[tuple[object, list[bytes]]]:
    """Every object that holds a secret, and its secrets."""
    for s, own in world.aggregators.items():
        memory, state = world.aggregator_memories[s], world.states[s]
        yield own, [own.identity.secret_bytes()]
        yield memory, [chain.key for chain in memory.chains.values()]
        yield memory.chains[1], [memory.chains[1].key]
        yield state, [state.salt, state.share.tobytes()[:32]]
    for i, client in world.clients.items():
        memory = world.client_memories[i]
        yield client, [client.identity.secret_bytes()]
        yield memory, [memory.group.key, *(chain.key for chain in memory.chains)]
        yield memory.group, [memory.group.key]
        session_key = memory.group.session_key(world.sid)
        yield TensorChallenge(world.field, world.d + 1, session_key, world.sid), [session_key]
        round_key = memory.chains[0].round_key(memory.group.setup)
        stream = share_stream(world.field, round_key, world.sid, i, 1, bytes(32), scratch_words(world.field))
        yield stream, [round_key]
    fresh = SubmissionSecrets(secrets.token_bytes(32), secrets.token_bytes(32))
    yield fresh, [fresh.rounding_key]


@pytest.fixture
def committed(make_world) -> Any:
    world = make_world(n=2, d=40)
    world.run(to="commit")
    return world


def test_no_secret_is_in_a_repr_or_a_text(committed) -> None:
    holders = list(_everything(committed))
    assert len(holders) > 20
    for holder, held in holders:
        text = repr(holder) + str(holder) + f"{holder!a}"
        assert not [secret for secret in held for shown in _shown(secret) if shown in text], type(holder)


def test_a_repr_that_shows_its_fields_would_be_found(committed) -> None:
    group = committed.client_memories[1].group
    open_class = dataclasses.make_dataclass("Open", ["key"])
    text = repr(open_class(group.key))
    assert any(shown in text for shown in _shown(group.key))


def test_a_set_up_shows_no_key(committed) -> None:
    world = committed
    aggregator = AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], 2, world.aggregator_memories[1])
    client = ClientSetup(world.manifest, 1, world.client_keys[1], 2, bytes(32), world.client_memories[1])
    drawn = [secrets.token_bytes(32) for _ in range(2)]
    other = AggregatorSetup(world.manifest, 2, world.aggregator_keys[2], 2, world.aggregator_memories[2])
    client.seal_stream_keys([aggregator.key(), other.key()], drawn)
    group_key = secrets.token_bytes(32)
    client.lead({1: client.key()}, group_key)
    for holder in (aggregator, client, aggregator._unsealing, client._unsealing):
        text = repr(holder) + str(holder)
        assert not [secret for secret in (*drawn, group_key) for shown in _shown(secret) if shown in text]


def test_no_secret_is_in_an_error(committed) -> None:
    world = committed
    held = {secret for _, secrets_of in _everything(world) for secret in secrets_of}
    errors = []
    for s, own in world.aggregators.items():
        memory, state = world.aggregator_memories[s], world.states[s]
        for call in (
            lambda own=own, memory=memory, state=state: own.open(memory, state, []),
            lambda own=own, memory=memory, state=state: own.agree(memory, state, [], world.hub_commitment),
            lambda own=own, memory=memory: own.announce(memory, 1, 0, bytes(32)),
        ):
            with pytest.raises(PrivateyesError) as caught:
                call()
            errors.append(caught.value)
    memory = world.client_memories[1]
    with pytest.raises(PrivateyesError) as caught:
        world.clients[1].submit(memory, world.announcements, world.delta(1), 3, SubmissionSecrets(bytes(32), bytes(32)))
    errors.append(caught.value)
    with pytest.raises(PrivateyesError) as caught:
        type(memory).from_bytes(memory.to_bytes().replace(b"chains", b"chain"))
    errors.append(caught.value)
    for error in errors:
        text = str(error) + repr(error) + repr(error.args)
        assert not [secret for secret in held for shown in _shown(secret) if shown in text]


SECRET_NAMES = ("key", "salt", "tag", "pad", "secret", "seed", "mask", "state_digest")
PUBLIC_NAMES = ("public_key", "state_key", "sealed", "keys")


def comparisons_of_secrets(source: str) -> list[str]:
    """Every ``==`` or ``!=`` or ``in`` between things whose name says that they are secret."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare):
            continue
        if not any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops):
            continue
        names = {
            part.attr if isinstance(part, ast.Attribute) else part.id
            for side in (node.left, *node.comparators)
            if not ast.unparse(side).startswith(("len(", "[len("))
            for part in ast.walk(side)
            if isinstance(part, ast.Attribute | ast.Name)
        }
        secret = {
            name for name in names
            if any(name == word or name.endswith(f"_{word}") for word in SECRET_NAMES) and name not in PUBLIC_NAMES
        }  # fmt: skip
        if secret:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("part", ["crypto", "aggregation"])
def test_secrets_are_compared_in_constant_time(part) -> None:
    for path in sorted((SOURCE / part).rglob("*.py")):
        if path.name.startswith(("audit", "manifest")):  # what an auditor or a manifest holds is public
            continue
        assert comparisons_of_secrets(path.read_text(encoding="utf-8")) == [], path.name


@pytest.mark.parametrize("line", ["a = own_key == other", "if self._group_key not in (None, key): pass", "x.salt != y"])
def test_the_scan_finds_a_comparison(line) -> None:
    assert comparisons_of_secrets(line)


def test_nothing_in_the_protocol_logs_or_prints() -> None:
    for part in ("crypto", "encoding", "aggregation"):
        for path in sorted((SOURCE / part).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            calls = {node.func.id for node in ast.walk(tree)
                     if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
            assert "print" not in calls, path.name
