"""ledger.json: what a data set's ledger lets a client submit, and what a session's end changes in it."""

from __future__ import annotations

import hashlib
from typing import Any

from privateyes.aggregation.keys import session_id
from privateyes.aggregation.ledger import LedgerEntry, SessionEnd, at_weights, chain_of, ended, is_void, require_unused
from privateyes.aggregation.messages import NO_SESSION
from privateyes.errors import RefusedError
from vectors.values import secret

SESSIONS = {name: (secret(f"ledger/setup {name}"), position, secret(f"ledger/state {name}"))
            for position, name in enumerate(("S", "R", "R2", "T"))}  # fmt: skip
"""S is an ordinary session, R and R2 send its updates again, T is another ordinary one."""
Row = dict[str, Any]


def row(session: str, end: str = "unknown", **changes: Any) -> Row:
    """An entry; R and R2 are of the chain of S."""
    plain = {"session": session, "origin": "S" if session.startswith("R") else None, "end": end, "key": "mine",
             "data_set": "mine", "weights": "W", "manifest": "M"}  # fmt: skip
    return {**plain, **changes}


SUBMIT: list[tuple[str, list[Row], bool]] = [
    ("an empty ledger", [], True),
    ("an update from these weights was sent", [row("S")], False),
    ("it is void", [row("S", "void")], True),
    ("its result was accepted, and the weights are the same", [row("S", "accepted")], False),
    ("with another key, of the same data set", [row("S", key="other")], False),
    ("of another data set, with the same key", [row("S", data_set="other")], False),
    ("of another data set, with another key", [row("S", key="other", data_set="other")], True),
    ("from other weights", [row("S", weights="V")], True),
    ("in another manifest", [row("S", manifest="N")], False),
    ("in another manifest, void", [row("S", "void", manifest="N")], True),
    ("with another key and in another manifest, of the same data set", [row("S", key="other", manifest="N")], False),
    ("two sessions, both void", [row("S", "void"), row("T", "void")], True),
    ("two sessions, the first void", [row("S", "void"), row("T")], False),
    ("two sessions, the second void", [row("S"), row("T", "void")], False),
    ("a session that is void, and its repeat is not", [row("S", "void"), row("R")], False),
    ("a repeat that is void, and its session is not", [row("S"), row("R", "void")], False),
    ("a session and its repeats, all void", [row("S", "void"), row("R", "void"), row("R2", "void")], True),
    ("void with this key, unknown with another of the data set", [row("S", "void"), row("T", key="other")], False),
]
REPEAT: list[tuple[str, str, list[Row], bool]] = [
    ("the only session", "S", [row("S")], True),
    ("nothing was submitted", "S", [], False),
    ("another session was", "S", [row("T")], False),
    ("it is void", "S", [row("S", "void")], False),
    ("it was submitted to with another key", "S", [row("S", key="other")], False),
    ("it is of another manifest", "S", [row("S", manifest="N")], False),
    ("it began from other weights", "S", [row("S", weights="V")], False),
    ("another session is not settled", "S", [row("S"), row("T")], False),
    ("another session was accepted", "S", [row("S"), row("T", "accepted")], False),
    ("another session is void", "S", [row("S"), row("T", "void")], True),
    ("another session of the data set is not settled, with another key", "S", [row("S"), row("T", key="other")], False),
    ("another session is not settled, of another data set and key", "S",
     [row("S"), row("T", key="other", data_set="other")], True),
    ("a second time", "S", [row("S"), row("R")], True),
    ("a second time, the first repeat void", "S", [row("S"), row("R", "void")], True),
    ("the session void, its repeat not", "S", [row("S", "void"), row("R")], True),
    ("all void", "S", [row("S", "void"), row("R", "void")], False),
    ("a repeat is named, not the chain's first session", "R", [row("S"), row("R")], False),
    ("a repeat is named, the first session void", "R", [row("S", "void"), row("R")], False),
]  # fmt: skip
ENDED: list[tuple[str, str, str, list[Row], list[int]]] = [
    ("the session itself", "S", "void", [row("S"), row("T")], [0]),
    ("a session, not its repeats", "S", "void", [row("S"), row("R")], [0]),
    ("a repeat, not its session", "R", "void", [row("S"), row("R"), row("R2")], [1]),
    ("accepted", "S", "accepted", [row("S"), row("R")], [0]),
    ("void before", "S", "void", [row("S", "void")], []),
    ("accepted before: a closing that calls it void changes nothing", "S", "void", [row("S", "accepted")], []),
    ("void before: it is not accepted later", "S", "accepted", [row("S", "void")], []),
    ("no such session", "T", "void", [row("S")], []),
]
CHAIN_VOID: list[tuple[str, list[Row], bool]] = [
    ("the session", [row("S", "void")], True),
    ("the session is not", [row("S")], False),
    ("the session and its repeat", [row("S", "void"), row("R", "void")], True),
    ("the repeat is not", [row("S", "void"), row("R")], False),
    ("the session is not, its repeat is", [row("S"), row("R", "void")], False),
    ("the second repeat was accepted", [row("S", "void"), row("R", "void"), row("R2", "accepted")], False),
    ("another session is not", [row("S", "void"), row("T")], True),
]


