"""What trials say of designs that were not trained: a Gaussian process over the fields of a design.

Arrays: `rows` (n, F) has a design a row and a field a column, as `Encoding` makes them; `scores` (n,) has what each
training came to, larger being better. Rows may be equal: trainings of one design.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

Array = NDArray[np.float64]
FieldValue = int | str | float | bool | None
Point = Mapping[str, FieldValue]
"""A design's fields by name. A float is a number in 0..1; anything else is a kind, and so is to have no such field."""

REACH = 0.3
"""How far apart two numbers in 0..1 are that still say something of each other."""
KEPT = 0.5
"""What two designs still have in common, of what no field says alone, for each field that they differ in."""
TUNED_ON = 200
"""Trainings, the first ones, that the shares are estimated from; more tell hardly more and take long."""
NONE = -1.0
"""In a row, of a field that a point does not have; kinds come below."""
CONSTANT = 10.0
"""Variance of the constant: it is not known beforehand."""
TINY = 1e-9
KNOWN = 500
"""Designs, those met last, that predictions are made from."""
BLOCK = 2000
"""Designs whose expected values are found at a time, so that what is between stays in the processor's caches."""


class Encoding:
    """Points as rows of numbers.

    Args:
        points: every point that will be encoded; their fields become columns.
        basis: an encoding of other points, whose rows are rows of this one, too, once they are `widened`.
    """

    def __init__(self, points: Iterable[Point], basis: "Encoding | None" = None) -> None:
        self._codes: dict[str, dict[FieldValue, int]] = {}
        if basis is not None:
            self._codes = {name: dict(codes) for name, codes in basis._codes.items()}
        for point in points:
            for name, value in point.items():
                codes = self._codes.setdefault(name, {})
                codes.setdefault(value, len(codes))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self._codes)

    def values(self, name: str) -> tuple[FieldValue, ...]:
        """The values that a field has in some point."""
        return tuple(self._codes[name])

    def rows(self, points: Sequence[Point]) -> Array:
        """The points as rows (n, F): numbers as they are, else below 0 what kind a value is."""
        return np.array(
            [[self._number(name, point[name]) if name in point else NONE for name in self._codes] for point in points]
        ).reshape(len(points), len(self._codes))

    def widened(self, rows: Array) -> Array:
        """Rows of the basis with this encoding's columns, of which they have none."""
        return np.pad(rows, ((0, 0), (0, len(self._codes) - rows.shape[1])), constant_values=NONE)

    def _number(self, name: str, value: FieldValue) -> float:
        return value if isinstance(value, float) else -2.0 - self._codes[name][value]


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A fitted model of scores.

    A score is a constant, what each field adds by itself, what fields add together, and noise; each has a share of the
    variance, estimated from the scores.

    Attributes:
        noise: standard deviation of the trainings of one design.
    """

    noise: float
    _rows: Array
    _targets: Array
    _counts: Array
    _shares: Array
    _centre: float
    _scale: float
    _before: "Surrogate | None" = None
    """The model that was told of the last rows."""

    @property
    def known(self) -> int:
        """Designs that it is made from."""
        return len(self._rows)

    @classmethod
    def fit(cls, rows: Array, scores: Array) -> "Surrogate":
        """The model of these trainings, at least one, in the order in which they were met."""
        return _fitted(rows.tobytes(), scores.tobytes(), rows.shape[1])

    def believing(self, rows: Array) -> "Surrogate":
        """The model if trainings of these designs came to what it expects of them."""
        return self.told(rows, self.expected(rows), np.ones(len(rows)))

    def told(self, rows: Array, scores: Array, weights: Array) -> "Surrogate":
        """The model if it is told of these scores (m,), too, each worth a fraction (m,) of a training."""
        return replace(
            self,
            _rows=np.concatenate([self._rows, rows]),
            _targets=np.append(self._targets, (scores - self._centre) / self._scale),
            _counts=np.append(self._counts, weights),
            _before=self,
        )

    def expected(self, rows: Array) -> Array:
        """The expected values (m,) that `predict` has, for less work."""
        blocks = (rows[start : start + BLOCK] for start in range(0, max(1, len(rows)), BLOCK))
        common = [_covariance(self._rows, block, self._shares).T @ self._weights for block in blocks]
        means: Array = self._centre + self._scale * np.concatenate(common)
        return means

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Of designs (m, F) what their trainings come to on average: expected values (m,), standard deviations (m,)."""
        common, explained = self._in_common(rows)
        own = CONSTANT + self._shares[1:].sum()
        left = np.sqrt(np.maximum(own - (explained**2).sum(axis=0), TINY))
        return self._centre + self._scale * (common.T @ self._weights), self._scale * left

    def sums(self, rows: Array, weights: Array) -> tuple[Array, Array]:
        """Of weighted sums (k, m) over designs (m, F): expected values (k,), standard deviations (k,)."""
        common, explained = self._in_common(rows)
        expected = self._centre * weights.sum(axis=1) + self._scale * (weights @ (common.T @ self._weights))
        left = _covariance(rows, rows, self._shares) - explained.T @ explained
        variances = np.einsum("ki,ij,kj->k", weights, left, weights, optimize=True)
        return expected, self._scale * np.sqrt(np.maximum(variances, TINY))

    def _in_common(self, rows: Array) -> tuple[Array, Array]:
        """Covariances (n, m) with the known designs, and how much of them these explain."""
        common = _covariance(self._rows, rows, self._shares)
        return common, solve_triangular(self._factor, common, lower=True)

    @cached_property
    def _factor(self) -> Array:
        """Lower triangle (n, n), by blocks where a model before has the first one."""
        known = 0 if self._before is None else self._before.known
        rows = self._rows[known:]
        block = _covariance(rows, rows, self._shares) + np.diag(self._shares[0] / self._counts[known:])
        if self._before is None:
            first: Array = cholesky(block, lower=True)
            return first
        _, explained = self._before._in_common(rows)
        factor = np.zeros((self.known, self.known))
        factor[:known, :known] = self._before._factor
        factor[known:, :known] = explained.T
        factor[known:, known:] = cholesky(block - explained.T @ explained, lower=True)
        return factor

    @cached_property
    def _weights(self) -> Array:
        weights: Array = cho_solve((self._factor, True), self._targets)
        return weights


