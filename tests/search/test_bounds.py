"""The hypervolume of a search within fixed bounds."""

import json
import math
from collections.abc import Callable

import pytest

from search.bounds import Bounds
from search.trials import State, Trial
from space.cost import Costs
from tests.objectives import OBJECTIVES

COSTS: list[Costs] = [
    {"num_params": 1000, "macs": 1, "fps": 400.0},
    {"num_params": 2000, "macs": 1, "fps": 100.0},
    {"num_params": 4000, "macs": 1, "fps": 200.0},
]


@pytest.fixture
def bounds() -> Bounds:
    return Bounds.of(OBJECTIVES, num_classes=10, costs=COSTS)


def test_bounds_are_chance_and_the_extremes_of_the_costs(bounds: Bounds) -> None:
    assert bounds.low == pytest.approx((0.1, -math.log(4000), math.log(100)))
    assert bounds.high == pytest.approx((1.0, -math.log(1000), math.log(400)))


def test_a_perfect_trial_at_the_best_costs_has_all_of_the_hypervolume(
    bounds: Bounds, make_trial: Callable[..., Trial]
) -> None:
    assert bounds.hypervolume([make_trial(1.0, num_params=1000, fps=400.0)]) == pytest.approx(1.0)


def test_hypervolume_of_one_trial_is_the_product_of_its_scaled_objectives(
    bounds: Bounds, make_trial: Callable[..., Trial]
) -> None:
    # (0.55 - 0.1) / 0.9, then half of the log range of 1000..4000 and of 100..400
    assert bounds.hypervolume([make_trial(0.55, num_params=2000, fps=200.0)]) == pytest.approx(0.5 * 0.5 * 0.5)


@pytest.mark.parametrize("state", [state for state in State if state is not State.COMPLETE])
def test_only_complete_trials_have_hypervolume(bounds: Bounds, make_trial: Callable[..., Trial], state: State) -> None:
    complete, other = make_trial(0.3, num_params=2000), make_trial(0.9, state, num_params=1000)
    assert bounds.hypervolume([other]) == 0.0
    assert bounds.hypervolume([complete, other]) == bounds.hypervolume([complete])


def test_a_trial_without_a_report_that_did_not_complete_is_passed_over(
    bounds: Bounds, make_trial: Callable[..., Trial]
) -> None:
    trial = make_trial(state=State.FAILED)
    bare = Trial(number=1, state=State.FAILED, job=trial.job, started=trial.started)
    assert bounds.hypervolume([bare]) == 0.0


def test_hypervolume_of_no_trials_is_0(bounds: Bounds) -> None:
    assert bounds.hypervolume([]) == 0.0


def test_what_lies_beyond_the_bounds_counts_as_on_them(bounds: Bounds, make_trial: Callable[..., Trial]) -> None:
    at = make_trial(0.5, num_params=1000, fps=400.0)
    beyond = make_trial(0.5, num_params=10, fps=9000.0)
    assert bounds.hypervolume([beyond]) == pytest.approx(bounds.hypervolume([at]))
    assert bounds.hypervolume([make_trial(0.05, num_params=1000, fps=400.0)]) == 0.0


def test_objectives_that_all_designs_share_do_not_hide_the_others(make_trial: Callable[..., Trial]) -> None:
    bounds = Bounds.of(OBJECTIVES, num_classes=2, costs=[COSTS[0], COSTS[0]])
    assert bounds.hypervolume([make_trial(0.75, num_params=1000, fps=400.0)]) == pytest.approx(0.5)


def test_bounds_survive_json(bounds: Bounds) -> None:
    assert Bounds.from_json(json.loads(json.dumps(bounds.to_json())), OBJECTIVES) == bounds
