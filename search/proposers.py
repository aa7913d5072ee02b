"""Where jobs come from: a sampler that searches a space, or a list that is worked off."""

from collections import Counter
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler

from search.candidates import Candidates
from search.genetic import Remembered
from search.objectives import Objectives
from search.proposals import Proposed, Rejected
from search.replicates import Replicates
from search.samplers import DECIDING_STEP_BY_STEP, choose_parents, deciding, make_fixed_sampler, make_sampler
from search.storage import Direction
from search.tally import Tally
from search.trials import FIXED, FailureKind, Job, Report, State, Trial
from search.unseen import Unseen
from space.choices import Candidate, SearchSpace
from space.cost import Costs, Limit, within
from space.declarations import Value
from space.design import Design
from space.lazily import Lazily
from space.seeds import mix_seed

COMES_FIRST = 3
"""A design that so many sessions failed by no fault of its own waits until the sampler decides on it."""


class Sampled:
    """Proposes what an Optuna sampler decides on, but first the plain backbone, if the limits allow it, and others.

    Designs that failed in an earlier session by no fault of their own come before what is decided, too.
    A design proposed before, or one outside the limits, is replaced by the unseen design within
    the limits that differs from it in the fewest decisions.

    Args:
        space: what may be tried.
        costs: of its designs, and of the plain backbone; a design without is beyond the limits.
        limits: designs beyond one are never trained.
        sampler: a name in `search.samplers.SAMPLERS`, or of a class.
        seed: of the study.
        objectives: of the study.
        replicates: which designs are trained again; None for none.
        first: designs that come after plain and before what the sampler decides on; they need not be in the space.
    """

    def __init__(
        self,
        space: SearchSpace,
        costs: Mapping[Candidate, Costs],
        limits: Sequence[Limit],
        sampler: str,
        seed: int,
        objectives: Objectives,
        replicates: Replicates | None = None,
        first: Sequence[Candidate] = (),
    ) -> None:
        self._space = space
        self._costs = costs
        self._limits = limits
        self._sampler = sampler
        self._seed = seed
        self._objectives = objectives
        self._replicates = replicates
        self._taken: set[Candidate] = set()
        decisions = {candidate: made for candidate, made in space.decisions.items() if candidate in costs}
        distributions = {name: CategoricalDistribution(options) for name, options in space.choices().items()}
        self._known = {
            "candidates": Candidates(decisions, distributions, self._may_train if limits else None),
            "costs": Lazily(decisions, lambda candidate: objectives.traded(costs[candidate])),
            "metric": objectives.metric,
            "remembered": Remembered(),
        }
        self._unseen = Unseen(decisions, self._may_train)
        self._lost: Counter[Candidate] = Counter()
        wanted = [candidate for candidate in [self._plain(), *first] if candidate is not None]
        self._first = [candidate for candidate in dict.fromkeys(wanted) if self._may_train(candidate)]

    def sampler(self, number: int) -> BaseSampler:
        """The sampler that decides for the trial of this number."""
        return self._make(number)

    def propose(self, handle: optuna.Trial) -> Proposed | Rejected:
        """The design that comes first or that the sampler decides on, or what to try instead."""
        first = self._comes_first(handle) if self._first else None
        fixed = self._leading_to(first) if first else {}

        def use(sampler: BaseSampler) -> None:
            handle.study.sampler = make_fixed_sampler(fixed, sampler) if fixed else sampler

        # What is decided together comes first, and for the rest the sampler is seeded anew for each decision:
        # neither must depend on which decisions were made in an earlier session.
        with deciding(self._sampler):
            choose_parents(self.sampler(handle.number), handle)
            use(self.sampler(handle.number))
            together = set(handle.relative_params)  # made when first looked at

        def choose(name: str, options: Sequence[Value]) -> Value:
            if name not in together:
                use(self._make(handle.number, *name.encode()))
            with deciding(self._sampler):
                decided = handle.suggest_categorical(name, options)
            assert isinstance(decided, int | str)
            return decided

        if self._sampler not in DECIDING_STEP_BY_STEP:
            for name, options in self._space.choices().items():
                choose(name, options)
        if first is not None and not fixed:  # where the space leaves it out
            return Proposed(self._job(first))
        candidate = self._space.sample(choose)
        job = self._job(candidate)
        taken = candidate in self._taken
        if not taken and self._may_train(candidate):
            return Proposed(job)
        instead = self._unseen.nearest(self._leading_to(candidate), mix_seed(self._seed, handle.number))
        return Rejected(job, State.DUPLICATE if taken else State.INFEASIBLE, self._leading_to(instead))

    def replicate(self, trials: Tally) -> Job | None:
        """A design to train again, as long as the share of replicates is not used up."""
        return None if self._replicates is None else self._replicates.next(trials, last=self.exhausted)

    def take(self, job: Job) -> None:
        """Note that this job has been given out."""
        self._taken.add(job.candidate)
        self._unseen.discard(job.candidate)
        self._first = [candidate for candidate in self._first if candidate != job.candidate]

    def recall(self, trial: Trial) -> None:
        """Note a trial of an earlier session; a design that failed by no fault of its own is unseen again."""
        candidate = trial.job.candidate
        if trial.failure is None or trial.failure.own or trial.job.replicate:
            self.take(trial.job)
            return
        self._lost[candidate] += 1
        # Without the plain backbone no gain is known: however often a machine failed it, it comes first.
        patient = candidate == self._plain() or self._lost[candidate] < COMES_FIRST
        again = [candidate] if patient and self._may_train(candidate) else []
        self._first = [*(other for other in self._first if other != candidate), *again]

    @property
    def exhausted(self) -> bool:
        """Whether every design within the limits has been tried."""
        return not self._unseen and not self._first

    def values(self, job: Job, report: Report) -> Sequence[float]:
        """The metric and the costs."""
        return self._objectives.values(job, report)

    def _make(self, *decision: int) -> BaseSampler:
        return make_sampler(self._sampler, mix_seed(self._seed, *decision), **self._known)

    def _plain(self) -> Candidate | None:
        """The first backbone that may be trained without attention: what every design is compared with."""
        plains = [(backbone, Design()) for backbone in self._space.backbones]
        return next((plain for plain in plains if self._may_train(plain)), None)

    def _may_train(self, candidate: Candidate) -> bool:
        return candidate in self._costs and (not self._limits or within(self._costs[candidate], self._limits))

    def _comes_first(self, handle: optuna.Trial) -> Candidate | None:
        """What is to be trained before anything that is decided; None if this trial has been decided on otherwise."""
        frozen = handle.study.get_trials(deepcopy=False)[handle.number]
        decided = {**frozen.system_attrs.get(FIXED, {}), **frozen.params}  # by a session that was cut off

        def agrees(candidate: Candidate) -> bool:
            return all(decided.get(name, value) == value for name, value in self._leading_to(candidate).items())

        return next(filter(agrees, self._first), None)

    def _leading_to(self, candidate: Candidate) -> Mapping[str, Value]:
        """The decisions that lead to a design; none where the space leaves it out."""
        return self._space.leading_to(candidate) or {}

    def _job(self, candidate: Candidate) -> Job:
        backbone, design = candidate
        costs = self._costs.get(candidate, {})
        return Job(backbone=backbone, design=design, seed=mix_seed(self._seed, 0), costs=costs)