@lru_cache(maxsize=8)
def _fitted(rows_bytes: bytes, scores_bytes: bytes, fields: int) -> Surrogate:
    scores = np.frombuffer(scores_bytes)
    rows = np.frombuffer(rows_bytes).reshape(len(scores), fields)
    first = _rung(len(scores))
    shares = _tuned(rows[:first].tobytes(), scores[:first].tobytes(), fields)
    designs, means, counts = _pooled(rows, scores)
    centre, scale = location(scores)
    targets = (means - centre) / scale
    noise = scale * math.sqrt(shares[0])
    return Surrogate(noise, designs[-KNOWN:], targets[-KNOWN:], counts[-KNOWN:], shares, centre, scale)


def _pooled(rows: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Each design once, in the order of their last trainings, with the mean and the number of its scores."""
    _, last, which = np.unique(rows[::-1], axis=0, return_index=True, return_inverse=True)
    which = which.reshape(-1)[::-1]
    counts = np.bincount(which).astype(float)
    means = np.bincount(which, scores) / counts
    order = np.argsort(-last)
    return rows[::-1][last[order]], means[order], counts[order]


def location(scores: Array) -> tuple[float, float]:
    """Centre and spread that a few bad scores hardly move."""
    low, centre, high = np.quantile(scores, (0.25, 0.5, 0.75))
    return float(centre), float((high - low) / 1.35 or scores.std() or 1.0)


def _likeness(left: Array, right: Array) -> Array:
    """How like each other designs are (n, m) in a field, from its columns: 1 where the same, 0 where of two kinds."""
    one, other = left[:, None], right[None, :]
    alike: Array = (one == other).astype(float)
    if left.max() >= 0 and right.max() >= 0:
        numbers = (one >= 0) & (other >= 0)
        alike = np.where(numbers, np.exp(-0.5 * ((one - other) / REACH) ** 2), alike)
    return alike


def _parts(left: Array, right: Array) -> Iterator[Array]:
    """The parts of a covariance, (n, m) each: of each field by itself, and at last of all fields together."""
    together = np.ones((len(left), len(right)))
    for one, other in zip(left.T, right.T, strict=True):
        alike = _likeness(one, other)
        yield alike
        together *= KEPT + (1 - KEPT) * alike
    yield together


def _covariance(left: Array, right: Array, shares: Array) -> Array:
    """The parts, weighed: of kinds all fields at once, by a product of matrices."""
    kinds = (left.max(axis=0, initial=NONE) < 0) | (right.max(axis=0, initial=NONE) < 0)
    fields, own = np.flatnonzero(kinds).tolist(), shares[1:-1]
    values = [(field, value) for field in fields for value in np.unique(right[:, field])]
    mine, theirs = _having(values, left), _having(values, right)
    weights = own[[field for field, _ in values]] if values else np.empty(0)
    covariance: Array = mine.T.astype(float) @ (weights[:, None] * theirs)
    covariance += CONSTANT
    differing = mine.T @ theirs  # small whole numbers are exact
    np.subtract(len(fields), differing, out=differing)
    together = np.power(np.float32(KEPT), differing, out=differing).astype(float)
    for field in np.flatnonzero(~kinds):
        alike = _likeness(left[:, field], right[:, field])
        covariance += own[field] * alike
        together *= KEPT + (1 - KEPT) * alike
    together *= shares[-1]
    covariance += together
    return covariance


def _having(values: Sequence[tuple[int, float]], rows: Array) -> NDArray[np.float32]:
    """Whether designs (n, F) have each of these values of a field, (values, n)."""
    return np.array([rows[:, field] == value for field, value in values], np.float32).reshape(len(values), len(rows))


def _rung(count: int) -> int:
    """How many trainings the shares are estimated from, of so many: they are not estimated anew for each."""
    rung = 4
    while rung < TUNED_ON and (grown := rung + max(1, rung // 8)) <= count:
        rung = grown
    return min(rung, TUNED_ON, count)


@lru_cache(maxsize=8)
def _tuned(rows_bytes: bytes, scores_bytes: bytes, fields: int) -> Array:
    """Shares (F + 2,) of the variance: of noise, of each field, of fields together; the most probable ones."""
    from scipy.optimize import minimize  # takes a while, and the first trials need no model

    scores = np.frombuffer(scores_bytes)
    rows = np.frombuffer(rows_bytes).reshape(len(scores), fields)
    designs, means, counts = _pooled(rows, scores)
    centre, scale = location(scores)
    targets = (means - centre) / scale
    within = max(((scores - centre) ** 2).sum() / scale**2 - (counts * targets**2).sum(), 0.0)
    parts = np.array([np.diag(1 / counts), *_parts(designs, designs)])
    usual = np.log(np.array([0.6, *[0.4 / max(fields, 1)] * fields, 0.3]))
    spread = np.array([1.0, *[1.5] * fields, 1.0])

    def surprise(logs: Array) -> tuple[float, Array]:
        """Minus the logarithm of the probability, and its slopes."""
        shares = np.exp(logs)
        factor = cho_factor(CONSTANT + np.tensordot(shares, parts, axes=1), lower=True)
        inverse = cho_solve(factor, np.eye(len(targets)))
        weights = inverse @ targets
        repeats = len(scores) - len(targets)
        value = 0.5 * targets @ weights + np.log(np.diag(factor[0])).sum()
        value += 0.5 * (repeats * logs[0] + within / shares[0]) + 0.5 * (((logs - usual) / spread) ** 2).sum()
        slopes = 0.5 * shares * np.tensordot(parts, inverse - np.outer(weights, weights), axes=2)
        slopes[0] += 0.5 * (repeats - within / shares[0])
        return float(value), slopes + (logs - usual) / spread**2

    found = minimize(
        surprise, usual, jac=True, method="L-BFGS-B", bounds=[(-10.0, 6.0)] * len(usual), options={"maxiter": 40}
    )
    tuned: Array = np.exp(found.x)
    tuned.flags.writeable = False
    return tuned
