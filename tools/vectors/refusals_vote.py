"""Headers that an aggregator does not vote for: nobody is refused, the client is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vectors.cast import Cast
from vectors.script import Case, before

ME = {"aggregator": 1}


def cases(cast: Cast) -> list[Case]:
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
        ("no headers", [], []),
    ]  # fmt: skip
    return [
        Case(about, ME, [*before("vote"), {"do": "vote", "messages": messages}], {"rejected": rejected})
        for about, messages, rejected in altered
    ]
