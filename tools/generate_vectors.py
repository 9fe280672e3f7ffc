"""Write the test vectors under vectors/, or compare them with what is committed.

    python tools/generate_vectors.py            write every file
    python tools/generate_vectors.py --check    compare; exit 1 and name the first difference
    python tools/generate_vectors.py --only ledger refusals    these files alone
    python tools/generate_vectors.py --freeze   seal everything under vectors/inputs/ anew (randomised, so done once)

Everything but the frozen sealings follows from names by SHA-256, so two runs write the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from vectors.writing import first_difference, render

from vectors import (
    challenges,
    commitments,
    encodings,
    endings,
    fields,
    identifiers,
    ledgers,
    manifests,
    messages,
    records,
    refusals,
    repeats,
    rounds,
    sealing,
    setups,
    statements,
    streams,
)

MAKERS = {
    "statements": statements.make,
    "fields": fields.make,
    "streams": streams.make,
    "commitments": commitments.make,
    "challenges": challenges.make,
    "encodings": encodings.make,
    "manifests": manifests.make,
    "identifiers": identifiers.make,
    "sealing": sealing.make,
    "setups": setups.make,
    "messages": messages.make,
    "rounds-2": lambda: rounds.make(2),
    "rounds-3": lambda: rounds.make(3),
    "rounds-5": lambda: rounds.make(5),
    "repeats": repeats.make,
    "endings": endings.make,
    "ledger": ledgers.make,
    "refusals": refusals.make,
    "records": records.make,
}
FOLDER = Path(__file__).parent.parent / "vectors"


def write(folder: Path, names: Iterable[str]) -> None:
    """Write the files of these names."""
    for name in names:
        (folder / f"{name}.json").write_text(render(MAKERS[name]()), encoding="utf-8")


def differences(folder: Path, names: Iterable[str]) -> list[str]:
    """One line for each file that is missing, unknown or not what would be written."""
    lines = []
    for name in names:
        path = folder / f"{name}.json"
        if not path.exists():
            lines.append(f"{path.name} is missing")
            continue
        difference = first_difference(path.read_text(encoding="utf-8"), render(MAKERS[name]()))
        if difference:
            lines.append(f"{path.name}, {difference}")
    known = {f"{name}.json" for name in MAKERS}
    lines += [f"{path.name} is not written by this program" for path in folder.glob("*.json") if path.name not in known]
    return lines


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files and write nothing")
    parser.add_argument("--freeze", action="store_true", help="seal the inputs of sealing.json and setups.json anew")
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=list(MAKERS), help="these files alone")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    if arguments.freeze:
        sealing.freeze()
    if arguments.check:
        lines = differences(arguments.folder, arguments.only)
        for line in lines:
            print(f"vectors differ: {line}", file=sys.stderr)
        return 1 if lines else 0
    write(arguments.folder, arguments.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
