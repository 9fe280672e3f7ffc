"""What each role's work costs, for each element, beside plain averaging and beside the machine's own limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, GCM

from measuring import Effort, Work, in_turn, per_element
from plain import BASELINE, VARIANTS
from privateyes.aggregation import client as client_module
from privateyes.aggregation import hub
from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.client import Client
from privateyes.aggregation.costs import round_costs
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.commitment import LEAF_BYTES, MerkleTree
from privateyes.crypto.field import Elements, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.streams import CHUNK_BYTES, ElementStream, KeyStream, scratch_words
from privateyes.engines.local.thread_team import ThreadTeam
from situations import WEIGHT, Case, Roster, Round, random_elements, random_update, spool

CLIENT_TARGET: Final = {"compact": 4.5, "wide": 9.0}
"""For encode, tags, streams and the share's hash, from 1.83 million parameters on; the smallest model's fixed costs
show beside it."""
AGGREGATOR_TARGET: Final = {"compact": 2.0, "wide": 4.0}
HUB_TARGET: Final = 1.5
AES_AIM: Final = 0.6
FLOAT_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class ClientRow:
    """Nanoseconds for each element, once a round; the number of clients enters none of them.

    Attributes:
        bare_ns: a client's encoding, mask, tags and streams.
        share_ns: the same with the share's hash.
        submission_ns: all that a client's host does: also the share's hash, keys, three kinds of signatures.
        check_ns: the same for a result: check, decode.
        certify_ns: an aggregator's check of all openings and its signature on the result.
        deliver_ns: the hub's check of all openings and the sum that it delivers.
        intact_ns: the hub's hash over one share, to refuse a damaged one; for each client.
    """

    dimension: int
    aggregators: int
    field: str
    upload_ratio: float
    bare_ns: float
    share_ns: float
    submission_ns: float
    check_ns: float
    certify_ns: float
    deliver_ns: float
    intact_ns: float


@dataclass(frozen=True, slots=True)
class RosterRow:
    """Nanoseconds for each element and client.

    Attributes:
        aggregator_ns: an aggregator's host at ``commit``, on one core: every client's stream, the sum, the commitment.
        aggregator_gb_s: bytes of streams in a second.
        aes_gb_s: of AES-256-GCM alone, measured beside it.
        both_cores: how many times faster on the wall with ``cores`` lanes, the fastest runs compared.
        vote_us: microseconds for each client and whatever the dimension: an aggregator checks a header's signature.
        sent_bytes: by an aggregator.
        hub_adding_ns: the hub's addition.
        hub_ns: with com_0, the hash of the sum.
        plain_ns: float32 averaging, in the fastest way of plain.py.
        in_place_ns: float32 averaging, one update after the other.
    """

    dimension: int
    clients: int
    field: str
    aggregator_ns: float
    aggregator_gb_s: float
    aes_gb_s: float
    both_cores: float
    cores: int
    vote_us: float
    sent_bytes: float
    hub_adding_ns: float
    hub_ns: float
    plain_ns: float
    in_place_ns: float

    @property
    def of_aes(self) -> float:
        """The aggregator's part of the limit."""
        return self.aggregator_gb_s / self.aes_gb_s

    @property
    def cases(self) -> tuple[str, str, str]:
        """d, m and the field, as a table shows them."""
        return f"{self.dimension:,}", str(self.clients), self.field

    @property
    def hub_ratio(self) -> float:
        """The hub's addition, with com_0, over plain averaging."""
        return self.hub_ns / self.plain_ns


class _NoTree(MerkleTree):
    """Hashes nothing, so that the work beside the hash can be timed."""

    def update(self, piece: Elements, lanes: Lanes = ONE_LANE) -> None:
        """Do nothing."""

    def root(self) -> bytes:
        """Nothing's root."""
        return bytes(32)


@contextmanager
def swapped(holder: Any, name: str, value: Any) -> Iterator[None]:
    """Another value under a name, for a while."""
    own = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, own)


class _Reached(Exception):  # noqa: N818 - no error
    """Carries the arguments of the call at which a submission was stopped."""


