"""One seed for an experiment, and from it a seed of its own for everything that is drawn.

A derived seed depends on its labels only, never on what was drawn before it: a client's shuffling in round 7 is the
same whether the run was interrupted or not, and whichever worker trains the client.
"""

from __future__ import annotations

import hashlib

_DOMAIN = b"privateyes seed v1"


def derive_seed(seed: int, *labels: str | int) -> int:
    """The seed for one purpose, such as ``derive_seed(1, "client", "p03", 7)``.

    Not for secrets: everyone who knows the experiment knows these seeds.

    Args:
        seed: the experiment's seed, any integer.
        labels: what the seed is for. ``"1"`` and ``1`` differ, and so do ``("ab", "c")`` and ``("a", "bc")``.

    Returns:
        An integer in [0, 2^63), from SHA-256 over the length-prefixed labels.
    """
    digest = hashlib.sha256()
    for part in (_DOMAIN, _encode(seed), *map(_encode, labels)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def _encode(label: str | int) -> bytes:
    return b"i" + str(label).encode() if isinstance(label, int) else b"s" + label.encode()
