"""The round in which an aggregator alters its share, replayed after `private` to show that every client refuses it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from privateyes.aggregation.result import Check
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import MessageLog
from privateyes.engines.local.misbehaviour import AlteringAggregator
from privateyes.engines.local.network import set_up_locally
from privateyes.engines.local.parties import LocalParties, SecurePlan, draw_identities, parties_from
from privateyes.engines.local.secure import local_inputs
from privateyes.engines.local.session import Session, SessionResult
from privateyes.experiments.folds import Fold
from privateyes.experiments.secure import secure_plan
from privateyes.experiments.spec import ExperimentSpec
from privateyes.federation.application import training_state
from privateyes.federation.participants import Participant
from privateyes.federation.rounds import ServerState
from privateyes.storage.store import PartyStore

ALTERED_BY: Final = 2
# A fixed name, so that what a kill leaves behind is removed the next time.
REPLAY_FOLDER: Final = "replay.part"


def replay_altered_round(
    spec: ExperimentSpec,
    fold: Fold,
    clients: Mapping[str, int],
    state: ServerState,
    participants: Sequence[Participant],
    run_directory: Path,
) -> dict[str, Any]:
    """What `results.json` holds under "replay": the same round twice, first honest, then altered.

    Both rounds run among fresh parties with keys of their own, so nothing of the real task is touched.

    Args:
        spec: the experiment.
        fold: the first fold.
        clients: client -> number of its samples.
        state: the state after the last round of `private`.
        participants: freshly trained from that state, in cohort order.
        run_directory: the run's directory; used for a temporary store.
    """
    plan = secure_plan(spec, fold, clients, state.vector.size)
    control = _run_once(plan, state, participants, spec.seed, run_directory, altered=False)
    altered = _run_once(plan, state, participants, spec.seed, run_directory, altered=True)
    names = list(plan.clients)
    return {
        "altered_by": f"aggregator {ALTERED_BY}",
        "what": "added one clip-sized step to the first model parameter in its share, before committing to it",
        "control_accepted": [names[number - 1] for number in sorted(control.averages)],
        "verdicts": [
            {
                "client": name,
                "refused": number in altered.refusals,
                "reason": _reason(altered, number),
            }
            for number, name in enumerate(names, start=1)
        ],
    }


def _reason(result: SessionResult, number: int) -> str:
    if number not in result.refusals:
        return "accepted"
    error, complaint = result.refusals[number]
    return f"{Check(complaint.check).name.lower()} check: {error.problem}"


def _run_once(
    plan: SecurePlan,
    state: ServerState,
    participants: Sequence[Participant],
    seed: int,
    run_directory: Path,
    *,
    altered: bool,
) -> SessionResult:
    begins = replace(state, round=0)  # a task of its own, which begins with this model
    parties = parties_from(plan, draw_identities(plan), begins.digest())
    message_log = MessageLog(parties.manifest)
    folder = run_directory / REPLAY_FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of a replay that was killed
    try:
        with closing(PartyStore.create(folder)) as store:
            set_up_locally(parties, store, training_state(begins), message_log)
            if altered:
                parties = _with_altering_aggregator(parties)
            session = Session(parties, message_log, store, RoleClock(), clips=state.clips)
            return session.run(0, local_inputs(parties, begins, participants, seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_altering_aggregator(parties: LocalParties) -> LocalParties:
    honest = parties.aggregators[ALTERED_BY - 1]
    amount = parties.manifest.encoding.largest_value
    own = {field.name: getattr(honest, field.name) for field in fields(honest)}
    return parties.with_aggregator(AlteringAggregator(**own, coordinate=0, amount=amount))
