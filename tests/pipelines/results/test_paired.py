"""Paired differences and their intervals."""

from datetime import datetime

import pytest
from scipy import stats

from pipelines.results.paired import paired_difference, summarise
from search.trials import Job, State, Trial
from space import Design
from tests.objectives import OBJECTIVES

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


def test_of_several_comparisons_each_interval_has_its_share_of_the_error() -> None:
    found = paired_difference(OURS, THEIRS, comparisons=5)
    assert found is not None
    ours, theirs = ([scores[seed] for seed in range(4)] for scores in (OURS, THEIRS))
    reference = stats.ttest_rel(ours, theirs).confidence_interval(1 - 0.05 / 5)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))


def trial(design: str, seed: int, score: float) -> Trial:
    costs = {"num_params": 1000, "fps": 100.0}
    return Trial(
        number=0,
        state=State.COMPLETE,
        job=Job(backbone="tiny", design=Design.parse(design), seed=seed, costs=costs),
        history=({"epoch": 1.0, OBJECTIVES.metric: score},),
        started=datetime(2026, 1, 1),
    )


def test_what_is_better_alone_may_be_luck_among_many() -> None:
    scores = {"none": [0.90, 0.91, 0.92], "se": [0.92, 0.925, 0.945]}
    others = ["eca", "ras", "cbam", "se:reduction=4"]
    trials = [trial(design, seed, score) for design, row in scores.items() for seed, score in enumerate(row)]
    trials += [trial(design, seed, scores["none"][seed]) for design in others for seed in range(3)]
    every = [("tiny", Design.parse(text)) for text in (*scores, *others)]

    (_, alone) = summarise(trials, every[:2], OBJECTIVES)
    (_, among, *_) = summarise(trials, every, OBJECTIVES)
    assert (alone["verdict"], among["verdict"]) == ("better", "indistinguishable")
    assert alone["paired_difference"]["mean"] == among["paired_difference"]["mean"]
    assert (alone["paired_difference"]["comparisons"], among["paired_difference"]["comparisons"]) == (1, 5)
