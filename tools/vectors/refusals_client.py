"""What a client refuses up to its submission, and when it settles, accepts or jumps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from privateyes.aggregation.memory import TrainingState
from privateyes.aggregation.messages import OPENED, VOID, Announcement, Closing, Origin, RosterCommitment, Voucher
from privateyes.aggregation.roster import roster_digest
from vectors.bases import AGAIN, FIRST_OF_FIXED, MOVED, PUBLIC, SEALED, bases
from vectors.cast import WEIGHT_MAX, Session
from vectors.script import Case
from vectors.values import bits32, bits64, numbers, secret

ME = {"client": 1}
REFUSED, MALFORMED, TRAINING = {"error": "RefusedError"}, {"error": "MalformedError"}, {"error": "TrainingError"}
PARAMETER = {"error": "ParameterError"}
ZERO = bytes(32)
SUBMIT = {"do": "submit"}
CLIPS = {"lengths": [7], "clips": bits64([0.5])}


def cases() -> list[Case]:
    """In the order of the steps."""
    sealed = bases()[SEALED]
    return [
        *_announcements(sealed), *_updates(sealed), *_resubmitting(sealed), *_settling(sealed), *_sending_again(),
        *_resending(sealed), *_accepting(sealed), *_jumping(sealed),
    ]  # fmt: skip


# Steps 0 and 1


def _announcements(cast: Session) -> Iterator[Case]:
    one, two, three = cast.announcements

    def all_signed(**changes: Any) -> list[Any]:
        changed = [replace(message, **changes) for message in (one, two, three)]
        return [cast.by_aggregator(message, message.aggregator, cast.setup) for message in changed]

    cases: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("one is missing", [one, three], REFUSED),
        ("none", [], REFUSED),
        ("one twice, another missing", [one, two, two], REFUSED),
        ("one too many", [one, two, three, three], REFUSED),
        ("of another kind", [one, two, cast.results[2]], REFUSED),
        ("an altered round", [one, replace(two, round=9), three], MALFORMED),
        ("an altered signature", [one, two, replace(three, signature=bytes(64))], MALFORMED),
        ("signed by another aggregator", [one, cast.by_aggregator(two, 3, cast.setup), three], MALFORMED),
        ("under another set-up", [one, cast.by_aggregator(two, 2, ZERO), three], MALFORMED),
        ("two rounds, each signed", [one, all_signed(round=9)[1], three], REFUSED),
        ("two states, each signed", [one, all_signed(state_id=ZERO)[1], three], REFUSED),
        ("another set-up named, signed by one", [one, all_signed(setup=ZERO)[1], three], REFUSED),
        ("another set-up named, signed by all", all_signed(setup=ZERO), REFUSED),
        ("another training state, signed by all", all_signed(state_id=ZERO), REFUSED),
        ("a jump over more than 64 rounds, signed by all", all_signed(round=65), REFUSED),
    ]
    for about, messages, expected in cases:
        for do in ("observe", "submit"):
            yield Case(f"{do}, announcements: {about}", ME, [{"do": do, "messages": messages}], expected)
    yield Case("observe: a round twice", ME, [{"do": "observe"}, {"do": "observe"}], REFUSED)
    earlier = {"do": "observe", "messages": all_signed(round=2)}
    yield Case("observe: an earlier round, signed by all", ME, [{"do": "observe"}, earlier], REFUSED)
    moved = bases()[MOVED]
    before = {"do": "observe", "messages": bases()[AGAIN].announcements}
    yield Case("observe: a round of the set-up before", ME, [before], MALFORMED, moved.name)


def _updates(cast: Session) -> Iterator[Case]:
    delta = cast.cast.delta(1)
    nan, infinite = delta.copy(), delta.copy()
    nan[3], infinite[6] = float("nan"), float("inf")
    for about, change in (
        ("a NaN", {"delta": bits32(nan)}),
        ("an infinity", {"delta": bits32(infinite)}),
        ("a value too few", {"delta": bits32(delta[:-1])}),
        ("a value too many", {"delta": bits32([*delta, 0.0])}),
        ("weight 0", {"weight": 0}),
        ("a negative weight", {"weight": -1}),
        ("a weight above the manifest's", {"weight": WEIGHT_MAX + 1}),
    ):
        yield Case(f"submit: {about}", ME, [{**SUBMIT, **change}], TRAINING)
    yield Case("submit: clips for each tensor in a public task", ME, [{**SUBMIT, "clips": CLIPS}], PARAMETER, PUBLIC)
    short = {"lengths": [6], "clips": CLIPS["clips"]}
    yield Case("submit: clips for another model", ME, [{**SUBMIT, "clips": short}], PARAMETER)


def _resubmitting(cast: Session) -> Iterator[Case]:
    again = {"do": "submit", "messages": cast.next_announcements()}
    yield Case("submit: a second time in one round", ME, [SUBMIT, SUBMIT], REFUSED)
    yield Case("submit: again from the same weights, nothing said about the first", ME, [SUBMIT, again], REFUSED)
    opened = {"do": "settle", "messages": cast.closings()}
    yield Case("submit: again from the same weights, the first was opened", ME, [SUBMIT, opened, again], REFUSED)
    mixed = {"do": "settle", "messages": [cast.closings()[0], *void(cast)[1:]]}
    yield Case("submit: again, though one aggregator says opened", ME, [SUBMIT, mixed, again], REFUSED)
    yield Case("submit: again after a restart", ME, [SUBMIT, {"do": "reload"}, again], REFUSED)
    yield Case("submit: a fresh update after an opened session", ME, [SUBMIT], REFUSED, AGAIN)
    yield Case("submit: a fresh update after an opened session of the set-up before", ME, [SUBMIT], REFUSED, MOVED)


def void(cast: Session) -> list[Any]:
    """Every aggregator's word that the session is void."""
    return [cast.by_aggregator(Closing(cast.sid, s, VOID), s) for s in cast.aggregators]


