"""What a client refuses of a delivery, and whoever checks a public round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.messages import Delivery, ResultSignature
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.commitment import merkle_root
from vectors.bases import AGAIN, LIMITED, LIMITED_IN_PARTS, PUBLIC, SEALED, bases
from vectors.cast import WEIGHT_MAX, Session
from vectors.refusals_client import CLIPS, MALFORMED, ME, PARAMETER, REFUSED, SUBMIT, ZERO, next_state, void
from vectors.script import Case


def cases() -> list[Case]:
    """In the order of the checks."""
    sealed, public = bases()[SEALED], bases()[PUBLIC]
    checking = [*_session(sealed, public), *_roster(sealed), *_signatures(sealed), *_tags(sealed), *_bounds(sealed)]
    checking += [*_norms()]
    return [*checking, *_sent_again(bases()[AGAIN]), *_disclosing(sealed, public), *_auditing(sealed, public)]


def _failed(check: int) -> dict[str, Any]:
    return {"error": "DeliveryError", "check": check}


def result_of(delivery: Delivery, bulk: BulkHash) -> bytes:
    """The digest of what a delivery says."""
    rho = roster_digest(delivery.sid, delivery.group_check, delivery.roster)
    transcript = transcript_digest(delivery.sid, rho, delivery.commitments)
    return result_digest(delivery.sid, transcript, merkle_root(delivery.share, bulk), len(delivery.roster))


def certified(cast: Session, delivery: Delivery) -> Delivery:
    """The delivery with all n signatures on what it now says: as if every aggregator were corrupt."""
    result = result_of(delivery, cast.manifest.bulk_hash)
    signed = [
        cast.by_aggregator(ResultSignature(delivery.sid, s, result), s, delivery.sid).signature
        for s in cast.aggregators
    ]
    return replace(delivery, results=tuple(signed))


def _check(about: str, delivery: Delivery, check: int, client: int = 1) -> Case:
    first = SUBMIT if client != 5 else {"do": "observe"}
    calls = [first, {"do": "check", "messages": [delivery]}]
    return Case(f"check: {about}", {"client": client}, calls, _failed(check))


def _session(cast: Session, public: Session) -> Iterator[Case]:
    delivery = cast.delivery
    yield _check("another session's id", replace(delivery, sid=ZERO), 1)
    yield _check("another session's id, signed by all", certified(cast, replace(delivery, sid=ZERO)), 1)
    yield _check("another task's delivery", public.delivery, 1)
    calls = [SUBMIT, {"do": "accept", "state": next_state(cast)}, {"do": "check"}]
    yield Case("check: a delivery that was accepted before", ME, calls, _failed(1))
    calls = [SUBMIT, {"do": "settle", "messages": void(cast)}, {"do": "check"}]
    yield Case("check: a session that all n called void", ME, calls, _failed(1))
    yield Case("check: no round was announced", ME, [{"do": "check"}], _failed(1))
    yield _check("another kc", replace(delivery, group_check=ZERO), 2)
    clips = {"do": "check", "clips": CLIPS}
    yield Case("check: clips for each tensor in a public task", ME, [SUBMIT, clips], PARAMETER, PUBLIC)
    yield _check("another kc, signed by all", certified(cast, replace(delivery, group_check=ZERO)), 2)


def _roster(cast: Session) -> Iterator[Case]:
    delivery = cast.delivery
    entries = dict(delivery.roster)

    def with_roster(roster: Mapping[int, bytes]) -> Delivery:
        return certified(cast, replace(delivery, roster=tuple(sorted(roster.items()))))

    four, five = cast.submissions[4].header.hash(), ZERO
    yield _check("a roster below R_min", with_roster({1: entries[1]}), 3)
    yield _check("a roster of nobody", with_roster({}), 3)
    yield _check("a roster above R_max", with_roster({**entries, 4: four, 5: five}), 3)
    yield _check("a client that is not in the manifest", with_roster({**entries, 6: five}), 3)
    yield _check("client 0", with_roster({**entries, 0: five}), 3)
    yield _check("another header of this client", with_roster({**entries, 1: ZERO}), 3)
    yield _check("another header of a client that was left out", with_roster({**entries, 4: ZERO}), 3, client=4)
    yield _check("listed without having submitted", with_roster({**entries, 5: five}), 3, client=5)


def _signatures(cast: Session) -> Iterator[Case]:
    delivery = cast.delivery
    one, two, three = delivery.results
    shifted = cast.shifted(delivery.share, {0: 1})
    entries = delivery.roster
    yield _check("a signature is missing", replace(delivery, results=(one, two)), 4)
    yield _check("a signature too many", replace(delivery, results=(one, two, three, three)), 4)
    yield _check("an altered signature", replace(delivery, results=(one, two, bytes(64))), 4)
    yield _check("signatures in another order", replace(delivery, results=(two, one, three)), 4)
    yield _check("a commitment is missing", replace(delivery, commitments=delivery.commitments[:-1]), 4)
    yield _check("an altered commitment", replace(delivery, commitments=(*delivery.commitments[:-1], ZERO)), 4)
    yield _check("the sum altered after it was signed", replace(delivery, share=shifted), 4)
    yield _check("a member removed after it was signed", replace(delivery, roster=entries[:2]), 4)
    altered = replace(delivery, roster=(entries[0], (2, ZERO), entries[2]))
    yield _check("a member's header altered after it was signed", altered, 4)


def _tags(cast: Session) -> Iterator[Case]:
    delivery, p, d = cast.delivery, cast.prime, cast.plot.dimension

    def with_changes(changes: Mapping[int, int]) -> Delivery:
        return certified(cast, replace(delivery, share=cast.shifted(delivery.share, changes)))

    changes: list[tuple[str, Mapping[int, int]]] = [
        ("the first value", {0: 1}), ("the last value", {d - 1: 1}), ("the weight", {d: 1}),
        ("the first tag", {d + 1: 1}),
        ("the last tag", {d + cast.field.tags: p - 1}), ("two values that cancel", {1: 1, 2: p - 1}),
        ("-Z in place of Z", {t: -2 * int(value) % p for t, value in enumerate(delivery.share)}),
        ("2Z in place of Z", {t: int(value) for t, value in enumerate(delivery.share)}),
        ("zero in place of Z", {t: -int(value) % p for t, value in enumerate(delivery.share)}),
    ]  # fmt: skip
    for about, change in changes:
        yield _check(f"{about}, signed by all", with_changes(change), 5)
    entries = delivery.roster
    fewer = replace(delivery, roster=entries[:2])
    yield _check("|R| too small, signed by all", certified(cast, fewer), 5)
    more = replace(delivery, roster=(*entries, (4, cast.submissions[4].header.hash())))
    yield _check("|R| too large, signed by all", certified(cast, more), 5)


def matching(cast: Session, changes: Mapping[int, int]) -> Delivery:
    """The delivery shifted so that the tags fit: needs K, so a corrupt client, and every aggregator."""
    coordinates = cast.plot.dimension + 1
    shift = cast.shifted(cast.field.zeros(coordinates), changes)
    accumulator = TensorChallenge(cast.field, coordinates, cast.session_key, cast.sid).accumulator()
    accumulator.update(shift)
    tags = {coordinates + index: int(tag) for index, tag in enumerate(accumulator.tags(pads=0))}
    return certified(cast, replace(cast.delivery, share=cast.shifted(cast.delivery.share, {**changes, **tags})))


def sums_of(cast: Session) -> tuple[list[int], int]:
    """The sums of the roster's encoded updates, and the total weight."""
    roster = [client for client, _ in cast.delivery.roster]
    encoded = [cast.field.lift(cast.cast.kept[i].encoded).tolist() for i in roster]
    return [sum(column) for column in zip(*encoded, strict=True)], sum(cast.cast.weight(i) for i in roster)


