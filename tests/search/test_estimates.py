"""What is known of designs after their trainings, against simulated truths."""

import numpy as np
import pytest
from numpy.typing import NDArray

from search.estimates import _GRID, _LOG_PRIOR, FENCE, Estimates, _binomial, estimate

Array = NDArray[np.float64]
IMAGES = 798
LEVEL, BETWEEN, NOISE, SEEDS = 0.92, 0.011, 0.016, 0.003
"""As measured on digits."""


def study(seed: int, designs: int = 100, again: int = 0, best: int = 20) -> tuple[Array, Array]:
    """True accuracies, and scores: of all under one seed, of plain (index 0) and the best ones under some more."""
    random = np.random.default_rng(seed)
    truth = LEVEL + random.normal(0, BETWEEN, designs)
    every = truth[:, None] + random.normal(0, SEEDS, again + 1) + random.normal(0, NOISE, (designs, again + 1))
    scores = np.full_like(every, np.nan)
    for design in {0, *np.argsort(-every[:, 0])[:best].tolist()}:
        scores[design] = every[design]
    scores[:, 0] = every[:, 0]
    return truth, scores


@pytest.mark.parametrize("again", [1, 3])
def test_intervals_hold_the_truth_and_probabilities_are_as_often_right_as_they_say(again: int) -> None:
    held, told, true = [], [], []
    for seed in range(60):
        truth, scores = study(seed, again=again)
        gains, gained = estimate(scores, IMAGES).gains(0), truth - truth[0]
        held += list((gains.low <= gained) & (gained <= gains.high))[1:]
        told += list(gains.p_better[1:])
        true += list(gained[1:] > 0)
    assert 0.85 < np.mean(held) < 0.99
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
        within = (low <= np.array(told)) & (np.array(told) < high)
        assert np.mean(np.array(true)[within]) == pytest.approx(np.mean(np.array(told)[within]), abs=0.12)


def test_the_winner_of_200_with_one_seed_each_is_shrunk_to_what_it_is() -> None:
    raw, shrunk = [], []
    for seed in range(60):
        truth, scores = study(seed, designs=200)
        winner = int(np.argmax(scores[:, 0]))
        raw.append(scores[winner, 0] - truth[winner])
        shrunk.append(estimate(scores, IMAGES).mean[winner] - truth[winner])
    assert np.mean(raw) > 0.025
    assert abs(np.mean(shrunk)) < 0.3 * np.mean(raw)


def test_more_trainings_make_surer_and_count_for_more() -> None:
    scores = np.full((30, 6), np.nan)
    scores[:, 0] = np.random.default_rng(0).normal(LEVEL, 0.02, 30)
    scores[0] = LEVEL
    scores[1, 0] = scores[2, 0] = LEVEL + 0.03
    scores[2] = LEVEL + 0.03 + np.array([0.0, 0.01, -0.01, 0.01, -0.01, 0.0])
    known = estimate(scores, IMAGES)
    gains = known.gains(0)
    assert known.sd[2] < known.sd[1]
    assert gains.mean[2] > gains.mean[1]
    assert gains.p_better[2] > gains.p_better[1]
    assert gains.high[2] - gains.low[2] < gains.high[1] - gains.low[1]


def test_a_lucky_seed_is_no_gain() -> None:
    """All that trained under the second seed were better there, plain, too."""
    random = np.random.default_rng(0)
    scores = np.full((40, 2), np.nan)
    scores[:, 0] = LEVEL + random.normal(0, 0.002, 40)
    scores[:20, 1] = scores[:20, 0] + 0.05
    gains = estimate(scores, IMAGES).gains(0)
    assert abs(gains.mean[1:20].mean() - gains.mean[20:].mean()) < 0.004


def test_designs_that_hardly_learn_do_not_make_the_others_look_different() -> None:
    _, scores = study(0)
    without = estimate(scores, IMAGES)
    broken = np.concatenate([scores, np.linspace(0.75, 0.82, 12)[:, None]])
    beside = estimate(broken, IMAGES)
    assert np.ptp(beside.mean[:100]) < 1.3 * np.ptp(without.mean)
    assert beside.mean[100:].max() < 0.87


def test_a_design_is_on_the_front_as_often_as_nothing_cheaper_is_better() -> None:
    draws = np.array([[1.0, 2.0, 3.0, 2.0], [1.0, 0.0, 0.5, 2.0], [3.0, 2.0, 1.0, 0.0], [1.0, 2.0, 2.5, 3.0]])
    known = Estimates(draws.mean(axis=0), draws)
    assert known.on_front(np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx([1.0, 0.5, 0.5, 0.5])
    assert known.on_front(np.array([4.0, 3.0, 3.0, 1.0])) == pytest.approx([1.0, 0.0, 0.5, 0.5])


def test_the_same_trainings_tell_the_same() -> None:
    _, scores = study(3, again=2)
    one, same = estimate(scores, IMAGES), estimate(scores.copy(), IMAGES)
    assert (one.draws == same.draws).all()


@pytest.mark.parametrize("scores", [[[0.9]], [[1.0], [1.0]], [[0.0, 1.0], [np.nan, 0.5]], [[0.5], [0.5], [0.5]]])
def test_few_and_equal_trainings_have_finite_estimates(scores: list[list[float]]) -> None:
    known = estimate(np.array(scores), IMAGES)
    gains = known.gains(0)
    for told in (known.mean, known.sd, gains.low, gains.high, gains.p_better, known.on_front(np.zeros(len(scores)))):
        assert np.isfinite(told).all()


def test_what_is_expected_is_the_posterior_of_the_model_written_out() -> None:
    """As one normal distribution of m, a and b at each point of the grid, with m as good as unknown."""
    random = np.random.default_rng(0)
    scores = LEVEL + random.normal(0, BETWEEN, (9, 1)) + random.normal(0, NOISE, (9, 3))
    for design, trained in enumerate([(0, 1, 2), (0, 1, 2), (0, 1), (0, 2), (0,), (0,), (0,), (1, 2), (0,)]):
        scores[design, [seed for seed in range(3) if seed not in trained]] = np.nan
    scores[8, 0] = 0.3
    means, level = np.nanmean(scores, axis=1), np.nanmean(scores)
    low, high = np.quantile(means, (0.25, 0.75))
    hopeless = means < low - FENCE * (high - low)
    assert hopeless.tolist() == [False] * 8 + [True]

    rows, columns = np.nonzero(~np.isnan(scores))
    design_of, seed_of = np.eye(9)[rows], np.eye(3)[columns]
    told = scores[rows, columns] - level
    unit = _binomial(float(level), IMAGES) ** 0.5
    evidence, expected = [], []
    for between, noise, seeding in unit * _GRID.T:
        effects = np.diag(np.where(hopeless, (10 * np.ptp(means)) ** 2, between**2))
        common = 1e4 * unit**2
        covariance = common + design_of @ effects @ design_of.T + seeding**2 * seed_of @ seed_of.T
        covariance += noise**2 * np.eye(len(told))
        weights = np.linalg.solve(covariance, told)
        evidence.append(-0.5 * told @ weights - 0.5 * np.linalg.slogdet(covariance)[1])
        expected.append(level + (common + effects @ design_of.T) @ weights)
    weights = np.exp(np.array(evidence) + _LOG_PRIOR - np.max(evidence + _LOG_PRIOR))
    by_hand = weights @ np.array(expected) / weights.sum()
    assert estimate(scores, IMAGES).mean == pytest.approx(by_hand, abs=2e-5)
    assert np.ptp(by_hand[:8]) > 0.002
