"""Optuna's NSGA-II without its looks through all trials at each decision: with thousands these take longest of all."""

import bisect
from collections import defaultdict

from optuna.distributions import BaseDistribution
from optuna.samplers import NSGAIISampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class Remembered(IntersectionSearchSpace):
    """The complete trials of a study, which change no more: each is looked at once.

    Attributes:
        by_id: all of them.
        by_generation: of each generation the trials, by number; -1 for those of none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_id: dict[int, FrozenTrial] = {}
        self.by_generation: defaultdict[int, list[FrozenTrial]] = defaultdict(list)
        self._open: list[int] = []  # numbers of those that had not ended
        self._trials: list[FrozenTrial] = []  # all, when they were looked at last

    def look(self, study: Study) -> None:
        """Look at what has ended since."""
        trials = study._get_trials(deepcopy=False, use_cache=True)
        if trials is self._trials:
            return
        numbers = [*self._open, *range(len(self._trials), len(trials))]
        self._trials = trials
        self._open = [number for number in numbers if not trials[number].state.is_finished()]
        for trial in (trials[number] for number in numbers):
            if trial.state is TrialState.COMPLETE:
                self.by_id[trial._trial_id] = trial
                generation = trial.system_attrs.get(QuickNSGAIISampler._get_generation_key(), -1)
                bisect.insort(self.by_generation[generation], trial, key=lambda it: it.number)
                before = trial.distributions if self._search_space is None else self._search_space
                there = sorted(trial.distributions.items())
                self._search_space = {name: it for name, it in there if before.get(name) == it}

    def calculate(self, study: Study, use_cache: bool = False) -> dict[str, BaseDistribution]:
        """What all complete trials have decided on: the distributions by name, in the order of the names."""
        self.look(study)
        return dict(self._search_space or {})


class QuickNSGAIISampler(NSGAIISampler):
    """Decides as `NSGAIISampler` does, and goes on with its studies.

    Args:
        remembered: of the one study that it decides for; who makes many samplers for that makes this once.
        population_size: of a generation.
        seed: of what is drawn.
    """

    def __init__(
        self, *, seed: int | None = None, population_size: int = 50, remembered: Remembered | None = None
    ) -> None:
        super().__init__(population_size=population_size, seed=seed)
        self._search_space = self._remembered = remembered or Remembered()

    @classmethod
    def _get_generation_key(cls) -> str:
        return NSGAIISampler._get_generation_key()  # Optuna's would be of this class

    @classmethod
    def _get_parent_cache_key_prefix(cls) -> str:
        return NSGAIISampler._get_parent_cache_key_prefix()

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """The latest one that complete trials are of, or the one after that if it is full; written into the trial."""
        key = self._get_generation_key()
        if (known := trial.system_attrs.get(key)) is not None:
            return int(known)
        latest = max(0, max(self._looked(study).by_generation, default=0))
        size = self.population_size
        assert size is not None  # it was given
        generation = latest + (len(self.get_population(study, latest)) >= size)
        study._storage.set_trial_system_attr(trial._trial_id, key, generation)
        return generation

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The complete trials of a generation, by number."""
        return list(self._looked(study).by_generation.get(generation, ()))

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The parents of a generation: chosen, and written into the study, when they are asked for first."""
        attributes = study._storage.get_study_system_attrs(study._study_id)
        chosen = attributes.get(f"{self._get_parent_cache_key_prefix()}{generation}")
        if chosen is None:
            return super().get_parent_population(study, generation)
        by_id = self._looked(study).by_id
        return sorted((by_id[trial_id] for trial_id in chosen), key=lambda it: it.number)

    def _looked(self, study: Study) -> Remembered:
        self._remembered.look(study)
        return self._remembered
