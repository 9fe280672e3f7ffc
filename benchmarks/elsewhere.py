"""What a user would pick instead: figures of other systems, measured once elsewhere and quoted as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class MpcRow:
    """One protocol of MP-SPDZ with 3 servers: processor time of all parties, and traffic."""

    protocol: str
    cpu_us_per_element: float
    kb_sent_per_element_and_server: float


MPC_ROWS: Final = (
    MpcRow("MASCOT, 128-bit prime", 845.0, 39.0),
    MpcRow("SPDZ2k 64+64", 670.0, 36.2),
    MpcRow("LowGear (after a key set-up of 252 GB)", 751.0, 4.4),
)

MPC_SENTENCE: Final = (
    "Reference, not measured in this run: MP-SPDZ, commit 3a0a7b1d (2026-06-03), client interface, one client, "
    "d = 1e5, preprocessing included; malicious, dishonest majority, 3 servers; 2 vCPU AMD EPYC (AVX-512), shared, "
    "loopback only, no latency or bandwidth limit; CPU = user + system time over all parties (about +-20 %). Each "
    "client element costs one authenticated triple there; the cheaper mask-only input is refused by its malicious "
    "engines. Client traffic besides: 64 bytes per element and server. A 64-bit MASCOT may be 2.5 to 4 times cheaper "
    "(estimate). If a server may see its clients' plaintext (a weaker model): MASCOT 64-bit 15, SPDZ2k 36, LowGear 21 "
    "CPU us per input with 3 servers."
)

FLOWER_SENTENCE: Final = (
    "Reference, not measured in this run: 15 clients, Flower SecAgg+ (flwr 1.42.0, simulation, full graph, threshold "
    "8): d = 1e6 3.0-3.6 s a round (plain FedAvg 0.43-0.55 s), d = 3e6 7.3-8.4 s (1.0-1.1 s). Masks come from a 32-bit "
    "seed (known upstream, open)."
)
