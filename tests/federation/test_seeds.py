from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from privateyes.federation.seeds import derive_seed

# Written down once from the implementation: a change would silently change every experiment.
KNOWN = 8031126284683833025

LABELS = st.lists(st.one_of(st.text(), st.integers()), max_size=4).map(tuple)


@given(st.integers(), LABELS)
def test_a_seed_is_the_same_every_time_and_fits_63_bits(seed: int, labels: tuple[str | int, ...]) -> None:
    assert derive_seed(seed, *labels) == derive_seed(seed, *labels)
    assert 0 <= derive_seed(seed, *labels) < 2**63


@given(st.integers(), LABELS, LABELS)
def test_other_labels_give_another_seed(seed: int, one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    same = one == other and [type(label) for label in one] == [type(label) for label in other]
    assert (derive_seed(seed, *one) == derive_seed(seed, *other)) == same


def test_neither_the_split_of_labels_nor_their_type_is_lost() -> None:
    labels: list[tuple[str | int, ...]] = [("ab", "c"), ("a", "bc"), ("abc",), (1,), ("1",)]
    assert len({derive_seed(1, *each) for each in labels}) == 5


def test_the_derivation_never_changes() -> None:
    assert derive_seed(1, "client", "p03", 7) == KNOWN
