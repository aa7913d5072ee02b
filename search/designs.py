"""The designs of a search, each with all of its trainings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from search.trials import State, Trial
from space.choices import Candidate
from space.design import Design


@dataclass(frozen=True)
class Trained:
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


def trained_designs(trials: Iterable[Trial], metric: str) -> list[Trained]:
    """The designs that trained to the end, by number of their first complete training."""
    complete = sorted((trial for trial in trials if trial.state is State.COMPLETE), key=lambda trial: trial.number)
    first: dict[Candidate, Trial] = {}
    scores: dict[Candidate, dict[int, float]] = {}
    for trial in complete:
        first.setdefault(trial.job.candidate, trial)
        scores.setdefault(trial.job.candidate, {})[trial.job.replicate] = trial.last[metric]
    return [Trained(trial, scores[candidate]) for candidate, trial in first.items()]


def plain_of(trials: Iterable[Trial]) -> Candidate | None:
    """What gains are over: the plain backbone, if it trained to the end; of several the one that was begun first."""
    begun = [t for t in trials if t.job.design == Design() and t.state not in (State.DUPLICATE, State.INFEASIBLE)]
    if not begun:
        return None
    plain = min(begun, key=lambda trial: trial.number).job.candidate
    return plain if any(t.state is State.COMPLETE and t.job.candidate == plain for t in begun) else None