def _named(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def _sid(name: str | None) -> bytes:
    return NO_SESSION if name is None else session_id(*SESSIONS[name])


def _entry(written: Row) -> LedgerEntry:
    key, data_set, weights, manifest = (_named(written[name]) for name in ("key", "data_set", "weights", "manifest"))
    end = SessionEnd[written["end"].upper()]
    session = SESSIONS[written["session"]]
    return LedgerEntry(key, data_set, weights, manifest, *session, _sid(written["origin"]), bytes(32), end)


def _here(rows: list[Row]) -> tuple[LedgerEntry, ...]:
    return at_weights([_entry(written) for written in rows], _named("W"), _named("mine"), _named("mine"))


def _allows(call: Any) -> bool:
    try:
        call()
    except RefusedError:
        return False
    return True


def _require(about: str, expected: Any, got: Any) -> None:
    if expected != got:
        raise RuntimeError(f"{about}: {got} where {expected} was expected")


def make() -> dict[str, Any]:
    """Tables of entries; keys, data sets, weights and manifests by name, of which only equality matters."""
    for about, rows, allowed in SUBMIT:
        _require(about, allowed, _allows(lambda rows=rows: require_unused(_here(rows))))
    for about, origin, rows, allowed in REPEAT:
        call = lambda rows=rows, origin=origin: chain_of(_here(rows), _sid(origin), _named("mine"), _named("M"))  # noqa: E731
        _require(about, allowed, _allows(call))
    for about, session, end, rows, changed in ENDED:
        entries = [_entry(written) for written in rows]
        got = ended(entries, _sid(session), SessionEnd[end.upper()])
        _require(about, changed, [position for position, own in enumerate(entries) if own.sid in {e.sid for e in got}])
    for about, rows, void in CHAIN_VOID:
        _require(about, void, is_void([_entry(written) for written in rows], _sid("S")))
    return {
        "about": "a data set's ledger, docs/protocol.md, The ledger; asked for key and data set mine, weights W",
        "sessions": {
            name: {"setup_id": setup, "round": number, "state_id": state, "sid": _sid(name)}
            for name, (setup, number, state) in SESSIONS.items()
        },
        "submit": [{"about": about, "entries": rows, "allowed": allowed} for about, rows, allowed in SUBMIT],
        "repeat": [
            {"about": about, "origin": origin, "entries": rows, "allowed": allowed}
            for about, origin, rows, allowed in REPEAT
        ],
        "ended": [
            {"about": about, "session": session, "end": end, "entries": rows, "changed": changed}
            for about, session, end, rows, changed in ENDED
        ],
        "chain_of_s_is_void": [{"about": about, "entries": rows, "void": void} for about, rows, void in CHAIN_VOID],
    }
