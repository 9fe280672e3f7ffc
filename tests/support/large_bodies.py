"""Large bodies put into a store by hand, as a party's part of it does."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from privateyes.storage.party import LargeBody
from privateyes.storage.store import PartyStore


def write_large(store: PartyStore, sid: bytes, bodies: Mapping[tuple[str, str], bytes]) -> list[LargeBody]:
    """Large bodies, by party and stage, on disk; ``put_large`` each."""
    written = []
    for (party, stage), body in bodies.items():
        named = {body.file for body in store.large_bodies(party).values()}
        stem = f"{party.replace(' ', '-')}.{stage}"
        file = next(name for name in (f"{stem}.{place}" if place else stem for place in count()) if name not in named)
        written.append(LargeBody(sid, party, stage, file, store.seal(file, body)))
    return written
