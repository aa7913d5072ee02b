"""Dominance, hypervolume and knee of points whose every coordinate is better when larger.

Points are arrays (n, m): n points, m objectives.
"""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def non_dominated(points: Points) -> list[int]:
    """Indices of the points that no other point dominates, in the order of the points.

    One point dominates another if it is nowhere worse and somewhere better; equal points do not
    dominate each other. No coordinate is nan.
    """
    kept: list[int] = []
    left = np.lexsort(points.T[::-1])[::-1]  # a point can only be dominated by an earlier one
    while len(left):
        first, others = points[left[0]], points[left[1:]]
        kept.append(int(left[0]))
        left = left[1:][np.any(others > first, axis=1) | np.all(others == first, axis=1)]
    return sorted(kept)


def hypervolume(points: Points) -> float:
    """Volume of what the points dominate, above 0 in every coordinate."""
    points = points[(points > 0).all(axis=1)]
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[non_dominated(points)]
    points = points[np.argsort(-points[:, -1])]
    heights = points[:, -1] - np.append(points[1:, -1], 0.0)
    # Slices along the last coordinate: each is as deep as the points that reach it cover the others.
    return sum(
        float(height) * hypervolume(points[: count + 1, :-1]) for count, height in enumerate(heights) if height > 0
    )


def knee(points: Points) -> int:
    """Index of the point of a two-objective front that is farthest above the line between its ends.

    Both objectives are scaled to 0..1 over the front. Of fewer than three points it is the one best
    in the first objective.
    """
    best = int(np.argmax(points[:, 0]))
    if len(points) < 3:
        return best
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    return int(np.argmax(scaled.sum(axis=1)))  # the ends are (1, 0) and (0, 1): distance grows with the sum


def scale(values: Points, low: Points, high: Points) -> Points:
    """Values (n, m) scaled to 0..1 between bounds (m,), and clipped; 1 where the bounds are equal."""
    spread = np.where(high > low, high - low, 1.0)
    return np.where(high > low, np.clip((values - low) / spread, 0.0, 1.0), 1.0)


def layers(points: Points) -> NDArray[np.int64]:
    """Of each point how many layers are before its own, (n,): non-dominated sorting.

    Layer 0 is the front, and each further layer the front of what the earlier ones leave.
    Deb et al.: A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE Trans. Evol. Comp. 2002, III-A.
    """
    count = len(points)
    as_good, better = np.ones((count, count), bool), np.zeros((count, count), bool)
    for values in points.T:
        as_good &= values[:, None] >= values
        better |= values[:, None] > values
    dominates = as_good & better
    ahead = dominates.sum(axis=0)  # points not in a layer yet that dominate each
    found = np.full(count, -1)
    for layer in range(count):
        there = np.flatnonzero((ahead == 0) & (found < 0))
        if not len(there):
            break
        found[there] = layer
        ahead = ahead - dominates[there].sum(axis=0)
    return found


def contributions(points: Points) -> NDArray[np.float64]:
    """What each point alone adds to the hypervolume of all, (n,); nothing where another is nowhere worse.

    It is the volume that the point dominates, less what the others dominate of that.
    While et al.: A fast way of calculating exact hypervolumes, IEEE Trans. Evol. Comp. 2012.
    """
    points = np.clip(points, 0.0, None)
    others = (np.minimum(np.delete(points, index, axis=0), point) for index, point in enumerate(points))
    alone = [float(point.prod()) - hypervolume(shared) for point, shared in zip(points, others, strict=True)]
    return np.array(alone).clip(0.0)
