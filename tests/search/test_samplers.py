"""What every sampler has to keep to."""

import json
import subprocess
import sys
from collections.abc import Callable

import optuna
import pytest

from search.ledger import Ledger
from search.samplers import SAMPLERS, make_sampler
from space.errors import UserError

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