def _settling(cast: Session) -> Iterator[Case]:
    one, two, three = void(cast)
    foreign = cast.by_aggregator(replace(two, sid=ZERO), 2, ZERO)
    misnamed = cast.by_aggregator(replace(two, sid=ZERO), 2)
    cases: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("one is missing", [one, three], REFUSED),
        ("none", [], REFUSED),
        ("one twice, another missing", [one, two, two], REFUSED),
        ("one too many", [one, two, three, three], REFUSED),
        ("of another kind", [one, two, cast.results[2]], REFUSED),
        ("altered from opened to void", [one, replace(cast.closings()[1], outcome=VOID), three], MALFORMED),
        ("of another session", [one, foreign, three], MALFORMED),
        ("that names another session, signed for this one", [one, misnamed, three], REFUSED),
        ("an outcome that does not exist, signed",
         [one, cast.by_aggregator(replace(two, outcome=2), 2), three], MALFORMED),
        ("an outcome that does not exist, beside one that is opened",
         [cast.by_aggregator(replace(one, outcome=OPENED), 1), cast.by_aggregator(replace(two, outcome=2), 2), three],
         MALFORMED),
    ]  # fmt: skip
    for about, messages, expected in cases:
        yield Case(f"settle: {about}", ME, [SUBMIT, {"do": "settle", "messages": messages}], expected)


# An update that is sent again


