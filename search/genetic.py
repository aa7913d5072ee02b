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
        by_generation: of each generation the trials, by number; -1 for those of none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_generation: defaultdict[int, list[FrozenTrial]] = defaultdict(list)
        self._open: list[int] = []  # numbers of those that had not ended
        self._seen = 0  # trials in all

    def look(self, study: Study) -> None:
        """Look at what has ended since."""
        trials = study._get_trials(deepcopy=False, use_cache=True)
        numbers = [*self._open, *range(self._seen, len(trials))]
        self._seen = len(trials)
        self._open = [number for number in numbers if not trials[number].state.is_finished()]
        for trial in (trials[number] for number in numbers):
            if trial.state is TrialState.COMPLETE:
                generation = trial.system_attrs.get(NSGAIISampler._get_generation_key(), -1)
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

    def __init__(self, remembered: Remembered, population_size: int, seed: int) -> None:
        super().__init__(population_size=population_size, seed=seed)
        self._search_space = self._remembered = remembered
        self._size = population_size

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """The latest one that complete trials are of, or the one after that if it is full; written into the trial."""
        key = self._get_generation_key()
        if (known := trial.system_attrs.get(key)) is not None:
            return int(known)
        self._remembered.look(study)
        latest = max(0, max(self._remembered.by_generation, default=0))
        full = len(self._remembered.by_generation.get(latest, ())) >= self._size
        generation = latest + 1 if full else latest
        study._storage.set_trial_system_attr(trial._trial_id, key, generation)
        return generation

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The complete trials of a generation, by number."""
        self._remembered.look(study)
        return list(self._remembered.by_generation.get(generation, ()))

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """The parents of a generation: chosen, and written into the study, when they are asked for first."""
        attributes = study._storage.get_study_system_attrs(study._study_id)
        chosen = attributes.get(f"{self._get_parent_cache_key_prefix()}{generation}")
        if chosen is None:
            return super().get_parent_population(study, generation)
        return sorted((study._storage.get_trial(trial_id) for trial_id in chosen), key=lambda it: it.number)


QuickNSGAIISampler._GENERATION_KEY = NSGAIISampler._GENERATION_KEY  # which Optuna names after the class
QuickNSGAIISampler._PARENT_CACHE_KEY_PREFIX = NSGAIISampler._PARENT_CACHE_KEY_PREFIX
