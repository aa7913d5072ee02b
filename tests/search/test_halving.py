"""Who goes on at a rung."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from search import pareto
from search.halving import Halving, expected_share, rungs_of
from search.hypervolume import Bounds
from search.trials import State, Trial
from tests.objectives import OBJECTIVES

COSTS = [{"num_params": params, "fps": fps} for params in (100, 10_000) for fps in (10.0, 1000.0)]
BOUNDS = Bounds.of(OBJECTIVES, COSTS)
STAGES = ("1", "2", "12", "23", "3")
GATED = [f"se:reduction={reduction},stages={stages}" for reduction in (2, 4, 8, 32) for stages in STAGES]

MakeTrial = Callable[..., Trial]


def halving(reduction_factor: float = 2.0, rungs: tuple[int, ...] = (1,)) -> Halving:
    return Halving(bounds=BOUNDS, rungs=rungs, reduction_factor=reduction_factor)


@pytest.fixture
def plain(make_trial: MakeTrial) -> Trial:
    """The plain network, the cheapest of all."""
    return make_trial(0.5, num_params=100, fps=1000.0, design="none")


@pytest.fixture
def designs(make_trial: MakeTrial) -> Callable[..., list[Trial]]:
    """Designs with (accuracy, parameters, FPS) after the first epoch, numbered from 1; the last one runs."""

    def make(*points: tuple[float, int, float]) -> list[Trial]:
        trials = [
            make_trial(accuracy, num_params=params, fps=fps, design=GATED[number], number=number + 1)
            for number, (accuracy, params, fps) in enumerate(points)
        ]
        return [*trials[:-1], dataclasses.replace(trials[-1], state=State.RUNNING)]

    return make


def judged(rule: Halving, trials: Sequence[Trial]) -> bool | None:
    """What becomes of the last one."""
    return rule(trials[-1], trials)


@pytest.mark.parametrize(
    ("fractions", "epochs", "rungs"),
    [
        ((0.2, 0.5), 20, (4, 10)),
        ((0.5, 0.2), 20, (4, 10)),
        ((0.01, 0.02), 20, (1,)),
        ((0.2, 0.99), 20, (4,)),
        ((0.5,), 1, ()),
    ],
)
def test_rungs_are_whole_epochs_before_the_end_each_once(
    fractions: Sequence[float], epochs: int, rungs: tuple[int, ...]
) -> None:
    assert rungs_of(fractions, epochs) == rungs


def test_the_expected_share_adds_what_each_leg_trains() -> None:
    assert expected_share((4, 10), 3.0, 20) == pytest.approx((4 + 6 / 3 + 10 / 9) / 20)
    assert expected_share((), 3.0, 20) == 1.0


def test_between_rungs_nothing_is_judged(plain: Trial, designs: Callable[..., list[Trial]]) -> None:
    assert judged(halving(rungs=(2, 5)), [plain, *designs((0.0, 9000, 20.0))]) is None


@pytest.mark.parametrize("reduction_factor", [1.5, 2.0, 3.0, 4.0])
def test_of_designs_that_dominate_each_other_in_a_row_the_best_n_over_eta_go_on(
    plain: Trial, designs: Callable[..., list[Trial]], reduction_factor: float
) -> None:
    ladder = [(0.9 - 0.02 * place, 8000 + 100 * place, 100.0 - place) for place in range(12)]
    for place, point in enumerate(ladder):
        rest = [other for other in ladder if other != point]
        ahead = place + (place > 0)  # the plain network shares the first layer and adds nothing to it
        goes_on = judged(halving(reduction_factor), [plain, *designs(*rest, point)])
        assert goes_on == (ahead < max(1, math.ceil(13 / reduction_factor)))


def test_what_the_plain_network_dominates_is_behind_it(plain: Trial, designs: Callable[..., list[Trial]]) -> None:
    rule = halving(2.0)
    assert judged(rule, [plain, *designs((0.51, 9000, 20.0))])
    assert not judged(rule, [plain, *designs((0.49, 9000, 20.0))])


def test_within_a_layer_what_adds_more_hypervolume_goes_on(plain: Trial, designs: Callable[..., list[Trial]]) -> None:
    """By an equation: three designs that trade accuracy for parameters, at the same FPS."""
    random = np.random.default_rng(0)
    for _ in range(20):
        accuracies = np.sort(random.uniform(0.55, 0.95, 5))
        params = np.sort(random.integers(200, 9000, 5))
        points = [(float(a), int(p), 500.0) for a, p in zip(accuracies, params, strict=True)]
        scaled = [
            [(a - 0.5) / 0.5, math.log(10_000 / p) / math.log(100), math.log(f / 10) / math.log(100)]
            for a, p, f in [*points, (0.5, 100, 1000.0)]
        ]
        whole = pareto.hypervolume(np.array(scaled))
        adds = [whole - pareto.hypervolume(np.array(scaled[:i] + scaled[i + 1 :])) for i in range(5)]
        best = sorted(range(5), key=lambda index: -adds[index])[:3]  # of 6, the plain one with 0 among them
        for index, point in enumerate(points):
            rest = [other for other in points if other != point]
            assert judged(halving(2.0), [plain, *designs(*rest, point)]) == (index in best)


def test_a_decision_depends_on_the_trials_and_not_on_their_order(
    plain: Trial, designs: Callable[..., list[Trial]]
) -> None:
    random = np.random.default_rng(1)
    points = [(float(a), int(p), float(f)) for a, p, f in random.uniform((0.4, 100, 10), (0.9, 9000, 900), (20, 3))]
    *others, last = designs(*points)
    there = [plain, *others]
    orders = [random.permutation(len(there)) for _ in range(9)]
    verdicts = {halving()(last, [*(there[place] for place in order), last]) for order in orders}
    assert len(verdicts) == 1


def test_the_plain_network_always_goes_on(plain: Trial, designs: Callable[..., list[Trial]]) -> None:
    others = designs((0.9, 90, 2000.0), (0.9, 90, 2000.0))
    assert halving(100.0)(dataclasses.replace(plain, state=State.RUNNING), [plain, *others])


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.FAILED},
        {"state": State.DUPLICATE},
        {"history": ()},
        {"history": ({"epoch": 1.0, "val_accuracy": math.nan},)},
        {"replicate": 1},
    ],
)
def test_failures_replicates_and_those_that_are_not_there_yet_have_no_part(
    plain: Trial, designs: Callable[..., list[Trial]], change: dict[str, object]
) -> None:
    """Better than the trial that is judged, they would be ahead of it; here it is alone beside plain."""
    rival, trial = designs((0.9, 200, 900.0), (0.6, 300, 800.0))
    assert not judged(halving(100.0), [plain, rival, trial])
    if "replicate" in change:
        rival = dataclasses.replace(rival, job=dataclasses.replace(rival.job, replicate=1))
    else:
        rival = dataclasses.replace(rival, **change)  # type: ignore[arg-type]
    assert judged(halving(100.0), [plain, rival, trial])


@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED, State.COMPLETE])
def test_all_that_reached_the_rung_have_part_by_what_they_had_there(
    plain: Trial, designs: Callable[..., list[Trial]], state: State
) -> None:
    """Later epochs of a rival say nothing."""
    rival, trial = designs((0.5, 200, 900.0), (0.6, 200, 900.0))
    history = (*rival.history, {"epoch": 2.0, "val_accuracy": 0.99})
    assert judged(halving(100.0), [plain, dataclasses.replace(rival, state=state, history=history), trial])


def test_without_a_plain_network_designs_are_judged_all_the_same(designs: Callable[..., list[Trial]]) -> None:
    assert judged(halving(2.0), designs((0.5, 200, 900.0), (0.6, 300, 900.0), (0.7, 100, 950.0)))
    assert not judged(halving(2.0), designs((0.5, 200, 900.0), (0.6, 100, 950.0), (0.4, 300, 800.0)))
