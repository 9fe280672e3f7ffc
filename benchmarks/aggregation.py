"""What secure aggregation costs beside plain averaging, measured in one run, for each element and on one core.

    python benchmarks/aggregation.py [--quick | --full] [--json FILE]

Every role is timed through the calls that an engine makes, with real keys and signatures; compilation is excluded
(cold_start.py measures it). Times are medians of the processor time of one thread. Uploads that do not fit into memory
are streamed. The number of clients changes nothing for a client, and the number of aggregators nothing for the
regeneration of streams or for the hub, so the first table varies n and the second one m.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

import flower
import memory
from elsewhere import FLOWER_SENTENCE, MPC_ROWS, MPC_SENTENCE
from measuring import Effort, caption, machine, marked, wide_console, write_json
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.engines.local.allocator import keep_freed_memory
from roles import (
    AES_AIM,
    AGGREGATOR_TARGET,
    CLIENT_TARGET,
    HUB_TARGET,
    ClientRow,
    RosterRow,
    measure_client,
    measure_parts,
    measure_roster,
    measure_variants,
)
from situations import MODELS, Case

SMALL, MEDIUM, LARGE, HUGE = MODELS
FEW, MANY = 15, 1000
FIELDS: Final = (COMPACT, WIDE)
AGGREGATORS: Final = (2, 3, 5)
USUAL_AGGREGATORS: Final = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """What is run.

    Attributes:
        effort: for each case.
        clients: (d, n, field) of the first table.
        rosters: (d, m, field) of the second.
        memories: (d, m, field) of the memory table.
        flower: d of the comparison with Flower.
    """

    effort: Effort
    clients: tuple[tuple[int, int, Field], ...]
    rosters: tuple[tuple[int, int, Field], ...]
    memories: tuple[tuple[int, int, Field], ...]
    flower: tuple[int, ...]


def _quick() -> Scope:
    return Scope(
        effort=Effort(repeats=2, seconds=1.0),
        clients=tuple((SMALL, USUAL_AGGREGATORS, field) for field in FIELDS),
        rosters=tuple((SMALL, FEW, field) for field in FIELDS),
        memories=((SMALL, FEW, COMPACT),),
        flower=(SMALL,),
    )


def _usual() -> Scope:
    sizes = (SMALL, MEDIUM, LARGE)
    return Scope(
        effort=Effort(repeats=9, seconds=3.0),
        clients=(
            *((d, n, field) for d in sizes for n in AGGREGATORS for field in FIELDS),
            (HUGE, USUAL_AGGREGATORS, COMPACT),
        ),
        rosters=(
            *((d, m, field) for d in (SMALL, MEDIUM) for m in (FEW, MANY) for field in FIELDS),
            *((LARGE, FEW, field) for field in FIELDS),
            (LARGE, MANY, COMPACT),
            (HUGE, FEW, COMPACT),
        ),
        memories=(*((d, FEW, field) for d in (MEDIUM, LARGE) for field in FIELDS), (MEDIUM, MANY, COMPACT)),
        flower=(1_000_000,),
    )


def _full() -> Scope:
    return Scope(
        effort=Effort(repeats=9, seconds=12.0),
        clients=tuple((d, n, field) for d in MODELS for n in AGGREGATORS for field in FIELDS),
        rosters=tuple((d, m, field) for d in MODELS for m in (FEW, MANY) for field in FIELDS),
        memories=(
            *((d, FEW, field) for d in MODELS for field in FIELDS),
            *((d, MANY, field) for d in (MEDIUM, LARGE) for field in FIELDS),
        ),
        flower=(1_000_000, 3_000_000),
    )


def client_table(rows: Sequence[ClientRow]) -> Table:
    """One client, and what is done once a round."""
    table = _table("once a round: ns for each element; upload beside float32", "d", "n", "field", "upload")
    headings = ("encode + tags + streams", "with the hash", "submission")
    for heading in (*headings, "check", "an aggregator's result", "hub's delivery"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row.dimension:,}", str(row.aggregators), row.field, f"{row.upload_ratio:.3f}",
            f"{row.bare_ns:.2f}", marked(row.share_ns, CLIENT_TARGET[row.field]),
            *(f"{value:.2f}" for value in (row.submission_ns, row.check_ns, row.certify_ns, row.deliver_ns)),
        )  # fmt: skip
    table.caption = (
        f"target for encode, tags, streams and the share's hash, from 1.83 million parameters on: "
        f"{_targets(CLIENT_TARGET)}. The submission adds keys and signatures."
    )
    return table


def aggregator_table(rows: Sequence[RosterRow]) -> Table:
    """One aggregator's commitment."""
    headings = ("ns", "GB/s of streams", "AES-256-GCM alone", "of that", f"{rows[0].cores} cores", "vote, us")
    table = _table("an aggregator, for each client and element", "d", "m", "field", *headings)
    for row in rows:
        share = f"{100 * row.of_aes:.0f} %" + ("" if row.of_aes >= AES_AIM else "*")
        table.add_row(
            *row.cases, marked(row.aggregator_ns, AGGREGATOR_TARGET[row.field]), f"{row.aggregator_gb_s:.2f}",
            f"{row.aes_gb_s:.2f}", share, f"x {row.both_cores:.2f}", f"{row.vote_us:.0f}",
        )  # fmt: skip
    table.caption = (
        f"target: {_targets(AGGREGATOR_TARGET)}; aim: {100 * AES_AIM:.0f} % of AES-256-GCM. The vote checks each "
        "header's signature: time for each client, whatever d."
    )
    return table


