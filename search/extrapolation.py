"""What trainings that were stopped would have come to, and how much that tells: curves are told on by regression.

At a rung, trainings came to x; what those that passed it came to in the end, y, is regressed on that,

    y = a + b x + noise of variance v,

as if PRIOR more had passed in which the two had nothing to do with each other. So a training that was stopped is
expected to come to m = a + b x. That is drawn to the mean M of all that reached the rung, since a rung tells only
R2 = s2 / (s2 + v) of how trainings differ, where s2 is the variance of m over these. A model of designs has its own
opinion of what they come to and is not to be told of it twice, so it is told of

    M + (m - M) / R2,   measured with variance v / R2 beside that of a training, sigma2,

which weighs as much as the fraction sigma2 / (sigma2 + v / R2) of a training. Where rungs say nothing this is none.
That some are stopped does no harm: they were chosen by x, and given x a regression is the same for all.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.surrogate import KNOWN, Surrogate, location

Array = NDArray[np.float64]

PRIOR = 4.0
"""So many trainings, of which the rung said nothing, are added to those that passed it."""
LEAST = 0.01
"""What weighs less than this fraction of a training is left out."""


def curves(histories: Sequence[Sequence[float | None]], ends: Array) -> Array:
    """What trainings came to epoch by epoch, (n, epochs); NaN from where they were stopped.

    Args:
        histories: of each training what it came to in each epoch.
        ends: (n,), what those at their end came to; NaN of those that were stopped.
    """
    stopped = np.isnan(ends)
    epochs = (np.array([len(it) for it in histories], int) + stopped).max(initial=1)
    found = np.full((len(histories), epochs), np.nan)
    for row, history in enumerate(histories):
        if history:
            found[row, : len(history)] = history
    found[~stopped, -1] = ends[~stopped]
    return found


def foreseen(trained: Array, noise: float) -> tuple[Array, Array]:
    """What trainings that were stopped are as good as having come to, and with which weights.

    Args:
        trained: (n, epochs), what n trainings came to epoch by epoch; NaN from where they were stopped.
        noise: standard deviation of the trainings of one design.

    Returns:
        Scores and weights, (n,); of those at their end the last value, and 1. Where the rung says nothing, or hardly
        anybody has passed it yet, a weight is 0.
    """
    told, weights = trained[:, -1].copy(), (~np.isnan(trained[:, -1])).astype(float)
    ends, spread = trained[:, -1].copy(), np.zeros(len(trained))  # expected, and the variance of that
    lengths = np.where(weights > 0, trained.shape[1], (~np.isnan(trained)).sum(axis=1))
    for rung in sorted({*lengths.tolist()} - {0, trained.shape[1]}, reverse=True):
        at = trained[:, rung - 1]
        stopped = np.flatnonzero(lengths == rung)
        # Those stopped later count with what is expected of them.
        passed = np.flatnonzero((lengths > rung) & ~np.isnan(ends) & ~np.isnan(at))
        told[stopped], weights[stopped] = 0.0, 0.0
        if len(passed) < 2:
            continue
        x, y = at[passed] - at[passed].mean(), ends[passed] - ends[passed].mean()
        centre, scale = location(at[np.concatenate([passed, stopped])])
        squares = x @ x + PRIOR * scale**2
        total = (y @ y + spread[passed].sum()) * (1 + PRIOR / len(passed))
        slope = (x @ y) / squares
        if slope <= 0:
            continue
        left = (total - slope * (x @ y)) / (len(passed) + PRIOR)
        away = at[stopped] - at[passed].mean()
        ends[stopped] = ends[passed].mean() + slope * away
        spread[stopped] = left * (1 + 1 / len(passed) + away**2 / squares)  # the slope is not known exactly either
        middle = ends[passed].mean() + slope * (centre - at[passed].mean())
        shares = (slope * scale) ** 2 / ((slope * scale) ** 2 + spread[stopped])
        told[stopped] = middle + (ends[stopped] - middle) / shares
        weights[stopped] = noise**2 / (noise**2 + spread[stopped] / shares)
    return told, weights


def learnt(rows: Array, trained: Array) -> Surrogate:
    """The model of designs from trainings at their end, at least one, and, as far as it has room, from those stopped.

    Args:
        rows: (n, F), the designs, in the order in which they were met.
        trained: (n, epochs), as `curves` makes them.
    """
    complete = ~np.isnan(trained[:, -1])
    model = Surrogate.fit(rows[complete], trained[complete, -1])
    room = KNOWN - model.known
    if complete.all() or room <= 0:
        return model
    scores, weights = foreseen(trained, model.noise)
    telling = np.flatnonzero(~complete & (weights >= LEAST))[-room:]
    return model.told(rows[telling], scores[telling], weights[telling])
