"""The one table of labels: every hash, MAC, key derivation and signature of the protocol is separated by one of these.

Two uses never share a label, so no value computed for one purpose can stand in for another (docs/protocol.md, "Encoding
of statements").
"""

from __future__ import annotations

from enum import StrEnum

PROTOCOL_VERSION = "privateyes-aggregation/2"


class Role(StrEnum):
    """Who makes a statement."""

    CLIENT = "client"
    AGGREGATOR = "aggregator"
    HUB = "hub"
    ALL = "all"


class Label(StrEnum):
    """What a hash, MAC, derived key or signature is for."""

    # identifiers
    MANIFEST = "manifest"
    INITIAL_WEIGHTS = "initial-weights"
    SETUP_ID = "setup-id"
    SESSION_ID = "session-id"
    STATE_ID = "state-id"
    PUBLIC_STATE_ID = "public-state-id"
    # keys of a set-up
    AGGREGATOR_KEY = "aggregator-key"
    CLIENT_KEY = "client-key"
    STREAM_KEY = "stream-key"
    SEALED_KEY_HASH = "sealed-key-hash"
    GROUP_KEY = "group-key"
    GROUP_KEY_CHECK = "kc"
    SEALED_STATE = "sealed-state"
    VOUCHER = "voucher"
    # keys of a round
    CHAIN = "chain"
    ROUND = "round"
    SESSION_KEY = "sid-key"
    SESSION_KEY_HASH = "ksid"
    SHARE_STREAM = "share-stream"
    SHARE_STREAM_TAIL = "share-stream-tail"
    MASK = "mask"
    MASK_TAIL = "mask-tail"
    CHALLENGE_A = "challenge-a"
    CHALLENGE_A_TAIL = "challenge-a-tail"
    CHALLENGE_B = "challenge-b"
    CHALLENGE_B_TAIL = "challenge-b-tail"
    PAD = "pad"
    PAD_TAIL = "pad-tail"
    ROUNDING_KEY = "rounding-key"
    ROUNDING = "rounding"
    # statements of a round
    HUB_REQUEST = "hub-request"
    ANNOUNCEMENT = "announcement"
    CLOSING = "closing"
    SHARE_HASH = "share-hash"
    HEADER = "header"
    HEADER_HASH = "header-hash"
    VOTE = "vote"
    ROSTER = "roster"
    COMMITMENT = "commitment"
    ROSTER_COMMITMENT = "roster-commitment"
    HUB_COMMITMENT = "hub-commitment"
    TRANSCRIPT = "transcript"
    AGREEMENT = "agreement"
    OPENING = "opening"
    RESULT = "result"
    RESULT_SIGNATURE = "result-signature"
    COMPLAINT = "complaint"
    ABORT = "abort"
    DISCLOSURE = "disclosure"
