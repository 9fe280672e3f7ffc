"""Rosters: which submissions a session counts (protocol, step 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import Header
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import Part, digest
from privateyes.errors import AbortError

Entries: TypeAlias = tuple[tuple[int, bytes], ...]


def intersect(votes: Sequence[Entries]) -> Entries:
    """The (client, header hash) pairs that every aggregator voted for, ascending by client.

    A client that sent two valid headers to different aggregators has no common pair, and so is left out.

    Raises:
        AbortError: there is no vote.
    """
    if not votes:
        raise AbortError("there is no vote", "ask the aggregators again")
    common = set(votes[0]).intersection(*votes[1:])
    return tuple(sorted(common))


def require_size(entries: Entries, manifest: Manifest) -> None:
    """Refuse a roster outside [R_min, R_max].

    Raises:
        AbortError: too few or too many clients.
    """
    if not manifest.roster_min <= len(entries) <= manifest.roster_max:
        raise AbortError(
            f"a roster of {len(entries)} clients is outside {manifest.roster_min}..{manifest.roster_max}",
            "wait for more clients and announce a new round",
        )


def require_one_kind_of_header(headers: Sequence[Header]) -> None:
    """Refuse a roster whose clients hold different group keys: whether a client then accepts could tell of an input.

    And one that mixes fresh updates with updates that are sent again.

    Raises:
        AbortError: two headers differ in kc, in the hash of K_sid or in their origin.
    """
    if len({(header.group_check, header.session_key_hash) for header in headers}) != 1:
        raise AbortError("the roster's clients hold different group keys", "make a new set-up with one group key")
    if len({header.origin for header in headers}) != 1:
        raise AbortError(
            "the roster mixes fresh updates with updates that are sent again", "form a roster of one kind of header"
        )


def roster_digest(sid: bytes, group_check: bytes, entries: Entries) -> bytes:
    """rho = H(sid, kc, sorted (i, H(header_i)))."""
    parts: list[Part] = [group_check]
    for client, header_hash in entries:
        parts += [client, header_hash]
    return digest(Label.ROSTER, Role.ALL, sid, *parts)


def transcript_digest(sid: bytes, rho: bytes, commitments: Sequence[bytes]) -> bytes:
    """T = H(sid, rho, com_0..com_n)."""
    return digest(Label.TRANSCRIPT, Role.ALL, sid, rho, *commitments)


def result_digest(sid: bytes, transcript: bytes, result_root: bytes, roster_size: int) -> bytes:
    """res = H(T, H(Z), |R|); H(Z) is a Merkle root, so that it can be computed in pieces."""
    return digest(Label.RESULT, Role.ALL, sid, transcript, result_root, roster_size)
