"""How much memory a role needs beyond one vector in and one out. Linux only.

    python benchmarks/memory.py DIMENSION CLIENTS FIELD

Runs as a process of its own, so that nobody else's memory is counted, and prints JSON: for each role the rise of the
process's peak resident size during the call, less the vector that the call returns. What a call is given is there
before. Code and its working space are loaded by a tiny round first.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from privateyes.aggregation import hub
from privateyes.crypto.field import field_by_name
from privateyes.engines.local.thread_team import ThreadTeam
from situations import Case, Roster, Round, random_elements, spool

TARGET_MIB: Final = 64.0
_STATUS: Final = Path("/proc/self/status")
_RESET: Final = Path("/proc/self/clear_refs")
_RESET_PEAK: Final = "5"


def beyond_vectors(dimension: int, clients: int, field: str) -> dict[str, float] | None:
    """MiB by role, measured in a fresh process; None where the system cannot tell."""
    if not _RESET.exists():
        return None
    command = [sys.executable, __file__, str(dimension), str(clients), field]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - ourselves
    rises: dict[str, float] = json.loads(done.stdout)
    return rises


def _kib(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def _rise_mib(call: Callable[..., Any], *arguments: Any) -> float:
    ctypes.CDLL(None).malloc_trim(0)
    before = _kib("VmRSS:")
    _RESET.write_text(_RESET_PEAK)
    result = call(*arguments)
    rise = _kib("VmHWM:") - before
    del result
    return rise / 1024


def measure(case: Case) -> dict[str, float]:
    """The rise during each role's largest call, less its result."""
    share_mib = case.field.element_bytes * case.dimension / 2**20
    mean_mib = 8 * case.dimension / 2**20
    beginning = Round(case)
    rises = {"client, submission": _rise_mib(beginning.submit) - share_mib}
    end = beginning.finish()
    rises["aggregator, result"] = _rise_mib(end.certify)
    rises["client, check"] = _rise_mib(end.check) - mean_mib
    del beginning, end
    roster, team = Roster(case), ThreadTeam()
    rises["aggregator, one core"] = _rise_mib(roster.with_lanes(None)) - share_mib
    rises["aggregator, all cores"] = _rise_mib(roster.with_lanes(team.lanes())) - share_mib
    team.close()
    shares = spool(roster.manifest.share_elements, case.clients, case.field.element_bytes, random_elements(case.field))
    adding = (roster.manifest, roster.sid, roster.entries, shares.__getitem__)
    rises["hub, addition"] = _rise_mib(hub.add_shares, *adding) - share_mib
    return rises


def main() -> None:
    dimension, clients, field = int(sys.argv[1]), int(sys.argv[2]), field_by_name(sys.argv[3])
    measure(Case(1000, 2, 3, field))
    print(json.dumps(measure(Case(dimension, clients, 3, field))))


if __name__ == "__main__":
    main()