def hub_table(rows: Sequence[RosterRow], intact: dict[str, float]) -> Table:
    """The hub's addition beside averaging in the clear."""
    headings = ("adding", "averaging", "ratio", "with com_0", "ratio", "averaging in place", "ratio")
    table = _table("the hub beside float32 averaging: ns for each client and element", "d", "m", "field", *headings)
    for row in rows:
        table.add_row(
            *row.cases, f"{row.hub_adding_ns:.3f}", f"{row.plain_ns:.3f}", f"{row.hub_adding_ns / row.plain_ns:.2f}",
            f"{row.hub_ns:.3f}", marked(row.hub_ratio, HUB_TARGET), f"{row.in_place_ns:.3f}",
            f"{row.hub_ns / row.in_place_ns:.2f}",
        )  # fmt: skip
    hashes = ", ".join(f"{name} {value:.1f}" for name, value in intact.items())
    table.caption = (
        f"target: adding with com_0, the hash of the sum, <= {HUB_TARGET} x averaging, which is here the fastest that "
        "NumPy does (in pieces, eight updates at a time); in place is one update after the other. "
        "Besides, the hub holds each share against its header as it arrives, so that a damaged upload does not spoil "
        f"the round: that hash takes {hashes} ns."
    )
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _targets(targets: Mapping[str, float]) -> str:
    return ", ".join(f"{name} <= {target:g}" for name, target in targets.items())


def memory_table(rises: Sequence[tuple[tuple[int, int, Field], dict[str, float]]]) -> Table:
    """MiB beyond one vector in and one out."""
    title = "memory beyond one vector in and one out: MiB at the peak of each call"
    table = _table(title, "d", "m", "field", *rises[0][1])
    for (dimension, clients, field), values in rises:
        numbers = [marked(value, memory.TARGET_MIB, ".1f") for value in values.values()]
        table.add_row(f"{dimension:,}", str(clients), field.name, *numbers)
    table.caption = f"target: <= {memory.TARGET_MIB:.0f} MiB, whatever d and m"
    return table


def parts_table(parts: dict[str, dict[str, float]]) -> Table:
    """Where a client's time goes, and the ways to average in the clear."""
    table = Table(title="ns for each element, each part alone")
    table.add_column("")
    names = list(next(iter(parts.values())))
    for name in names:
        table.add_column(name, justify="right")
    for what, values in parts.items():
        table.add_row(what, *(f"{values[name]:.2f}" for name in names))
    return table


def mpc_table(clients: Sequence[ClientRow], rosters: Sequence[RosterRow]) -> Table:
    """Other systems' processor time for each element of a client, over all parties, beside this one's."""
    table = _table(f"for each client element, {USUAL_AGGREGATORS} servers, all parties together")
    table.add_column("")
    for heading in ("CPU us", "kB sent by each server"):
        table.add_column(heading, justify="right")
    for row in MPC_ROWS:
        numbers = (row.cpu_us_per_element, row.kb_sent_per_element_and_server)
        table.add_row(f"MP-SPDZ {row.protocol}", *(f"{number:g}" for number in numbers))
    own_clients = {(row.dimension, row.field): row for row in clients if row.aggregators == USUAL_AGGREGATORS}
    for roster in rosters:
        client = own_clients.get((roster.dimension, roster.field))
        if client is not None and roster.clients == FEW:
            name = f"privateyes {roster.field}, d = {roster.dimension:,}, m = {roster.clients}"
            table.add_row(name, f"{_all_parties_us(client, roster):.4f}", f"{roster.sent_bytes / 1000:.5f}")
    return table


