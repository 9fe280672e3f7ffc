"""What a client refuses, and whoever checks a public round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.messages import VOID, Closing, Delivery, ResultSignature
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto.commitment import merkle_root
from vectors.cast import WEIGHT_MAX, Cast
from vectors.script import Case
from vectors.values import bits32

ME = {"client": 1}
REFUSED, MALFORMED, TRAINING = {"error": "RefusedError"}, {"error": "MalformedError"}, {"error": "TrainingError"}
ZERO = bytes(32)
SUBMIT = {"do": "submit"}


def cases(sealed: Cast, public: Cast) -> list[Case]:
    """In the order of the steps."""
    submitting = [*_announcements(sealed), *_updates(sealed), *_resubmitting(sealed), *_settling(sealed)]
    checking = [*_session(sealed, public), *_roster(sealed), *_signatures(sealed), *_tags(sealed), *_bounds(sealed)]
    return [*submitting, *checking, *_disclosing(sealed, public), *_auditing(sealed, public)]


def _failed(check: int) -> dict[str, Any]:
    return {"error": "DeliveryError", "check": check}


# Steps 0 and 1


def _announcements(cast: Cast) -> Iterator[Case]:
    one, two, three = cast.announcements

    def all_signed(**changes: Any) -> list[Any]:
        changed = [replace(message, **changes) for message in (one, two, three)]
        return [cast.by_aggregator(message, message.aggregator, cast.setup) for message in changed]

    cases: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("one is missing", [one, three], REFUSED),
        ("none", [], REFUSED),
        ("one twice, another missing", [one, two, two], REFUSED),
        ("one too many", [one, two, three, three], REFUSED),
        ("an altered round", [one, replace(two, round=9), three], MALFORMED),
        ("an altered signature", [one, two, replace(three, signature=bytes(64))], MALFORMED),
        ("signed by another aggregator", [one, cast.by_aggregator(two, 3, cast.setup), three], MALFORMED),
        ("under another set-up", [one, cast.by_aggregator(two, 2, ZERO), three], MALFORMED),
        ("two rounds, each signed", [one, all_signed(round=9)[1], three], REFUSED),
        ("two states, each signed", [one, all_signed(state_id=ZERO)[1], three], REFUSED),
        ("another epoch, signed by all", all_signed(epoch=2), REFUSED),
        ("another training state, signed by all", all_signed(state_id=ZERO), REFUSED),
        ("a jump over more than 1024 rounds, signed by all", all_signed(round=1025), REFUSED),
    ]
    for about, messages, expected in cases:
        for do in ("observe", "submit"):
            yield Case(f"{do}, announcements: {about}", ME, [{"do": do, "messages": messages}], expected)
    yield Case("observe: a round twice", ME, [{"do": "observe"}, {"do": "observe"}], REFUSED)
    earlier = {"do": "observe", "messages": all_signed(round=2)}
    yield Case("observe: an earlier round, signed by all", ME, [{"do": "observe"}, earlier], REFUSED)


def _updates(cast: Cast) -> Iterator[Case]:
    delta = cast.delta(1)
    nan, infinite = delta.copy(), delta.copy()
    nan[3], infinite[6] = float("nan"), float("inf")
    for about, change in (
        ("a NaN", {"delta": bits32(nan)}),
        ("an infinity", {"delta": bits32(infinite)}),
        ("a value too few", {"delta": bits32(delta[:-1])}),
        ("a value too many", {"delta": bits32([*delta, 0.0])}),
        ("weight 0", {"weight": 0}),
        ("a negative weight", {"weight": -1}),
        ("a weight above the manifest's", {"weight": WEIGHT_MAX + 1}),
    ):
        yield Case(f"submit: {about}", ME, [{**SUBMIT, **change}], TRAINING)


def _resubmitting(cast: Cast) -> Iterator[Case]:
    again = {"do": "submit", "messages": cast.next_announcements()}
    yield Case("submit: a second time in one round", ME, [SUBMIT, SUBMIT], REFUSED)
    yield Case("submit: again from the same state, nothing said about the first", ME, [SUBMIT, again], REFUSED)
    opened = {"do": "settle", "messages": cast.closings()}
    yield Case("submit: again from the same state, the first was opened", ME, [SUBMIT, opened, again], REFUSED)
    lie = [cast.closings()[0], *_void(cast)[1:]]
    mixed = {"do": "settle", "messages": lie}
    yield Case("submit: again, though one aggregator says opened", ME, [SUBMIT, mixed, again], REFUSED)


def _void(cast: Cast) -> list[Any]:
    return [cast.by_aggregator(Closing(cast.sid, s, VOID), s) for s in cast.aggregators]


def _settling(cast: Cast) -> Iterator[Case]:
    one, two, three = _void(cast)
    foreign = cast.by_aggregator(replace(two, sid=ZERO), 2, ZERO)
    cases: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("one is missing", [one, three], REFUSED),
        ("none", [], REFUSED),
        ("one twice, another missing", [one, two, two], REFUSED),
        ("altered from opened to void", [one, replace(cast.closings()[1], outcome=VOID), three], MALFORMED),
        ("of another session", [one, foreign, three], MALFORMED),
        ("an outcome that does not exist, signed",
         [one, cast.by_aggregator(replace(two, outcome=2), 2), three], MALFORMED),
    ]  # fmt: skip
    for about, messages, expected in cases:
        yield Case(f"settle: {about}", ME, [SUBMIT, {"do": "settle", "messages": messages}], expected)


# Step 5


def result_of(delivery: Delivery) -> bytes:
    """The digest of what a delivery says."""
    rho = roster_digest(delivery.sid, delivery.group_check, delivery.roster)
    transcript = transcript_digest(delivery.sid, rho, delivery.commitments)
    return result_digest(delivery.sid, transcript, merkle_root(delivery.share), len(delivery.roster))


def certified(cast: Cast, delivery: Delivery) -> Delivery:
    """The delivery with all n signatures on what it now says: as if every aggregator were corrupt."""
    result = result_of(delivery)
    signed = [
        cast.by_aggregator(ResultSignature(delivery.sid, s, result), s, delivery.sid).signature
        for s in cast.aggregators
    ]
    return replace(delivery, results=tuple(signed))


def _check(about: str, delivery: Delivery, check: int, client: int = 1) -> Case:
    first = SUBMIT if client != 5 else {"do": "observe"}
    calls = [first, {"do": "check", "messages": [delivery]}]
    return Case(f"check: {about}", {"client": client}, calls, _failed(check))


def _session(cast: Cast, public: Cast) -> Iterator[Case]:
    delivery = cast.delivery
    yield _check("another session's id", replace(delivery, sid=ZERO), 1)
    yield _check("another session's id, signed by all", certified(cast, replace(delivery, sid=ZERO)), 1)
    yield _check("another task's delivery", public.delivery, 1)
    calls = [SUBMIT, {"do": "accept", "state_digest": ZERO.hex()}, {"do": "check"}]
    yield Case("check: a delivery that was accepted before", ME, calls, _failed(1))
    void = {"do": "settle", "messages": _void(cast)}
    yield Case("check: a session that all n called void", ME, [SUBMIT, void, {"do": "check"}], _failed(1))
    yield Case("check: no round was announced", ME, [{"do": "check"}], _failed(1))
    yield _check("another kc", replace(delivery, group_check=ZERO), 2)
    yield _check("another kc, signed by all", certified(cast, replace(delivery, group_check=ZERO)), 2)


def _roster(cast: Cast) -> Iterator[Case]:
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


def _signatures(cast: Cast) -> Iterator[Case]:
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


def _tags(cast: Cast) -> Iterator[Case]:
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


def _matching(cast: Cast, changes: Mapping[int, int]) -> Delivery:
    """The delivery shifted so that the tags fit: needs K, so a corrupt client, and every aggregator."""
    coordinates = cast.plot.dimension + 1
    shift = cast.shifted(cast.field.zeros(coordinates), changes)
    accumulator = TensorChallenge(cast.field, coordinates, cast.session_key, cast.sid).accumulator()
    accumulator.update(shift)
    tags = {coordinates + index: int(tag) for index, tag in enumerate(accumulator.tags(pads=0))}
    return certified(cast, replace(cast.delivery, share=cast.shifted(cast.delivery.share, {**changes, **tags})))


def _bounds(cast: Cast) -> Iterator[Case]:
    d, size = cast.plot.dimension, len(cast.delivery.roster)
    accepted = cast.check(1)
    total = accepted.total_weight
    for about, weight in (
        ("0", 0), ("below |R|", size - 1), ("above |R| w_max", size * WEIGHT_MAX + 1), ("negative", -total),
    ):  # fmt: skip
        yield _check(
            f"a total weight that is {about}, tags and signatures fit", _matching(cast, {d: weight - total}), 6
        )
    encoding = cast.manifest.encoding
    bound = encoding.sum_bound(size, total)
    value = round(float(accepted.mean[0]) * total * 2**encoding.scale_bits)
    for about, wanted in (("just above the bound", bound + 1), ("just below minus the bound", -bound - 1)):
        altered = _matching(cast, {0: wanted - value})
        yield _check(f"a coordinate {about}, tags and signatures fit", altered, 7)


# Public rounds


def _disclosing(sealed: Cast, public: Cast) -> Iterator[Case]:
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
        yield Case(f"disclose: {about}", ME, calls, _failed(check), public=True)
    void = {"do": "settle", "messages": _void(public)}
    calls = [SUBMIT, void, {"do": "disclose"}]
    yield Case("disclose: a session that all n called void", ME, calls, _failed(1), public=True)
    yield Case("disclose: no round was announced", ME, [{"do": "disclose"}], _failed(1), public=True)


def _auditing(sealed: Cast, public: Cast) -> Iterator[Case]:
    cast, delivery = public, public.delivery
    headers = [cast.submissions[i].header for i in (1, 2, 3)]
    disclosure = cast.disclose(1)
    shifted = certified(cast, replace(delivery, share=cast.shifted(delivery.share, {0: 1})))
    vouched = cast.by_client(replace(disclosure, result=result_of(shifted)), 1)
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
        yield Case(f"verify: {about}", {}, [{"do": "verify", "messages": messages}], expected, public=True)
    own = [sealed.submissions[i].header for i in (1, 2, 3)]
    messages = [sealed.delivery, *own, sealed.by_client(replace(disclosure, sid=sealed.sid), 1)]
    yield Case("verify: a sealed task", {}, [{"do": "verify", "messages": messages}], REFUSED)
