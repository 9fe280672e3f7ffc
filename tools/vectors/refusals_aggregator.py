"""What an aggregator refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from privateyes.aggregation.messages import ANNOUNCE, BIND, CLOSING, GIVE_UP, HubSum, Vote
from vectors.bases import AGAIN, FIXED, SEALED, bases
from vectors.cast import Cast, Session, SetUp
from vectors.script import Case, after, before, replaced

ME = {"aggregator": 1}
REFUSED, ABORT, MALFORMED = {"error": "RefusedError"}, {"error": "AbortError"}, {"error": "MalformedError"}
BLAMED = {"error": "BlamedError", "blamed": "aggregator 2"}
ZERO = bytes(32)


def cases() -> list[Case]:
    """In the order of the steps."""
    makers = (
        _requests, _announcing, _closing, _giving_up, _voting, _committing, _repeating, _agreeing, _opening,
        _certifying, _finishing, _words, _given_up, _moved_on,
    )  # fmt: skip
    done = bases()[SEALED]
    return [case for maker in makers for case in maker(done)]


def next_set_up(done: Session) -> tuple[dict[str, Any], bytes]:
    """The call that binds the next set-up of a task, and its id."""
    keys = SetUp(done.cast, done.keys.epoch + 1, 2)
    seeds = [[seed.hex() for seed in pair] for pair in keys.seeds.values()]
    return {"do": "bind", "epoch": keys.epoch, "leader": keys.leader, "sealing_seeds": seeds}, keys.id


def _requests(done: Session) -> Iterator[Case]:
    """Whoever may not ask, and who asks for something else."""
    cast, setup, number = done.cast, done.setup, done.round
    actions = {"announce": ANNOUNCE, "closing": CLOSING, "give_up": GIVE_UP}
    for do, action in actions.items():
        asked = cast.request(action, setup, number, done.state_id)
        earlier = [] if do == "announce" else after("announce")
        for about, request, expected in (
            ("without a signature", replace(asked, signature=bytes(64)), MALFORMED),
            ("signed by a client", cast.by_client(asked, 1, setup), MALFORMED),
            ("signed by an aggregator", cast.by_aggregator(asked, 2, setup), MALFORMED),
            ("signed for another set-up", asked.signed_by(cast.hub_key, ZERO), MALFORMED),
            ("an altered round", replace(asked, round=number + 1), MALFORMED),
            ("of another action", cast.request(action % 3 + 1, setup, number, done.state_id), REFUSED),
            ("to bind", cast.request(BIND, setup, number, done.state_id), REFUSED),
            ("of action 0", cast.request(0, setup, number, done.state_id), REFUSED),
            ("an announcement in its place", done.announcements[0], REFUSED),
        ):
            yield Case(f"{do}, the request: {about}", ME, [*earlier, {"do": do, "messages": [request]}], expected)


def _announcing(done: Session) -> Iterator[Case]:
    now = done.round
    for about, first, second in (
        ("a round is announced again, from another state", now, {"round": now, "state_id": ZERO.hex()}),
        ("an earlier round", now, {"round": now - 1}),
        ("a set-up that nobody bound", now, {"round": now + 1, "setup": ZERO.hex()}),
        ("a jump over more than 64 rounds", now, {"round": now + 65}),
        ("the largest round", now, {"round": 2**64 - 1}),
    ):
        calls = [{"do": "announce", "round": first}, {"do": "announce", **second}]
        yield Case(f"announce: {about}", ME, calls, REFUSED)
    yield Case("announce: round 65 is the first", ME, [{"do": "announce", "round": 65}], REFUSED)
    calls = [*after("agree"), {"do": "announce", "round": now + 1}]
    yield Case("announce: the last session has a T, and is neither opened nor given up", ME, calls, REFUSED)
    bind, setup = next_set_up(done)
    there = {"do": "announce", "round": 0, "setup": setup.hex()}
    yield Case("announce: in a set-up that has not started", ME, [bind, there], REFUSED)
    yield Case("announce: in the set-up before the bound one", ME, [bind, {"do": "announce"}], REFUSED)
    calls = [bind, {"do": "start"}, {"do": "announce"}]
    yield Case("announce: in the set-up before the started one", ME, calls, REFUSED)
    calls = [*after("agree"), bind, {"do": "start"}, there]
    yield Case("announce: a T of the set-up before is outstanding", ME, calls, REFUSED)
    calls = [*after("announce"), {"do": "give_up"}, {"do": "announce"}]
    yield Case("announce: the session that was given up", ME, calls, REFUSED)


def _closing(done: Session) -> Iterator[Case]:
    now = done.round
    bind, setup = next_set_up(done)
    there = {"do": "announce", "round": 0, "setup": setup.hex()}
    last: dict[str, Any] = {"do": "closing"}
    for about, calls in (
        ("the current round, which may still be opened", [*after("announce"), last]),
        ("the current round, with a T", [*after("agree"), last]),
        ("the current round, from another state", [*after("announce"), {**last, "state_id": ZERO.hex()}]),
        ("a round that is still to come", [*after("announce"), {**last, "round": now + 1}]),
        ("nothing was announced yet", [last]),
        ("a set-up that nobody bound", [*after("announce"), {**last, "round": 0, "setup": ZERO.hex()}]),
        ("the last session of the set-up before, the next one bound", [*after("vote"), bind, last]),
        ("the last session of the set-up before, the next one started", [*after("vote"), bind, {"do": "start"}, last]),
        ("a set-up that was bound and has announced nothing", [*after("vote"), bind, {**last, "setup": setup.hex()}]),
        ("a session of the set-up before the memory was lost",
         [*after("open"), {**bind, "lost": True}, {"do": "start"}, there, last]),
    ):  # fmt: skip
        yield Case(f"closing: {about}", ME, calls, REFUSED)


def _giving_up(done: Session) -> Iterator[Case]:
    now, asked = done.round, {"do": "give_up"}
    bind, _ = next_set_up(done)
    for about, calls in (
        ("nothing was announced yet", [asked]),
        ("another round than the last", [*after("announce"), {**asked, "round": now + 1}]),
        ("another state than the last", [*after("announce"), {**asked, "state_id": ZERO.hex()}]),
        ("another set-up than the last", [*after("announce"), {**asked, "setup": ZERO.hex()}]),
        ("a session that was opened", [*after("open"), asked]),
        ("a session that was opened, the next one announced",
         [*after("open"), {"do": "announce", "round": now + 1}, asked]),
        ("a session that a later announcement closed", [*after("vote"), {"do": "announce", "round": now + 1}, asked]),
        ("a session of the set-up before the memory was lost", [*after("agree"), {**bind, "lost": True}, asked]),
    ):  # fmt: skip
        yield Case(f"give_up: {about}", ME, calls, REFUSED)


def _voting(done: Session) -> Iterator[Case]:
    yield Case("vote: nothing was announced", ME, [{"do": "vote"}], REFUSED)
    later = {"do": "announce", "round": 10}
    yield Case("vote: after a later announcement", ME, [*after("announce"), later, {"do": "vote"}], REFUSED)
    wrong = {"do": "vote", "messages": [*done.headers_seen(1), done.votes[1]]}
    yield Case("vote: a vote among the headers", ME, [*after("announce"), wrong], ABORT)


def _common(done: Session, step: str, messages: list[Any], tail: list[Any]) -> Iterator[Case]:
    """What holds for every message of which one of each aggregator is needed."""
    first, second = messages[:2]
    earlier = after("certify") if step == "finish" else before(step)
    foreign = [done.by_aggregator(replace(own, sid=ZERO), s, ZERO) for s, own in ((1, first), (2, second))]
    # Where the hub has no message of its own, the first message says which session is meant.
    named_by_first = REFUSED if step in ("commit", "open", "finish") else ABORT
    for about, wrong, expected in (
        ("one message is missing", messages[:1] + messages[2:], ABORT),
        ("nothing arrived", [], named_by_first),
        ("one aggregator's message twice, another's missing", [first, second, second], ABORT),
        ("one message twice beside all others", [*messages, second], ABORT),
        ("an unknown aggregator", replaced(messages, 1, done.by_aggregator(replace(second, aggregator=9), 2)), ABORT),
        ("aggregator 0", replaced(messages, 1, done.by_aggregator(replace(second, aggregator=0), 2)), ABORT),
        ("an altered signature", replaced(messages, 1, replace(second, signature=bytes(64))), ABORT),
        ("signed by another aggregator", replaced(messages, 1, done.by_aggregator(second, 3)), ABORT),
        ("of another session", replaced(messages, 1, foreign[1]), ABORT),
        ("the first of another session", replaced(messages, 0, foreign[0]), named_by_first),
        ("of another kind", replaced(messages, 1, done.announcements[1]), ABORT),
        ("the first of another kind", replaced(messages, 0, done.announcements[0]), named_by_first),
    ):
        yield Case(f"{step}: {about}", ME, [*earlier, {"do": step, "messages": [*wrong, *tail]}], expected)
    yield Case(f"{step}: a step is left out", ME, [*earlier[:-1], {"do": step}], REFUSED)


def _committing(done: Session) -> Iterator[Case]:
    yield from _common(done, "commit", done.votes, [])
    own, second, third = done.votes
    yield Case("commit: nothing was announced", ME, [{"do": "commit"}], REFUSED)
    for about, salt in (("no salt", ""), ("a salt of 31 bytes", "00" * 31), ("a salt of 33 bytes", "00" * 33)):
        yield Case(f"commit: {about}", ME, [*before("commit"), {"do": "commit", "salt": salt}], MALFORMED)
    later = {"do": "announce", "round": 10}
    yield Case("commit: after a later announcement", ME, [*before("commit"), later, {"do": "commit"}], REFUSED)

    def votes(*chosen: Vote) -> list[dict[str, Any]]:
        return [*before("commit"), {"do": "commit", "messages": list(chosen)}]

    short = done.by_aggregator(replace(second, entries=second.entries[:1]), 2)
    yield Case("commit: a roster below R_min", ME, votes(own, short, third), ABORT)
    none = done.by_aggregator(replace(second, entries=()), 2)
    yield Case("commit: a roster of nobody", ME, votes(own, none, third), ABORT)
    everyone = Cast(replace(done.plot, submitting=(1, 2, 3, 4, 5), unseen={})).play("vote")
    headers = [submission.header for submission in everyone.submissions.values()]
    calls = [*after("announce"), {"do": "vote", "messages": headers},
             {"do": "commit", "messages": [*everyone.votes, *headers]}]  # fmt: skip
    yield Case("commit: a roster above R_max", ME, calls, ABORT)
    four = [done.by_aggregator(replace(vote, entries=own.entries), vote.aggregator) for vote in done.votes]
    three = [done.submissions[i].header for i in (1, 2, 3)]
    calls = [*after("announce"), {"do": "vote", "messages": three}, {"do": "commit", "messages": four}]
    yield Case("commit: all votes hold a header that this aggregator did not vote for", ME, calls, ABORT)
    calls = [*before("commit"), {"do": "commit", "messages": [*done.votes, *three[:2]]}]
    yield Case("commit: the roster's third header did not arrive again", ME, calls, ABORT)
    for about, change in (("kc", {"group_check": ZERO}), ("H(K_sid)", {"session_key_hash": ZERO})):
        headers = [done.submissions[i].header for i in (1, 2, 3)]
        headers[1] = done.by_client(replace(headers[1], **change), 2)
        yield Case(f"commit: two headers of the roster differ in {about}", ME, voted(done, headers, []), ABORT)


def voted(done: Session, headers: list[Any], more: list[Any]) -> list[dict[str, Any]]:
    """The calls by which all aggregators agree on these headers."""
    entries = tuple((header.client, header.hash()) for header in headers)
    agreed = [done.by_aggregator(replace(vote, entries=entries), vote.aggregator) for vote in done.votes]
    return [
        *after("announce"),
        {"do": "vote", "messages": [*headers, *more]},
        {"do": "commit", "messages": [*agreed, *headers, *more]},
    ]


def _repeating(_: Session) -> Iterator[Case]:
    """A session that sends the updates of another one again."""
    done = bases()[AGAIN]
    origin, headers = done.origin, [submission.header for submission in done.submissions.values()]
    if origin is None:
        raise RuntimeError("a repeat names its origin")
    other = replace(origin, roster=origin.roster[:2])
    votes = [*done.votes, *headers]
    for about, messages in (
        ("its roster is not given", votes),
        ("another roster is given for it", [*votes, other]),
        ("its roster under another kc", [*votes, replace(origin, group_check=ZERO)]),
        ("the roster of a session that this aggregator never opened", [*votes, replace(origin, sid=ZERO)]),
    ):
        calls = [*before("commit"), {"do": "commit", "messages": messages}]
        yield Case(f"commit, sent again: {about}", ME, calls, ABORT, AGAIN)
    calls = voted(done, headers[:2], [origin])
    yield Case("commit, sent again: to fewer clients than the first time", ME, calls, ABORT, AGAIN)
    fresh = done.by_client(replace(headers[2], origin=ZERO), 3)
    calls = voted(done, [*headers[:2], fresh], [origin])
    yield Case("commit, sent again: a fresh update among those that are sent again", ME, calls, ABORT, AGAIN)
    fixed = bases()[FIXED]
    sent = [submission.header for submission in fixed.submissions.values()]
    calls = [*before("commit"), {"do": "commit", "messages": [*fixed.votes, *sent]}]
    yield Case("commit, sent again: in a fixed cohort too its roster is given", {"aggregator": 2}, calls, ABORT, FIXED)


def _agreeing(done: Session) -> Iterator[Case]:
    hub = done.hub_commitment
    yield from _common(done, "agree", done.commitments, [hub])
    yield Case("agree: nothing was announced", ME, [{"do": "agree"}], REFUSED)
    later = {"do": "announce", "round": 10}
    yield Case("agree: after a later announcement", ME, [*before("agree"), later, {"do": "agree"}], REFUSED)
    own, second, third = done.commitments
    for about, messages, expected in (
        ("another roster, signed", [own, done.by_aggregator(replace(second, rho=ZERO), 2), third, hub], ABORT),
        ("a copied commitment, signed",
         [own, done.by_aggregator(replace(second, commitment=own.commitment), 2), third, hub], ABORT),
        ("its own commitment altered, under its own key",
         [done.by_aggregator(replace(own, commitment=ZERO), 1), second, third, hub], ABORT),
        ("the hub's commitment of another session", [own, second, third, replace(hub, sid=ZERO)], REFUSED),
        ("a sum in place of the hub's commitment", [own, second, third, done.total], ABORT),
    ):  # fmt: skip
        yield Case(f"agree: {about}", ME, [*before("agree"), {"do": "agree", "messages": messages}], expected)
    other = {"do": "agree", "messages": [*done.commitments, replace(hub, commitment=ZERO)]}
    reload = {"do": "reload"}
    yield Case("agree: another T", ME, [*after("agree"), other], REFUSED)
    yield Case("agree: another T after a restart", ME, [*after("agree"), reload, other], REFUSED)
    yield Case("agree: another T after a restart, the share opened", ME, [*after("open"), reload, other], REFUSED)


def _opening(done: Session) -> Iterator[Case]:
    yield from _common(done, "open", done.agreements, [])
    own, second, third = done.agreements
    other = done.by_aggregator(replace(second, transcript=ZERO), 2)
    calls = [*before("open"), {"do": "open", "messages": [own, other, third]}]
    yield Case("open: another T, signed", ME, calls, ABORT)
    altered_hub = replace(done.hub_commitment, commitment=ZERO)
    calls = [*before("agree"), {"do": "agree", "messages": [*done.commitments, altered_hub]}, {"do": "open"}]
    yield Case("open: the hub told this aggregator another com_0, so T differs", ME, calls, ABORT)
    for about, share in _other_shares(done):
        calls = [*before("open"), {"do": "open", "share": share}]
        yield Case(f"open: its stored share is {about}", ME, calls, REFUSED)
    calls = [*after("open"), {"do": "open", "share": _other_shares(done)[0][1]}]
    yield Case("open: a second time, with an altered share", ME, calls, REFUSED)


def _other_shares(done: Session) -> list[tuple[str, str]]:
    share = done.openings[0].share
    others = (("altered", done.shifted(share, {0: 1})), ("another aggregator's", done.openings[1].share))
    return [(about, np.ascontiguousarray(other).tobytes().hex()) for about, other in others]


def _certifying(done: Session) -> Iterator[Case]:
    yield from _common(done, "certify", done.openings, [done.total])
    yield Case("certify: nothing was announced", ME, [{"do": "certify"}], REFUSED)
    own, second, third = done.openings
    shifted = replace(second, share=done.shifted(second.share, {0: 1}))
    for about, opening, expected in (
        ("a share other than the committed one, signed", done.by_aggregator(shifted, 2), BLAMED),
        ("another salt, signed", done.by_aggregator(replace(second, salt=ZERO), 2), BLAMED),
        ("another aggregator's share, signed", done.by_aggregator(replace(second, share=own.share), 2), BLAMED),
        ("a share altered on the way", shifted, ABORT),
    ):
        calls = [*before("certify"), {"do": "certify", "messages": [own, opening, third, done.total]}]
        yield Case(f"certify: {about}", ME, calls, expected)
    for about, total, expected in (
        ("the hub's sum altered", HubSum(done.sid, done.shifted(done.total.share, {0: 1})), ABORT),
        ("the hub's sum of another session", replace(done.total, sid=ZERO), REFUSED),
        ("a commitment in place of the hub's sum", done.hub_commitment, ABORT),
    ):
        calls = [*before("certify"), {"do": "certify", "messages": [own, second, third, total]}]
        yield Case(f"certify: {about}", ME, calls, expected)
    calls = [*before("certify"), {"do": "certify", "messages": [second, third, done.total]}]
    yield Case("certify: its own opening is missing", ME, calls, ABORT)
    for about, share in _other_shares(done):
        calls = [*before("certify"), {"do": "certify", "share": share}]
        yield Case(f"certify: its stored share is {about}", ME, calls, REFUSED)


def _finishing(done: Session) -> Iterator[Case]:
    yield from _common(done, "finish", done.results, [])
    own, second, third = done.results
    other = done.by_aggregator(replace(second, result=ZERO), 2)
    calls = [*after("certify"), {"do": "finish", "messages": [own, other, third]}]
    yield Case("finish: another result, signed", ME, calls, ABORT)
    all_other = [done.by_aggregator(replace(message, result=ZERO), message.aggregator) for message in done.results]
    calls = [*after("certify"), {"do": "finish", "messages": all_other}]
    yield Case("finish: another result than its own, signed by all", ME, calls, ABORT)


def _words(done: Session) -> Iterator[Case]:
    asked, now = {"do": "words"}, done.round
    for about, calls in (
        ("nothing was announced", [asked]),
        ("another session", [*after("vote"), {**asked, "sid": ZERO.hex()}]),
        ("a session that was given up", [*after("commit"), {"do": "give_up"}, asked]),
        ("a session that was not opened, the next one announced",
         [*after("vote"), {"do": "announce", "round": now + 1}, asked]),
        ("a session that is finished, the next one announced",
         [*after("certify"), {"do": "finish"}, {"do": "announce", "round": now + 1}, asked]),
    ):  # fmt: skip
        yield Case(f"words: {about}", ME, calls, REFUSED)


def _given_up(done: Session) -> Iterator[Case]:
    """Nothing follows once a session was given up."""
    for step in ("vote", "commit", "agree", "open"):
        calls = [*before(step), {"do": "give_up"}, {"do": step}]
        yield Case(f"{step}: after the session was given up", ME, calls, REFUSED)
        calls = [*before(step), {"do": "give_up"}, {"do": "reload"}, {"do": step}]
        yield Case(f"{step}: after the session was given up, and a restart", ME, calls, REFUSED)
    for step in ("vote", "commit", "agree"):
        calls = [*after(step), {"do": "give_up"}, {"do": step}]
        yield Case(f"{step}: the word itself is not repeated once the session was given up", ME, calls, REFUSED)
    calls = [*after("agree"), {"do": "give_up"}, {"do": "announce", "round": done.round + 1}, {"do": "open"}]
    yield Case("open: after the session was given up, and a later announcement", ME, calls, REFUSED)


def _moved_on(done: Session) -> Iterator[Case]:
    """A new set-up ends votes and commitments at once, agreements and openings with its first announcement."""
    bind, setup = next_set_up(done)
    there = {"do": "announce", "round": 0, "setup": setup.hex()}
    for step in ("vote", "commit"):
        yield Case(f"{step}: the next set-up is bound", ME, [*before(step), bind, {"do": step}], REFUSED)
    calls = [*before("agree"), bind, {"do": "start"}, there, {"do": "agree"}]
    yield Case("agree: the next set-up has announced", ME, calls, REFUSED)
    calls = [*after("agree"), {"do": "give_up"}, bind, {"do": "start"}, there, {"do": "open"}]
    yield Case("open: the next set-up has announced", ME, calls, REFUSED)
    calls = [*after("open"), {**bind, "lost": True}, {"do": "start"}, {"do": "certify"}]
    yield Case("certify: the memory was lost", ME, calls, REFUSED)
