"""The private exchange: equal to plain averaging up to its bound, and careful with what it stores."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from failing_disks import Killed
from local_task import dying_before, refuse
from privateyes.aggregation import messages
from privateyes.aggregation.manifest import Manifest, manifest_from_toml
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.result import verify_disclosed
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.crypto.labels import Role
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.engines.local import continuing
from privateyes.engines.local.misbehaviour import AlteringAggregator
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import MANIFEST_NAME, SETTINGS_NAME, SecureExchange
from privateyes.errors import (
    AbortError,
    ConvergedError,
    MalformedError,
    ParameterError,
    RunDirectoryError,
    TrainingError,
)
from privateyes.federation.adaptive_clips import AdaptiveClips, ClippingOptimiser
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.plain import PlainExchange
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from privateyes.storage import transcript
from privateyes.storage.places import store_folders
from privateyes.storage.store import PartyStore
from taking_part import taking_part

NAMES = ("ada", "bob", "cyd", "dan")
DIMENSION = 200


def plan_for(
    field: Field = COMPACT, roster_min: int = 4, names: tuple[str, ...] = NAMES, mode: str = "sealed"
) -> SecurePlan:
    bits = largest_scale_bits(field, 1.0, 300, len(names))
    assert bits is not None
    encoding = FixedPoint(field, 1.0, bits, weight_max=300, roster_max=len(names))
    return SecurePlan(names, DIMENSION, 3, encoding, roster_min, mode=mode)


def start() -> ServerState:
    return ServerState(np.random.default_rng(7).normal(size=DIMENSION).astype(np.float32))


def updates_of(round_index: int, names: tuple[str, ...] = NAMES, scale: float = 0.05) -> list[ClientUpdate]:
    random = np.random.default_rng(round_index)
    return [
        ClientUpdate(name, int(random.integers(1, 301)), random.normal(0, scale, DIMENSION).astype(np.float32), 0.0)
        for name in names
    ]


@contextmanager
def exchange_in(folder: Path, plan: SecurePlan | None = None) -> Iterator[SecureExchange]:
    exchange = SecureExchange(plan or plan_for(), FedAvg(), folder, seed=1)
    try:
        yield exchange
    finally:
        exchange.close()


@pytest.mark.parametrize("field", [COMPACT, WIDE], ids=lambda field: field.name)
def test_every_round_stays_within_the_stated_bound_of_plain_averaging(field: Field, tmp_path: Path) -> None:
    with exchange_in(tmp_path, plan_for(field)) as private:
        state = start()
        for index in range(4):
            updates = updates_of(index)
            plain, _ = PlainExchange(FedAvg()).exchange(state, taking_part(updates))
            following, report = private.exchange(state, taking_part(updates))
            bound = report.details["deviation_bound"]
            assert isinstance(bound, float)
            assert report.details["deviation"] < bound  # type: ignore[operator]
            assert field is WIDE or report.details["deviation"] > 0  # type: ignore[operator]
            # The states differ by the bound and by the one rounding to float32 that both go through.
            slack = np.spacing(np.abs(plain.vector)) + bound
            assert np.all(np.abs(following.vector - plain.vector) <= slack)
            state = following


def test_in_the_wide_field_ten_rounds_end_in_the_same_bytes_as_plain_averaging(tmp_path: Path) -> None:
    plain = private_state = start()
    with exchange_in(tmp_path, plan_for(WIDE)) as private:
        for index in range(10):
            plain, _ = PlainExchange(FedAvg()).exchange(plain, taking_part(updates_of(index)))
            private_state, _ = private.exchange(private_state, taking_part(updates_of(index)))
    assert private_state.vector.tobytes() == plain.vector.tobytes()


def test_clipped_coordinates_are_counted_and_the_bound_still_holds(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        _, report = private.exchange(start(), taking_part(updates_of(0, scale=0.8)))
    assert report.details["saturated"] > 0  # type: ignore[operator]
    assert report.details["deviation"] < report.details["deviation_bound"]  # type: ignore[operator]


@pytest.mark.parametrize(("norm_clip", "shortened"), [(None, 0), (100.0, 0), (0.5, 4)])
def test_shortened_updates_are_counted_and_the_bound_still_holds(
    tmp_path: Path, norm_clip: float, shortened: int
) -> None:
    plan = replace(plan_for(), privacy=None if norm_clip is None else Privacy(norm_clip))
    with exchange_in(tmp_path, plan) as private:
        following, report = private.exchange(start(), taking_part(updates_of(0)))
    assert report.details["shortened"] == shortened
    assert report.details["deviation"] < report.details["deviation_bound"]  # type: ignore[operator]
    step = np.linalg.norm((following.vector - start().vector).astype(np.float64))
    assert shortened == 0 or step <= 0.5


def test_a_limit_that_does_not_bind_changes_no_bit_of_the_model(tmp_path: Path) -> None:
    models = []
    for privacy in (None, Privacy(100.0)):
        with exchange_in(tmp_path / str(privacy), replace(plan_for(), privacy=privacy)) as private:
            following, _ = private.exchange(start(), taking_part(updates_of(0)))
        models.append(following.vector.tobytes())
    assert models[0] == models[1]


def test_a_cohort_smaller_than_the_task_is_averaged_and_the_others_follow(tmp_path: Path) -> None:
    with exchange_in(tmp_path, plan_for(roster_min=2)) as private:
        state, first = private.exchange(start(), taking_part(updates_of(0, ("ada", "cyd"))))
        _, second = private.exchange(state, taking_part(updates_of(1, ("bob", "cyd", "dan"))))
    assert first.details["roster"] == ["ada", "cyd"]
    assert second.details["roster"] == ["bob", "cyd", "dan"]


def test_an_accepted_round_is_not_repeated(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        first = private.exchange(start(), taking_part(updates_of(0)))
    with exchange_in(tmp_path) as private:
        again = private.exchange(start(), taking_part(updates_of(0)))
    assert again[0].digest() == first[0].digest()
    assert again[1] == first[1]
    assert len(list((tmp_path / "transcripts").glob("round-*.jsonl"))) == 1


def kill_before(step: str, private: SecureExchange, state: ServerState, updates: list[ClientUpdate]) -> None:
    """A round in which the process dies before anybody is asked for a step."""
    with dying_before(step), pytest.raises(Killed):
        private.exchange(state, taking_part(updates))


def round_of(private: SecureExchange) -> int:
    """Of the session that was announced last."""
    assert private._parties is not None
    sessions = [memory.session for memory in private._parties.aggregator_memories(private._store).values()]
    return max(session.round for session in sessions if session is not None)


@pytest.mark.parametrize(("step", "later"), [("submit", 0), ("vote", 1)], ids=["announced", "submitted"])
def test_a_round_that_was_announced_is_announced_again_unless_somebody_took_part(
    tmp_path: Path, step: str, later: int
) -> None:
    with exchange_in(tmp_path) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
        before = round_of(private)
        kill_before(step, private, state, updates_of(1))
        assert round_of(private) == before + 1
    with exchange_in(tmp_path) as private:
        private.exchange(state, taking_part(updates_of(1)))
        assert round_of(private) == before + 1 + later


def lose_share(folder: Path) -> None:
    """The file of aggregator 1's share is gone."""
    (body,) = (folder / "parties.bodies").glob("aggregator-1*")
    body.unlink()