def _sending_again() -> Iterator[Case]:
    done, moved = bases()[AGAIN], bases()[MOVED]
    first, origin = done.first, done.origin
    if origin is None:
        raise RuntimeError("a repeat names its origin")

    def again(
        announced: list[Announcement] = done.announcements,
        named: Origin = origin,
        commitments: list[RosterCommitment] = first.commitments,
    ) -> dict[str, Any]:
        return {"do": "repeat", "messages": [*announced, *commitments, named]}

    def committed(named: Origin) -> list[RosterCommitment]:
        rho = roster_digest(named.sid, named.group_check, named.roster)
        changed = [replace(message, sid=named.sid, rho=rho) for message in first.commitments]
        return [done.by_aggregator(message, message.aggregator, named.sid) for message in changed]

    one, two = first.commitments
    elsewhere = replace(origin, sid=ZERO)
    without = replace(origin, roster=origin.roster[1:])
    altered = replace(origin, roster=(*origin.roster[:2], (3, ZERO)))
    longer = replace(origin, roster=(*origin.roster, (4, ZERO)))
    mine = replace(origin, roster=((1, ZERO), *origin.roster[1:]))
    other_kc = replace(origin, group_check=ZERO)
    misnamed = done.by_aggregator(replace(two, sid=ZERO), 2, first.sid)
    cases: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
        ("an announcement is missing", [again(announced=done.announcements[:1])], REFUSED),
        ("the round before", [again(announced=first.announcements)], REFUSED),
        ("a session that this client never submitted to", [again(named=elsewhere, commitments=committed(elsewhere))],
         REFUSED),
        ("a roster without this client, signed by all", [again(named=without, commitments=committed(without))],
         REFUSED),
        ("a roster with another header of this client, signed by all",
         [again(named=mine, commitments=committed(mine))], REFUSED),
        ("a roster with another header of client 3", [again(named=altered)], REFUSED),
        ("a roster with one client more", [again(named=longer)], REFUSED),
        ("the roster under another kc", [again(named=other_kc)], REFUSED),
        ("a commitment to it is missing", [again(commitments=[one])], REFUSED),
        ("one commitment twice", [again(commitments=[one, one])], REFUSED),
        ("a commitment to another roster, signed",
         [again(commitments=[one, done.by_aggregator(replace(two, rho=ZERO), 2, first.sid)])], REFUSED),
        ("a commitment that names another session, signed for this one", [again(commitments=[one, misnamed])], REFUSED),
        ("a commitment of this session", [again(commitments=[one, done.commitments[1]])], MALFORMED),
        ("an altered commitment", [again(commitments=[one, replace(two, rho=ZERO)])], MALFORMED),
        ("signed by another aggregator",
         [again(commitments=[one, done.by_aggregator(two, 1, first.sid)])], MALFORMED),
        ("the kept update was damaged", [{"do": "repeat", "encoded": numbers([1, 2, 3, 4])}], MALFORMED),
        ("the kept update is too short", [{"do": "repeat", "encoded": numbers([1, 2, 3])}], MALFORMED),
        ("a session that all n called void", [{"do": "settle", "messages": void(first)}, {"do": "repeat"}], REFUSED),
        ("a second time in one round", [{"do": "repeat"}, {"do": "repeat"}], REFUSED),
    ]  # fmt: skip
    for about, calls, expected in cases:
        yield Case(f"repeat: {about}", ME, calls, expected, AGAIN)
    second = Origin(done.sid, done.group.check_value(), done.entries)
    calls = [again(announced=moved.announcements, named=second, commitments=done.commitments)]
    yield Case("repeat: the second session of the chain is named", ME, calls, REFUSED, MOVED)
    later = again(announced=done.next_announcements())
    calls = [{"do": "settle", "messages": void(first)}, {"do": "submit"}, later]
    yield Case("repeat: after a fresh update from these weights", ME, calls, REFUSED, AGAIN)


def _resending(cast: Session) -> Iterator[Case]:
    damaged = numbers(range(cast.plot.dimension))
    yield Case("resend: what was kept is damaged", ME, [SUBMIT, {"do": "resend", "encoded": damaged}], MALFORMED)
    calls = [SUBMIT, {"do": "settle", "messages": void(cast)}, {"do": "resend"}]
    yield Case("resend: a session that all n called void", ME, calls, REFUSED)
    calls = [SUBMIT, {"do": "accept", "state": next_state(cast)}, {"do": "resend"}]
    yield Case("resend: a session whose result was accepted", ME, calls, REFUSED)


# Other states


def written_state(state: TrainingState) -> dict[str, Any]:
    """A training state as JSON."""
    return {"digest": state.digest.hex(), "weights": state.weights.hex(), "counter": state.counter}


def next_state(cast: Session, **changes: Any) -> dict[str, Any]:
    """The training state after the session's."""
    digest, weights = (secret(f"{cast.plot.name}/{name} after") for name in ("state", "weights"))
    return written_state(replace(TrainingState(digest, weights, cast.cast.state.counter + 1), **changes))


