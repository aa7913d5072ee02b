"""Which design of a search is worth training again: the one of which it is least certain whether it is on a front."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from search.designs import Known, known_designs
from search.objectives import Objectives
from search.trials import Job, State, Trial
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
    _learnt: tuple[object, Mapping[Candidate, Known]] = field(default=(None, {}), init=False, repr=False, compare=False)

    def next(self, trials: Sequence[Trial], *, last: bool = False) -> Job | None:
        """What to train again now; None if it is time for another design, or nothing can be trained again.

        `last` says that there is no other design to try: then the rest is not bound by the share.
        The plain network is trained under a seed before any other design is: all gains are over it.
        """
        if not self._due(trials, unbound=last and self.rest):
            return None
        known = self._known(trials)
        spoilt = _spoilt(trials)
        begun = Counter(t.job.candidate for t in trials if t.state in (State.COMPLETE, State.RUNNING))
        worth = {
            candidate: it.doubt / (begun[candidate] + 1)
            for candidate, it in known.items()
            if candidate not in spoilt and (self.most is None or begun[candidate] < self.most)
        }
        if not worth:
            return None
        # Of equals the one that was trained least, and then first.
        chosen = max(worth, key=lambda candidate: (worth[candidate], -begun[candidate]))
        plain = next((candidate for candidate, it in known.items() if it.plain), None)
        if plain in worth and begun[plain] <= begun[chosen]:
            chosen = plain
        return self._again(known[chosen].first.job, trials)

    def _known(self, trials: Sequence[Trial]) -> Mapping[Candidate, Known]:
        """From all trainings but the few that ended last: the same for some decisions in a row."""
        complete = sorted((trial for trial in trials if trial.state is State.COMPLETE), key=_end)
        few = len(complete) % max(1, int(LEARN_EVERY * len(complete)))
        basis = [trial.number for trial in complete[: len(complete) - few]]
        if self._learnt[0] != basis:
            last = {trial.number for trial in complete[len(complete) - few :]}
            earlier = [trial for trial in trials if trial.number not in last]
            known = known_designs(earlier, self.objectives, self.images)
            self._learnt = basis, {it.candidate: it for it in known}
        return self._learnt[1]

    def _due(self, trials: Sequence[Trial], *, unbound: bool) -> bool:
        """Whether another replicate stays within the share; a running training counts as if it were at its end."""
        if not self.share:
            return False
        whole = epochs = again = running = running_again = 0
        for trial in trials:
            if trial.state is State.RUNNING:
                running += 1
                running_again += trial.job.replicate > 0
                continue
            count = len(trial.history)
            epochs += count
            again += count if trial.job.replicate else 0
            if count > whole and trial.state is State.COMPLETE:
                whole = count
        if unbound or not whole:
            return whole > 0
        return again + (running_again + 1) * whole <= self.share * (epochs + (running + 1) * whole) + 1e-9

    def _again(self, job: Job, trials: Sequence[Trial]) -> Job:
        """The next training of a job's design: under the first seed that it has not been trained under."""
        there = {
            t.job.replicate
            for t in trials
            if t.job.candidate == job.candidate and t.state in (State.COMPLETE, State.RUNNING)
        }
        replicate = next(count for count in range(1, len(there) + 2) if count not in there)
        return Job(
            backbone=job.backbone,
            design=job.design,
            seed=mix_seed(self.seed, replicate),
            costs=job.costs,
            replicate=replicate,
        )


def _end(trial: Trial) -> tuple[datetime, int]:
    """What complete trials are sorted by: of two at once the one that began first comes first."""
    assert trial.finished is not None
    return trial.finished, trial.number


def _spoilt(trials: Sequence[Trial]) -> set[Candidate]:
    """Designs of which a replicate failed by its own fault, or a machine failed too many."""
    failed = [(t.job.candidate, t.failure) for t in trials if t.job.replicate and t.failure is not None]
    lost = Counter(candidate for candidate, _ in failed)
    return {candidate for candidate, failure in failed if failure.own or lost[candidate] >= MOST_LOST}