def test_a_session_whose_share_cannot_be_read_is_given_up_if_nobody_began_to_open_it(
    tmp_path: Path,
) -> None:
    with exchange_in(tmp_path) as private:
        kill_before("open", private, start(), updates_of(0))
    lose_share(tmp_path)
    with exchange_in(tmp_path) as private:
        following, _ = private.exchange(start(), taking_part(updates_of(0)))
    assert following.round == 1
    assert continuing.look(tmp_path) is None


def test_a_session_whose_share_cannot_be_read_waits_for_people_once_it_may_have_been_opened(
    tmp_path: Path,
) -> None:
    with exchange_in(tmp_path) as private:
        kill_before("certify", private, start(), updates_of(0))
    lose_share(tmp_path)
    for _ in range(2):
        with (
            exchange_in(tmp_path) as private,
            pytest.raises(RunDirectoryError, match=r"is lost: .*task continue"),
        ):
            private.exchange(start(), taking_part(updates_of(0)))
        found = continuing.look(tmp_path)
        assert found is not None
        assert found.refusals == {}
    continuing.send_again(tmp_path)  # every aggregator opened it: the same sum once more says nothing new
    with exchange_in(tmp_path) as private:
        following, _ = private.exchange(start(), taking_part(updates_of(0)))
    assert following.round == 1


