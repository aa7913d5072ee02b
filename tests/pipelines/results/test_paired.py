"""Paired differences and their intervals."""

import pytest
from scipy import stats

from pipelines.results.paired import paired_difference

OURS = {0: 94.1, 1: 93.2, 2: 95.0, 3: 94.4, 7: 90.0}
THEIRS = {0: 93.0, 1: 93.3, 2: 94.1, 3: 93.9, 5: 99.0}


def test_the_interval_is_that_of_a_paired_t_test_over_the_common_seeds() -> None:
    found = paired_difference(OURS, THEIRS)
    assert found is not None
    pairs = [(OURS[seed], THEIRS[seed]) for seed in range(4)]
    reference = stats.ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)

    assert found.pairs == 4
    assert found.mean == pytest.approx(sum(a - b for a, b in pairs) / 4)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))


def test_turned_round_it_changes_its_sign() -> None:
    one, other = paired_difference(OURS, THEIRS), paired_difference(THEIRS, OURS)
    assert one is not None
    assert other is not None
    assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low))


def test_fewer_than_two_pairs_say_nothing() -> None:
    assert paired_difference({0: 2.0}, {0: 1.0}) is None
    assert paired_difference({0: 2.0}, {1: 1.0}) is None
