"""What a design is expected to add to fronts of a score against costs, when the costs are known and the score is not.

Arrays: `means` and `deviations` (n,) of the unknown scores; `costs` (n, m) better when larger, in 0..1.
The front of a cost: for each level of it, the best score of those that reach it. A design adds where it is above that.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]


def expected_gain(means: Array, deviations: Array, costs: Array, known: Array, known_costs: Array) -> Array:
    """Expected growth (n,) of the areas under the fronts by each design, summed over the costs.

    Without costs it is the expected improvement on the best score.

    Args:
        means: expected scores of the designs.
        deviations: standard deviations of them.
        costs: of the designs.
        known: (k,) scores that make the fronts, at least one.
        known_costs: (k, m) of those.
    """
    if costs.shape[1] == 0:
        return _improvement(means, deviations, known.max())
    gains = np.zeros(len(means))
    for cost, reached in zip(costs.T, known_costs.T, strict=True):
        order = np.argsort(-reached)
        rises = np.diff(np.maximum.accumulate(known[order]), prepend=-np.inf) > 0
        levels = np.unique([*reached[order][rises], 0.0, 1.0])  # between two of them the same design is the best
        for low, high in pairwise(levels):
            best = known[reached >= high].max(initial=known.min())
            gains += (np.clip(cost, low, high) - low) * _improvement(means, deviations, best)
    return gains


def _improvement(means: Array, deviations: Array, best: float) -> Array:
    """Expected amount by which normal scores are above a number."""
    standard = (means - best) / deviations
    improvement: Array = deviations * (standard * ndtr(standard) + np.exp(-0.5 * standard**2) / np.sqrt(2 * np.pi))
    return improvement
