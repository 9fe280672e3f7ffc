"""What secure aggregation costs beside plain averaging, measured in one run on one core.

    python benchmarks/aggregation.py [--json FILE] [--clients M] [--repeats N]

For both models and both fields: one client's submission, one aggregator's regeneration of every client's streams and
the hub's addition, per element, beside adding the same float32 vectors. Compilation is excluded.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from privateyes.aggregation import hub
from privateyes.aggregation.client import SubmissionSecrets
from privateyes.aggregation.costs import round_costs
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.engines.local.parties import FIRST_EPOCH, SecurePlan, draw_identities, parties_from, set_up_epoch
from privateyes.engines.local.wire import Wire

DIMENSIONS = {"resnet_preact_8": 77_046, "lenet": 1_827_076}
WEIGHT_MAX = 3000
CLIP = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; times in nanoseconds per element."""

    model: str
    dimension: int
    field: str
    aggregators: int
    clients: int
    upload_ratio: float
    client_ns: float
    aggregator_ns_per_client: float
    hub_ns_per_client: float
    plain_ns_per_client: float

    @property
    def hub_ratio(self) -> float:
        """The hub's time over plain averaging's."""
        return self.hub_ns_per_client / self.plain_ns_per_client


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """The median time of ``work``, after one call that does not count."""
    work()
    times = []
    for _ in range(repeats):
        started = perf_counter()
        work()
        times.append(perf_counter() - started)
    return statistics.median(times)


def measure(model: str, field: Field, aggregators: int, clients: int, repeats: int) -> Row:
    """Time every role for one model size."""
    dimension = DIMENSIONS[model]
    bits = largest_scale_bits(field, CLIP, WEIGHT_MAX, clients)
    assert bits is not None, "the benchmark's own parameters fit"
    encoding = FixedPoint(field, CLIP, bits, WEIGHT_MAX, clients)
    plan = SecurePlan(tuple(f"c{i:02d}" for i in range(clients)), dimension, aggregators, encoding, clients)
    parties = parties_from(plan, draw_identities(plan))
    set_up_epoch(parties, bytes(32), Wire(parties.manifest))
    delta = np.random.default_rng(0).normal(0, 0.05, dimension).astype(np.float32)
    some = parties.client_memories[1]
    state_id = some.group.state_id(some.state_digest)
    steps = [
        own.announce(parties.aggregator_memories[own.number], FIRST_EPOCH, 0, state_id) for own in parties.aggregators
    ]
    announcements = [step.message for step in steps]
    fresh = SubmissionSecrets(secrets.token_bytes(32), secrets.token_bytes(32))
    submissions = [
        client.submit(parties.client_memories[client.number], announcements, delta, 1000, fresh).submission
        for client in parties.clients
    ]
    client = parties.clients[0]
    client_s = median_seconds(lambda: client.submit(some, announcements, delta, 1000, fresh), repeats)
    headers = [submission.header for submission in submissions]
    memory = steps[0].memory
    assert memory is not None, "announcing always changes the memory"
    aggregator = parties.aggregators[0]
    aggregator_s = median_seconds(lambda: aggregator._regenerate(memory, steps[0].state.sid, headers), repeats)
    entries = tuple((header.client, header.hash()) for header in headers)
    shares = {submission.header.client: submission.share for submission in submissions}
    hub_s = median_seconds(
        lambda: hub.add_shares(parties.manifest, headers[0].sid, entries, shares.__getitem__), repeats
    )
    updates = [delta.copy() for _ in range(clients)]
    plain_s = median_seconds(lambda: plain_average(updates), repeats)
    return Row(
        model=model,
        dimension=dimension,
        field=field.name,
        aggregators=aggregators,
        clients=clients,
        upload_ratio=round_costs(parties.manifest, clients, clients).client_up / (4 * dimension),
        client_ns=1e9 * client_s / dimension,
        aggregator_ns_per_client=1e9 * aggregator_s / dimension / clients,
        hub_ns_per_client=1e9 * hub_s / dimension / clients,
        plain_ns_per_client=1e9 * plain_s / dimension / clients,
    )


def plain_average(updates: list[np.ndarray]) -> np.ndarray:
    """Weighted float32 averaging, as a hub in the clear would do it."""
    total = np.zeros_like(updates[0])
    for update in updates:
        total += np.float32(1000) * update
    return total / np.float32(1000 * len(updates))


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--clients", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    rows = [measure(model, field, 3, given.clients, given.repeats) for model in DIMENSIONS for field in (COMPACT, WIDE)]
    table = Table(title=f"secure aggregation, 3 aggregators, {given.clients} clients, one core; ns per element")
    for heading in ("model", "field", "upload / float32", "client", "aggregator / client", "hub / plain averaging"):
        table.add_column(heading, justify="left" if heading in ("model", "field") else "right")
    for row in rows:
        numbers = (f"{row.upload_ratio:.3f}", f"{row.client_ns:.1f}", f"{row.aggregator_ns_per_client:.2f}")
        table.add_row(row.model, row.field, *numbers, f"{row.hub_ratio:.2f}")
    Console().print(table)
    if given.json:
        given.json.write_text(json.dumps([asdict(row) | {"hub_ratio": row.hub_ratio} for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
