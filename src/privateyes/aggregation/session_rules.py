"""What an aggregator may still do in a session, and the guards that its transitions share (aggregator.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from privateyes.aggregation.memory import AggregatorMemory, SessionRecord
from privateyes.aggregation.messages import Header, HubRequest, Message, OpeningReceipt
from privateyes.aggregation.roster import Entries
from privateyes.aggregation.steps import OwnShare
from privateyes.crypto.commitment import commit_to_share
from privateyes.crypto.statement import equal_in_constant_time
from privateyes.errors import AbortError, BlamedError, RefusedError

LATER: Final = "announce a later round of the current set-up"


def is_closed(memory: AggregatorMemory, request: HubRequest, sid: bytes) -> bool:
    """Whether a session that was not opened never will be: given up, overtaken in its own set-up, or of a terminal one
    since which another has announced.
    """
    last = memory.session
    if last is not None and last.setup == request.setup:
        return request.round < last.round or (last.sid == sid and last.given_up)
    return memory.terminal.get(request.setup, False)


def require_settled(memory: AggregatorMemory) -> None:
    """With a T outstanding others may have opened the last session: so it is opened or given up, and never left."""
    last = memory.session
    if last is not None and last.commitments and not last.given_up and last.sid not in memory.opened:
        raise RefusedError(
            "the last session has a signed transcript, and is neither opened nor given up",
            "show all agreements, so that it is opened, or have every aggregator give it up",
        )


def require_committed_share(record: SessionRecord, share: OwnShare) -> None:
    if share.root != record.share_root:
        raise RefusedError(
            "the share is not the one that this aggregator committed to",
            "read the stored share of this session; if it is lost before the opening, give the session up",
        )


def require_not_given_up(record: SessionRecord) -> None:
    if record.given_up:
        raise RefusedError("this aggregator gave the session up", LATER)


def last_session(memory: AggregatorMemory, sid: bytes) -> SessionRecord:
    """The last announced session, which alone can still be agreed on and opened."""
    record = memory.session
    if record is None or record.sid != sid:
        raise RefusedError(
            "that is not the last announced session here, so it is closed or was never announced",
            "go on with the last one",
        )
    require_not_given_up(record)
    return record


def current_session(memory: AggregatorMemory, sid: bytes) -> SessionRecord:
    """The last session, if it is of the current set-up: streams are regenerated there or never."""
    record = last_session(memory, sid)
    if record.setup != memory.current.id:
        raise RefusedError("the session is of an earlier set-up, whose keys are erased", "announce a new round")
    return record


def headers_of(entries: Entries, headers: Sequence[Header]) -> list[Header]:
    """The headers of a roster. Their hashes were voted for, so they are valid."""
    held = {(header.client, header.hash()): header for header in headers if isinstance(header, Header)}
    missing = [client for client, value in entries if (client, value) not in held]
    if missing:
        raise AbortError(f"the header of client {missing[0]} is missing", "send every header of the roster again")
    return [held[entry] for entry in entries]


def require_kind(message: Message, kind: type[Message]) -> None:
    if not isinstance(message, kind):
        raise AbortError(
            f"a message of type {type(message).__name__} came where {kind.__name__} was expected", "ask again"
        )


def require_committed(receipt: OpeningReceipt, rho: bytes, length_bytes: int, commitments: Sequence[bytes]) -> None:
    """Hold an opening against the commitment that was agreed on.

    Args:
        receipt: of the opening.
        length_bytes: of a share.
        commitments: com_0..com_n.

    Raises:
        BlamedError: it does not fit. The party that is named signed both.
    """
    number = receipt.aggregator
    commitment = commit_to_share(receipt.sid, rho, number, receipt.salt, length_bytes, receipt.share_root)
    if not equal_in_constant_time(commitment, commitments[number]):
        raise BlamedError(
            f"aggregator {number}",
            "opened something other than it committed to",
            "exclude it; its signatures prove it",
        )
