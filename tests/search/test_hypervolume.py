"""The gain hypervolume of a search within fixed bounds."""

import json
import math
from collections.abc import Callable, Iterator

import pytest

from search.hypervolume import Bounds
from search.trials import State, Trial
from space.cost import Costs
from tests.objectives import OBJECTIVES

COSTS: list[Costs] = [
    {"num_params": 1000, "macs": 1, "fps": 400.0},
    {"num_params": 2000, "macs": 1, "fps": 100.0},
    {"num_params": 4000, "macs": 1, "fps": 200.0},
]

Make = Callable[..., Trial]


@pytest.fixture
def bounds() -> Bounds:
    return Bounds.of(OBJECTIVES, costs=COSTS)


@pytest.fixture
def make(make_trial: Make) -> Make:
    """Makes trials of one search: as `make_trial`, with numbers that count."""
    numbers: Iterator[int] = iter(range(1_000))

    def made(*arguments: object, **named: object) -> Trial:
        return make_trial(*arguments, number=next(numbers), **named)

    return made


@pytest.fixture
def plain(make: Make) -> Trial:
    """The plain network, at an accuracy of 0.6."""
    return make(0.6, design="none", num_params=1000, fps=400.0)


def test_bounds_are_the_extremes_of_the_costs(bounds: Bounds) -> None:
    assert bounds.low == pytest.approx((-math.log(4000), math.log(100)))
    assert bounds.high == pytest.approx((-math.log(1000), math.log(400)))


def test_the_plain_network_alone_has_none(bounds: Bounds, plain: Trial) -> None:
    assert bounds.hypervolume([plain]) == 0.0


def test_a_perfect_design_at_the_best_costs_has_all_of_it(bounds: Bounds, make: Make, plain: Trial) -> None:
    assert bounds.hypervolume([plain, make(1.0, num_params=1000, fps=400.0)]) == pytest.approx(1.0)


def test_that_of_one_design_is_the_product_of_its_scaled_gain_and_costs(
    bounds: Bounds, make: Make, plain: Trial
) -> None:
    # (0.7 - 0.6) / (1 - 0.6), then half of the log range of 1000..4000 and of 100..400
    trials = [plain, make(0.7, num_params=2000, fps=200.0)]
    assert bounds.hypervolume(trials) == pytest.approx(0.25 * 0.5 * 0.5)


def test_what_is_no_better_than_plain_adds_nothing(bounds: Bounds, make: Make, plain: Trial) -> None:
    assert bounds.hypervolume([plain, make(0.6), make(0.5, num_params=10, fps=9000.0)]) == 0.0


def test_before_the_plain_network_is_trained_and_where_it_is_perfect_there_is_no_gain(
    bounds: Bounds, make: Make
) -> None:
    assert bounds.hypervolume([make(0.9)]) == 0.0
    assert bounds.hypervolume([make(0.2, State.STOPPED, design="none"), make(0.9)]) == 0.0
    assert bounds.hypervolume([make(1.0, design="none"), make(1.0)]) == 0.0


def test_a_design_and_the_plain_network_count_with_the_means_of_their_trainings(
    bounds: Bounds, make: Make, plain: Trial
) -> None:
    better = {"num_params": 1000, "fps": 400.0}
    again = make(0.4, design="none", replicate=1)
    trials = [plain, again, make(0.9, **better), make(0.6, replicate=1, **better)]
    assert bounds.hypervolume(trials) == pytest.approx((0.75 - 0.5) / (1 - 0.5))


@pytest.mark.parametrize("state", [state for state in State if state is not State.COMPLETE])
def test_only_complete_trials_count(bounds: Bounds, make: Make, plain: Trial, state: State) -> None:
    complete, other = make(0.7, num_params=2000), make(0.9, state, num_params=1000)
    assert bounds.hypervolume([plain, other]) == 0.0
    assert bounds.hypervolume([plain, complete, other]) == bounds.hypervolume([plain, complete]) > 0


def test_a_trial_without_a_report_that_did_not_complete_is_passed_over(bounds: Bounds, make: Make) -> None:
    trial = make(state=State.FAILED)
    bare = Trial(number=1, state=State.FAILED, job=trial.job, started=trial.started)
    assert bounds.hypervolume([bare]) == 0.0


def test_that_of_no_trials_is_0(bounds: Bounds) -> None:
    assert bounds.hypervolume([]) == 0.0


def test_what_lies_beyond_the_bounds_counts_as_on_them(bounds: Bounds, make: Make, plain: Trial) -> None:
    at, beyond = make(0.7, num_params=1000, fps=400.0), make(0.7, num_params=10, fps=9000.0)
    assert bounds.hypervolume([plain, beyond]) == pytest.approx(bounds.hypervolume([plain, at]))


def test_costs_that_all_designs_share_do_not_hide_the_gain(make: Make, plain: Trial) -> None:
    bounds = Bounds.of(OBJECTIVES, costs=[COSTS[0], COSTS[0]])
    assert bounds.hypervolume([plain, make(0.8, num_params=1000, fps=400.0)]) == pytest.approx(0.5)


def test_bounds_survive_json(bounds: Bounds) -> None:
    assert Bounds.from_json(json.loads(json.dumps(bounds.to_json())), OBJECTIVES) == bounds
