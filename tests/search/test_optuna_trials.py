"""What samplers see of the trials of a study that this process alone writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.checkpoints import Checkpoints
from search.execution import Evaluate
from search.ledger import GoesOn, Ledger
from search.samplers import SAMPLERS
from search.simulated_engine import SimulatedEngine
from search.trials import State
from space.cost import Limit
from space.design import Design
from tests.objectives import OBJECTIVES, PARAMS


@pytest.fixture
def looks(registries: None) -> list[int]:
    """Numbers of the trials for which the sampler "looking" compared what it was shown with what the study holds."""
    numbers: list[int] = []

    @SAMPLERS.register("looking")
    class Looking(RandomSampler):
        def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
            numbers.append(trial.number)
            assert study._get_trials(deepcopy=False, use_cache=True) == study.get_trials(deepcopy=False)
            return super().infer_relative_search_space(study, trial)

    return numbers


@pytest.fixture
def searched(
    make_ledger: Callable[..., Ledger],
    make_curves: Callable[..., Evaluate],
    make_halving: Callable[..., GoesOn],
    tmp_path: Path,
) -> Callable[[Study], Ledger]:
    """A search with failures, replicates, duplicates, designs beyond a limit, and trials stopped."""

    def fail_some(design: Design, epoch: int) -> None:
        if design.attention == "se" and epoch == 2:
            raise FloatingPointError("loss is nan")

    def search(study: Study) -> Ledger:
        how = {"limits": (Limit(PARAMS, 9000),), "goes_on": make_halving(), "confirm": 0.3}
        ledger = make_ledger(study, budget=20, sampler="looking", **how)
        checkpoints = Checkpoints(tmp_path / str(study._storage), "study")
        SimulatedEngine(3).run(ledger, make_curves(at_step=fail_some), checkpoints, lambda: False)
        assert {trial.state for trial in ledger.trials} == set(State) - {State.RUNNING}
        assert any(trial.job.replicate for trial in ledger.trials)
        return ledger

    return search


def test_samplers_see_all_trials_as_they_are_after_an_interruption_too(
    looks: list[int],
    searched: Callable[[Study], Ledger],
    make_study: Callable[..., Study],
    journal_of: Callable[[Study], list[dict[str, Any]]],
) -> None:
    whole = make_study()
    ledger = searched(whole)
    assert len(looks) > ledger.trained
    journal = journal_of(whole)
    for cut in range(0, len(journal), 40):
        looks.clear()
        searched(make_study(journal[:cut]))
        assert looks


def test_samplers_see_all_trials_of_a_database_as_they_are(
    looks: list[int], searched: Callable[[Study], Ledger], tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    ledger = searched(optuna.create_study(storage=database, directions=OBJECTIVES.directions))
    assert len(looks) > ledger.trained
