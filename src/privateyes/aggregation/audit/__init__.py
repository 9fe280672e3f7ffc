"""The audit of a record: which sessions are certified, why others ended, and what is proven about whom.

    record        the audit itself: each session's outcome, what is there and what is missing
    findings      how strong a finding is, and whom it names
    evidence      a record's messages, sorted by what they can prove       (statements: those that verify)
    preimages     what signed hashes stand for, as far as the record shows
    deliveries    the deliveries of a session, each held against its signatures once
    setups        sealing keys, set-ups and announcements
    clients       headers and published keys
    aggregators   votes, rosters and endings
    commitments   commitments, T and openings
    results       the sum, and a public task's check of it
    words         what nobody signs, held against what signatures pin
    notices       complaints and abort notices
    chain         the record of a whole task: what follows what, and what is left out

Each check takes time and memory in proportion to the record. Where a party said things twice, their combinations are
searched within a budget (preimages), and the audit says so where it ends.
"""

from __future__ import annotations

from privateyes.aggregation.audit.record import audit

__all__ = ["audit"]