def test_a_state_that_the_parties_did_not_accept_is_refused(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
        foreign = ServerState(state.vector + 1, round=state.round, last_sid=state.last_sid)
        with pytest.raises(RunDirectoryError, match="at another state"):
            private.exchange(foreign, taking_part(updates_of(1)))


def test_with_a_full_disk_at_the_end_the_same_update_is_not_submitted_twice(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise RunDirectoryError("the disk is full")

    with exchange_in(tmp_path) as private:
        with monkeypatch.context() as patched:
            patched.setattr(PartyStore, "put_accepted", full)
            with pytest.raises(RunDirectoryError, match="the disk is full"):
                private.exchange(start(), taking_part(updates_of(0)))
        private.exchange(start(), taking_part(updates_of(0)))
    submitted = [
        json.loads(line)["type"]
        for file in (tmp_path / "transcripts").glob("round-*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert submitted.count("Header") == len(NAMES)


def test_when_an_aggregator_alters_its_share_no_state_changes_and_the_complaints_are_kept(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
        parties = private._parties
        assert parties is not None
        honest = parties.aggregators[1]
        private._parties = parties.with_aggregator(
            AlteringAggregator(honest.manifest, honest.number, honest.identity, coordinate=3, amount=5)
        )
        with pytest.raises(AbortError, match="4 of 4 clients refused the round, first ada: the sum does not carry"):
            private.exchange(state, taking_part(updates_of(1)))
        memories = private._parties.client_memories(private._store)
        assert {memory.state.digest for memory in memories.values()} == {state.digest()}
    kinds = [
        json.loads(line)["type"]
        for file in (tmp_path / "transcripts").glob("round-0002*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert kinds.count("Complaint") == 4
    assert kinds.count("OpeningReceipt") == 3


def test_what_was_signed_is_kept_when_a_roster_is_too_small(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private, pytest.raises(AbortError, match=r"a roster of 3 clients is outside 4\.\.4"):
        private.exchange(start(), taking_part(updates_of(0, ("ada", "bob", "cyd"))))
    assert "Vote" in next((tmp_path / "transcripts").glob("round-*.jsonl")).read_text()


def test_a_nan_in_an_update_names_the_client_and_changes_nothing(tmp_path: Path) -> None:
    updates = updates_of(0)
    updates[2].delta[5] = np.nan
    with exchange_in(tmp_path) as private:
        with pytest.raises(TrainingError, match="client cyd"):
            private.exchange(start(), taking_part(updates))
        private.exchange(start(), taking_part(updates_of(0)))


def test_an_unsafe_plan_leaves_no_file_behind(tmp_path: Path) -> None:
    encoding = FixedPoint(COMPACT, 1.0, 10, 300, 4)
    with pytest.raises(ParameterError, match="fewer than 2"):
        SecureExchange(
            SecurePlan(NAMES, DIMENSION, 3, encoding, 3, corrupt_clients=2), FedAvg(), tmp_path / "x", seed=1
        )
    assert not (tmp_path / "x").exists()


def test_a_directory_of_another_task_is_refused(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        private.exchange(start(), taking_part(updates_of(0)))
    other = ("ada", "bob", "cyd", "eve")
    with pytest.raises(RunDirectoryError, match="holds another task"), exchange_in(tmp_path, plan_for(names=other)):
        pass


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"roster_min": 3}, "roster_min: 4 as pinned, 3 here"),
        ({"dimension": 201}, "dimension: 200 as pinned, 201 here"),
        ({"mode": "public"}, "mode: sealed as pinned, public here"),
        ({"encoding": FixedPoint(COMPACT, 0.5, 10, 300, 4)}, "clip: 1.0 as pinned, 0.5 here"),
    ],
    ids=str,
)
def test_a_store_of_another_task_with_the_same_parties_is_refused_and_the_first_key_named(
    tmp_path: Path, changes: dict[str, object], difference: str
) -> None:
    with exchange_in(tmp_path) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
    with pytest.raises(RunDirectoryError) as caught, exchange_in(tmp_path, replace(plan_for(), **changes)):  # type: ignore[arg-type]
        pass
    assert difference in str(caught.value)
    assert "\n" not in str(caught.value)
    with exchange_in(tmp_path) as private:
        private.exchange(state, taking_part(updates_of(1)))


def test_a_manifest_file_that_was_altered_is_refused_and_one_that_is_missing_is_written_again(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
    path = tmp_path / MANIFEST_NAME
    pinned = path.read_text()
    path.write_text(pinned.replace("roster_min = 4", "roster_min = 2"))
    with pytest.raises(RunDirectoryError, match=r"roster_min: 4 as pinned, 2 here; remove that file"):
        SecureExchange(plan_for(), FedAvg(), tmp_path, seed=1)
    path.unlink()
    with exchange_in(tmp_path) as private:
        assert path.read_text() == pinned
        private.exchange(state, taking_part(updates_of(1)))


def test_a_directory_with_records_of_rounds_and_without_keys_is_not_set_up_anew(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        private.exchange(start(), taking_part(updates_of(0)))
    before = {file: file.read_bytes() for file in [tmp_path / MANIFEST_NAME, *(tmp_path / "transcripts").iterdir()]}
    for file in tmp_path.glob("parties.sqlite*"):
        file.unlink()
    with pytest.raises(RunDirectoryError, match="holds transcripts of rounds, but the parties' keys are gone"):
        SecureExchange(plan_for(), FedAvg(), tmp_path, seed=1)
    assert {file: file.read_bytes() for file in before} == before


def test_a_model_of_another_length_than_the_manifest_says_is_refused_before_anything_is_set_up(tmp_path: Path) -> None:
    longer = ServerState(np.zeros(DIMENSION + 1, np.float32))
    updates = [replace(update, delta=np.zeros(DIMENSION + 1, np.float32)) for update in updates_of(0)]
    with exchange_in(tmp_path) as private:
        with pytest.raises(ParameterError, match="the model has 201 parameters where the manifest's dimension is 200"):
            private.exchange(longer, taking_part(updates))
        assert not (tmp_path / MANIFEST_NAME).exists()
        private.exchange(start(), taking_part(updates_of(0)))


def test_a_round_that_runs_backwards_is_refused_and_nothing_is_submitted(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        states = [start()]
        for index in range(3):
            states.append(private.exchange(states[-1], taking_part(updates_of(index)))[0])
        records = sorted((tmp_path / "transcripts").iterdir())
        for older in (0, 1):
            with pytest.raises(RunDirectoryError, match=rf"after round {older}, and the parties .* accepted round 3"):
                private.exchange(states[older], taking_part(updates_of(older)))
        assert sorted((tmp_path / "transcripts").iterdir()) == records
        private.exchange(states[3], taking_part(updates_of(3)))


def test_a_record_that_cannot_be_written_stops_the_session_before_anything_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exchange_in(tmp_path) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
        with monkeypatch.context() as patched:
            patched.setattr(transcript, "_append", _full)
            with pytest.raises(RunDirectoryError, match=r"session-0001\.jsonl cannot be written"):
                private.exchange(state, taking_part(updates_of(1)))
        following, _ = private.exchange(state, taking_part(updates_of(1)))
    assert following.round == 2


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_public_task_trains_the_same_model_and_leaves_a_record_that_anyone_can_check(tmp_path: Path) -> None:
    states = {}
    for mode in ("sealed", "public"):
        with exchange_in(tmp_path / mode, plan_for(mode=mode)) as private:
            state = start()
            for index in range(2):
                state, _ = private.exchange(state, taking_part(updates_of(index)))
            states[mode] = state
    assert states["public"].vector.tobytes() == states["sealed"].vector.tobytes()
    folder = tmp_path / "public"
    manifest = manifest_from_toml((folder / MANIFEST_NAME).read_text())
    assert not manifest.sealed
    before = start()
    for file in sorted((folder / "transcripts").glob("round-*.jsonl")):
        said = record_of(file, manifest)
        (delivery,) = [message for message in said if isinstance(message, messages.Delivery)]
        (disclosure,) = [message for message in said if isinstance(message, messages.Disclosure)]
        headers = [message for message in said if isinstance(message, messages.Header)]
        average = verify_disclosed(manifest, delivery, headers, disclosure)
        before = FedAvg().step(before, average.mean, delivery.sid)
    assert before.digest() == states["public"].digest()
    sealed = "".join(file.read_text() for file in (tmp_path / "sealed" / "transcripts").glob("round-*.jsonl"))
    assert '"Delivery"' not in sealed
    assert '"Disclosure"' not in sealed


def record_of(file: Path, manifest: Manifest) -> list[Any]:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [getattr(messages, line["type"]).from_bytes(bytes.fromhex(line["bytes"]), manifest) for line in lines]


def test_the_manifest_on_disk_is_the_parties_own(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        private.exchange(start(), taking_part(updates_of(0)))
        assert private._parties is not None
        manifest = manifest_from_toml((tmp_path / MANIFEST_NAME).read_text())
        assert manifest.digest() == private._parties.manifest.digest()


def test_every_signed_line_of_the_transcripts_is_signed_by_the_party_that_it_names(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
        private.exchange(state, taking_part(updates_of(1)))
    manifest = manifest_from_toml((tmp_path / MANIFEST_NAME).read_text())
    seen: Counter[str] = Counter()
    for file in sorted((tmp_path / "transcripts").iterdir()):
        for message in record_of(file, manifest):
            seen[type(message).__name__] += 1
            if not isinstance(message, messages.Signed):
                continue
            context = getattr(message, "sid", None) or getattr(message, "setup", manifest.digest())
            if message.role is Role.AGGREGATOR:
                key = manifest.aggregators[message.aggregator - 1].public_key
            elif message.role is Role.HUB:
                key = manifest.hub_key
            else:
                key = manifest.clients[getattr(message, "leader", getattr(message, "client", 0)) - 1].public_key
            message.require_signature_of(key, context)
            with pytest.raises(MalformedError, match="does not verify"):
                message.require_signature_of(key, bytes(32))
    in_set_up = {"AggregatorKey": 3, "ClientKey": 4, "SealedStreamKey": 12, "SealedGroupKey": 4}
    each_round = {
        "HubRequest": 1,
        "Announcement": 3,
        "Header": 4,
        "Vote": 3,
        "RosterCommitment": 3,
        "HubCommitment": 1,
        "Agreement": 3,
        "OpeningReceipt": 3,
        "HubSumReceipt": 1,
        "ResultSignature": 3,
        "DeliveryReceipt": 1,
    }
    in_set_up["HubRequest"] = 1
    assert seen == Counter(in_set_up) + Counter({kind: 2 * count for kind, count in each_round.items()})


def test_clips_that_follow_the_updates_refine_the_average_and_survive_a_restart(tmp_path: Path) -> None:
    """Small updates after a first round with the manifest's clip: the grid becomes finer than the manifest's."""
    policy = AdaptiveClips((20, 30, 50), 8.0, 1.0)
    optimiser = ClippingOptimiser(FedAvg(), policy)
    plan = SecurePlan(("a", "b", "c"), 100, 2, FixedPoint(COMPACT, 1.0, 20, 100, 3), 3)
    state = ServerState(np.zeros(100, np.float32), clips=policy.initial())
    reports = []
    for rounds in range(3):
        generator = np.random.default_rng(rounds)
        size = np.repeat([1e-5, 1e-3, 0.02], [20, 30, 50])
        updates = [
            ClientUpdate(name, 50, (size * generator.uniform(-1, 1, 100)).astype(np.float32), 0.0) for name in "abc"
        ]
        exchange = SecureExchange(plan, optimiser, tmp_path, 1)  # opened anew: the state comes from the store
        state, report = exchange.exchange(state, taking_part(updates))
        exchange.close()
        reports.append(report.details)
        assert report.details["deviation"] <= report.details["deviation_bound"]
        assert report.details["saturated"] == 0
    assert state.clips is not None
    assert list(state.clips.clips) == sorted(state.clips.clips)
    assert max(state.clips.clips) < 1.0
    assert float(reports[2]["deviation_bound"]) < float(reports[0]["deviation_bound"]) / 2


def test_two_clients_with_different_clips_never_meet(tmp_path: Path) -> None:
    policy = AdaptiveClips((7,), 8.0, 1.0)
    plan = SecurePlan(("a", "b"), 7, 2, FixedPoint(COMPACT, 1.0, 10, 10, 2), 2)
    exchange = SecureExchange(plan, ClippingOptimiser(FedAvg(), policy), tmp_path, 1)
    state = ServerState(np.zeros(7, np.float32), clips=policy.initial())
    updates = [ClientUpdate(name, 5, np.full(7, 0.01, np.float32), 0.0) for name in "ab"]
    following, _ = exchange.exchange(state, taking_part(updates))
    with pytest.raises(RunDirectoryError, match="another state"):
        exchange.exchange(replace(following, clips=policy.initial()), taking_part(updates))
    exchange.close()


def test_a_round_that_moves_nothing_ends_the_task_also_if_it_is_asked_for_again(tmp_path: Path) -> None:
    still = [replace(update, delta=0 * update.delta) for update in updates_of(1)]
    with exchange_in(tmp_path) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
        with pytest.raises(ConvergedError, match="round 2 gave weights that the task had before"):
            private.exchange(state, taking_part(still))
    with exchange_in(tmp_path) as private:  # opened anew: the parties, too, come from the store
        again, _ = private.exchange(start(), taking_part(updates_of(0)))
        assert again.lineage == (start().weights(),)
        with pytest.raises(ConvergedError, match="round 2"):
            private.exchange(again, taking_part(still))
    assert again.digest() == state.digest()
    assert len(list((tmp_path / "transcripts").glob("round-0002-*.jsonl"))) == 1  # it was not run once more


def test_the_lineage_goes_on_over_rounds_and_restarts(tmp_path: Path) -> None:
    state, seen = start(), []
    for index in range(3):
        seen.append(state.weights())
        with exchange_in(tmp_path) as private:
            private.exchange(state, taking_part(updates_of(index)))
        with exchange_in(tmp_path) as private:
            state, _ = private.exchange(state, taking_part(updates_of(index)))
        assert state.lineage == tuple(seen)


def test_an_update_of_a_stranger_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    exchange = SecureExchange(plan_for(), FedAvg(), tmp_path, 1)
    updates = [ClientUpdate(name, 5, np.zeros(DIMENSION, np.float32), 0.0) for name in (*NAMES[:3], "eve")]
    with pytest.raises(ParameterError, match="from eve, who is no client of the task; its clients are: ada"):
        exchange.exchange(ServerState(np.zeros(DIMENSION, np.float32)), taking_part(updates))
    exchange.close()
    assert not (tmp_path / MANIFEST_NAME).exists()


def test_a_refused_round_waits_for_a_decision_and_is_then_sent_again_with_the_same_updates(tmp_path: Path) -> None:
    with exchange_in(tmp_path, plan_for(WIDE)) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
    assert continuing.look(tmp_path) is None
    with exchange_in(tmp_path, plan_for(WIDE)) as private:
        refuse(private, state, updates_of(1))
        with pytest.raises(AbortError, match="4 of 4 clients refused"):  # however often the run is resumed
            private.exchange(state, taking_part(updates_of(1)))
    found = continuing.look(tmp_path)
    assert found is not None
    assert found.roster == NAMES
    assert found.refusals == dict.fromkeys(NAMES, 5)
    safe = {way.name: way.is_safe for way in found.ways}
    assert [name for name, is_safe in safe.items() if is_safe] == ["send again", "start over"]
    continuing.send_again(tmp_path)
    with exchange_in(tmp_path, plan_for(WIDE)) as private:
        other = [replace(update, delta=update.delta * 2) for update in updates_of(1)]  # what is sent is what was stored
        following, _ = private.exchange(state, taking_part(other))
        plain, _ = PlainExchange(FedAvg()).exchange(state, taking_part(updates_of(1)))
        assert following.vector.tobytes() == plain.vector.tobytes()
        private.exchange(following, taking_part(updates_of(2)))
    assert continuing.look(tmp_path) is None


def test_a_decision_counts_once_and_a_second_refusal_waits_again(tmp_path: Path) -> None:
    with exchange_in(tmp_path) as private:
        state, _ = private.exchange(start(), taking_part(updates_of(0)))
        refuse(private, state, updates_of(1))
    first = continuing.send_again(tmp_path)
    with exchange_in(tmp_path) as private:
        refuse(private, state, updates_of(1))
    second = continuing.look(tmp_path)
    assert second is not None
    assert not second.asked_again
    assert second.sid == first.sid
    assert len(second.sessions) == 2
    continuing.send_again(tmp_path)
    with exchange_in(tmp_path) as private:
        following, _ = private.exchange(state, taking_part(updates_of(1)))
    assert following.round == 2


def test_the_settings_that_clients_train_with_are_pinned(tmp_path: Path) -> None:
    plan = replace(plan_for(), settings=b'{"training":{"rounds":3}}')
    with exchange_in(tmp_path, plan) as private:
        private.exchange(start(), taking_part(updates_of(0)))
    assert (tmp_path / SETTINGS_NAME).read_bytes() == plan.settings
    manifest = manifest_from_toml((tmp_path / MANIFEST_NAME).read_text())
    assert manifest.settings == hashlib.sha256(plan.settings).digest()
    other = replace(plan, settings=b'{"training":{"rounds":4}}')
    with pytest.raises(RunDirectoryError, match=r"settings: .* as pinned"), exchange_in(tmp_path, other):
        pass


def test_with_mirrors_the_store_is_in_each_of_them_and_one_may_be_lost(tmp_path: Path) -> None:
    mirrors = [tmp_path / name for name in ("m1", "m2", "m3")]

    def opened() -> SecureExchange:
        return SecureExchange(plan_for(), FedAvg(), tmp_path / "task", seed=1, mirrors=mirrors)

    private = opened()
    state, _ = private.exchange(start(), taking_part(updates_of(0)))
    private.close()
    assert not (tmp_path / "task" / "parties.sqlite").exists()
    shutil.rmtree(mirrors[1])
    private = opened()
    assert private.missing_mirrors() == (str(mirrors[1]),)
    following, _ = private.exchange(state, taking_part(updates_of(1)))
    private.close()
    assert following.round == 2
    shutil.rmtree(mirrors[0])
    with pytest.raises(RunDirectoryError, match="1 of the 3 mirrors"):
        opened()
    shutil.rmtree(mirrors[2])
    with pytest.raises(RunDirectoryError, match="holds transcripts of rounds, but the parties' keys are gone"):
        opened()


def test_a_store_stays_where_it_was_made_and_where_it_is_is_written_down(tmp_path: Path) -> None:
    task, old, new = tmp_path / "task", [tmp_path / "old" / name for name in "abc"], tmp_path / "new"

    def opened(*mirrors: Path) -> SecureExchange:
        return SecureExchange(plan_for(), FedAvg(), task, seed=1, mirrors=mirrors)

    opened(*old).close()
    assert store_folders(task) == old
    for mirrors in ((), [new / name for name in "abc"]):
        with pytest.raises(RunDirectoryError, match=rf"has its store in {old[0]}, .*there is none in .*stays where it"):
            opened(*mirrors)
    assert not new.exists()
    old[0].parent.rename(new)
    private = opened(*(new / name for name in "abc"))
    assert private.missing_mirrors() == ()
    private.close()
    assert store_folders(task) == [new / name for name in "abc"]
