"""The designs of a search, each with all of its trainings and with what is known of it."""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from search.estimates import DRAWS, Array, Estimates, estimate
from search.objectives import Objectives
from search.trials import State, Trial
from space.choices import Candidate
from space.design import Design

PLAIN = Design()
NUMBERS, FEWEST_DRAWS = 400_000, 250
"""Of thousands of designs there are fewer draws: so many numbers in all, so many draws at least."""


@dataclass(frozen=True)
class TrainedDesign:
    """A design that trained to the end.

    Attributes:
        first: its first complete training.
        scores: the metric's last value in each complete training, by `replicate`.
    """

    first: Trial
    scores: Mapping[int, float]

    @property
    def candidate(self) -> Candidate:
        """Backbone and design."""
        return self.first.job.candidate

    @property
    def mean(self) -> float:
        """Of its trainings."""
        return fmean(self.scores.values())


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a design that trained to the end.

    Attributes:
        first: its first complete training.
        n: its complete trainings.
        score: expected under a new seed.
        gain: on the plain network likewise; None before that has trained, and so the next three.
        low: lower end of the 95 % interval of the gain.
        high: upper end.
        p_better: probability that the gain is above 0.
        p_front: probability of being on the front of each cost, by the cost's name.
        plain: whether this is what gains are over.
    """

    first: Trial
    n: int
    score: float
    gain: float | None
    low: float | None
    high: float | None
    p_better: float | None
    p_front: Mapping[str, float]
    plain: bool

    @property
    def candidate(self) -> Candidate:
        """Backbone and design."""
        return self.first.job.candidate


def trained_designs(trials: Iterable[Trial], metric: str) -> list[TrainedDesign]:
    """The designs that trained to the end, by number of their first complete training."""
    complete = sorted((trial for trial in trials if trial.state is State.COMPLETE), key=lambda trial: trial.number)
    first: dict[Candidate, Trial] = {}
    scores: dict[Candidate, dict[int, float]] = {}
    for trial in complete:
        first.setdefault(trial.job.candidate, trial)
        scores.setdefault(trial.job.candidate, {})[trial.job.replicate] = trial.last[metric]
    return [TrainedDesign(trial, scores[candidate]) for candidate, trial in first.items()]


def plain_begun(trials: Iterable[Trial]) -> Candidate | None:
    """The plain backbone that gains are over, however far it is; of several the one that was begun first."""
    begun = [t for t in trials if t.job.design == PLAIN and t.state not in (State.DUPLICATE, State.INFEASIBLE)]
    return min(begun, key=lambda trial: trial.number).job.candidate if begun else None


def plain_of(trials: Collection[Trial]) -> Candidate | None:
    """The same if it trained to the end: before that there are no gains."""
    plain = plain_begun(trials)
    return plain if any(t.state is State.COMPLETE and t.job.candidate == plain for t in trials) else None


def known_designs(trials: Sequence[Trial], objectives: Objectives, images: int) -> list[Known]:
    """What is known of the designs that trained to the end, by number of their first complete training.

    Args:
        trials: of a search.
        objectives: of the search.
        images: that the metric is judged on.
    """
    trained = trained_designs(trials, objectives.metric)
    if not trained:
        return []
    plain = plain_of(trials)
    estimates = estimates_of(trained, images)
    candidates = [it.candidate for it in trained]
    gains = None if plain is None else estimates.gains(candidates.index(plain))
    on_fronts = _on_fronts(trained, estimates, objectives)
    return [
        Known(
            first=it.first,
            n=len(it.scores),
            score=float(estimates.mean[row]),
            gain=None if gains is None else float(gains.mean[row]),
            low=None if gains is None else float(gains.low[row]),
            high=None if gains is None else float(gains.high[row]),
            p_better=None if gains is None else float(gains.p_better[row]),
            p_front={name: float(on_front[row]) for name, on_front in on_fronts.items()},
            plain=it.candidate == plain,
        )
        for row, it in enumerate(trained)
    ]


def doubts(trained: Sequence[TrainedDesign], objectives: Objectives, images: int) -> Array:
    """How uncertain it is on which fronts each of D designs, at least one, is: the variances of that together, (D,)."""
    on_fronts = _on_fronts(trained, estimates_of(trained, images), objectives)
    together: Array = np.sum([p * (1 - p) for p in on_fronts.values()], axis=0)
    return together


def _on_fronts(trained: Sequence[TrainedDesign], estimates: Estimates, objectives: Objectives) -> Mapping[str, Array]:
    """By the name of each cost the probabilities of being on its front, (D,)."""
    return {
        cost.name: estimates.on_front(np.array([cost.sign * it.first.job.costs[cost.key] for it in trained], float))
        for cost in objectives.costs
    }


def estimates_of(trained: Sequence[TrainedDesign], images: int) -> Estimates:
    """The joint distribution of what designs, at least one, come to under a new seed; scores judged on `images`."""
    return _estimates(tuple((it.candidate[0], tuple(it.scores.items())) for it in trained), images)


@functools.lru_cache(maxsize=4)
def _estimates(trained: tuple[tuple[str, tuple[tuple[int, float], ...]], ...], images: int) -> Estimates:
    """Of all designs together; those of one backbone are shrunk towards each other, not towards another's.

    Args:
        trained: of each design the backbone, and the scores with the numbers of their seeds.
        images: that the metric is judged on.
    """
    count = min(DRAWS, max(FEWEST_DRAWS, NUMBERS // len(trained)))
    backbones = np.array([backbone for backbone, _ in trained])
    mean = np.empty(len(trained))
    draws = np.empty((count, len(trained)))
    for seed, backbone in enumerate(dict.fromkeys(backbones)):
        rows = np.flatnonzero(backbones == backbone)
        scores = np.full((len(rows), 1 + max(replicate for row in rows for replicate, _ in trained[row][1])), np.nan)
        for place, row in enumerate(rows):
            for replicate, score in trained[row][1]:
                scores[place, replicate] = score
        known = estimate(scores, images, seed, count)
        mean[rows], draws[:, rows] = known.mean, known.draws
    return Estimates(mean, draws)
