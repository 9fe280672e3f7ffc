"""One honest aggregator among corrupt others, who ask it for anything in any order; and all that it ever said."""

from __future__ import annotations

from typing import Any

from privateyes.aggregation.memory import AggregatorMemory, SessionRecord
from privateyes.aggregation.messages import (
    ANNOUNCE,
    BIND,
    CLOSING,
    GIVE_UP,
    NO_SESSION,
    OPENED,
    VOID,
    Abort,
    Agreement,
    Announcement,
    Closing,
    Header,
    HubCommitment,
    HubSum,
    Opening,
    Origin,
    ResultSignature,
    RosterCommitment,
    Vote,
)
from privateyes.aggregation.roster import intersect
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup, require_one_setup
from privateyes.crypto.commitment import commit_to_share, commit_to_sum, merkle_root
from privateyes.errors import PrivateyesError
from situations import require_successor
from world import World

STATES = (bytes([11]) * 32, bytes([12]) * 32)
ROUNDS = 3
REQUESTS = ("announce", "vote", "commit", "agree", "open", "certify", "finish", "give_up", "closing", "words", "bind")
OTHER = bytes([13]) * 32


class Walk:
    """The adversary holds the hub, the second aggregator and the clients; every number picks one of its variants.

    Whatever it asks for, aggregator 1 says one word of each kind in a session, and never void of what it opened.
    """

    def __init__(self, world: World) -> None:
        self.world, self.own, self.manifest = world, world.aggregators[1], world.manifest
        self.memory: AggregatorMemory = world.aggregator_memories[1]
        self.setups = [world.setup]
        self.sealed = {(world.setup, i): sent[0].sealed_hash(world.setup) for i, sent in world.stream_keys.items()}
        self.said: dict[tuple[Any, ...], bytes] = {}
        self.words: dict[tuple[str, bytes], Any] = {}
        self.headers: dict[bytes, list[Header]] = {}
        self.shares: dict[bytes, Any] = {}
        self.names: list[tuple[int, bytes, bytes]] = []
        self.reached: set[str] = set()

    def ask(self, request: str, a: int, b: int) -> None:
        """One request in one of its variants; whatever comes of it is held against all that was said before."""
        before, kept = self.memory, self.memory.to_bytes()
        try:
            outcome = getattr(self, f"_{request}")(a, b)
        except PrivateyesError:
            outcome = None
        assert before.to_bytes() == kept
        after = outcome if isinstance(outcome, AggregatorMemory) else getattr(outcome, "memory", None)
        if after is not None and request != "bind":
            require_successor(before, after)
        if after is not None:
            self.memory = self.load(after.to_bytes())  # it is killed and started again
        message = outcome if isinstance(outcome, Closing) else getattr(outcome, "message", None)
        if message is not None:
            self._note(message)
            self.reached.add(type(message).__name__)

    def load(self, data: bytes) -> AggregatorMemory:
        """What the aggregator finds on its disk; a test double's disk forgets."""
        return AggregatorMemory.from_bytes(data)

    def on(self, a: int, b: int) -> None:
        """What takes the last session one step further."""
        record = self.memory.session
        if record is None or record.given_up or record.result or record.setup != self.memory.current.id:
            self.ask("announce", a, 7)
            return
        steps = {"vote": record.voted is None, "commit": not record.rho, "agree": not record.commitments,
                 "open": record.sid not in self.memory.opened, "certify": True}  # fmt: skip
        self.ask(next(step for step, is_next in steps.items() if is_next), 0, b)

    def _note(self, message: Any) -> None:
        """One word of each kind for each session, and none that contradicts another."""
        if isinstance(message, Announcement):
            key: tuple[Any, ...] = ("Announcement", message.setup, message.round)
        else:
            key = (type(message).__name__, message.sid)
            self.words[key] = message  # type: ignore[index]
        word = message.to_bytes()
        assert self.said.setdefault(key, word) == word, f"a second {key[0]}"
        if isinstance(message, Closing):
            opened = ("Opening", message.sid) in self.said
            assert message.outcome == (OPENED if opened else VOID)
        if isinstance(message, Opening):
            closing = self.words.get(("Closing", message.sid))
            assert closing is None or closing.outcome == OPENED, "opened what it called void"
        if isinstance(message, Abort):
            assert ("Opening", message.sid) not in self.said
        elif not isinstance(message, Announcement | Closing):
            assert ("Abort", message.sid) not in self.said, "went on after it gave up"

    # What the adversary makes

    def _named(self, a: int) -> tuple[int, bytes, bytes]:
        """Round, state and set-up: asked for before, or in one of the two last set-ups."""
        new = [(number, state, setup) for setup in self.setups[-2:] for number in range(ROUNDS) for state in STATES]
        return [*self.names[::-1], *new][a % (len(self.names) + len(new))]

    def _record(self, a: int) -> SessionRecord | None:
        """The last session, mostly, or one before."""
        earlier = list(self.memory.unfinished.values())
        return earlier[a % len(earlier)] if a > 3 and earlier else self.memory.session

    def _by_two(self, message: Any, sid: bytes) -> Any:
        return message.signed_by(self.world.aggregator_keys[2], sid)

    def _header(self, record: SessionRecord, client: int, variant: int, origin: bytes) -> Header:
        sealed = (self.sealed.get((record.setup, client), OTHER), OTHER)
        mark = bytes([variant]) * 32
        plain = Header(record.sid, client, mark, STATES[0], STATES[0], sealed, mark, origin)
        return plain.signed_by(self.world.client_keys[client], record.sid)

    def _origin(self, b: int) -> Origin | None:
        known = [sid for name, sid in self.words if name == "RosterCommitment" and sid in self.headers]
        if not known or b % 4 < 2:
            return None
        sid = known[b % len(known)]
        entries = self.words["Vote", sid].entries
        return Origin(sid, STATES[0], entries if b % 3 else entries[:-1])

    def _their_share(self, sid: bytes, rho: bytes, variant: int) -> tuple[Opening, RosterCommitment]:
        """Aggregator 2's opening in one of its variants, and the commitment that it fits."""
        share, salt = self.world.field.zeros(self.manifest.share_elements), bytes([variant]) * 32
        root = merkle_root(share, self.manifest.bulk_hash)
        commitment = commit_to_share(sid, rho, 2, salt, share.nbytes, root)
        opening = Opening(sid, 2, salt, share)
        receipt = self._by_two(opening.receipt(self.manifest.bulk_hash), sid)
        return (
            Opening(sid, 2, salt, share, receipt.signature),
            self._by_two(RosterCommitment(sid, 2, rho, commitment), sid),
        )

    def _their_sum(self, sid: bytes, variant: int) -> tuple[HubSum, HubCommitment]:
        total = self.world.field.zeros(self.manifest.share_elements)
        total[0] = variant
        return HubSum(sid, total), HubCommitment(sid, commit_to_sum(sid, total, self.manifest.bulk_hash))

    # What it asks for

    def _announce(self, a: int, b: int) -> Any:
        last, setup = self.memory.session, self.memory.current.id
        named = self._named(a)
        if b > 3:  # what may well be announced next
            named = (last.round + 1 if last is not None and last.setup == setup else 0, STATES[a % 2], setup)
        self.names.append(named)
        return self.own.announce(self.memory, self.world.request(ANNOUNCE, *named))

    def _closing(self, a: int, b: int) -> Any:
        return self.own.closing(self.memory, self.world.request(CLOSING, *self._known(a, b)))

    def _give_up(self, a: int, b: int) -> Any:
        return self.own.give_up(self.memory, self.world.request(GIVE_UP, *self._known(a, b)))

    def _known(self, a: int, b: int) -> tuple[int, bytes, bytes]:
        """The last session or an unfinished one; now and then any."""
        record = self._record(a)
        return self._named(a) if record is None or b > 5 else (record.round, record.state_id, record.setup)

    def _vote(self, a: int, b: int) -> Any:
        record = self._record(a)
        if record is None:
            return None
        origin = self._origin(b)
        named = NO_SESSION if origin is None else origin.sid
        headers = [self._header(record, i, b % 2, named) for i in (1, 2, 3) if b != i + 2]
        self.headers.setdefault(record.sid, []).extend(headers)
        return self.own.vote(self.memory, record.sid, headers, origin)

    def _commit(self, a: int, b: int) -> Any:
        record = self._record(a)
        own = None if record is None else self.words.get(("Vote", record.sid))
        if own is None:
            return None
        sid, stranger = own.sid, (3, OTHER)
        entries = {1: own.entries[:-1], 2: own.entries[:2], 3: (*own.entries[:2], stranger)}.get(b, own.entries)
        votes = [own, self._by_two(Vote(sid, 2, entries), sid)]
        step = self.own.commit(
            self.memory, self.headers[sid], votes, bytes([b + 1]) * 32, self._origin(b + 2 * (a > 1))
        )
        if step.share is not None:
            self.shares[sid] = step.share
            assert intersect([own.entries, entries])
        return step

    def _agree(self, a: int, b: int) -> Any:
        record = self._record(a)
        own = None if record is None else self.words.get(("RosterCommitment", record.sid))
        if own is None:
            return None
        theirs = self._their_share(own.sid, own.rho if b < 6 else OTHER, b % 2)[1]
        copied = self._by_two(RosterCommitment(own.sid, 2, own.rho, own.commitment), own.sid)
        com_0 = self._their_sum(own.sid, b % 3)[1]
        return self.own.agree(self.memory, [own, copied if a == 3 else theirs], com_0)

    def _open(self, a: int, b: int) -> Any:
        record = self._record(a)
        own = None if record is None else self.words.get(("Agreement", record.sid))
        if own is None or own.sid not in self.shares:
            return None
        share = self.shares[own.sid]
        if a == 3:
            share = self.own.own_share(self.world.shifted(share.elements, {0: 1}))
        theirs = self._by_two(Agreement(own.sid, 2, OTHER if b == 7 else own.transcript), own.sid)
        return self.own.open(self.memory, share, [own, theirs])

    def _certify(self, a: int, b: int) -> Any:
        record = self._record(a)
        own = None if record is None else self.words.get(("Opening", record.sid))
        if record is None or own is None:
            return None
        variant = next((v for v in range(3) if self._their_sum(own.sid, v)[1].commitment == record.commitments[0]), 0)
        total = self._their_sum(own.sid, variant if b < 6 else variant + 1)[0]
        fitting = [
            opening for v in range(2) for opening, said in [self._their_share(own.sid, record.rho, v)]
            if said.commitment == record.commitments[2]
        ]  # fmt: skip
        return self.own.certify(self.memory, [own, *fitting], total)

    def _finish(self, a: int, b: int) -> Any:
        record = self._record(a)
        own = None if record is None else self.words.get(("ResultSignature", record.sid))
        if own is None:
            return None
        theirs = self._by_two(ResultSignature(own.sid, 2, OTHER if b == 7 else own.result), own.sid)
        return self.own.finish(self.memory, [own, theirs])

    def _words(self, a: int, b: int) -> Any:
        """They are what was said."""
        record = self._record(a)
        if record is None:
            return None
        words = self.own.words(self.memory, record.sid)
        for message in (words.vote, words.commitment, words.agreement, words.result):
            if message is not None:
                assert self.said[type(message).__name__, record.sid] == message.to_bytes()
        assert (words.opening is not None) == (("Opening", record.sid) in self.said)
        return None

    def _bind(self, a: int, b: int) -> Any:
        """Another set-up, with stream keys of all clients; it may stay without a start."""
        world = self.world
        setups = [AggregatorSetup(self.manifest, s, key, 5, 1) for s, key in world.aggregator_keys.items()]
        keys = [own.key() for own in setups]
        setup, _ = require_one_setup(self.manifest, keys)
        bound = setups[0].bind(self.memory, keys, world.request(BIND, 0, bytes(32), setup))
        for i, key in world.client_keys.items():
            client = ClientSetup(self.manifest, i, key)
            client.bind(keys)
            sealed = client.seal_stream_keys([bytes([i, s]) * 16 for s in (1, 2)])[0]
            setups[0].receive(bound, sealed)
            self.sealed[setup, i] = sealed.sealed_hash(setup)
        self.setups.append(setup)
        return bound if b == 7 else setups[0].start(bound)
