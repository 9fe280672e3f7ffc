"""endings.json: what parties say when they are asked again, and how sessions end: closed, given up, sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from privateyes.aggregation.messages import OPENED, Abort, Closing, Message
from privateyes.aggregation.steps import Words
from privateyes.errors import PrivateyesError
from vectors.acting import Actor
from vectors.bases import AGAIN, FIRST_OF_FIXED, LIMITED, LIMITED_IN_PARTS, MOVED, SEALED, bases
from vectors.cast import Session
from vectors.refusals_aggregator import next_set_up
from vectors.refusals_client import again_from, jump, next_state, void, voucher
from vectors.refusals_delivery import longest, matching, sums_of
from vectors.script import ORDER, Table, after

AGGREGATOR, CLIENT = {"aggregator": 1}, {"client": 1}
GIVE_UP, CLOSING, WORDS, FINISH = ({"do": do} for do in ("give_up", "closing", "words", "finish"))
REFUSED = "RefusedError"
Calls = list[tuple[dict[str, Any], Any]]


@dataclass(frozen=True)
class _Case:
    """Calls, each with what a person expects of it.

    That is: nothing; the name of an error; ``opened`` or ``void`` for a closing; ``gave up at`` a step; a number, for
    the same answer as that of the call with this position; or ``as in the base``, for the word that is said there.
    """

    about: str
    party: dict[str, int]
    calls: Calls
    base: str = SEALED


def _quietly(calls: list[dict[str, Any]]) -> Calls:
    return [(call, None) for call in calls]


def _cases() -> list[_Case]:
    done = bases()[SEALED]
    return [
        *_repeated(done), *_kept_words(done), *_closed(done), *_given_up(done), *_moved_on(done), *_clients(done),
        *_sent_again(), *_at_the_bounds(done),
    ]  # fmt: skip


def _next(done: Session) -> dict[str, Any]:
    return {"do": "announce", "round": done.round + 1}


def _repeated(done: Session) -> list[_Case]:
    """Each word is said again whenever it is asked for, whatever comes with the question."""
    out = []
    for step in ORDER:
        position = ORDER.index(step)
        again: Calls = [({"do": step}, position), ({"do": "reload"}, None), ({"do": step}, position)]
        out.append(_Case(f"{step}: asked three times, with a restart", AGGREGATOR, [*_quietly(after(step)), *again]))
    other: dict[str, list[Any]] = {
        "vote": [done.submissions[1].header], "commit": [done.votes[1]], "open": [done.agreements[0]],
        "certify": [done.total],
    }  # fmt: skip
    for step, messages in other.items():
        again = [({"do": step, "messages": messages}, ORDER.index(step))]
        about = f"{step}: asked again with other messages"
        out.append(_Case(about, AGGREGATOR, [*_quietly(after(step)), *again]))
    late: Calls = [*_quietly(after("agree")), ({"do": "vote"}, 1), ({"do": "commit", "salt": "00" * 32}, 2)]
    out.append(_Case("earlier words: after the agreement", AGGREGATOR, late))
    return out


def _kept_words(done: Session) -> list[_Case]:
    """All words of a session at once, for a hub that lost them."""
    out = [_Case(f"words: after {step}", AGGREGATOR, [*_quietly(after(step)), (WORDS, None)]) for step in ORDER]
    opened: Calls = [*_quietly(after("certify")), (WORDS, None), (_next(done), None), (WORDS, len(ORDER))]
    out.append(_Case("words: of an opened session, once the next is announced", AGGREGATOR, opened))
    return out


def _closed(done: Session) -> list[_Case]:
    following, now = _next(done), done.round
    return [
        _Case("closing: opened", AGGREGATOR, [*_quietly(after("open")), (CLOSING, "opened")]),
        _Case("closing: opened, the next round announced", AGGREGATOR,
              [*_quietly(after("certify")), (following, None), (CLOSING, "opened"), (CLOSING, len(ORDER) + 1)]),
        _Case("closing: voted, the next round announced", AGGREGATOR,
              [*_quietly(after("vote")), (following, None), (CLOSING, "void"), ({"do": "reload"}, None), (CLOSING, 3)]),
        _Case("closing: committed, the next round announced", AGGREGATOR,
              [*_quietly(after("commit")), (following, None), (CLOSING, "void")]),
        _Case("closing: a round that was never announced, but passed", AGGREGATOR,
              [*_quietly(after("announce")), ({**CLOSING, "round": now - 1}, "void")]),
        _Case("closing: a passed round from a state that was never announced", AGGREGATOR,
              [*_quietly(after("vote")), (following, None), ({**CLOSING, "state_id": "00" * 32}, "void")]),
        _Case("announce: after an opened session; its result is signed later", AGGREGATOR,
              [*_quietly(after("open")), (following, None), ({"do": "certify"}, "as in the base"), (FINISH, None),
               (FINISH, None), (WORDS, REFUSED), (CLOSING, "opened")]),
        _Case("finish: in the last session, its words are kept until the next announcement", AGGREGATOR,
              [*_quietly(after("certify")), (FINISH, None), (FINISH, None), ({"do": "certify"}, 5), (following, None),
               ({"do": "certify"}, REFUSED)]),
        _Case("certify: its own opening taken from its store", AGGREGATOR,
              [*_quietly(after("open")), ({"do": "certify", "messages": [*done.openings[1:], done.total],
               "share": done.openings[0].share.tobytes().hex()}, "as in the base")]),
        _Case("announce: a jump over 64 rounds", AGGREGATOR,
              [({"do": "announce", "round": 0}, None), ({"do": "announce", "round": 64}, None)]),
    ]  # fmt: skip


def _given_up(done: Session) -> list[_Case]:
    out = []
    for step, reached in (("announce", 2), ("vote", 2), ("commit", 3), ("agree", 4)):
        position = ORDER.index(step) + 1
        calls: Calls = [
            *_quietly(after(step)), (GIVE_UP, f"gave up at {reached}"), (GIVE_UP, position), ({"do": "reload"}, None),
            (GIVE_UP, position), (CLOSING, "void"), ({"do": "announce"}, REFUSED), (_next(done), None),
            (CLOSING, "void"), (GIVE_UP, REFUSED),
        ]  # fmt: skip
        out.append(_Case(f"give_up: after {step}", AGGREGATOR, calls))
    return out


def _moved_on(done: Session) -> list[_Case]:
    """The next set-up."""
    bind, setup = next_set_up(done)
    there = {"do": "announce", "round": 0, "setup": setup.hex()}
    start = {"do": "start"}
    return [
        _Case("next set-up: what was committed to may still be agreed on and opened", AGGREGATOR,
              [*_quietly([*after("commit"), bind]), ({"do": "agree"}, "as in the base"), (start, None),
               ({"do": "open"}, "as in the base"), (there, None), ({"do": "certify"}, "as in the base"),
               (CLOSING, "opened")]),
        _Case("next set-up: its first announcement voids what was not opened", AGGREGATOR,
              [*_quietly([*after("commit"), bind, start]), (CLOSING, REFUSED), (there, None), (CLOSING, "void"),
               ({**CLOSING, "round": done.round + 9}, "void")]),
        _Case("next set-up: a T is outstanding, until the session is given up", AGGREGATOR,
              [*_quietly([*after("agree"), bind, start]), (there, REFUSED), (GIVE_UP, "gave up at 4"),
               (CLOSING, "void"), (there, None), (CLOSING, "void")]),
        _Case("next set-up: the session before it is given up while it is made", AGGREGATOR,
              [*_quietly([*after("vote"), bind]), ({"do": "vote"}, REFUSED), (GIVE_UP, "gave up at 2"),
               (CLOSING, "void")]),
        _Case("next set-up: after the memory was lost nothing is said about the one before", AGGREGATOR,
              [*_quietly([*after("open"), {**bind, "lost": True}, start, there]), (CLOSING, REFUSED),
               (GIVE_UP, REFUSED), (WORDS, REFUSED)]),
    ]  # fmt: skip


def _clients(done: Session) -> list[_Case]:
    submit, resend = {"do": "submit"}, {"do": "resend"}
    later = {"do": "submit", "messages": done.next_announcements()}
    first = bases()[FIRST_OF_FIXED]
    jumped = jump(first, [voucher(first, i) for i in (2, 3)])
    accept = {"do": "accept", "state": next_state(done)}
    return [
        _Case("resend: the same bytes, after a restart too", CLIENT,
              [(submit, "as in the base"), (resend, 0), ({"do": "reload"}, None), (resend, 0)]),
        _Case("resend: the next round is observed", CLIENT,
              [(submit, None), ({"do": "observe", "messages": done.next_announcements()}, None), (resend, 0)]),
        _Case("settle: void by all, and an update is sent from these weights again", CLIENT,
              [(submit, None), ({"do": "settle", "messages": void(done)}, None), (later, None)]),
        _Case("settle: opened by one, nothing changes", CLIENT,
              [(submit, None), ({"do": "settle", "messages": [done.closings()[0], *void(done)[1:]]}, None),
               (later, REFUSED), (resend, 0), ({"do": "check"}, None)]),
        _Case("settle: twice", CLIENT,
              [(submit, None), *_quietly([{"do": "settle", "messages": void(done)}] * 2), (later, None)]),
        _Case("observe: a client that sits out submits in the next round", CLIENT,
              [({"do": "observe"}, None), (later, None)]),
        _Case("accept: then nothing of the session is left to do", CLIENT,
              [(submit, None), (accept, None), (accept, "DeliveryError"), (resend, REFUSED)]),
        _Case("jump: the old session is forgotten, and an update is sent from the new weights", CLIENT,
              [(submit, None), (jumped, None), (resend, REFUSED), ({"do": "check"}, "DeliveryError"),
               (again_from(first), None)], FIRST_OF_FIXED),
    ]  # fmt: skip


def _sent_again() -> list[_Case]:
    """Late results of the chain's other sessions are accepted."""
    again, repeat = bases()[AGAIN], {"do": "repeat"}
    first, resend = again.first, {"do": "resend"}
    late: dict[str, Any] = {"do": "check", "messages": [first.delivery]}
    between: dict[str, Any] = {"do": "check", "messages": [again.delivery]}
    settle_second = {"do": "settle", "messages": void(again)}
    settle_first = {"do": "settle", "messages": void(first)}
    fresh = {"do": "submit", "messages": again.next_announcements()}
    return [
        _Case("repeat: the first session's result comes after all", CLIENT,
              [(late, None), (repeat, "as in the base"), (resend, 1), (late, None), ({"do": "check"}, None)], AGAIN),
        _Case("repeat: in a new set-up, and both results come after all", CLIENT,
              [(repeat, "as in the base"), (late, None), (between, None), ({"do": "check"}, None)], MOVED),
        _Case("repeat: void by all, the first session still is not", CLIENT,
              [(repeat, None), (settle_second, None), (fresh, REFUSED), (late, None)], AGAIN),
        _Case("repeat: the first is void by all, the repeat still is not", CLIENT,
              [(repeat, None), (settle_first, None), (fresh, REFUSED)], AGAIN),
        _Case("repeat: all sessions of the chain are void", CLIENT,
              [(repeat, None), (settle_second, None), (settle_first, None), (fresh, None)], AGAIN),
    ]  # fmt: skip


