"""What corrupt parties say instead of what they said: changed in one place, and properly signed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from privateyes.aggregation.messages import (
    VOID,
    AggregatorKey,
    Agreement,
    Announcement,
    Closing,
    Delivery,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    Opening,
    Origin,
    ResultSignature,
    RosterCommitment,
    SealedGroupKey,
    SealedState,
    SealedStreamKey,
    Signed,
    Submission,
    Vote,
    Voucher,
)

if TYPE_CHECKING:
    from network import Network


class Lies:
    """Of one network's corrupt parties, by dice."""

    def __init__(self, network: Network, dice: random.Random) -> None:
        self.network, self.dice = network, dice

    def about(self, message: Any) -> Any:
        """The message as its author would rather have sent it; as it is, where the author is honest."""
        if self.dice.random() < 0.3:
            return message
        if isinstance(message, HubCommitment | HubSum | Delivery | Origin):
            return self._changed(message)
        if isinstance(message, HubRequest):
            changed = self._changed(message)
            return changed.signed_by(self.network.hub.key, changed.setup)
        if isinstance(message, Submission):
            return self._submission(message)
        if isinstance(message, Opening):
            return self._signed(self._changed(message), message.sid) if self._is_liar(message.aggregator) else message
        if not isinstance(message, Signed) or not self._is_corrupt(message):
            return message
        return self._signed(self._changed(message), self._context(message))

    def _is_liar(self, aggregator: int) -> bool:
        return aggregator in self.network.liars

    def _is_corrupt(self, message: Any) -> bool:
        return message.signer in (self.network.liars if message.role == "aggregator" else self.network.corrupt_clients)

    def _context(self, message: Any) -> bytes:
        if isinstance(message, AggregatorKey):
            return self.network.manifest.digest()
        context: bytes = message.setup if hasattr(message, "setup") else message.sid
        return context

    def _signed(self, message: Any, context: bytes) -> Any:
        return self.network.sign(message, context)

    def _submission(self, message: Submission) -> Submission:
        if message.header.client not in self.network.corrupt_clients:
            return message
        header = self._signed(self._changed(message.header), message.header.sid)
        return replace(message, header=header)

    def _changed(self, message: Any) -> Any:
        dice = self.dice
        match message:
            case HubRequest():
                return replace(message, round=max(0, message.round + dice.choice([-1, 1])))
            case AggregatorKey():
                return replace(message, epoch=dice.randrange(1, 4), public_key=message.public_key)
            case Announcement():
                return replace(message, round=max(0, message.round + dice.choice([-1, 0, 1])), state_id=self._digest())
            case Closing():
                return replace(message, outcome=VOID)
            case Header():
                names = ["nonce", "group_check", "session_key_hash", "share_hash", "origin"]
                return replace(message, **{dice.choice(names): self._digest()})
            case Vote():
                return replace(message, entries=tuple(entry for entry in message.entries if dice.random() < 0.8))
            case RosterCommitment():
                return replace(message, **{dice.choice(["rho", "commitment"]): self._digest()})
            case HubCommitment():
                return replace(message, commitment=self._digest())
            case Agreement():
                return replace(message, transcript=self._digest())
            case ResultSignature():
                return replace(message, result=self._digest())
            case Opening() | HubSum():
                return replace(message, share=self._shifted(message.share))
            case Delivery() if dice.random() < 0.5:
                return replace(message, share=self._shifted(message.share))
            case Delivery():
                return replace(message, roster=message.roster[:-1])
            case Voucher():
                return replace(message, state_id=self._digest())
            case Origin():
                return self.origin(message)
            case SealedStreamKey() | SealedGroupKey() | SealedState():
                return replace(message, sealed=bytes(len(message.sealed)))
            case _:
                return message

    def origin(self, message: Origin) -> Origin:
        """Another roster than the one that was opened."""
        if self.dice.random() < 0.5:
            return replace(message, group_check=self._digest())
        kept = tuple(entry for entry in message.roster if self.dice.random() < 0.7)
        return replace(message, roster=kept)

    def _shifted(self, share: Any) -> Any:
        changes = {self.dice.randrange(self.network.d + 1): self.dice.choice([1, -1, 1000])}
        if self.network.corrupt_clients and self.dice.random() < 0.8:
            changes = self.network.matching(changes)
        return self.network.shifted(share, changes)

    def _digest(self) -> bytes:
        return self.dice.choice([bytes(32), self.dice.randbytes(32)])