class Planned:
    """Proposes the jobs of a list, each once: retraining and reproducing.

    Args:
        jobs: in the order to start them.
        metric: the report's entry that is the objective.
    """

    DIRECTIONS: tuple[Direction, ...] = ("maximize",)

    def __init__(self, jobs: Sequence[Job], metric: str) -> None:
        self._left = {_key(job): job for job in jobs}
        self._metric = metric

    def sampler(self, number: int) -> BaseSampler:
        """A sampler that is never asked."""
        return RandomSampler(seed=number)

    def propose(self, handle: optuna.Trial) -> Proposed | Rejected:
        """The next job of the list."""
        return Proposed(next(iter(self._left.values())))

    def replicate(self, trials: Tally) -> Job | None:
        """None: the list says how often each design is trained."""
        return None

    def take(self, job: Job) -> None:
        """Note that this job has been given out."""
        self._left.pop(_key(job), None)

    def recall(self, trial: Trial) -> None:
        """Note a trial of an earlier session; what may be tried again stays on the list."""
        if not self.may_try_again(trial):
            self.take(trial.job)

    @staticmethod
    def may_try_again(trial: Trial) -> bool:
        """Whether it failed for a reason that may be gone. Memory may be free another time; nan comes again."""
        return trial.failure is not None and trial.failure.kind is not FailureKind.NAN

    @property
    def exhausted(self) -> bool:
        """Whether every job has been given out."""
        return not self._left

    def values(self, job: Job, report: Report) -> Sequence[float]:
        """The metric alone."""
        return (report[self._metric],)


def _key(job: Job) -> tuple[str, Design, int]:
    return job.backbone, job.design, job.seed
