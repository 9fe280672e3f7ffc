"""Every (situation, request) pair of an aggregator ends in one legal word or in an error that changes nothing.

The pairs are made and not found: every situation meets every transition, with what is right in a session and with lists
of messages of every class, whole and damaged; and long walks among corrupt others ask for second words of every kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from privateyes.aggregation import messages as every_message
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import OPENED, VOID, Closing, HubCommitment, HubSum, Message, Signed
from privateyes.aggregation.steps import Step, Words
from privateyes.errors import PrivateyesError
from situations import STEPS, TRANSITIONS, Session, Situations, damaged, require_successor

BEFORE_OPENING = {"announced": "vote", "voted": "vote commit", "committed": "vote commit agree",
                  "agreed": "vote commit agree open"}  # fmt: skip
OPEN_TO_ALL = "announce vote commit agree open certify words closing"
AGAIN = "open certify words closing"

LEGAL = {
    "started": "announce",
    **{name: f"announce give_up words {steps}" for name, steps in BEFORE_OPENING.items()},
    "opened": OPEN_TO_ALL,
    "certified": f"{OPEN_TO_ALL} finish",
    "finished": f"{OPEN_TO_ALL} finish",
    **{f"given up {name}": "give_up closing" for name in BEFORE_OPENING},
    # A later round of the same set-up.
    **{f"{name}, later": "closing" for name in ("announced", "voted", "committed", "given up agreed")},
    "opened, later": AGAIN,
    "certified, later": f"{AGAIN} finish",
    "finished, later": "closing finish",
    "finished after a later one": "closing finish",
    # Another set-up is bound, or has started: only what was committed to goes on.
    **{
        f"{name}{when}": legal
        for when in (", bound", ", in the next set-up")
        for name, legal in {
            "announced": "give_up words",
            "committed": "give_up words agree",
            "agreed": "give_up words agree open",
            "opened": f"{AGAIN} agree",
            "certified": f"{AGAIN} agree finish",
            "given up agreed": "give_up closing",
        }.items()
    },
    # It has announced.
    **{f"{name}, closed by the next set-up": "closing" for name in ("announced", "committed", "given up agreed")},
    "certified, closed by the next set-up": f"{AGAIN} finish",
    "lost": "",
}
REPEATING = {name: legal for name, legal in LEGAL.items() if "," not in name and "later" not in name and name != "lost"}


@pytest.fixture(scope="module")
def situations() -> Situations:
    """Every situation once; nobody changes one."""
    return Situations()


def _pairs(situations: Situations) -> list[tuple[str, AggregatorMemory, Session, str]]:
    pairs = [(name, memory, situations.a, LEGAL[name]) for name, memory in situations.memories.items()]
    return pairs + [(name, memory, situations.b, REPEATING[name]) for name, memory in situations.repeating.items()]


def _attempt(situations: Situations, transition: str, memory: AggregatorMemory, session: Session, **given: Any) -> Any:
    """One transition; its outcome, or the error of the project's tree that it ended with. Nothing else may escape."""
    before = memory.to_bytes()
    try:
        outcome = situations.ask(transition, memory, session, **given)
    except PrivateyesError as error:
        outcome = error
    assert memory.to_bytes() == before, "a transition changes no memory; it gives a new one"
    after = outcome if isinstance(outcome, AggregatorMemory) else getattr(outcome, "memory", None)
    if after is not None:
        require_successor(memory, after)
    return outcome


def test_every_situation_is_known(situations) -> None:
    assert set(situations.memories) == set(LEGAL)
    assert set(situations.repeating) == set(REPEATING)


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_what_is_right_in_a_session_is_answered_in_the_situations_where_it_may_be(situations, transition) -> None:
    for name, memory, session, legal in _pairs(situations):
        outcome = _attempt(situations, transition, memory, session)
        refused = isinstance(outcome, PrivateyesError)
        assert refused != (transition in legal.split()), f"{transition} where session is {name}: {outcome!r}"
        if not refused:
            _require_right(transition, session, name, outcome)


