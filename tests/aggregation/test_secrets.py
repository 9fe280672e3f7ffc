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
from privateyes.aggregation.client import SubmissionSecrets, Update, VerifiedAverage
from privateyes.aggregation.keys import KeyChain, share_stream
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import ClientMemory, TrainingState
from privateyes.aggregation.messages import ANNOUNCE, BIND, Disclosure
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.crypto.sealing import UnsealingKey
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.streams import scratch_words
from privateyes.errors import PrivateyesError

SOURCE = Path(privateyes.__file__).parent


def _shown(secret: bytes) -> set[str]:
    """The forms in which a secret would be recognised."""
    return {secret.hex(), repr(secret), repr(secret)[2:-1], str(list(secret)), str(int.from_bytes(secret, "big"))}


def _everything(world: Any) -> Iterator[tuple[object, list[bytes]]]:
    """Every object that holds a secret, and its secrets."""
    for s, own in world.aggregators.items():
        memory, share = world.aggregator_memories[s], world.shares[s]
        hidden = [chain.key for chain in memory.chains.values()]
        hidden += [memory.session.salt, memory.session.share_root]
        yield own, [own.identity.secret_bytes()]
        yield memory, hidden
        yield memory.chains[1], [memory.chains[1].key]
        yield share, [share.root, share.elements.tobytes()[:32]]
    for i, client in world.clients.items():
        memory, kept = world.client_memories[i], world.kept[i].with_update(world.encoded_updates[i])
        keys = [kept.session_key, *kept.round_keys]
        state = [memory.state.digest, memory.state.weights]
        yield client, [client.identity.secret_bytes()]
        yield memory, [memory.group.key, *(chain.key for chain in memory.chains), *state]
        yield memory.state, state
        yield memory.group, [memory.group.key]
        yield memory.followed[0], [memory.followed[0].group.key]
        yield world.ledgers[i][0], state
        yield world.kept[i], keys
        yield kept, [*keys, kept.encoded.tobytes()[:32]]
        yield TensorChallenge(world.field, world.d + 1, kept.session_key, world.sid), [kept.session_key]
        round_key, scratch = kept.round_keys[0], scratch_words(world.field)
        yield share_stream(world.field, round_key, world.sid, i, 1, bytes(32), scratch), [round_key]
        yield Disclosure(world.sid, i, bytes(32), kept.session_key), [kept.session_key]
    fresh = SubmissionSecrets(secrets.token_bytes(32), secrets.token_bytes(32))
    yield fresh, [fresh.rounding_key]


@pytest.fixture
def committed(make_world) -> Any:
    world = make_world(n=2, d=40, initial=TrainingState(secrets.token_bytes(32), secrets.token_bytes(32), 0))
    world.run(to="commit")
    return world


def _found(holder: object, held: list[bytes]) -> list[bytes]:
    """The secrets that show."""
    text = repr(holder) + str(holder) + f"{holder!a}"
    return [secret for secret in held for shown in _shown(secret) if shown in text]


def test_no_secret_is_in_a_repr_or_a_text(committed) -> None:
    holders = list(_everything(committed))
    assert len(holders) > 50
    for holder, held in holders:
        assert not _found(holder, held), type(holder)


def test_a_repr_that_shows_its_fields_would_be_found(committed) -> None:
    group = committed.client_memories[1].group
    open_class = dataclasses.make_dataclass("Open", ["key"])
    assert _found(open_class(group.key), [group.key])


def test_no_step_shows_what_it_is_about_to_store_or_send(make_world) -> None:
    """An opening is for everyone; what a log holds of it is still no share and no salt."""
    world = make_world(n=2, d=40)
    world.run(to="vote")
    own, salt = world.aggregators[1], secrets.token_bytes(32)
    step = own.commit(world.aggregator_memories[1], world.headers, world.votes, salt)
    share = step.share.elements.tobytes()[:32]
    assert not _found(step, [salt, share, step.share.root])
    world.commit()
    world.agree()
    record, elements = world.aggregator_memories[1].session, world.shares[1].elements
    opened = own.open(world.aggregator_memories[1], world.shares[1], world.agreements)
    assert not _found(opened, [record.salt, elements.tobytes()[:32]])
    assert not _found(opened.message.receipt(world.manifest.bulk_hash), [record.salt])
    assert "array" not in repr(opened) + repr(world.submissions[1]) + repr(world.total)


@pytest.fixture
def drawn() -> list[bytes]:
    """What a client draws in a set-up: a stream key for each of two aggregators, and a group key."""
    return [secrets.token_bytes(32) for _ in range(3)]