def _all_parties_us(client: ClientRow, roster: RosterRow) -> float:
    """Processor time of every party for one element of one client, in microseconds."""
    vote_ns = 1000 * roster.vote_us / roster.dimension
    aggregators = client.aggregators * (vote_ns + roster.aggregator_ns + client.certify_ns / roster.clients)
    hub = client.intact_ns + roster.hub_ns + client.deliver_ns / roster.clients
    return (client.submission_ns + client.check_ns + aggregators + hub) / 1000


def measure(scope: Scope, console: Console) -> dict[str, Any]:
    """Run everything in scope, print, and return the report."""
    about = machine()
    console.print(caption(about), highlight=False)
    report: dict[str, Any] = {"benchmark": "aggregation", "machine": about}
    clients = [measure_client(Case(d, FEW, n, field), scope.effort) for d, n, field in _told(scope.clients, console)]
    console.print(client_table(clients))
    rosters = [
        measure_roster(Case(d, m, USUAL_AGGREGATORS, field), scope.effort)
        for d, m, field in _told(scope.rosters, console)
    ]
    intact = {row.field: row.intact_ns for row in clients}
    console.print(aggregator_table(rosters), hub_table(rosters, intact))
    rises = [
        (size, rise)
        for size in _told(scope.memories, console)
        if (rise := memory.beyond_vectors(size[0], size[1], size[2].name)) is not None
    ]
    console.print(memory_table(rises) if rises else "memory is measured on Linux only")
    middle = scope.clients[-1][0] if len(scope.clients) == len(FIELDS) else MEDIUM
    parts = {field.name: measure_parts(middle, field, scope.effort) for field in FIELDS}
    variants = {f"{middle:,} x {FEW}": measure_variants(middle, FEW, scope.effort)}
    console.print(parts_table(parts), parts_table(variants))
    console.print(mpc_table(clients, rosters), MPC_SENTENCE, highlight=False)
    report |= {
        "clients": [asdict(row) for row in clients],
        "rosters": [asdict(row) | {"hub_ratio": row.hub_ratio, "of_aes": row.of_aes} for row in rosters],
        "memory_mib": [{"dimension": d, "clients": m, "field": f.name} | rise for (d, m, f), rise in rises],
        "parts_ns": parts,
        "averaging_ns": variants,
        "reference_mp_spdz": {"rows": [asdict(row) for row in MPC_ROWS], "note": MPC_SENTENCE},
    }
    return report | {"flower": compare_with_flower(scope, console)}


def compare_with_flower(scope: Scope, console: Console) -> dict[str, Any]:
    """Flower's SecAgg+ in the same run, where flwr is installed."""
    if not flower.installed():
        console.print("flwr is not installed: SecAgg+ not measured.", FLOWER_SENTENCE, highlight=False)
        return {"measured": False, "reference": FLOWER_SENTENCE}
    rows = [flower.compare(dimension, FEW, scope.effort) for dimension in scope.flower]
    console.print(flower.table(rows))
    return {"measured": True, "rows": [asdict(row) for row in rows], "reference": FLOWER_SENTENCE}


def _told(sizes: Sequence[tuple[int, int, Field]], console: Console) -> Iterator[tuple[int, int, Field]]:
    """The sizes one after the other, each shown while it is measured."""
    for dimension, count, field in sizes:
        with console.status(f"d = {dimension:,}, {count}, {field.name}"):
            yield dimension, count, field


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="the smallest model only, hardly repeated: a smoke test")
    size.add_argument("--full", action="store_true", help="every size, 1000 clients of 100 million parameters too")
    given = parser.parse_args()
    keep_freed_memory()  # as an engine does: every round needs the same large vectors
    scope = _quick() if given.quick else _full() if given.full else _usual()
    write_json(given.json, measure(scope, wide_console()))


if __name__ == "__main__":
    main()
