"""Whatever arrives, every parser gives a value that writes the same bytes again, or its own error: nothing else.

A short, repeatable run is part of the suite; ``make fuzz`` gives the same targets FUZZ_SECONDS. What broke is written
to build/fuzz, one file for each input.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import random
import secrets
import signal
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privateyes.aggregation import messages
from privateyes.aggregation.audit.evidence import MESSAGE_TYPES, read_message
from privateyes.aggregation.kept import KeptSubmission
from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import Message, Signed
from privateyes.cli.records import read_messages
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.errors import ConfigError, DataError, MalformedError, ParameterError
from privateyes.parties.again import Again

ROOT = Path(__file__).parents[2]
KINDS = {
    name: kind
    for name, kind in inspect.getmembers(messages, inspect.isclass)
    if issubclass(kind, Message) and kind not in (Message, Signed)
}
LONG = int(os.environ.get("FUZZ_SECONDS", "0"))
HANG_S = 20


class HangError(Exception):
    """One input took longer than anything honest does."""


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        read: bytes to a value.
        write: a value to bytes.
        refusals: the only errors that are allowed.
        corpus: valid bytes to begin with.
        exact: whether a value has one encoding only, so that writing gives what was read.
        texts: whether the bytes are JSON or TOML.
    """

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    corpus: tuple[bytes, ...]
    refusals: tuple[type[Exception], ...] = (MalformedError,)
    exact: bool = True
    texts: bool = False


def judge(target: Target, data: bytes) -> str:
    """What became of one input.

    Raises:
        AssertionError: it was written back as something else.
        Exception: whatever the parser should not raise.
    """
    try:
        value = target.read(data)
    except target.refusals:
        return "refused"
    again = target.write(value)
    if target.exact:
        assert again == data
    else:
        assert target.write(target.read(again)) == again
    return "read"


def _message_targets() -> dict[str, Target]:
    given = json.loads((ROOT / "vectors" / "messages.json").read_text(encoding="utf-8"))
    compact = given["tasks"][0]["messages"]
    targets = {}
    for task in given["tasks"]:
        manifest = manifest_from_toml(task["manifest"])
        own = {entry["message"] for entry in task["messages"]}
        for name, kind in KINDS.items():
            entries = [entry for entry in (task["messages"] if name in own else compact) if entry["message"] == name]
            corpus = [bytes.fromhex(entry["bytes"]) for entry in entries]
            corpus += [
                bytes.fromhex(case["bytes"])
                for entry in task.get("malformed", ())
                if entry["message"] == name
                for case in entry["cases"]
            ]
            targets[f"{name}, {manifest.field.name}"] = Target(
                lambda data, kind=kind, manifest=manifest: kind.from_bytes(data, manifest),
                lambda value: value.to_bytes(),
                tuple(corpus),
            )
    return targets


def _stored_targets(make_world: Any, field: Any) -> dict[str, Target]:
    world = make_world(n=2, m=4, d=5, field=field)
    world.run(1, 2, 4, to="agree")
    manifest, kept = world.manifest, [world.kept[client].to_bytes() for client in (1, 2, 4)]
    memories = [world.aggregator_memories[1].to_bytes(), world.client_memories[1].to_bytes()]
    world.set_up()
    memories += [world.aggregator_memories[2].to_bytes(), world.client_memories[3].to_bytes()]
    name = field.name
    return {
        f"KeptSubmission, {name}": Target(
            lambda data: KeptSubmission.from_bytes(data, manifest), KeptSubmission.to_bytes, (*kept, kept[0][:-1])
        ),
        f"Again, {name}": Target(
            lambda data: Again.from_bytes(data, manifest),
            Again.to_bytes,
            (Again(world.origin, tuple(world.commitments)).to_bytes(),),
        ),
        f"AggregatorMemory, {name}": Target(
            AggregatorMemory.from_bytes, AggregatorMemory.to_bytes, tuple(memories[::2]), exact=False, texts=True
        ),
        f"ClientMemory, {name}": Target(
            ClientMemory.from_bytes, ClientMemory.to_bytes, tuple(memories[1::2]), exact=False, texts=True
        ),
        f"Field.from_bytes, {name}": Target(
            lambda data: field.from_bytes(data, 6), lambda value: value.tobytes(), (bytes(6 * field.element_bytes),)
        ),
    }


def _text_targets(folder: Path) -> dict[str, Target]:
    given = json.loads((ROOT / "vectors" / "manifests.json").read_text(encoding="utf-8"))
    first = given["accepted"][0]["toml"]
    texts = [case["toml"] for case in given["accepted"]]
    texts += [
        case["toml"] if "toml" in case else first.replace(case["old"], case["new"], 1) for case in given["refused"]
    ]
    messages_given = json.loads((ROOT / "vectors" / "messages.json").read_text(encoding="utf-8"))["tasks"][0]
    manifest, path = manifest_from_toml(messages_given["manifest"]), folder / "session.jsonl"
    lines = tuple(
        json.dumps({"type": entry["message"], "bytes": entry["bytes"]}).encode() + b"\n"
        for entry in messages_given["messages"]
        if entry["message"] in MESSAGE_TYPES
    )

    def read_lines(data: bytes) -> list[Message]:
        path.write_bytes(data)
        return list(read_messages(path, manifest, [].append))

    def write_lines(found: list[Message]) -> bytes:
        rows = [{"type": type(message).__name__, "bytes": message.to_bytes().hex()} for message in found]
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    return {
        "manifest": Target(
            lambda data: manifest_from_toml(data.decode(errors="replace")),
            lambda value: value.to_toml().encode(),
            tuple(text.encode() for text in texts),
            (ConfigError, ParameterError),
            exact=False,
            texts=True,
        ),
        "a record's lines": Target(
            read_lines, write_lines, (*lines, b"".join(lines[:5])), (DataError,), exact=False, texts=True
        ),
        "read_message": Target(
            lambda data: read_message(
                data.partition(b"\0")[0].decode(errors="replace"), data.partition(b"\0")[2], manifest
            ),
            lambda value: type(value).__name__.encode() + b"\0" + value.to_bytes(),
            tuple(
                entry["message"].encode() + b"\0" + bytes.fromhex(entry["bytes"])
                for entry in messages_given["messages"]
                if entry["message"] in MESSAGE_TYPES
            ),
        ),
    }