def _accepting(cast: Session) -> Iterator[Case]:
    state = cast.cast.state
    for about, changes in (
        ("a state that counts no round more", {"counter": state.counter}),
        ("a state that counts two rounds more", {"counter": state.counter + 2}),
        ("the state itself", {"digest": state.digest}),
    ):
        calls = [SUBMIT, {"do": "accept", "state": next_state(cast, **changes)}]
        yield Case(f"accept: {about}", ME, calls, REFUSED)
    calls = [SUBMIT, {"do": "accept", "state": next_state(cast), "sid": ZERO.hex()}]
    yield Case("accept: the result of a session that this client does not follow", ME, calls, REFUSED)


def jump(cast: Session, vouchers: list[Any], **changes: Any) -> dict[str, Any]:
    """The call by which a client jumps to the state that the vouchers of ``vouchers_for`` name."""
    return {"do": "jump", "messages": vouchers, "state": next_state(cast, **changes)}


def voucher(cast: Session, client: int, signer: int | None = None, **changes: Any) -> Any:
    """A client's word for ``next_state``."""
    digest = bytes.fromhex(next_state(cast)["digest"])
    message = replace(Voucher(cast.setup, client, cast.group.state_id(digest)), **changes)
    return cast.by_client(message, signer or client, cast.setup)


def _jumping(sealed: Session) -> Iterator[Case]:
    """One client of three may be corrupt, so two others must vouch."""
    cast = bases()[FIRST_OF_FIXED]
    two, three = (voucher(cast, i) for i in (2, 3))
    of_two = (two, three)
    cases: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("nobody vouches", [], REFUSED),
        ("one client vouches, and one may be corrupt", [two], REFUSED),
        ("one client vouches twice", [two, two], REFUSED),
        ("the client itself is one of two", [two, voucher(cast, 1)], REFUSED),
        ("a client that is not in the manifest is one of two", [two, voucher(cast, 4, 3)], REFUSED),
        ("client 0 is one of two", [two, voucher(cast, 0, 3)], REFUSED),
        ("one vouches for another state", [two, voucher(cast, 3, state_id=ZERO)], REFUSED),
        ("one vouches in another set-up", [two, voucher(cast, 3, setup=ZERO)], REFUSED),
        ("a voucher signed by another client", [two, voucher(cast, 3, 2)], MALFORMED),
        ("a voucher without a signature", [two, replace(three, signature=bytes(64))], MALFORMED),
        ("a voucher signed for another set-up", [two, cast.by_client(three, 3, ZERO)], MALFORMED),
    ]
    for about, vouchers, expected in cases:
        yield Case(f"jump: {about}", ME, [jump(cast, vouchers)], expected, FIRST_OF_FIXED)
    same = jump(cast, list(of_two), counter=cast.cast.state.counter)
    yield Case("jump: to a state that is not later", ME, [same], REFUSED, FIRST_OF_FIXED)
    calls = [jump(cast, list(of_two)), jump(cast, list(of_two))]
    yield Case("jump: a second time to the same state", ME, calls, REFUSED, FIRST_OF_FIXED)
    calls = [jump(sealed, [voucher(sealed, i) for i in (2, 3)])]
    yield Case("jump: in a sealed task, outside a set-up", ME, calls, REFUSED)
    calls = [SUBMIT, jump(cast, list(of_two), weights=cast.cast.state.weights), again_from(cast)]
    yield Case("submit: after a jump to a state with the same weights", ME, calls, REFUSED, FIRST_OF_FIXED)


def again_from(cast: Session) -> dict[str, Any]:
    """A submission in the next round, announced from ``next_state``."""
    state_id = cast.group.state_id(bytes.fromhex(next_state(cast)["digest"]))
    announced = [
        cast.by_aggregator(replace(message, round=cast.round + 1, state_id=state_id), message.aggregator, cast.setup)
        for message in cast.announcements
    ]
    return {"do": "submit", "messages": announced}