def _at_the_bounds(done: Session) -> list[_Case]:
    """The last results that checks 6 to 8 let through."""
    size, largest = len(done.delivery.roster), done.manifest.encoding.weight_max
    values, total = sums_of(done)
    dimension, encoding = done.plot.dimension, done.manifest.encoding
    bound = encoding.sum_bound(size, total)
    out = []
    for about, changes in (
        ("the smallest total weight", {dimension: size - total}),
        ("the largest total weight", {dimension: size * largest - total}),
        ("the largest coordinate", {0: bound - values[0]}),
        ("the smallest coordinate", {dimension - 1: -bound - values[dimension - 1]}),
    ):
        # A smaller total weight tightens the bound of every coordinate, so they are made small with it.
        small = {t: -values[t] for t in range(dimension)} if dimension in changes else {}
        calls: Calls = [
            ({"do": "submit"}, None),
            ({"do": "check", "messages": [matching(done, small | changes)]}, None),
        ]
        out.append(_Case(f"check: {about}, tags and signatures fit", CLIENT, calls))
    for base in (LIMITED, LIMITED_IN_PARTS):
        for about, changes in longest(bases()[base]):
            calls = [({"do": "submit"}, None), ({"do": "check", "messages": [matching(bases()[base], changes)]}, None)]
            out.append(_Case(f"check: the largest norm ({about}), tags and signatures fit", CLIENT, calls, base))
    return out