def _stop(_: Client, *arguments: Any) -> None:
    raise _Reached(*arguments)


def measure_client(case: Case, effort: Effort) -> ClientRow:
    """Time a client and what is done once a round, for one model, field and number of aggregators."""
    beginning = Round(case)
    make_share = Client._share

    def at_share() -> tuple[Any, ...]:
        """The arguments with which a submission makes its share: with streams that nobody has read from yet."""
        with swapped(Client, "_share", _stop):
            try:
                beginning.submit()
            except _Reached as reached:
                return reached.args
        raise AssertionError("a submission makes a share")

    def share(*arguments: Any) -> object:
        return make_share(beginning.client, *arguments)

    def bare(*arguments: Any) -> object:
        with swapped(client_module, "MerkleTree", _NoTree):
            return share(*arguments)

    works = {"bare": Work(bare, at_share), "share": Work(share, at_share), "submission": Work(beginning.submit)}
    submitting = in_turn(works, effort, case.memory_bytes)
    end = beginning.finish()
    works = {"check": Work(end.check), "certify": Work(end.certify), "deliver": Work(end.deliver)}
    rest = in_turn(works | {"intact": Work(end.require_intact)}, effort, case.memory_bytes)
    nanoseconds = {name: per_element(timing.cpu, case.dimension) for name, timing in (submitting | rest).items()}
    upload = round_costs(beginning.manifest, case.clients, case.clients).client_up
    return ClientRow(
        dimension=case.dimension,
        aggregators=case.aggregators,
        field=case.field.name,
        upload_ratio=upload / (FLOAT_BYTES * case.dimension),
        **{f"{name}_ns": value for name, value in nanoseconds.items()},
    )


def measure_roster(case: Case, effort: Effort) -> RosterRow:
    """Time an aggregator and the hub, for one model, field and number of clients."""
    roster, sizes, team = Roster(case), (case.dimension, case.clients), ThreadTeam()
    one, several = roster.with_lanes(None), roster.with_lanes(team.lanes())
    regenerating = in_turn(
        {
            "aes": Work(key_stream_writer(AES_BYTES)),
            "one": Work(one),
            "several": Work(several),
        },
        effort,
        case.memory_bytes,
    )
    team.close()
    voting = in_turn({"vote": Work(roster.vote)}, effort)["vote"]
    adding = _measure_adding(case, roster, effort)
    aggregator_s = regenerating["one"].cpu
    return RosterRow(
        dimension=case.dimension,
        clients=case.clients,
        field=case.field.name,
        aggregator_ns=per_element(aggregator_s, *sizes),
        aggregator_gb_s=case.field.element_bytes * case.dimension * case.clients / aggregator_s / 1e9,
        aes_gb_s=AES_BYTES / regenerating["aes"].cpu / 1e9,
        both_cores=regenerating["one"].fastest / regenerating["several"].fastest,
        cores=team.count,
        vote_us=1e6 * voting.cpu / case.clients,
        sent_bytes=round_costs(roster.manifest, *[case.clients] * 2).aggregator_up / np.prod(sizes),
        **adding,
    )


def _measure_adding(case: Case, roster: Roster, effort: Effort) -> dict[str, float]:
    """The hub's addition and averaging in the clear, in turn: the same vectors' sizes, the same state of the cache."""
    shares = spool(roster.manifest.share_elements, case.clients, case.field.element_bytes, random_elements(case.field))
    updates = spool(case.dimension, case.clients, FLOAT_BYTES, random_update)
    given = [(updates[i], WEIGHT) for i in range(case.clients)]

    def add() -> object:
        return hub.add_shares(roster.manifest, roster.sid, roster.entries, shares.__getitem__)

    def add_without_hash() -> object:
        with swapped(hub, "merkle_root", _root_of_nothing):
            return add()

    def averaging(variant: str) -> Callable[[], object]:
        return lambda: VARIANTS[variant](given, case.dimension)

    works = {
        "hub_adding": Work(add_without_hash),
        "plain": Work(averaging(BASELINE)),
        "hub": Work(add),
        "in_place": Work(averaging("in place")),
    }
    sizes = (case.dimension, case.clients)
    timings = in_turn(works, effort, case.memory_bytes)
    return {f"{name}_ns": per_element(timing.cpu, *sizes) for name, timing in timings.items()}