def _set_up(world: Any, drawn: list[bytes]) -> tuple[AggregatorSetup, ClientSetup, list[Any]]:
    """Aggregator 1 and client 1, the leader, with all keys of a second set-up; nothing has started."""
    aggregators = {s: AggregatorSetup(world.manifest, s, key, 2, 1) for s, key in world.aggregator_keys.items()}
    client = ClientSetup(world.manifest, 1, world.client_keys[1], world.client_memories[1])
    offers = [own.key() for own in aggregators.values()]
    setup = client.bind(offers)
    request = world.request(BIND, 0, bytes(32), setup)
    world.aggregator_memories[1] = aggregators[1].bind(world.aggregator_memories[1], offers, request)
    sealed = client.seal_stream_keys(drawn[:2])
    aggregators[1].receive(world.aggregator_memories[1], sealed[0])
    (own,) = client.lead({1: client.key()}, drawn[2])
    client.receive_group_key(own)
    return aggregators[1], client, [aggregators[1]._unsealing, client._unsealing]


def test_a_set_up_shows_no_key(committed, drawn) -> None:
    aggregator, client, halves = _set_up(committed, drawn)
    for holder in (aggregator, client, *halves):
        assert not _found(holder, drawn)


def _reached(value: Any, seen: set[int]) -> Iterator[object]:
    """An object and everything that hangs on it, but for the parties' pinned keys and their manifest."""
    if id(value) in seen or isinstance(value, SigningKey | Manifest):
        return
    seen.add(id(value))
    yield value
    parts: list[Any] = []
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    else:
        names = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())}
        parts = [getattr(value, name) for name in {*names, *getattr(value, "__dict__", {})} if hasattr(value, name)]
    for part in parts:
        yield from _reached(part, seen)


def test_a_set_up_that_has_started_holds_no_key_any_more(committed, drawn) -> None:
    """Private halves, first chain keys, K, and the memory of the set-up before; in any slot."""
    world = committed
    before = world.client_memories[1]
    aggregator, client, halves = _set_up(world, drawn)
    older = [before.group.key, *(chain.key for chain in before.chains)]
    held = [*_reached(aggregator, set()), *_reached(client, set())]
    # Before the start they are there to be found.
    assert {*drawn, *older} <= {value for value in held if isinstance(value, bytes)}
    assert all(any(value is half for value in held) for half in halves)
    aggregator.start(world.aggregator_memories[1])
    client.start(before)
    left = [*_reached(aggregator, set()), *_reached(client, set())]
    assert not {*drawn, *older} & {value for value in left if isinstance(value, bytes)}
    assert not any(value is half for value in left for half in halves)
    assert not any(isinstance(value, KeyChain | ClientMemory | UnsealingKey) for value in left)


def test_no_secret_is_in_an_error(committed) -> None:
    world = committed
    held = [secret for _, secrets_of in _everything(world) for secret in secrets_of]
    own, memory, share = world.aggregators[1], world.aggregator_memories[1], world.shares[1]
    client, own_memory = world.clients[1], world.client_memories[1]
    kept = world.kept[1].with_update(world.encoded_updates[1])
    spoilt = dataclasses.replace(kept, weight=9)
    update, fresh = Update(world.delta(1), 3), SubmissionSecrets(bytes(32), secrets.token_bytes(32))
    average = VerifiedAverage(bytes(32), world.delta(1), 3, (), True)
    calls = [
        lambda: own.open(memory, share, []),
        lambda: own.agree(memory, [], world.hub_commitment),
        lambda: own.announce(memory, world.request(ANNOUNCE, 0, bytes(32))),
        lambda: own.commit(memory, [], [], memory.session.salt),
        lambda: client.submit(own_memory, world.ledgers[1], world.announcements, update, fresh, print),
        lambda: client.resend(own_memory, spoilt),
        lambda: client.jump(own_memory, [], own_memory.state),
        lambda: client.accept(own_memory, [], average, own_memory.state),
        lambda: type(own_memory).from_bytes(own_memory.to_bytes().replace(b"chains", b"chain")),
        lambda: type(memory).from_bytes(memory.to_bytes().replace(b"chains", b"chain")),
        lambda: type(kept).from_bytes(kept.to_bytes()[:-1], world.manifest),
    ]
    for call in calls:
        with pytest.raises(PrivateyesError) as caught:
            call()
        error = caught.value
        assert not _found(error, held)
        assert not _found(error.args, held)


SECRET_NAMES = ("key", "salt", "tag", "pad", "secret", "seed", "mask", "state_digest")
PUBLIC_NAMES = ("public_key", "state_key", "sealed", "keys")
PUBLIC_SIDE = "entry.key"  # of a ledger's row: a public one


def comparisons_of_secrets(source: str) -> list[str]:
    """Every ``==`` or ``!=`` or ``in`` between things whose name says that they are secret."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare):
            continue
        if not any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops):
            continue
        sides = (node.left, *node.comparators)
        names = {
            part.attr if isinstance(part, ast.Attribute) else part.id
            for side in sides
            if not ast.unparse(side).startswith(("len(", "[len(")) and PUBLIC_SIDE not in map(ast.unparse, sides)
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