def _said(result: Any, table: Table) -> Any:
    """The word in what a transition returned, or all words of a session, by their names in the table."""
    if isinstance(result, Words):
        parts = {name: getattr(result, name) for name in ("vote", "commitment", "agreement", "opening", "result")}
        named = {name: None if message is None else table.add(message) for name, message in parts.items()}
        return {**named, "commitments": list(result.commitments)}
    message = getattr(result, "submission", getattr(result, "message", result))
    return table.add(message) if isinstance(message, Message) else None


def _word_of(result: Any) -> str:
    message = getattr(result, "message", result)
    if isinstance(message, Closing):
        return "opened" if message.outcome == OPENED else "void"
    return f"gave up at {message.step}" if isinstance(message, Abort) else "other"


def _in_the_base(case: _Case, do: str) -> Message:
    done, number = bases()[case.base], next(iter(case.party.values()))
    words: dict[str, list[Message]] = {"agree": done.agreements, "open": done.openings, "certify": done.results}
    return words[do][number - 1] if do in words else done.submissions[number]


def _fits(case: _Case, do: str, expected: Any, said: Any, answers: list[Any], table: Table) -> bool:
    """Whether a call without an error answered as expected."""
    if expected is None:
        return True
    if isinstance(expected, int):
        return said is not None and said == answers[expected]
    return expected == "as in the base" and said == table.add(_in_the_base(case, do))


def _written(case: _Case, table: Table) -> dict[str, Any]:
    actor, out, answers = Actor(bases()[case.base], case.party, table.messages), [], list[Any]()
    for call, expected in case.calls:
        written, error, result = table.written(call), "", None
        try:
            result = actor.perform([written])
        except PrivateyesError as raised:
            error = type(raised).__name__
        said = _said(result, table)
        answers.append(said)
        if expected != (error or _word_of(result)) and (
            error or not _fits(case, call["do"], expected, said, answers, table)
        ):
            raise RuntimeError(f"{case.about}: {call['do']} gave {error or _word_of(result)}, not {expected}")
        told = {"error": error} if error else {} if said is None else {"says": said}
        out.append({**written, **told})
    return {"about": case.about, "base": case.base, "party": case.party, "calls": out}


def make() -> dict[str, Any]:
    """Every case is played before it is written, and goes on as a person wrote down."""
    table = Table()
    cases = [_written(case, table) for case in _cases()]
    return {
        "about": "words said again, and how sessions end, docs/protocol.md, One round; each call with its answer",
        "messages": dict(sorted(table.messages.items())),
        "cases": cases,
    }
