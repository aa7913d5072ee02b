"""NSGA-II that looks at each trial once decides as Optuna's does."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.genetic import QuickNSGAIISampler, Remembered


@pytest.mark.parametrize("kind", ["in memory", "journal", "sqlite"])
def test_nsga2_decides_as_optunas_does_whatever_fails_and_in_whichever_order_trials_end(
    kind: str, tmp_path: Path
) -> None:
    """Ours forgets now and then, as between two sessions, and takes up a study of Optuna's."""
    remembered = Remembered()

    def storage(name: str) -> BaseStorage:
        made: dict[str, Callable[[], BaseStorage]] = {
            "in memory": InMemoryStorage,
            "journal": lambda: JournalStorage(JournalFileBackend(str(tmp_path / name))),
            "sqlite": lambda: RDBStorage(f"sqlite:///{tmp_path / name}.db"),
        }
        return made[kind]()

    def theirs(number: int) -> BaseSampler:
        return NSGAIISampler(population_size=8, seed=number)

    def ours(number: int) -> BaseSampler:
        nonlocal remembered
        if number % 7 == 0:
            remembered = Remembered()
        return (
            theirs(number) if number < 15 else QuickNSGAIISampler(population_size=8, seed=number, remembered=remembered)
        )

    def told(make: Callable[[int], BaseSampler], into: BaseStorage) -> list[Any]:
        random = Random(0)
        optuna.create_study(storage=into).enqueue_trial({})  # so that ids are no numbers
        study = optuna.create_study(storage=into, directions=["maximize", "minimize"])
        running: list[optuna.Trial] = []
        for number in range(60):
            study.sampler = make(number)
            running.append(study.ask())
            for name in "abcd" if random.random() < 0.9 or number < 20 else "abd":
                running[-1].suggest_categorical(name, range(9))
            random.shuffle(running)
            while running and random.random() < 0.5:
                how = random.choice([TrialState.COMPLETE] * 5 + [TrialState.FAIL, TrialState.PRUNED])
                ended = running.pop()
                values = [ended.params["a"] * (9 - ended.params["b"]), ended.params["d"]]
                study.tell(ended, values if how is TrialState.COMPLETE else None, how)
        attributes = into.get_study_system_attrs(study._study_id)
        return [attributes, [(trial.params, trial.system_attrs) for trial in study.trials]]

    expected = told(theirs, storage("theirs"))
    assert told(ours, storage("ours")) == expected
    assert max(attributes.get("NSGAIISampler:generation", 0) for _, attributes in expected[1]) >= 3