def _require_right(transition: str, session: Session, name: str, outcome: Any) -> None:
    if transition in STEPS:
        assert outcome.message.to_bytes() == session.answer(transition)
    if transition == "closing":
        assert isinstance(outcome, Closing)
        opened = name.startswith(("opened", "certified", "finished"))
        assert outcome.outcome == (OPENED if opened else VOID)
    if transition == "words":
        assert isinstance(outcome, Words)
    if transition == "give_up":
        assert outcome.memory is None or not outcome.memory.session.salt
        assert (outcome.memory is None) == name.startswith("given up")


SECRETS_AT = {"committed", "agreed"}


def test_a_salt_is_held_from_the_commitment_on_and_gone_with_the_session_that_was_not_opened(situations) -> None:
    for name, memory in situations.memories.items():
        held = situations.a.salt.hex() in memory.to_bytes().decode()
        may_open = name.split(",")[0] in {*SECRETS_AT, "opened", "certified", "finished"}
        gone = "closed by" in name or ", later" in name or "after" in name
        if gone:
            may_open = name.startswith(("opened", "certified"))
        assert held == may_open, name


ALTERED = {
    "vote": ["nonce", "share_hash", "sealed_hashes", "origin"],
    "commit": ["entries"],
    "agree": ["rho", "commitment"],
    "open": ["transcript"],
    "certify": ["share", "salt"],
    "finish": ["result"],
}


def _other_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes(len(value))
    if isinstance(value, np.ndarray):
        changed = np.array(value)
        changed[0] ^= 1
        return changed
    return value[:1]


def _altered(situations: Situations, transition: str, own: list[Any]) -> dict[str, list[Any]]:
    """The second party signs something else, or for something else."""
    first, second = own
    world, who = situations.world, "client" if transition == "vote" else "aggregator"
    keys = world.client_keys if transition == "vote" else world.aggregator_keys
    key = keys[getattr(second, who)]

    def signed(message: Any, context: bytes) -> Any:
        if transition != "certify":
            return message.signed_by(key, context)
        receipt = message.receipt(world.manifest.bulk_hash).signed_by(key, context)
        return replace(message, signature=receipt.signature)

    changed = {name: replace(second, **{name: _other_value(getattr(second, name))}) for name in ALTERED[transition]}
    lists = {f"another {name}": [first, signed(message, second.sid)] for name, message in changed.items()}
    lists |= {f"{name} on the way": [first, message] for name, message in changed.items()}
    other = replace(second, sid=bytes(32))
    lists |= {"misnamed": [first, signed(other, second.sid)], "another session": [first, signed(other, bytes(32))]}
    for number in (0, 9):
        lists[f"of number {number}"] = [first, signed(replace(second, **{who: number}), second.sid)]
    return lists


@pytest.mark.parametrize("transition", [*STEPS, "finish"])
def test_no_new_word_is_said_on_a_list_that_is_not_right(situations, transition) -> None:
    """Words that were said before are repeated, whatever comes; a vote leaves out what is wrong."""
    for name, memory, session, legal in _pairs(situations):
        other = situations.b if session is situations.a else situations.a
        others = {f"its own {key}": found for key, found in session.lists.items() if key != transition}
        others |= {f"the other session's {key}": found for key, found in other.lists.items()}
        others["announcements"] = situations.world.announcements  # which have no session id
        if transition == "finish":
            del others["the other session's finish"]  # which may be right, for that one
        own = session.lists[transition]
        lists = damaged(own, others) | _altered(situations, transition, own)
        news = {what for what, given in lists.items() if _is_news(situations, transition, memory, session, given)}
        # Before T, a corrupt aggregator may sign another commitment.
        expected = {"reversed", "another commitment"} if transition == "agree" else {"reversed"}
        if transition != "vote":
            may = transition in legal.split() and _is_news(situations, transition, memory, session, own)
            assert news == (expected if may else set()), name
        # And what is right is answered as before.
        outcome = _attempt(situations, transition, memory, session)
        assert isinstance(outcome, PrivateyesError) != (transition in legal.split())


