"""What an aggregator refuses, and the hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from privateyes.aggregation.messages import HubSum, Vote
from privateyes.crypto.commitment import commit_to_vector
from vectors.cast import Cast
from vectors.script import Case, after, before

ME = {"aggregator": 1}
REFUSED, ABORT, MALFORMED = {"error": "RefusedError"}, {"error": "AbortError"}, {"error": "MalformedError"}
BLAMED = {"error": "BlamedError", "blamed": "aggregator 2"}
ZERO = bytes(32)


def cases(sealed: Cast, _public: Cast) -> list[Case]:
    """In the order of the steps."""
    makers = (_announcing, _closing, _voting, _committing, _agreeing, _opening, _certifying, _ended, _hub)
    return [case for maker in makers for case in maker(sealed)]


def _announcing(cast: Cast) -> Iterator[Case]:
    now = cast.round
    for about, first, second in (
        ("a round is announced twice", now, {"round": now}),
        ("a round is announced twice, from another state", now, {"round": now, "state_id": ZERO.hex()}),
        ("an earlier round", now, {"round": now - 1}),
        ("another epoch", now, {"round": now + 1, "epoch": 2}),
        ("a jump over more than 1024 rounds", now, {"round": now + 1025}),
    ):
        calls = [{"do": "announce", "round": first}, {"do": "announce", **second}]
        yield Case(f"announce: {about}", ME, calls, REFUSED)


def _closing(cast: Cast) -> Iterator[Case]:
    now = cast.round
    for about, named in (
        ("the current round, which may still be opened", {}),
        ("a round that is still to come", {"round": now + 1}),
        ("an epoch that is still to come", {"epoch": 2, "round": 0}),
        ("an epoch before the aggregator's records", {"epoch": 0, "round": 0}),
    ):
        yield Case(f"closing: {about}", ME, [*after("announce"), {"do": "closing", **named}], REFUSED)


def _voting(_: Cast) -> Iterator[Case]:
    yield Case("vote: a second time", ME, [*after("vote"), {"do": "vote"}], REFUSED)
    later = {"do": "announce", "round": 10, "keep_state": True}
    yield Case("vote: after a later announcement", ME, [*after("announce"), later, {"do": "vote"}], REFUSED)


def _replaced(messages: list[Any], position: int, message: Any) -> list[Any]:
    return [*messages[:position], message, *messages[position + 1 :]]


def _common(cast: Cast, step: str, messages: list[Any], tail: list[Any]) -> Iterator[Case]:
    """What holds for every message of which one of each aggregator is needed."""
    second = messages[1]
    foreign = cast.by_aggregator(replace(second, sid=ZERO), 2, ZERO)
    for about, wrong in (
        ("one message is missing", messages[:1] + messages[2:]),
        ("nothing arrived", []),
        ("one aggregator's message twice, another's missing", [messages[0], second, second]),
        ("one message twice beside all others", [*messages, second]),
        ("an unknown aggregator", _replaced(messages, 1, cast.by_aggregator(replace(second, aggregator=9), 2))),
        ("an altered signature", _replaced(messages, 1, replace(second, signature=bytes(64)))),
        ("signed by another aggregator", _replaced(messages, 1, cast.by_aggregator(second, 3))),
        ("of another session", _replaced(messages, 1, foreign)),
        ("of another kind", _replaced(messages, 1, cast.results[1])),
    ):
        calls = [*before(step), {"do": step, "messages": [*wrong, *tail]}]
        yield Case(f"{step}: {about}", ME, calls, ABORT)
    yield Case(f"{step}: a second time", ME, [*after(step), {"do": step}], REFUSED)
    calls = [*before(step), {"do": "announce", "round": 10, "keep_state": True}, {"do": step}]
    if step != "certify":
        yield Case(f"{step}: after a later announcement", ME, calls, REFUSED)
    skipped = before(step)[:-1]
    yield Case(f"{step}: a step is left out", ME, [*skipped, {"do": step}], REFUSED)


def _committing(cast: Cast) -> Iterator[Case]:
    yield from _common(cast, "commit", cast.votes, [])
    own, second, third = cast.votes

    def votes(*chosen: Vote) -> list[dict[str, Any]]:
        return [*before("commit"), {"do": "commit", "messages": list(chosen)}]

    short = cast.by_aggregator(replace(second, entries=second.entries[:1]), 2)
    yield Case("commit: a roster below R_min", ME, votes(own, short, third), ABORT)
    none = cast.by_aggregator(replace(second, entries=()), 2)
    yield Case("commit: a roster of nobody", ME, votes(own, none, third), ABORT)
    everyone = Cast(replace(cast.plot, submitting=(1, 2, 3, 4, 5), unseen={})).play("vote")
    headers = [submission.header for submission in everyone.submissions.values()]
    calls = [*after("announce"), {"do": "vote", "messages": headers}, {"do": "commit", "messages": everyone.votes}]
    yield Case("commit: a roster above R_max", ME, calls, ABORT)
    for about, change in (("kc", {"group_check": ZERO}), ("H(K_sid)", {"session_key_hash": ZERO})):
        mixed = dict(cast.submissions)
        headers = [mixed[i].header for i in (1, 2, 3)]
        headers[1] = cast.by_client(replace(headers[1], **change), 2)
        entries = tuple((header.client, header.hash()) for header in headers)
        agreed = [cast.by_aggregator(replace(vote, entries=entries), vote.aggregator) for vote in cast.votes]
        calls = [*after("announce"), {"do": "vote", "messages": headers}, {"do": "commit", "messages": agreed}]
        yield Case(f"commit: two headers of the roster differ in {about}", ME, calls, ABORT)


def _agreeing(cast: Cast) -> Iterator[Case]:
    hub = cast.hub_commitment
    yield from _common(cast, "agree", cast.commitments, [hub])
    own, second, third = cast.commitments
    for about, messages in (
        ("another roster, signed", [own, cast.by_aggregator(replace(second, rho=ZERO), 2), third, hub]),
        (
            "a copied commitment, signed",
            [own, cast.by_aggregator(replace(second, commitment=own.commitment), 2), third, hub],
        ),
        (
            "its own commitment altered, under its own key",
            [cast.by_aggregator(replace(own, commitment=ZERO), 1), second, third, hub],
        ),
        ("the hub's commitment of another session", [own, second, third, replace(hub, sid=ZERO)]),
    ):
        yield Case(f"agree: {about}", ME, [*before("agree"), {"do": "agree", "messages": messages}], ABORT)  # fmt: skip


def _opening(cast: Cast) -> Iterator[Case]:
    yield from _common(cast, "open", cast.agreements, [])
    own, second, third = cast.agreements
    other = cast.by_aggregator(replace(second, transcript=ZERO), 2)
    calls = [*before("open"), {"do": "open", "messages": [own, other, third]}]
    yield Case("open: another T, signed", ME, calls, ABORT)
    altered_hub = replace(cast.hub_commitment, commitment=ZERO)
    calls = [*before("agree"), {"do": "agree", "messages": [*cast.commitments, altered_hub]}, {"do": "open"}]
    yield Case("open: the hub told this aggregator another com_0, so T differs", ME, calls, ABORT)


def _certifying(cast: Cast) -> Iterator[Case]:
    yield from _common(cast, "certify", cast.openings, [cast.total])
    own, second, third = cast.openings
    shifted = replace(second, share=cast.shifted(second.share, {0: 1}))
    for about, opening, expected in (
        ("a share other than the committed one, signed", cast.by_aggregator(shifted, 2), BLAMED),
        ("another salt, signed", cast.by_aggregator(replace(second, salt=ZERO), 2), BLAMED),
        ("another aggregator's share, signed", cast.by_aggregator(replace(second, share=own.share), 2), BLAMED),
        ("a share altered on the way", shifted, ABORT),
    ):
        calls = [*before("certify"), {"do": "certify", "messages": [own, opening, third, cast.total]}]
        yield Case(f"certify: {about}", ME, calls, expected)
    for about, total in (
        ("the hub's sum altered", HubSum(cast.sid, cast.shifted(cast.total.share, {0: 1}))),
        ("the hub's sum of another session", replace(cast.total, sid=ZERO)),
    ):
        calls = [*before("certify"), {"do": "certify", "messages": [own, second, third, total]}]
        yield Case(f"certify: {about}", ME, calls, ABORT)


def _ended(cast: Cast) -> Iterator[Case]:
    """After it gave a session up, and after a restart."""
    for step, point in (("vote", 2), ("commit", 3), ("agree", 3), ("open", 4)):
        calls = [*before(step), {"do": "stop", "step": point}, {"do": step}]
        yield Case(f"{step}: after the session was given up", ME, calls, REFUSED)
    calls = [*after("agree"), {"do": "stop", "step": 4}, {"do": "closing"}]
    yield Case("closing: a session that was given up, before the next is announced", ME, calls, REFUSED)
    other = {"do": "agree", "messages": [*cast.commitments, replace(cast.hub_commitment, commitment=ZERO)]}
    reload = {"do": "reload"}
    yield Case("agree: another T after a restart", ME, [*after("agree"), reload, other], REFUSED)
    yield Case("agree: another T after a restart, the share opened", ME, [*after("open"), reload, other], REFUSED)
    calls = [*after("agree"), reload, {"do": "announce", "round": 10, "keep_state": True}, {"do": "agree"}]
    yield Case("agree: after a restart and a later announcement", ME, calls, REFUSED)
    again = [*after("agree"), reload, {"do": "agree"}, {"do": "open"}, {"do": "open"}]
    yield Case("open: a second time, after a restart that repeats the same T", ME, again, REFUSED)


def _hub(cast: Cast) -> Iterator[Case]:
    submission = cast.submissions[1]
    altered = replace(submission, share=cast.shifted(submission.share, {0: 1}))
    foreign = replace(submission, header=replace(submission.header, client=2))
    for about, message in (("a share altered on the way", altered), ("another client's number", foreign)):
        yield Case(f"hub, submission: {about}", {}, [{"do": "intact", "messages": [message]}], MALFORMED)
    votes = [cast.by_aggregator(replace(vote, entries=vote.entries[:1]), vote.aggregator) for vote in cast.votes]
    yield Case("hub, votes: a roster below R_min", {}, [{"do": "choose_roster", "messages": votes}], ABORT)
    own, second, third = cast.openings
    shifted = replace(second, share=cast.shifted(second.share, {0: 1}))
    for about, openings, expected in (
        ("an opening is missing", [own, third], ABORT),
        ("an opening twice", [own, third, third], ABORT),
        ("a share other than the committed one, signed", [own, cast.by_aggregator(shifted, 2), third], BLAMED),
        ("a share altered on the way: nobody is blamed", [own, shifted, third], MALFORMED),
    ):
        yield Case(f"hub, delivery: {about}", {}, [{"do": "deliver", "messages": openings}], expected)
    # An honest commitment to the altered share would have been another one.
    if (
        commit_to_vector(cast.sid, cast.commitments[1].rho, 2, second.salt, shifted.share)
        == cast.commitments[1].commitment
    ):
        raise RuntimeError("the commitment does not bind the share")
