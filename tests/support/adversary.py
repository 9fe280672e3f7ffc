"""Who decides what arrives: the rules by which packets are dropped, delayed, altered and replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from privateyes.parties.packets import Packet


class Adversary:
    """Sees every packet before it arrives and says what arrives instead; by default the packet itself."""

    def __init__(self) -> None:
        self.seen: list[Packet] = []
        self._rules: list[tuple[str, str, str, Callable[[Packet], Iterable[Packet] | Packet | None]]] = []

    def on(
        self, step: str, act: Callable[[Packet], Iterable[Packet] | Packet | None], sender: str = "", receiver: str = ""
    ) -> None:
        """Act on packets of a step; the first rule that fits decides."""
        self._rules.append((step, sender, receiver, act))

    def decide(self, packet: Packet) -> Iterable[Packet]:
        """What arrives instead of this packet."""
        self.seen.append(packet)
        for step, sender, receiver, act in self._rules:
            if step == packet.step and sender in ("", packet.sender) and receiver in ("", packet.receiver):
                decided = act(packet)
                return [] if decided is None else [decided] if isinstance(decided, Packet) else decided
        return [packet]