def _root_of_nothing(vector: Elements, _bulk: object, _lanes: object, finish: Callable[[slice], None]) -> bytes:
    """Adds what is left to add, and hashes nothing."""
    step = LEAF_BYTES // vector.itemsize
    for start in range(0, vector.size, step):
        finish(slice(start, min(start + step, vector.size)))
    return bytes(32)


def measure_variants(dimension: int, clients: int, effort: Effort) -> dict[str, float]:
    """The ways of averaging in the clear, in nanoseconds for each element and client."""
    updates = spool(dimension, clients, FLOAT_BYTES, random_update)
    given = [(updates[i], WEIGHT) for i in range(clients)]
    works = {name: Work(lambda average=average: average(given, dimension)) for name, average in VARIANTS.items()}
    return {name: per_element(timing.cpu, dimension, clients) for name, timing in in_turn(works, effort).items()}


AES_BYTES: Final = 64 << 20


def key_stream_writer(count: int, mode: GCM | CTR | None = None) -> Callable[[], None]:
    """Writes ``count`` bytes of AES-256's key stream (GCM's by default) over one chunk, with ``cryptography``."""
    zeros, out = memoryview(bytes(CHUNK_BYTES)), memoryview(bytearray(CHUNK_BYTES))
    encryptor = Cipher(AES(bytes(32)), mode or GCM(bytes(12))).encryptor()

    def write() -> None:
        for _ in range(count // CHUNK_BYTES):
            encryptor.update_into(zeros, out)

    return write


def measure_parts(dimension: int, field: Field, effort: Effort) -> dict[str, float]:
    """Where a client's time goes: each part alone, on chunks as a submission uses them; nanoseconds for an element."""
    encoding = replace(Case(dimension, 15, 2, field).plan().encoding)
    size = CHUNK_BYTES // field.element_bytes
    delta, out, words = random_update(size), field.zeros(size), np.empty(size, dtype=np.uint32)
    key, sid = bytes(range(32)), bytes(32)
    rounding = KeyStream(key, Label.ROUNDING, Role.CLIENT, b"")
    mask = ElementStream(field, key, (Label.MASK, Label.MASK_TAIL), Role.ALL, sid, scratch=scratch_words(field))
    labels = (Label.SHARE_STREAM, Label.SHARE_STREAM_TAIL)
    stream = ElementStream(field, key, labels, Role.CLIENT, sid, scratch=scratch_words(field))
    challenge = TensorChallenge(field, dimension + 1, key, sid)
    trees = {bulk: MerkleTree(bulk) for bulk in BulkHash}
    chunks = dimension // size
    rounding.fill(words.data.cast("B"))

    def tags() -> None:
        accumulator = challenge.accumulator()
        for _ in range(chunks):
            accumulator.update(out)

    def repeated(step: Callable[[], object]) -> Work:
        return Work(lambda: [step() for _ in range(chunks)])

    works = {
        "rounding stream": repeated(lambda: rounding.fill(words.data.cast("B"))),
        "encode": repeated(lambda: encoding.encode(delta, WEIGHT, words, out)),
        "mask M": repeated(lambda: mask.add_to(out)),
        "tags": Work(tags),
        "each share stream": repeated(lambda: stream.subtract_from(out)),
        **{f"share's hash, {bulk}": repeated(lambda tree=tree: tree.update(out)) for bulk, tree in trees.items()},
        # What a stream cannot be faster than, and what it would cost in counter mode.
        "AES-256-GCM alone": Work(key_stream_writer(chunks * CHUNK_BYTES)),
        "AES-256-CTR alone": Work(key_stream_writer(chunks * CHUNK_BYTES, CTR(bytes(16)))),
    }
    return {name: per_element(timing.cpu, chunks, size) for name, timing in in_turn(works, effort).items()}
