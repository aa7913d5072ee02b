"""What trainings under a few paired seeds tell of how accurate designs are: a random-effects model, without Optuna.

A training of design d under the k-th seed comes to y[d, k] = m + a[d] + b[k] + noise, with a, b and noise normal. Their
three standard deviations are integrated over a grid, so what is told is no surer than a study is large. Designs are
shrunk towards each other by it, since the best of many is partly the luckiest (Efron and Morris, Stein's paradox in
statistics, Scientific American 1977).

Shapes: D designs in U groups, K seeds, G points of the grid, S draws. `scores` are (D, K), NaN where there is none.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DRAWS = 1000
CONFIDENCE = 0.95

NOISE, NOISE_SPREAD = 1.4, 0.5
"""Prior of the noise: its median, in units of what counting images alone gives, and the sd of its logarithm."""
BETWEEN, SEEDS = 2.0, 0.5
"""Scales, in the same unit, of half-Cauchy priors of how designs differ, and seeds."""
NOISES = np.geomspace(0.3, 10.0, 12)
BETWEENS = np.array([0.05, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0, 20.0])
SEEDINGS = np.array([0.05, 0.3, 0.8, 2.0])
"""The grid, in the same unit."""
FENCE = 2.0
"""So many interquartile ranges below the lower quartile a design is out of the ordinary: of normal ones 1 in 2,000."""


@dataclass(frozen=True)
class Gains:
    """What designs gain on one of them, each (D,).

    Attributes:
        mean: expected.
        low: lower end of the 95 % interval.
        high: upper end.
        p_better: probability of being above 0.
    """

    mean: Array
    low: Array
    high: Array
    p_better: Array


@dataclass(frozen=True)
class Estimates:
    """The joint distribution of the accuracies that designs have under a new seed, on average.

    Attributes:
        mean: expected, (D,).
        draws: from the distribution, (S, D).
    """

    mean: Array
    draws: Array

    @cached_property
    def sd(self) -> Array:
        """Standard deviation of each, (D,)."""
        return np.asarray(self.draws.std(axis=0))

    def gains(self, reference: int) -> Gains:
        """Over the design of this index."""
        differences = self.draws - self.draws[:, [reference]]
        low, high = _interval(differences)
        return Gains(self.mean - self.mean[reference], low, high, (differences > 0).mean(axis=0))

    def on_front(self, costs: Array) -> Array:
        """The probability of each that no other is more accurate at no more cost, (D,).

        Args:
            costs: known exactly, better when larger, (D,).
        """
        order = np.argsort(-costs, kind="stable")
        draws = self.draws[:, order]
        best = np.maximum.accumulate(draws, axis=1)
        last_alike = (
            np.searchsorted(-costs[order], -costs[order], side="right") - 1
        )  # of equal costs the best one counts
        found = np.empty(len(costs))
        found[order] = (draws >= best[:, last_alike]).mean(axis=0)
        return found


def estimate(scores: Array, images: int, seed: int = 0, draws: int = DRAWS) -> Estimates:
    """What is known of designs after their trainings.

    Args:
        scores: (D, K), shares in 0..1; NaN where there is no training; each row has one.
        images: that each score was counted on.
        seed: of the draws.
        draws: how many, S.
    """
    there = ~np.isnan(scores)
    level = float(np.nanmean(scores))
    values = np.where(there, scores - level, 0.0)
    unit = float(np.sqrt(_binomial(level, images)))
    total = values.sum(axis=1)
    means = total / there.sum(axis=1)
    between, noise, seeding = (unit * axis for axis in _GRID)

    # Designs that were trained under the same seeds are shrunk alike: all but the last lines is of U groups of them.
    alike = np.column_stack([there, _hopeless(means)])
    bits = np.packbits(alike, axis=1)
    _, first, of = np.unique(bits.view(f"V{bits.shape[1]}").ravel(), return_index=True, return_inverse=True)
    groups = alike[first]
    masks, sizes = groups[:, :-1].astype(float), np.bincount(of)
    trainings = masks.sum(axis=1)
    effects = np.where(groups[:, -1], (10 * np.ptp(means)) ** 2, between[:, None] ** 2)  # (G, U)

    # Given the deviations, the seeds' levels m + b are normal: their precision and mean, designs integrated out.
    shrunk = effects / (noise[:, None] ** 2 + trainings * effects)  # (G, U)
    seeds = scores.shape[1]
    pairs = (masks[:, :, None] * masks[:, None, :]).reshape(len(masks), -1)
    data = np.diag(there.sum(axis=0)) - ((shrunk * sizes) @ pairs).reshape(-1, seeds, seeds)
    close = (np.eye(seeds) - 1 / seeds) / seeding[:, None, None] ** 2
    precision = data / noise[:, None, None] ** 2 + close
    weighted = (values.sum(axis=0) - (shrunk * np.bincount(of, total)) @ masks) / noise[:, None] ** 2
    levels = np.linalg.solve(precision, weighted[..., None])[..., 0]  # (G, K)

    squares = ((values**2).sum() - shrunk @ np.bincount(of, total**2)) / noise**2 - (weighted * levels).sum(axis=1)
    spreads = 2 * ((trainings - 1) @ sizes) * np.log(noise) + np.log(noise[:, None] ** 2 + trainings * effects) @ sizes
    evidence = -0.5 * (squares + spreads + np.linalg.slogdet(precision)[1]) - (seeds - 1) * np.log(seeding)
    weights = np.exp(evidence - evidence.max() + _LOG_PRIOR - _LOG_PRIOR.max())
    weights /= weights.sum()

    mean = weights @ levels.mean(axis=1) + (weights @ shrunk)[of] * total
    mean -= (weights @ (shrunk * (levels @ masks.T)))[of]
    random = np.random.default_rng(seed)
    point = np.searchsorted(np.cumsum(weights)[:-1], (np.arange(draws) + 0.5) / draws)  # as often as it weighs
    roots = np.linalg.cholesky(np.linalg.inv(precision))[point]
    drawn = levels[point] + (roots @ random.standard_normal((draws, seeds, 1)))[..., 0]  # (S, K)
    common = drawn.mean(axis=1) + seeding[point] / np.sqrt(seeds) * random.standard_normal(draws)
    own = shrunk[point][:, of] * (total - (drawn @ masks.T)[:, of])
    own += (noise[point, None] * np.sqrt(shrunk[point]))[:, of] * random.standard_normal((draws, len(scores)))
    return Estimates(level + mean, level + common[:, None] + own)


def _binomial(level: float, images: int) -> float:
    """Variance of a share that is counted on so many images; not 0 even where all are right."""
    share = (min(max(level, 0.0), 1.0) * images + 1) / (images + 2)
    return share * (1 - share) / images


def _hopeless(means: Array) -> NDArray[np.bool_]:
    """Which designs are so much worse than the rest that they say nothing about it, (D,)."""
    low, high = np.quantile(means, [0.25, 0.75])
    return np.asarray(means < low - FENCE * (high - low))


def _interval(draws: Array) -> tuple[Array, Array]:
    """The ends of the central interval of each column."""
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return low, high


_GRID = np.array(list(itertools.product(BETWEENS, NOISES, SEEDINGS))).T
"""How designs differ, noise, how seeds differ: (3, G)."""


def _log_prior() -> Array:
    """Of each point of the grid, (G,): a density times the length that the point stands for."""
    between, noise, seeding = (
        np.log(np.gradient(axis)) + density
        for axis, density in (
            (BETWEENS, -np.log1p((BETWEENS / BETWEEN) ** 2)),
            (NOISES, -0.5 * (np.log(NOISES / NOISE) / NOISE_SPREAD) ** 2 - np.log(NOISES)),
            (SEEDINGS, -np.log1p((SEEDINGS / SEEDS) ** 2)),
        )
    )
    return np.array([sum(point) for point in itertools.product(between, noise, seeding)])


_LOG_PRIOR = _log_prior()
