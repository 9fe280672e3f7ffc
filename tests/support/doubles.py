"""Test doubles: parties with one guard switched off, against which the attack must then succeed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

from actors import AggregatorActor
from privateyes.aggregation import result
from privateyes.aggregation.client import Client, VerifiedAverage
from privateyes.aggregation.messages import Delivery
from privateyes.parties.packets import Packet


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

    ``loses`` names parts: "session" is everything since the announcement, "transcript" the T that it signed, "share"
    the session's share, "given up" everything since just before the session was given up.
    """

    loses: tuple[str, ...] = ()

    def stored(self, step: str) -> None:
        if step == "announce":
            self.at_announcement = self.memory

    def do_give_up(self, packet: Packet) -> list[bytes]:
        self.before_give_up = self.disk.read()
        return super().do_give_up(packet)

    def restart(self) -> None:
        if "given up" in self.loses and hasattr(self, "before_give_up"):
            self.disk._view = self.before_give_up
            del self.before_give_up
        memory, disk = self.memory, self.disk
        if memory is not None and memory.session is not None:
            record = memory.session
            if "share" in self.loses:
                disk.put("share", record.sid, None)
            if "session" in self.loses and hasattr(self, "at_announcement"):
                disk.put("memory", self.slot, self.at_announcement)
            if "transcript" in self.loses:
                opened = {sid: rho for sid, rho in memory.opened.items() if sid != record.sid}
                disk.put("memory", self.slot, replace(memory, opened=opened, session=replace(record, commitments=())))
        super().restart()
