"""Every party of the implementation plays the rounds, repeats and refusals of vectors/, one at a time, from bytes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from privateyes import errors
from privateyes.aggregation import hub
from privateyes.aggregation.audit import audit
from privateyes.aggregation.result import verify_disclosed
from privateyes.aggregation.steps import Words
from vector_player import Player, floats, require_as, unsealing_key
from vector_setups import SetupPlayer

ROUNDS = [f"{n}-{field}-{mode}" for n in (2, 3, 5) for field in ("compact", "wide") for mode in ("sealed", "public")]
ROUNDS += ["2-compact-public-norm", "2-wide-sealed-norm"]
REPEATS = ["repeats-open/1", "repeats-open/2", "repeats-open/3", "repeats-fixed/1", "repeats-fixed/2"]


def _sessions(vectors, name: str) -> list[dict[str, Any]]:
    """A session and those of its chain before it."""
    if not name.startswith("repeats"):
        return [entry for entry in vectors(f"rounds-{name[0]}")["rounds"] if entry["name"] == name]
    (chain,) = [chain for chain in vectors("repeats")["chains"] if name.startswith(chain["name"] + "/")]
    names = [entry["name"] for entry in chain["sessions"]]
    return chain["sessions"][: names.index(name) + 1]


def _player(vectors, name: str, party: dict[str, int], table: dict[str, str] | None = None) -> Player:
    return Player(_sessions(vectors, name), party, table or {})


def test_every_session_is_played(vectors) -> None:
    rounds = [entry["name"] for n in (2, 3, 5) for entry in vectors(f"rounds-{n}")["rounds"]]
    assert sorted(rounds) == sorted(ROUNDS)
    assert [entry["name"] for chain in vectors("repeats")["chains"] for entry in chain["sessions"]] == REPEATS


# rounds-n.json and repeats.json


@pytest.mark.parametrize("name", [*ROUNDS, *REPEATS])
def test_every_aggregator_says_what_the_vector_says(vectors, name) -> None:
    kinds = ("Announcement", "Vote", "RosterCommitment", "Agreement", "Opening", "ResultSignature")
    steps = ("announce", "vote", "commit", "agree", "open", "certify")
    for s in range(1, len(_sessions(vectors, name)[0]["secrets"]["salts"]) + 1):
        player = _player(vectors, name, {"aggregator": s})
        for step, kind in zip(steps, kinds, strict=True):
            expected = player.said(kind)[s - 1]
            assert player.act({"do": step}).message.to_bytes() == expected.to_bytes(), (s, step)
        player.act({"do": "finish"})
        if name in ROUNDS:
            later = player.act({"do": "announce", "round": player.given["round"] + 1})
            assert later.message.to_bytes() == player.said("Announcement", later=True)[s - 1].to_bytes()
            assert player.act({"do": "closing"}).to_bytes() == player.said("Closing")[s - 1].to_bytes()


@pytest.mark.parametrize("name", [*ROUNDS, *REPEATS])
def test_every_client_submits_and_accepts_what_the_vector_says(vectors, name) -> None:
    given = _sessions(vectors, name)[-1]
    submitted = {entry["client"]: entry for entry in given["inputs"]}
    for result in given["results"]:
        client = result["client"]
        player = _player(vectors, name, {"client": client})
        if client in submitted:
            done = player.act({"do": "repeat" if given.get("repeats") else "submit"})
            (expected,) = [message for message in player.said("Submission") if message.header.client == client]
            assert done.submission.to_bytes() == expected.to_bytes()
            assert player.act({"do": "resend"}).to_bytes() == expected.to_bytes()
            assert done.clipped == submitted[client].get("clipped", 0)
            assert done.shortened == submitted[client].get("shortened", False)
        else:
            player.act({"do": "observe"})
        average = player.act({"do": "check"})
        assert average.mean.tobytes() == floats(result["mean"], "8").tobytes()
        assert average.total_weight == result["total_weight"]
        assert list(average.roster) == result["roster"]
        assert average.counted == result["counted"]


@pytest.mark.parametrize("name", [*ROUNDS, *REPEATS])
def test_the_hub_adds_and_delivers_what_the_vector_says(vectors, name) -> None:
    player = _player(vectors, name, {})
    shares = {message.header.client: message for message in player.said("Submission")}
    headers = [hub.require_intact(player.manifest, submission) for submission in shares.values()]
    assert hub.one_kind(headers) == headers
    entries = hub.choose_roster(player.manifest, player.said("Vote"))
    total, com_0 = hub.add_shares(player.manifest, player.sid, entries, lambda client: shares[client].share)
    assert [total.to_bytes()] == [message.to_bytes() for message in player.said("HubSum")]
    assert [com_0.to_bytes()] == [message.to_bytes() for message in player.said("HubCommitment")]
    assert player.act({"do": "agreed_transcript"}).hex() == player.given["derived"]["transcript"]
    player.act({"do": "agreed_sum"})
    assert player.act({"do": "deliver"}).to_bytes() == player.said("Delivery")[0].to_bytes()


@pytest.mark.parametrize("name", [name for name in (*ROUNDS, *REPEATS) if "public" in name or "fixed" in name])
def test_anyone_verifies_a_public_round_as_the_vector_says(vectors, name) -> None:
    player = _player(vectors, name, {})
    (delivery,), (disclosure,) = player.said("Delivery"), player.said("Disclosure")
    headers = [message.header for message in player.said("Submission")]
    average = verify_disclosed(player.manifest, delivery, headers, disclosure)
    expected = player.given["results"][0]
    assert average.total_weight == expected["total_weight"]
    assert average.mean.tobytes() == floats(expected["mean"], "8").tobytes()
    client = _player(vectors, name, {"client": disclosure.client})
    client.play_through()
    assert client.act({"do": "disclose"}).to_bytes() == disclosure.to_bytes()


# endings.json


def _said(player: Player, table: dict[str, str], result: Any) -> Any:
    """The word in what a transition returned, by its name in the table."""

    def named(message: Any) -> str | None:
        if message is None:
            return None
        (name,) = [name for name, text in table.items() if text == message.to_bytes().hex()]
        return name

    if isinstance(result, Words):
        kinds = ("vote", "commitment", "agreement", "opening", "result")
        words = {kind: named(getattr(result, kind)) for kind in kinds}
        return {**words, "commitments": [value.hex() for value in result.commitments]}
    message = getattr(result, "submission", getattr(result, "message", result))
    return named(message) if hasattr(message, "to_bytes") and hasattr(message, "kind") else None


def test_words_are_repeated_and_sessions_end_as_given(vectors) -> None:
    given, told = vectors("endings"), Counter()
    for case in given["cases"]:
        player = _player(vectors, case["base"], case["party"], given["messages"])
        for call in case["calls"]:
            error, result = None, None
            try:
                result = player.act(call)
            except errors.PrivateyesError as raised:
                error = raised
            assert (error and type(error).__name__) == call.get("error"), (case["about"], call["do"])
            assert _said(player, given["messages"], result) == call.get("says"), (case["about"], call["do"])
            told[call["do"], "says" in call, "error" in call] += 1
    for do in ("vote", "commit", "agree", "open", "certify", "closing", "give_up", "words", "resend", "repeat"):
        assert told[do, True, False] >= 3, do


# refusals.json


def _error_of(call: Any, *arguments: Any) -> Exception | None:
    try:
        call(*arguments)
    except errors.PrivateyesError as error:
        return error
    return None


def test_every_refusal_names_its_error_its_check_and_its_culprit(vectors) -> None:
    given = vectors("refusals")
    for case in given["refused"]:
        player = _player(vectors, case["base"], case["party"], given["messages"])
        for call in case["calls"][:-1]:
            player.act(call)
        error = _error_of(player.act, case["calls"][-1])
        assert error is not None, case["about"]
        require_as(case["expected"], error, case["about"])
    checks = Counter(case["expected"].get("check") for case in given["refused"])
    assert set(checks) == {None, 1, 2, 3, 4, 5, 6, 7, 8}
    assert sum(case["expected"].get("blamed") == "aggregator 2" for case in given["refused"]) >= 3


def test_who_is_left_out_of_a_vote_and_how_the_vote_reads(vectors) -> None:
    given = vectors("refusals")
    for case in given["left_out_of_the_vote"]:
        player = _player(vectors, case["base"], case["party"], given["messages"])
        steps = [player.act(call) for call in case["calls"]]
        assert steps[-1].message.to_bytes().hex() == case["expected"]["vote"], case["about"]
        assert sorted(steps[-1].rejected) == case["expected"]["rejected"], case["about"]


# records.json


def test_an_auditor_concludes_and_names_what_the_record_proves(vectors) -> None:
    given, named = vectors("records"), Counter()
    for case in given["cases"]:
        player = _player(vectors, case["base"], {})
        kept = [entry["bytes"] for entry in player.given["messages"] if entry["kind"] not in case["without"]]
        more = [given["messages"][name] for name in (*given["offered"][case["base"]], *case["added"])]
        found = audit(player.manifest, [player.parse(text) for text in (*kept, *more)])
        (session,) = [own for own in found.sessions if own.sid.hex() == player.given["derived"]["sid"]]
        faults = sorted({(str(fault.level), fault.parties) for fault in found.faults})
        expected = [(fault["level"], tuple(fault["parties"])) for fault in case["expected"]["faults"]]
        assert (str(session.outcome), faults) == (case["expected"]["outcome"], expected), case["about"]
        named[case["expected"]["outcome"], bool(faults)] += 1
    endings = ("certified", "refused", "incomplete", "aborted")
    assert set(named) == {("certified", True), *((ending, False) for ending in endings)}


# sealing.json, setups.json, and what is refused during a set-up


def test_frozen_sealings_open_and_altered_ones_do_not(vectors) -> None:
    given = vectors("sealing")
    for case in given["opened"]:
        key = unsealing_key([case["mlkem768_seed"], case["x25519_private"]])
        assert key.public_bytes.hex() == case["public_key"]
        assert key.unseal_text(bytes.fromhex(case["sealed"]), bytes.fromhex(case["info"])).hex() == case["text"]
    first = given["opened"][0]
    key = unsealing_key([first["mlkem768_seed"], first["x25519_private"]])
    for case in given["refused_by_the_first_recipient"]:
        error = _error_of(key.unseal, bytes.fromhex(case["sealed"]), bytes.fromhex(case["info"]))
        require_as({"error": case["error"]}, error, case["about"])


def _hex(messages: Any) -> list[str]:
    return [message.to_bytes().hex() for message in messages]


@pytest.mark.parametrize("epoch", [1, 2])
def test_every_party_of_a_set_up_says_and_keeps_what_the_vector_says(vectors, epoch) -> None:
    task = vectors("setups")
    given = task["set_ups"][epoch - 1]
    for s in (1, 2):
        player = SetupPlayer(task, {"aggregator": s}, {})
        player.act({"do": "offer", "epoch": epoch})
        assert _hex([player.act({"do": "key"})]) == _hex(player.said("AggregatorKey", aggregator=s))
        player.act({"do": "bind"})
        for message in player.said("SealedStreamKey", aggregator=s):
            player.own.receive(player.memory, message)
        player.act({"do": "start"})
        assert player.memory.current.id.hex() == given["setup_id"]
        keys = {i: row[s - 1] for i, row in zip(given["clients"], given["stream_keys_by_client"], strict=True)}
        assert {i: chain.key.hex() for i, chain in player.memory.chains.items()} == keys
        hashes = {i: row[s - 1] for i, row in zip(given["clients"], given["sealed_hashes_by_client"], strict=True)}
        assert {i: value.hex() for i, value in player.memory.sealed_hashes.items()} == hashes
    for i in given["clients"]:
        _require_client(task, given, i)


def _require_client(task: dict[str, Any], given: dict[str, Any], i: int) -> None:
    player, position = SetupPlayer(task, {"client": i}, {}), given["clients"].index(i)
    joins = i == given["joining"]
    pinned = {"digest": player.manifest.initial_state.hex(), "weights": "00" * 32, "counter": 0}
    player.act({"do": "begin", "epoch": given["epoch"], **({} if joins else {"state": pinned})})
    assert player.act({"do": "bind"}).hex() == given["setup_id"]
    assert _hex([player.act({"do": "key"})]) == _hex(player.said("ClientKey", client=i))
    with player.pinned():
        assert _hex(player.act({"do": "seal"})) == _hex(player.said("SealedStreamKey", client=i))
        if i == given["leader"]:
            assert _hex(player.act({"do": "lead"})) == _hex(player.said("SealedGroupKey"))
    player.act({"do": "receive_group_key"})
    if joins:
        assert player.act({"do": "receive_state"}).hex() == given["state"]["bytes"]
    player.act({"do": "start"})
    memory = player.memory
    assert memory.group.check_value().hex() == given["group_check"]
    assert [value.hex() for value in memory.sealed_hashes] == given["sealed_hashes_by_client"][position]
    assert [chain.key.hex() for chain in memory.chains] == given["stream_keys_by_client"][position]
    if joins:
        assert memory.state_id.hex() == given["state_id"]
        assert memory.state.counter == given["state"]["counter"]
        return
    # The others hold the same state by then: of the first set-up from the beginning, of the second since five rounds.
    state = {"digest": given["state"]["digest"], "weights": "00" * 32, "counter": given["state"]["counter"]}
    player.act({"do": "move_on", "state": state})
    if player.said("Voucher", client=i):
        assert _hex([player.act({"do": "vouch"})]) == _hex(player.said("Voucher", client=i))


def test_what_is_refused_while_a_set_up_is_made(vectors) -> None:
    task, given = vectors("setups"), vectors("refusals")
    ended = Counter()
    for case in given["setup"]:
        player = SetupPlayer(task, case["party"], given["messages"])
        for call in case["calls"][:-1]:
            player.act(call)
        require_as(case["expected"], _error_of(player.act, case["calls"][-1]), case["about"])
        ended[case["calls"][-1]["do"], case["expected"] and case["expected"]["error"]] += 1
    for do in ("bind", "receive", "lead", "receive_group_key", "receive_state", "give_state"):
        assert {error for call, error in ended if call == do} == {None, "RefusedError", "MalformedError"}, do
    assert {do for do, _ in ended} >= {"offer", "key", "begin", "seal", "start"}
