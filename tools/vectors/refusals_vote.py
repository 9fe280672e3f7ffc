"""Headers that an aggregator does not vote for: nobody is refused, the client is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from privateyes.aggregation.messages import NO_SESSION, Origin
from vectors.bases import AGAIN, FIXED, SEALED, bases
from vectors.cast import Session
from vectors.script import Case, before


def cases() -> list[Case]:
    """Of an ordinary session and of one that sends updates again."""
    return [*_ordinary(bases()[SEALED]), *_repeated(bases()[AGAIN]), *_fixed(bases()[FIXED])]


def _case(about: str, messages: list[Any], rejected: list[int], base: str, party: int = 1) -> Case:
    calls = [*before("vote"), {"do": "vote", "messages": messages}]
    return Case(about, {"aggregator": party}, calls, {"rejected": rejected}, base)


def _ordinary(cast: Session) -> list[Case]:
    """Each alters the headers of client 2 among those of clients 1 to 4."""
    headers = {i: submission.header for i, submission in cast.submissions.items()}
    header = headers[2]
    zero = bytes(32)
    others = [headers[i] for i in (1, 3, 4)]

    def signed(**changes: Any) -> Any:
        return cast.by_client(replace(header, **changes), 2)

    foreign = cast.by_client(replace(header, sid=zero), 2, zero)
    as_three = cast.by_client(replace(header, client=3), 2)
    unknown = cast.by_client(replace(header, client=6), 2)
    nobody = cast.by_client(replace(header, client=0), 2)
    keys = header.sealed_hashes
    altered: list[tuple[str, list[Any], list[int]]] = [
        ("every header is valid", [headers[1], header, *others[1:]], []),
        ("a header altered on the way", [*others, replace(header, nonce=zero)], [2]),
        ("a header without a signature", [*others, replace(header, signature=bytes(64))], [2]),
        ("a header of another session", [*others, foreign], [2]),
        ("two valid headers of one client", [*others, header, signed(nonce=zero)], [2]),
        ("the same header twice is one header", [*others, header, header], []),
        ("a valid and an invalid header of one client", [*others, replace(header, nonce=zero), header], []),
        ("client 2's header claims to be client 3's", [headers[1], headers[3], headers[4], as_three], []),
        ("client 3's own header is missing beside it", [headers[1], headers[4], as_three], [3]),
        ("a client that is not in the manifest", [*others, unknown], [6]),
        ("client 0", [*others, nobody], [0]),
        ("a header that names another stream key", [*others, signed(sealed_hashes=(zero, *keys[1:]))], [2]),
        ("a header that names one stream key too few", [*others, signed(sealed_hashes=keys[:-1])], [2]),
        ("a header that names one stream key too many", [*others, signed(sealed_hashes=(*keys, zero))], [2]),
        ("stream keys in another order", [*others, signed(sealed_hashes=keys[::-1])], [2]),
        ("another aggregator's stream key is another one: not for this one to see", [*others, signed(
            sealed_hashes=(*keys[:-1], zero))], []),
        ("three valid headers of one client", [*others, header, signed(nonce=zero), signed(share_hash=zero)], [2]),
        ("a header that sends an update again, no roster given", [*others, signed(origin=cast.sid)], [2]),
        ("another kc or H(K_sid) is no fault of one header alone", [*others, signed(group_check=zero)], []),
        ("no headers", [], []),
    ]  # fmt: skip
    return [_case(about, messages, rejected, SEALED) for about, messages, rejected in altered]


def _repeated(cast: Session) -> list[Case]:
    headers, origin = [submission.header for submission in cast.submissions.values()], cast.origin
    if origin is None:
        raise RuntimeError("a repeat names its origin")

    def signed(**changes: Any) -> Any:
        return cast.by_client(replace(headers[1], **changes), 2)

    one, _, three = headers
    second = Origin(cast.sid, cast.group.check_value(), cast.entries)
    altered: list[tuple[str, list[Any], list[int]]] = [
        ("sent again, with the roster of the first session", [*headers, origin], []),
        ("sent again, no roster given", headers, [1, 2, 3]),
        ("sent again, a client left out of the roster", [*headers, replace(origin, roster=origin.roster[:2])],
         [1, 2, 3]),
        ("sent again, another header in the roster",
         [*headers, replace(origin, roster=(*origin.roster[:2], (3, bytes(32))))], [1, 2, 3]),
        ("sent again, the roster under another kc", [*headers, replace(origin, group_check=bytes(32))], [1, 2, 3]),
        ("sent again, the roster of another session", [*headers, replace(origin, sid=bytes(32))], [1, 2, 3]),
        ("one header names another session than the others", [one, signed(origin=cast.sid), three, origin], [2]),
        ("a fresh update beside them: that is for the roster to refuse",
         [one, signed(origin=NO_SESSION), three, origin], []),
        ("the chain's first session is named, not a session that was never opened", [*headers, second], [1, 2, 3]),
    ]  # fmt: skip
    return [_case(about, messages, rejected, AGAIN) for about, messages, rejected in altered]


def _fixed(cast: Session) -> list[Case]:
    """Where every roster holds every client, whoever lost its memory takes part too, whatever roster is shown."""
    headers, origin = [submission.header for submission in cast.submissions.values()], cast.origin
    if origin is None:
        raise RuntimeError("a repeat names its origin")
    other = replace(origin, roster=origin.roster[:2])
    return [
        _case("sent again, at an aggregator that lost its memory", [*headers, origin], [], FIXED, 2),
        _case("sent again, in a fixed cohort, another roster shown", [*headers, other], [], FIXED, 2),
        _case("sent again, in a fixed cohort, no roster shown", headers, [1, 2, 3], FIXED, 2),
    ]