def _is_news(situations: Situations, transition: str, memory: AggregatorMemory, session: Session, given: Any) -> bool:
    """Whether anything is to be stored after it."""
    outcome = _attempt(situations, transition, memory, session, messages=given)
    return isinstance(outcome, AggregatorMemory) or getattr(outcome, "memory", None) is not None


@pytest.mark.parametrize("transition", ["agree", "certify"])
def test_no_new_word_is_said_on_a_wrong_message_of_the_hub(situations, transition) -> None:
    for name, memory, session, _ in _pairs(situations):
        other = situations.b if session is situations.a else situations.a
        wrong = [*session.votes, *session.openings, session.com_0 if transition == "certify" else session.total]
        wrong += [HubCommitment(other.sid, session.com_0.commitment), other.com_0, other.total]
        wrong += [HubSum(session.sid, other.total.share), HubSum(other.sid, session.total.share)]
        for message in wrong:
            outcome = _attempt(situations, transition, memory, session, hub=message)
            assert getattr(outcome, "memory", None) is None, name


def test_no_share_is_opened_but_the_one_that_was_committed_to(situations) -> None:
    for _, memory, session, _ in _pairs(situations):
        other = situations.b if session is situations.a else situations.a
        damaged_share = situations.own.own_share(_other_value(session.share.elements))
        for share in (other.share, damaged_share):
            assert isinstance(_attempt(situations, "open", memory, session, share=share), PrivateyesError)
            outcome = _attempt(situations, "certify", memory, session, messages=session.openings[1:], own_share=share)
            assert getattr(outcome, "memory", None) is None


@pytest.mark.parametrize("transition", ["announce", "closing", "give_up"])
def test_no_request_is_answered_but_the_hubs_for_this_step(situations, transition) -> None:
    world, action = situations.world, {"announce": 1, "closing": 2, "give_up": 3}[transition]
    for _, memory, session, _ in _pairs(situations):
        right = world.request(action, session.round, session.state_id, session.setup)
        wrong = [replace(right, signature=bytes(64)), replace(right, round=right.round + 1)]
        wrong += [replace(right, setup=bytes(32)), session.votes[0], session.com_0]
        wrong += [world.request(other, right.round, right.state_id, right.setup) for other in (0, 1, 2, 3, 4)
                  if other != action]  # fmt: skip
        for request in wrong:
            assert isinstance(_attempt(situations, transition, memory, session, request=request), PrivateyesError)


def test_without_that_rule_a_changed_memory_would_be_found(situations, monkeypatch) -> None:
    """What the tests above look for is there to be found."""
    memory, a = situations.memories["agreed"], situations.a
    monkeypatch.setattr(AggregatorMemory, "next", lambda self, **changes: replace(self, **changes))
    with pytest.raises(AssertionError):
        _attempt(situations, "open", memory, a)


def test_every_class_of_message_of_a_round_was_among_what_came(situations) -> None:
    """A new message class must be added to the lists above, or to what an aggregator never takes."""
    a, b = situations.a, situations.b
    came = {type(message) for session in (a, b) for found in session.lists.values() for message in found}
    came |= {type(message) for message in (a.com_0, a.total, b.origin)}
    known = {
        kind
        for kind in vars(every_message).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind not in (Message, Signed)
    }
    never = {
        "AggregatorKey", "ClientKey", "SealedStreamKey", "SealedGroupKey", "SealedState", "Voucher", "Complaint",
        "Abort", "Disclosure", "OpeningReceipt", "HubSumReceipt", "DeliveryReceipt", "Announcement", "Closing",
        "Delivery", "Submission", "HubRequest",
    }  # fmt: skip
    assert {kind.__name__ for kind in known - came} == never
    assert isinstance(situations.ask("vote", situations.memories["announced"], a), Step)
