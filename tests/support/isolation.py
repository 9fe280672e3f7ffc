"""What an adversary reads out of two opened sums that differ in one member, driven over a ``World``.

The adversary holds a client and so has the group key: it reads every sum whose session was opened.
"""

from __future__ import annotations

from typing import Any

from privateyes.aggregation import hub
from shares import added, signed, unmasked
from world import World


def opened_sum(world: World) -> list[int]:
    """Y and W of the session that was opened last, (d + 1,): C plus every opened share, less the masks."""
    total = added(world.field, world.total.share, *[opening.share for opening in world.openings])
    key = world.group.session_key(world.sid)
    return signed(world.field, unmasked(world.field, total[: world.d + 1], len(world.entries), key, world.sid))


def sum_of(world: World, *clients: int) -> list[int]:
    """The inputs of some clients in the current session, added up."""
    inputs = [world.inputs[client] for client in clients]
    values = [sum(column) for column in zip(*[one.values for one in inputs], strict=True)]
    return [*values, sum(one.weight for one in inputs)]


def less(first: list[int], second: list[int]) -> list[int]:
    """The difference of two sums."""
    return [a - b for a, b in zip(first, second, strict=True)]


def open_with(world: World, *clients: int) -> list[int]:
    """A whole session with these clients; what the spy reads. Its result goes to nobody."""
    world.run(*clients, to="open")
    return opened_sum(world)


def rebuilt(world: World) -> Any:
    """C once more, from what the clients send again."""
    kept = {i: world.kept[i].with_update(world.encoded_updates[i]) for i, _ in world.entries}
    shares = {i: world.clients[i].resend(world.client_memories[i], one).share for i, one in kept.items()}
    return hub.add_shares(world.manifest, world.sid, world.entries, shares.__getitem__)
