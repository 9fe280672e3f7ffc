"""Complaints and abort notices: what they say, and whether the record shows why. They prove nothing about others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from privateyes.aggregation.audit.evidence import SessionEvidence
from privateyes.aggregation.audit.findings import Finding, Level, aggregator_party, client_party
from privateyes.aggregation.audit.preimages import Case
from privateyes.aggregation.audit.results import PublicCheck
from privateyes.aggregation.messages import Abort, Complaint, Header
from privateyes.aggregation.result import Check

_MEANS: Final[Mapping[int, str]] = MappingProxyType(
    {
        Check.SESSION: "it follows another session",
        Check.GROUP_KEY: "another group key than its own",
        Check.ROSTER: "the roster is illegal, or lists it with a submission that it did not make",
        Check.SIGNATURES: "a result signature is missing or does not verify",
        Check.TAG: "the sum does not carry the clients' tags",
        Check.WEIGHT: "an impossible total weight",
        Check.RANGE: "a coordinate larger than clipped updates can add up to",
        Check.NORM: "a longer sum, in the L2 norm, than clipped updates can add up to",
    }
)


def complaints(case: Case, checked: PublicCheck) -> Iterator[Finding]:
    """A client's refusal, and whether the record shows why. It proves nothing: a client may complain without reason."""
    own_headers = case.session.signed.single(Header)
    for client, words in case.session.signed.of(Complaint).items():
        for word in words:
            means = _MEANS.get(word.check, "no such check")
            shown = _shown(case, own_headers.get(client), word, checked)
            text = f"refused the result at check {word.check}: {means}. {shown}"
            yield Finding(Level.REFUSED, f"check {word.check}", text, (client_party(client),))


def _shown(case: Case, own: Header | None, word: Complaint, checked: PublicCheck) -> str:
    check = word.check
    if not case.session.deliveries:
        return "The record has no delivery, so this cannot be compared"
    if _all_show(case, own, word, checked):
        return "The delivery in the record has that fault"
    if check >= Check.TAG and checked.average is None:
        return (
            "Only clients can check this in a sealed task: the sum was altered before T was signed, by the hub, an "
            "aggregator or a client of the roster, or the client complains without reason"
            if case.manifest.sealed
            else "The record lacks what it takes to check this"
        )
    # A public task has no clips but the manifest's, so what passes here passes at every client.
    shown = "passes" if check >= Check.TAG else "does not show that"
    return f"The delivery in the record {shown}: the client was sent another one, or complains without reason"


def _all_show(case: Case, own: Header | None, word: Complaint, checked: PublicCheck) -> bool:
    """Whether every delivery has the fault that a client complains of, as far as that can be seen from outside."""
    deliveries = case.deliveries
    if word.check == Check.GROUP_KEY:
        return own is not None and own.group_check not in deliveries.group_checks
    if word.check == Check.ROSTER:
        listed = deliveries.listed.get(word.client)
        if deliveries.with_legal_roster == 0:
            return True
        if own is None or listed is None:
            return False
        return listed.total() == deliveries.with_legal_roster and own.hash() not in listed
    if word.check == Check.SIGNATURES:
        return all(fault is not None and fault.check == word.check for fault in deliveries.faults.values())
    failed = {receipt for receipt, check in checked.failed.items() if check == word.check}
    return deliveries.faults.keys() == failed


def aborts(session: SessionEvidence) -> Iterator[Finding]:
    """An aggregator's word that it gave the session up. It proves nothing; what it saw may stand among the faults."""
    for number, words in session.signed.of(Abort).items():
        for word in words:
            text = f"says that it gave the session up at step {word.step}; alone this proves nothing about anyone"
            yield Finding(Level.REFUSED, f"step {word.step}", text, (aggregator_party(number),))