@pytest.fixture(scope="module")
def targets(make_world, tmp_path_factory) -> dict[str, Target]:
    stored = {name: target for field in (COMPACT, WIDE) for name, target in _stored_targets(make_world, field).items()}
    return {**_message_targets(), **stored, **_text_targets(tmp_path_factory.mktemp("records"))}


NAMES = [f"{name}, {field.name}" for field in (COMPACT, WIDE) for name in (
    *KINDS, "KeptSubmission", "Again", "AggregatorMemory", "ClientMemory", "Field.from_bytes",
)] + ["manifest", "a record's lines", "read_message"]  # fmt: skip


def test_every_parser_is_a_target(targets) -> None:
    assert set(targets) == set(NAMES)
    assert len(KINDS) == len({kind.kind for kind in KINDS.values()}) >= 23


@pytest.mark.parametrize("name", NAMES)
def test_what_is_valid_is_read(targets, name) -> None:
    """Without this the corpus could be refused as a whole, and no damage would reach deeper than the first byte."""
    target = targets[name]
    assert any(judge(target, data) == "read" for data in target.corpus)


def _attack(target: Target, damaged: Callable[..., bytes], **how: Any) -> Callable[[], None]:
    """Hypothesis drives both raw bytes and the choices of the damage, so that a failure shrinks to a small one."""

    @settings(deadline=None, database=None, **how)
    @given(chance=st.randoms(use_true_random=False), raw=st.binary(max_size=200))
    def attack(chance: random.Random, raw: bytes) -> None:
        judge(target, raw)
        for _ in range(8):
            judge(target, damaged(chance, target.corpus, target.texts))

    return attack


@pytest.mark.parametrize("name", NAMES)
def test_damaged_bytes_are_read_or_refused_and_nothing_else(targets, damaged, name) -> None:
    _attack(targets[name], damaged, derandomize=True, max_examples=15)()


@pytest.mark.parametrize("name", NAMES)
def test_a_large_number_in_a_small_input_allocates_nothing_large(targets, name) -> None:
    target = targets[name]
    data = max(target.corpus, key=len)
    step = max(1, len(data) // 60)
    for at in range(0, len(data) - 8, step):
        for size in (1, 4, 8):
            hostile = data[:at] + b"\xff" * size + data[at + size :]
            tracemalloc.start()
            try:
                judge(target, hostile)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < (1 << 20) + 64 * len(data)


def test_a_lax_parser_would_be_found(targets, damaged) -> None:
    """Each of these forgets one guard; the short run above must stumble over every one of them."""
    strict, record = targets["Delivery, compact"], targets["manifest"]
    size = len(strict.corpus[0])
    doubles = {
        "ignores trailing bytes": replace(strict, read=lambda data: strict.read(data[:size])),
        "takes any kind": replace(strict, read=lambda data: strict.read(strict.corpus[0][:1] + data[1:])),
        "fails in its own way": replace(strict, refusals=(ConfigError,)),
        "lets the decoder's error through": replace(record, read=lambda data: manifest_from_toml(data.decode())),
    }
    for what, double in doubles.items():
        chance, found = random.Random(1), False
        for _ in range(2000):
            try:
                judge(double, damaged(chance, double.corpus, double.texts))
            except (AssertionError, MalformedError, UnicodeDecodeError):
                found = True
        assert found, what


def _alarm(*_: object) -> None:
    raise HangError


def _keep(name: str, data: bytes, error: BaseException) -> str:
    folder = ROOT / "build" / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace(' ', '_').replace(',', '')}-{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.write_bytes(data)
    return f"{name}: {type(error).__name__}: {str(error)[:200]} ({path})"


@pytest.mark.skipif(not LONG, reason="a long budget: make fuzz FUZZ_SECONDS=300")
def test_every_parser_withstands_a_long_budget(targets, damaged) -> None:
    seed = int(os.environ.get("FUZZ_SEED") or secrets.randbits(64))
    chance, found, tried = random.Random(seed), {}, Counter()
    outcomes: Counter[str] = Counter()
    before = signal.signal(signal.SIGALRM, _alarm)
    end = time.monotonic() + LONG
    try:
        while time.monotonic() < end:
            for name, target in targets.items():
                signal.alarm(HANG_S)
                for _ in range(100):
                    data = damaged(chance, target.corpus, target.texts)
                    try:
                        outcomes[judge(target, data)] += 1
                    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                        found.setdefault((name.split(",")[0], type(error).__name__), _keep(name, data, error))
                    tried[name] += 1
                try:
                    hypothesis.seed(chance.getrandbits(64))(_attack(target, damaged, max_examples=10))()
                except Exception as error:  # noqa: BLE001
                    found.setdefault((name.split(",")[0], f"shrunk {type(error).__name__}"), f"{name}: {error!r}")
                tried[name] += 90
                signal.alarm(0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    print(f"\nseed {seed}: {sum(tried.values())} inputs, {dict(outcomes)}")
    print("\n".join(found.values()))
    assert not found
