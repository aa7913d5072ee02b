"""What ends a search beside its budget: bounds on work, and gains that no longer come.

Each is decided from the trials that were told, and from which ones are on their way, but not from how far these are: so
a search that was interrupted ends where it would have ended.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from search.designs import trained_designs
from search.hypervolume import Bounds, Growth
from search.trials import State, Trial
from space.choices import Candidate


@dataclass(frozen=True)
class Ending:
    """Why no other trial is begun now.

    Attributes:
        by: `budget`, `space`, or the name of the bound.
        says: the same in a sentence, without its full stop.
    """

    by: str
    says: str


class Bound(Protocol):
    """On the work of a search."""

    def __call__(self, trials: Collection[Trial]) -> Ending | None:
        """Whether it is reached, from all trials; None while another one may begin."""

    def room(self, trials: Collection[Trial], seconds_each: float) -> float:
        """About how many trainings more it allows, each of which takes so long."""


@dataclass(frozen=True, kw_only=True)
class MaxEpochs:
    """Bounds the epochs of all trainings, those that stopped or failed and replicates too; it is never exceeded.

    Attributes:
        epochs: in all.
        each: of a whole training, which one on its way counts as.
    """

    epochs: int
    each: int

    def __call__(self, trials: Collection[Trial]) -> Ending | None:
        """Reached when a whole training more would exceed it."""
        if self._spent(trials) + self.each <= self.epochs:
            return None
        return Ending("max_epochs", f"--max-epochs {self.epochs} is reached: another training would exceed it")

    def room(self, trials: Collection[Trial], seconds_each: float) -> float:
        """The whole trainings that still fit."""
        return max(0, self.epochs - self._spent(trials)) // self.each

    def _spent(self, trials: Collection[Trial]) -> int:
        return sum(self.each if trial.state is State.RUNNING else len(trial.history) for trial in trials)


@dataclass(frozen=True, kw_only=True)
class Hours:
    """Bounds the seconds that the epochs of all trainings took, times the processors that a training has.

    Attributes:
        hours: of GPUs, or of cores where there is none.
        processors: that a training has: GPUs, which may be a fraction, or cores.
    """

    hours: float
    processors: float

    def __call__(self, trials: Collection[Trial]) -> Ending | None:
        """Reached when another training, as long as those so far that went to their end, would exceed it."""
        whole = [_seconds(trial) for trial in trials if trial.state is State.COMPLETE]
        each = sum(whole) / len(whole) if whole else 0.0
        ahead = each * sum(trial.state is State.RUNNING for trial in trials)
        if self._spent(trials) + (ahead + each) * self.processors <= 3600 * self.hours:
            return None
        return Ending("gpu_hours", f"--gpu-hours {self.hours:g} is reached: another training would exceed it")

    def room(self, trials: Collection[Trial], seconds_each: float) -> float:
        """What is left over the time that a training takes."""
        return max(0.0, 3600 * self.hours - self._spent(trials)) / (seconds_each * self.processors)

    def _spent(self, trials: Collection[Trial]) -> float:
        return self.processors * sum(_seconds(trial) for trial in trials if trial.state is not State.RUNNING)


@dataclass(kw_only=True)
class Patience:
    """Bounds the designs in a row that add nothing beyond noise to the gain hypervolume.

    What the last designs add is beyond noise when it is expected to be more than its own standard deviation, by all
    that is not known of what designs come to under a new seed.

    Attributes:
        designs: the last ones, stopped ones too, without replicates.
        bounds: of the hypervolume.
        images: that the metric is judged on.
    """

    designs: int
    bounds: Bounds
    images: int
    _known: tuple[object, Growth | None] = field(default=(None, None), init=False, repr=False)

    def __call__(self, trials: Collection[Trial]) -> Ending | None:
        """Reached when there were more designs than that, and the last ones added nothing beyond noise."""
        counted = [trial.job.candidate for trial in trials if trial.counts]
        growth = self._growth(trials, counted[-self.designs :]) if len(counted) > self.designs else None
        if growth is None or growth.volume > growth.noise:
            return None
        added = f"the last {self.designs:,} designs added {growth.volume:.3f} ± {growth.noise:.3f}"
        return Ending(
            "patience", f"--patience {self.designs} is reached: {added} to the gain hypervolume, no more than noise"
        )

    def _growth(self, trials: Collection[Trial], latest: Sequence[Candidate]) -> Growth | None:
        """By the latest designs; computed once, until another one comes to something."""
        basis = (trained_designs(trials, self.bounds.objectives.metric), latest)
        if self._known[0] != basis:
            self._known = basis, self.bounds.growth(trials, latest, self.images)
        return self._known[1]

    def room(self, trials: Collection[Trial], seconds_each: float) -> float:
        """As many as one likes: who knows when it is reached."""
        return float("inf")


@dataclass(frozen=True)
class FirstOf:
    """Several bounds; with none there is always room.

    Attributes:
        bounds: of which one reached is enough.
    """

    bounds: Sequence[Bound] = ()

    def __call__(self, trials: Collection[Trial]) -> Ending | None:
        """The first that is reached."""
        return next((ending for bound in self.bounds if (ending := bound(trials)) is not None), None)

    def room(self, trials: Collection[Trial], seconds_each: float) -> float:
        """The least that one allows."""
        return min((bound.room(trials, seconds_each) for bound in self.bounds), default=float("inf"))


UNBOUND = FirstOf()


def _seconds(trial: Trial) -> float:
    return sum(report.get("seconds", 0.0) for report in trial.history)
