"""Which design of a search is worth training again: the one of which it is least certain whether it is on a front."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from search.designs import TrainedDesign, doubts, plain_of, trained_designs
from search.objectives import Objectives
from search.tally import Tally
from search.trials import Job, Trial
from space.choices import Candidate
from space.seeds import mix_seed

MOST_LOST = 3
"""A design of which a machine failed so many replicates is not trained again."""
LEARN_EVERY = 0.02
"""Of all trainings so many are new when what is known of designs is learnt again: of thousands that takes long."""


@dataclass(kw_only=True)
class Replicates:
    """Gives a share of a search's epochs to further trainings of designs that trained to the end.

    What it decides depends on the trials alone.

    Attributes:
        share: of all epochs, at most; 0 for no replicates.
        objectives: of the search.
        images: that the metric is judged on.
        seed: of the study.
        most: trainings of one design, of which a table of curves may have no more; None for any number.
        rest: whether all that designs leave of the epochs trains them again, too: something else ends the search.
    """

    share: float
    objectives: Objectives
    images: int
    seed: int
    most: int | None = None
    rest: bool = False
    _learnt: "_Learnt" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._learnt = _Learnt()

    def next(self, trials: Tally, *, last: bool = False) -> Job | None:
        """What to train again now; None if it is time for another design, or nothing can be trained again.

        `last` says that there is no other design to try: then the rest is not bound by the share.
        The plain network is trained under a seed before any other design is: all gains are over it.
        """
        if not self._due(trials, unbound=last and self.rest):
            return None
        learnt, spoilt = self._learn(trials), _spoilt(trials.failed_again.values())

        def begun(it: TrainedDesign) -> int:
            return len(trials.begun[it.candidate])

        def may(it: TrainedDesign) -> bool:
            return it.candidate not in spoilt and (self.most is None or begun(it) < self.most)

        # Of equals the one that was trained least, and then first.
        chosen, best = None, (-1.0, 0, 0)
        for place in learnt.by_doubt:
            it, doubt = learnt.designs[place], learnt.doubts[place]
            if doubt / 2 < best[0]:  # they were all trained once, at least
                break
            worth = doubt / (begun(it) + 1), -begun(it), -place
            if worth > best and may(it):
                chosen, best = it, worth
        plain = learnt.plain
        if chosen is not None and plain is not None and may(plain) and begun(plain) <= begun(chosen):
            chosen = plain
        return None if chosen is None else self._again(chosen.first.job, trials)

    def _learn(self, trials: Tally) -> "_Learnt":
        """From all trainings but the few that ended last: the same for some decisions in a row."""
        few = len(trials.complete) % _learn_every(len(trials.complete))
        first = len(trials.complete) - few
        basis = first, trials.complete[first - 1].number if first else None
        if self._learnt.basis != basis:
            last = {trial.number for trial in trials.complete[first:]}
            earlier = [trial for trial in trials.in_order() if trial.number not in last]
            trained = trained_designs(earlier, self.objectives.metric)
            plain = plain_of(earlier)
            self._learnt = _Learnt(
                basis=basis,
                designs=trained,
                doubts=doubts(trained, self.objectives, self.images).tolist(),
                plain=next((it for it in trained if it.candidate == plain), None),
            )
        return self._learnt

    def _due(self, trials: Tally, *, unbound: bool) -> bool:
        """Whether another replicate stays within the share; a running training counts as if it were at its end."""
        whole = trials.longest
        if not self.share or unbound or not whole:
            return self.share > 0 and whole > 0
        running = len(trials.running)
        again = trials.epochs_again + (trials.running_again + 1) * whole
        return again <= self.share * (trials.epochs + (running + 1) * whole) + 1e-9

    def _again(self, job: Job, trials: Tally) -> Job:
        """The next training of a job's design: under the first seed that it has not been trained under."""
        there = trials.begun[job.candidate]
        replicate = next(count for count in range(1, len(there) + 2) if count not in there)
        return Job(
            backbone=job.backbone,
            design=job.design,
            seed=mix_seed(self.seed, replicate),
            costs=job.costs,
            replicate=replicate,
        )


@dataclass(frozen=True, kw_only=True)
class _Learnt:
    """What is known of designs, and from which trials.

    Attributes:
        basis: how many complete ones, and the number of the one that ended last: which are the others follows.
        designs: by number of their first complete training.
        doubts: of each.
        plain: the one that gains are over, if it is there.
    """

    basis: tuple[int, int | None] = (0, None)
    designs: Sequence[TrainedDesign] = ()
    doubts: Sequence[float] = ()
    plain: TrainedDesign | None = None

    @cached_property
    def by_doubt(self) -> Sequence[int]:
        """Their places, the most doubtful first."""
        return sorted(range(len(self.doubts)), key=lambda place: -self.doubts[place])


def _learn_every(trainings: int) -> int:
    """So many trainings are new when something is learnt again: the same number for many in a row."""
    every = max(1, int(LEARN_EVERY * trainings))
    coarse = max(0, every.bit_length() - 3)  # three binary digits are kept
    return every >> coarse << coarse


def _spoilt(failed_again: Iterable[Trial]) -> set[Candidate]:
    """Designs of which a replicate failed by its own fault, or a machine failed too many."""
    failed = [(trial.job.candidate, trial.failure) for trial in failed_again if trial.failure is not None]
    lost = Counter(candidate for candidate, _ in failed)
    return {candidate for candidate, failure in failed if failure.own or lost[candidate] >= MOST_LOST}
