"""A search of a space that nobody enumerates."""

from collections.abc import Callable, Sequence

import optuna
import pytest

from search.ledger import Ledger
from search.proposers import Sampled
from search.trials import Trial
from space.choices import Candidate, SearchSpace
from space.cost import Costs, Limit, within
from space.design import Layout, Stage
from space.lazily import Lazily
from space.seeds import mix_seed
from space.space_files import load_space
from tests.objectives import OBJECTIVES, PARAMS

LAYOUT: Layout = (Stage(2, 64), Stage(2, 128), Stage(2, 256))
TRIALS = 30


@pytest.fixture(scope="module")
def large_space() -> SearchSpace:
    return load_space("full", {f"backbone{number}": LAYOUT for number in range(400)})


class Counted:
    """Costs of any design of a space, and of how many they were asked."""

    def __init__(self, space: SearchSpace) -> None:
        self.asked = 0
        self.costs = Lazily(space.enumerate(), self._of)

    def _of(self, candidate: Candidate) -> Costs:
        self.asked += 1
        return {"num_params": mix_seed(0, *str(candidate).encode()) % 1000 + 1, "macs": 10_000, "fps": 100.0}


@pytest.mark.parametrize("limits", [(), (Limit(PARAMS, 200),)], ids=["all", "a fifth"])
@pytest.mark.parametrize("sampler", ["random", "tpe", "front"])
def test_its_designs_are_different_within_the_limits_and_hardly_any_other_is_counted(
    large_space: SearchSpace,
    make_study: Callable[..., optuna.Study],
    run: Callable[..., Ledger],
    story: Callable[[Sequence[Trial]], list[object]],
    sampler: str,
    limits: Sequence[Limit],
) -> None:
    counted = Counted(large_space)

    def ledger(study: optuna.Study, trials: int) -> Ledger:
        return Ledger(study, Sampled(large_space, counted.costs, limits, sampler, 0, OBJECTIVES), trials)

    study = make_study()
    trained = [trial for trial in run(ledger(study, TRIALS)).trials if trial.trained]
    assert len({trial.job.candidate for trial in trained}) == TRIALS == len(trained)
    assert all(within(trial.job.costs, limits) for trial in trained)
    looked_at = 1000 * (TRIALS if sampler == "front" else 1) / (0.2 if limits else 1)
    assert counted.asked < min(looked_at, len(counted.costs))

    there = make_study(name="in two sessions")
    run(ledger(there, TRIALS // 2))
    assert story(run(ledger(there, TRIALS)).trials)[:TRIALS] == story(run(ledger(study, TRIALS)).trials)[:TRIALS]