def _bounds(cast: Session) -> Iterator[Case]:
    d, size = cast.plot.dimension, len(cast.delivery.roster)
    values, total = sums_of(cast)
    for about, weight in (
        ("0", 0), ("below |R|", size - 1), ("above |R| w_max", size * WEIGHT_MAX + 1), ("negative", -total),
    ):  # fmt: skip
        yield _check(f"a total weight that is {about}, tags and signatures fit", matching(cast, {d: weight - total}), 6)
    bound = cast.manifest.encoding.sum_bound(size, total)
    for about, t, wanted in (
        ("the first coordinate just above the bound", 0, bound + 1),
        ("the first coordinate just below minus the bound", 0, -bound - 1),
        ("the last coordinate just above the bound", d - 1, bound + 1),
        ("the last coordinate just below minus the bound", d - 1, -bound - 1),
    ):
        yield _check(f"{about}, tags and signatures fit", matching(cast, {t: wanted - values[t]}), 7)


def longest(cast: Session) -> list[tuple[str, dict[int, int]]]:
    """Shifts that give the sum exactly the largest norm, W c with c = 1.25 * 2^f; each coordinate within its clip."""
    values, total = sums_of(cast)
    step = total << cast.manifest.encoding.scale_bits
    if cast.plot.clips is None:
        wanted = [("3, 4 and 5", {0: 3 * step // 4, 6: step}), ("and negative", {1: -step, 6: -3 * step // 4})]
    else:
        # Coordinates 0 and 1 are on a grid twice as fine: there a whole step counts as a half.
        wanted = [("the finer grid too", {0: step, 1: -step, 2: step // 4, 6: step})]
    zero = dict.fromkeys(range(cast.plot.dimension), 0)
    return [(about, {t: value - values[t] for t, value in (zero | given).items()}) for about, given in wanted]


def _norms() -> Iterator[Case]:
    """Check 8, one step beyond the largest norm."""
    for base, coordinate in ((LIMITED, 2), (LIMITED_IN_PARTS, 0)):
        cast = bases()[base]
        for about, changes in longest(cast):
            for amount in (1, -1) if coordinate == 2 else (1,):
                beyond = {**changes, coordinate: changes[coordinate] + amount}
                calls = [SUBMIT, {"do": "check", "messages": [matching(cast, beyond)]}]
                named = f"check: a norm just above the bound ({about}, {amount}), tags and signatures fit"
                yield Case(named, ME, calls, _failed(8), base)
    cast = bases()[LIMITED]
    _, changes = longest(cast)[0]
    altered = matching(cast, {**changes, 3: changes[3] + 1})
    headers = [cast.submissions[i].header for i in (1, 2, 3)]
    vouched = cast.by_client(replace(cast.disclose(1), result=result_of(altered, cast.manifest.bulk_hash)), 1)
    calls = [{"do": "verify", "messages": [altered, *headers, vouched]}]
    yield Case("verify: a norm just above the bound, signed by all and disclosed", {}, calls, _failed(8), LIMITED)


def _sent_again(cast: Session) -> Iterator[Case]:
    """A client that sent an update again accepts no result over other clients than the first time."""
    delivery = cast.delivery
    others = dict(delivery.roster)
    for about, roster in (
        ("one client fewer", {i: others[i] for i in (1, 2)}),
        ("another client in its place", {1: others[1], 2: others[2], 4: ZERO}),
        ("one client more", {**others, 4: ZERO}),
    ):
        altered = certified(cast, replace(delivery, roster=tuple(sorted(roster.items()))))
        calls = [{"do": "repeat"}, {"do": "check", "messages": [altered]}]
        yield Case(f"check, sent again: {about}, signed by all", ME, calls, _failed(3), AGAIN)
    altered = certified(cast, replace(delivery, roster=((1, ZERO), *delivery.roster[1:])))
    calls = [{"do": "repeat"}, {"do": "check", "messages": [altered]}]
    yield Case("check, sent again: another header of this client, signed by all", ME, calls, _failed(3), AGAIN)
    calls = [{"do": "repeat"}, {"do": "check", "messages": [replace(delivery, results=delivery.results[:1])]}]
    yield Case("check, sent again: a signature is missing", ME, calls, _failed(4), AGAIN)


# Public rounds


def _disclosing(sealed: Session, public: Session) -> Iterator[Case]:
    calls = [SUBMIT, {"do": "disclose", "messages": [sealed.delivery]}]
    yield Case("disclose: a sealed task", ME, calls, REFUSED)
    delivery = public.delivery
    unsigned = replace(delivery, results=(*delivery.results[:2], bytes(64)))
    short = replace(delivery, results=delivery.results[:2])
    for about, wrong, check in (
        ("before all have signed the result", unsigned, 4), ("a signature is missing", short, 4),
        ("another session", replace(delivery, sid=ZERO), 1), ("another kc", replace(delivery, group_check=ZERO), 2),
    ):  # fmt: skip
        calls = [SUBMIT, {"do": "disclose", "messages": [wrong]}]
        yield Case(f"disclose: {about}", ME, calls, _failed(check), PUBLIC)
    calls = [SUBMIT, {"do": "settle", "messages": void(public)}, {"do": "disclose"}]
    yield Case("disclose: a session that all n called void", ME, calls, _failed(1), PUBLIC)
    yield Case("disclose: no round was announced", ME, [{"do": "disclose"}], _failed(1), PUBLIC)


def _auditing(sealed: Session, public: Session) -> Iterator[Case]:
    cast, delivery = public, public.delivery
    headers = [cast.submissions[i].header for i in (1, 2, 3)]
    disclosure = cast.disclose(1)
    shifted = certified(cast, replace(delivery, share=cast.shifted(delivery.share, {0: 1})))
    vouched = cast.by_client(replace(disclosure, result=result_of(shifted, cast.manifest.bulk_hash)), 1)
    wrong_key = cast.by_client(replace(disclosure, session_key=ZERO), 1)
    unsigned = replace(delivery, share=cast.shifted(delivery.share, {0: 1}))
    other = cast.by_client(replace(headers[1], group_check=ZERO), 2)
    roster = ((1, headers[0].hash()), (2, other.hash()), (3, headers[2].hash()))
    mixed = certified(cast, replace(delivery, roster=roster))
    forged = replace(headers[1], signature=bytes(64))
    forged_roster = ((1, headers[0].hash()), (2, forged.hash()), (3, headers[2].hash()))
    stranger = cast.by_client(replace(disclosure, client=6), 1)
    foreign = cast.by_client(replace(disclosure, sid=ZERO), 1, ZERO)
    cases: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("a key of another session", [delivery, *headers, foreign], REFUSED),
        ("a key disclosed by nobody in the manifest", [delivery, *headers, stranger], REFUSED),
        ("a disclosure without a signature", [delivery, *headers, replace(disclosure, signature=bytes(64))], MALFORMED),
        ("a wrong key, signed by a client", [delivery, *headers, wrong_key], _failed(2)),
        ("a header is missing", [delivery, *headers[:2], disclosure], _failed(3)),
        ("a header other than the roster's", [delivery, headers[0], other, headers[2], disclosure], _failed(3)),
        ("a member under another kc, signed by all", [mixed, headers[0], other, headers[2], disclosure], _failed(2)),
        ("a member's header without a signature", [certified(cast, replace(delivery, roster=forged_roster)),
                                                   headers[0], forged, headers[2], disclosure], MALFORMED),
        ("a sum that the aggregators did not sign", [unsigned, *headers, disclosure], _failed(4)),
        ("another result, signed by all, than the one that was disclosed", [shifted, *headers, disclosure], _failed(4)),
        ("a sum that was altered, signed by all and disclosed", [shifted, *headers, vouched], _failed(5)),
    ]  # fmt: skip
    for about, messages, expected in cases:
        yield Case(f"verify: {about}", {}, [{"do": "verify", "messages": messages}], expected, PUBLIC)
    own = [sealed.submissions[i].header for i in (1, 2, 3)]
    messages = [sealed.delivery, *own, sealed.by_client(replace(disclosure, sid=sealed.sid), 1)]
    yield Case("verify: a sealed task", {}, [{"do": "verify", "messages": messages}], REFUSED)
