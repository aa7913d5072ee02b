"""What every sampler has to keep to."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.samplers import NSGAIIISampler, NSGAIISampler, RandomSampler

from search.ledger import Ledger
from search.proposers import Sampled
from search.samplers import SAMPLERS, make_sampler
from space.choices import Candidate, SearchSpace
from space.cost import Costs
from space.errors import UserError
from tests.objectives import OBJECTIVES

every_sampler = pytest.mark.parametrize("name", SAMPLERS)


def decisions(name: str, seed: int, trials: int = 30) -> list[dict[str, int]]:
    """What a sampler decides, past its random start, on a problem of three objectives."""
    study = optuna.create_study(directions=["maximize", "minimize", "maximize"], sampler=make_sampler(name, seed))
    for _ in range(trials):
        trial = study.ask()
        x, y = (trial.suggest_categorical(axis, list(range(9))) for axis in "xy")
        study.tell(trial, [x * (9 - y), x, y])
    return [trial.params for trial in study.get_trials()]


@every_sampler
def test_the_same_seed_decides_the_same(name: str) -> None:
    assert decisions(name, seed=3) == decisions(name, seed=3)


@every_sampler
def test_another_seed_decides_otherwise(name: str) -> None:
    assert decisions(name, seed=3) != decisions(name, seed=4)


def test_the_same_seed_decides_the_same_in_another_process() -> None:
    script = (
        "import json, runpy, sys; names = json.loads(sys.argv[2]);"
        "decisions = runpy.run_path(sys.argv[1])['decisions'];"
        "print(json.dumps({name: decisions(name, 3) for name in names}))"
    )
    names = json.dumps(list(SAMPLERS))
    printed = subprocess.run(
        [sys.executable, "-c", script, __file__, names], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed) == {name: decisions(name, seed=3) for name in SAMPLERS}


@every_sampler
def test_a_sampler_warns_of_nothing_in_a_search_of_three_objectives(
    name: str, recwarn: pytest.WarningsRecorder
) -> None:
    decisions(name, seed=0)
    assert not recwarn.list


def test_an_unknown_sampler_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="no sampler 'tep'; there are " + ", ".join(SAMPLERS)):
        make_sampler("tep", 0)


def test_a_recombining_sampler_learns_from_earlier_trials(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], run: Callable[..., Ledger]
) -> None:
    """After its first population nsga2 breeds from parents; without a common set of choices it would draw at random."""
    study = make_study()
    run(make_ledger(study, budget=30, sampler="nsga2"))
    frozen = study.get_trials()
    every = set(frozen[0].params)
    assert every, "trial 0 decides on every choice, too"
    assert all(set(trial.params) == every for trial in frozen)
    generations = {value for trial in frozen for key, value in trial.system_attrs.items() if "generation" in key}
    assert len(generations) > 1


def test_each_trial_and_each_decision_has_a_seed_of_its_own_and_the_same_one_again(
    registries: None,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_costs: Callable[[SearchSpace], dict[Candidate, Costs]],
    run: Callable[..., Ledger],
    space: SearchSpace,
) -> None:
    seeds: list[tuple[int, str, int]] = []

    @SAMPLERS.register("noting")
    class Noting(RandomSampler):
        """Notes with which seed it decides on what; the name is empty for what is decided together."""

        def __init__(self, seed: int) -> None:
            super().__init__(seed)
            self.seed = seed

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            seeds.append((trial.number, "", self.seed))
            return super().sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            seeds.append((trial.number, param_name, self.seed))
            return super().sample_independent(study, trial, param_name, param_distribution)

    run(make_ledger(make_study(), budget=5, sampler="noting"))
    first = list(seeds)
    assert len({seed for _, _, seed in first}) == len(first) > 5
    assert {trial for trial, name, _ in first if not name} >= set(range(5))
    seeds.clear()
    run(make_ledger(make_study(), budget=5, sampler="noting"))
    assert seeds == first

    seeds.clear()
    handle = make_study().ask()  # by the study's own sampler
    Sampled(space, make_costs(space), (), "noting", 0, OBJECTIVES).propose(handle)
    assert seeds == [noted for noted in first if noted[0] == 0]


def test_a_sampler_is_registered_under_a_name_of_its_own(registries: None) -> None:
    @SAMPLERS.register("mine")
    class Mine(RandomSampler):
        """Random."""

    SAMPLERS.register("three")(NSGAIIISampler)
    assert isinstance(make_sampler("mine", 0), Mine)
    assert isinstance(make_sampler("three", 0), NSGAIIISampler)
    assert decisions("three", seed=3) == decisions("three", seed=3) != decisions("three", seed=4)
    for name in ("mine", "tpe"):
        with pytest.raises(UserError, match=f"there is a sampler '{name}' already"):
            SAMPLERS.register(name)(NSGAIISampler)
    with pytest.raises(UserError, match="there are tpe, nsga2, random, front, mine, three, package"):
        make_sampler("mien", 0)
