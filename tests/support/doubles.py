"""Test doubles: parties with one guard switched off, against which the attack must then succeed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

from actors import AggregatorActor
from packets import Packet
from privateyes.aggregation import result
from privateyes.aggregation.client import Client, VerifiedAverage
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import Delivery
from privateyes.aggregation.states import Announced


class LaxClient(Client):
    """A test double: a client whose tag check is switched off."""

    def check(self, memory: Any, delivery: Delivery, clips: Any = None) -> VerifiedAverage:
        unmask = result._unmask

        def untagged(*arguments: Any) -> Any:
            return unmask(*arguments)[0], True

        with mock.patch.object(result, "_unmask", untagged):
            return super().check(memory, delivery, clips)


class Forgetful(AggregatorActor):
    """A test double: an aggregator's store that loses, when the process dies, what it was told to keep.

    ``loses`` names parts of the disk; ``memory`` goes back to what it was at the announcement, and ``transcript`` is
    the T that the memory names.
    """

    loses: tuple[str, ...] = ()

    def do_announce(self, packet: Packet) -> list[bytes]:
        answer = super().do_announce(packet)
        self.at_announcement = self.disk["memory"]
        return answer

    def restart(self) -> None:
        if hasattr(self, "at_announcement"):
            for name in self.loses:
                self.disk.pop(name, None)
            if "memory" in self.loses:
                self.disk["memory"] = self.at_announcement
            if "transcript" in self.loses:
                memory = AggregatorMemory.from_bytes(self.disk["memory"])
                self.disk["memory"] = replace(memory, transcript=b"").to_bytes()
        super().restart()
        if "memory" in self.loses and self.memory.last_round >= 0:
            self.state = Announced(self.memory.last_sid)
