"""The sampler of our own: whole designs, none twice, chosen by what they are expected to add to the fronts."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase
from optuna.trial import FrozenTrial, TrialState

import search.front_sampler
from search.expected_gain import expected_gain
from search.extrapolation import curves, learnt
from search.front_sampler import AT_RANDOM, FrontSampler
from search.ledger import GoesOn, Ledger
from search.pareto import hypervolume
from search.proposers import COMES_FIRST
from search.surrogate import Array, Surrogate
from search.trials import OUTCOME, Failure, FailureKind, State, Trial
from space.choices import Candidate, SearchSpace
from space.cost import Costs, Limit, within
from space.lazily import Lazily
from tests.objectives import PARAMS


class TestOptunasOwnCases(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    """What Optuna asks of every sampler, of those that decide on parameters together, and with several objectives."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: FrontSampler(seed=0)


def test_a_search_tries_every_design_once_and_proposes_nothing_else(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], run: Callable[..., Ledger]
) -> None:
    ledger = run(make_ledger(make_study(), budget=1000, sampler="front"))
    assert ledger.exhausted
    assert {trial.state for trial in ledger.trials} == {State.COMPLETE}


def test_nothing_beyond_the_limits_is_proposed(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_costs: Callable[[SearchSpace], dict[Candidate, Costs]],
    space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    limits = (Limit(PARAMS, 6000),)
    ledger = run(make_ledger(make_study(), budget=1000, sampler="front", limits=limits))
    assert {trial.state for trial in ledger.trials} == {State.COMPLETE}
    assert len(ledger.trials) == sum(within(cost, limits) for cost in make_costs(space).values())


def test_what_another_sampler_has_tried_is_not_proposed_again(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], run: Callable[..., Ledger]
) -> None:
    study = make_study()
    before = len(run(make_ledger(study, budget=25, sampler="nsga2")).trials)
    after = run(make_ledger(study, budget=1000, sampler="front")).trials[before:]
    assert {trial.state for trial in after} == {State.COMPLETE}


@pytest.mark.parametrize("told", [1, AT_RANDOM + 1])
def test_trials_at_the_same_time_get_different_designs(
    told: int, make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], run: Callable[..., Ledger]
) -> None:
    study = make_study()
    run(make_ledger(study, budget=told, sampler="front"))
    ledger = make_ledger(study, budget=told + 16, sampler="front")
    asked = [trial for _ in range(16) if (trial := ledger.ask()) is not None]
    assert len({trial.job.candidate for trial in asked}) == 16
    assert not any(trial.state is State.DUPLICATE for trial in ledger.trials)


def test_equal_seeds_are_equal_searches(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    run: Callable[..., Ledger],
    story: Callable[[list[Trial]], list[object]],
) -> None:
    stories = [
        story(run(make_ledger(make_study(), budget=16, sampler="front", seed=seed)).trials) for seed in (1, 1, 2)
    ]
    assert stories[0] == stories[1] != stories[2]


def test_a_design_is_decided_on_at_once(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    run: Callable[..., Ledger],
    space: SearchSpace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parameters that no trial had before, too; only plain, which comes first, has them decided for it."""
    asked: list[int] = []
    independent = FrontSampler.sample_independent

    def noting(self: FrontSampler, study: optuna.Study, trial: FrozenTrial, name: str, options: Any) -> Any:
        asked.append(trial.number)
        return independent(self, study, trial, name, options)

    monkeypatch.setattr(FrontSampler, "sample_independent", noting)
    ledger = run(make_ledger(make_study(), budget=20, sampler="front"))
    assert ledger.trials[0].job.candidate == space.plain()
    assert set(asked) <= {0}


def test_it_learns_from_replicates(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    run: Callable[..., Ledger],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model of the last decision has seen every score there was: no less than each accuracy told."""
    seen: list[Array] = []
    fit = Surrogate.fit

    def noting(rows: Array, scores: Array) -> Surrogate:
        seen.append(scores)
        return fit(rows, scores)

    monkeypatch.setattr(Surrogate, "fit", noting)
    ledger = run(make_ledger(make_study(), budget=20, sampler="front", confirm=0.4))
    last = max(trial.number for trial in ledger.trials if not trial.job.replicate)
    before = [trial for trial in ledger.trials if trial.number < last]
    assert any(trial.job.replicate for trial in before)
    assert list(seen[-1]) == [trial.last["val_accuracy"] for trial in before]


def test_it_learns_from_what_was_stopped(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_halving: Callable[..., GoesOn],
    run: Callable[..., Ledger],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model of the last decision has seen the curves of all, in no matter which order."""
    seen: list[Array] = []

    def noting(rows: Array, trained: Array) -> Surrogate:
        seen.append(trained)
        return learnt(rows, trained)

    monkeypatch.setattr(search.front_sampler, "learnt", noting)
    ledger = run(make_ledger(make_study(), budget=25, sampler="front", confirm=0.2, goes_on=make_halving()))
    last = max(trial.number for trial in ledger.trials if not trial.job.replicate)
    before = [trial for trial in ledger.trials if trial.number < last]
    assert {len(trial.history) for trial in before if trial.state is State.STOPPED} == {1, 2}
    expected = curves(
        [[report["val_accuracy"] for report in trial.history] for trial in before],
        np.array([trial.last["val_accuracy"] if trial.state is State.COMPLETE else np.nan for trial in before]),
    )
    assert sorted(map(str, seen[-1].tolist())) == sorted(map(str, expected.tolist()))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_was_stopped_far_behind_keeps_from_what_is_like_it(sign: float) -> None:
    """Of three groups half is tried, two of which are alike. All of group 0 are stopped: else it is the unknown one."""
    candidates = {(group, kind): {"group": group, "kind": kind} for group in range(3) for kind in range(12)}
    study = optuna.create_study(direction="maximize" if sign > 0 else "minimize")
    kinds = np.random.default_rng(0).normal(size=6)
    for group, kind in itertools.product(range(3), range(6)):
        study.enqueue_trial({"group": group, "kind": kind})
        trial = study.ask()
        for name, options in (("group", range(3)), ("kind", range(12))):
            trial.suggest_categorical(name, options)
        end, stopped = sign * (float(kinds[kind]) - 3.0 * (group == 0)), group == 0
        trial.set_user_attr(OUTCOME, {"history": {"m": [end] if stopped else [end, end]}})
        study.tell(trial, None if stopped else end, TrialState.PRUNED if stopped else TrialState.COMPLETE)

    def chosen(metric: str | None, seed: int) -> int:
        study.sampler = FrontSampler(candidates, dict.fromkeys(candidates, ()), seed, metric)
        return int(study.ask().suggest_categorical("group", range(3)))

    assert chosen(None, seed=0) == 0
    assert chosen("m", seed=0) != 0


def test_a_design_that_failed_is_left_for_the_end(make_study: Callable[..., optuna.Study]) -> None:
    candidates = {value: {"x": value} for value in range(8)}
    study = optuna.create_study(sampler=FrontSampler(candidates, seed=0))
    for number in range(8):
        trial = study.ask()
        x = trial.suggest_categorical("x", range(8))
        study.tell(trial, None if number == 3 else x, state=optuna.trial.TrialState.FAIL if number == 3 else None)
    assert {trial.params["x"] for trial in study.trials} == set(range(8))
    assert study.ask().suggest_categorical("x", range(8)) == study.trials[3].params["x"]


def test_candidates_are_tried_once_each_in_a_study_of_optunas_own() -> None:
    """Of two kinds that have parameters of their own, one parameter together."""
    candidates: dict[tuple[str, int, int], dict[str, str | int]] = {
        ("a", size, 0): {"kind": "a", "a.size": size} for size in (1, 2, 3)
    }
    for size, depth in itertools.product((1, 2), (4, 5)):
        candidates["b", size, depth] = {"kind": "b", "b.size": size, "depth": depth}
    costs = {candidate: (float(candidate[1]),) for candidate in candidates}

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        kind = trial.suggest_categorical("kind", ["a", "b"])
        size = trial.suggest_categorical(f"{kind}.size", [1, 2, 3] if kind == "a" else [1, 2])
        depth = trial.suggest_categorical("depth", [4, 5]) if kind == "b" else 0
        return float(size + depth), float(size)

    study = optuna.create_study(directions=["maximize", "minimize"], sampler=FrontSampler(candidates, costs, seed=0))
    study.optimize(objective, n_trials=len(candidates))
    tried = [frozenset(trial.params.items()) for trial in study.trials]
    assert set(tried) == {frozenset(decisions.items()) for decisions in candidates.values()}
    assert len(tried) == len(candidates)


def test_without_candidates_no_point_of_a_small_space_is_tried_twice() -> None:
    study = optuna.create_study(sampler=FrontSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_int("x", 0, 3) + trial.suggest_float("y", 0, 1, step=0.5), n_trials=12)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 12


def noisy(x: int, y: int, noise: np.random.Generator) -> float:
    """Accuracy of one training: both choices matter, and one training tells little."""
    return [0.0, 0.4, 0.1, -0.3, 0.2, 0.3][x] + [0.3, -0.2, 0.0, 0.5, 0.1, -0.1][y] + 0.4 * float(noise.normal())


@pytest.mark.parametrize("with_candidates", [True, False])
def test_it_finds_the_best_sooner_than_by_chance(with_candidates: bool) -> None:
    """By chance the best of 36 is found after 18.5 trials on average."""
    candidates = {(x, y): {"x": x, "y": y} for x in range(6) for y in range(6)}
    costs: dict[tuple[int, int], tuple[float, ...]] = dict.fromkeys(candidates, ())
    needed = []
    for seed in range(12):
        noise = np.random.default_rng(seed)
        sampler = FrontSampler(candidates, costs, seed) if with_candidates else FrontSampler(seed=seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        while not study.trials or study.trials[-1].params != {"x": 1, "y": 3}:
            trial = study.ask()
            x, y = (trial.suggest_categorical(name, range(6)) for name in "xy")
            study.tell(trial, noisy(x, y, noise))
        needed.append(len(study.trials))
    assert np.mean(needed) < 14


def test_of_equally_promising_designs_the_one_that_adds_to_more_of_the_front_is_chosen() -> None:
    """A costlier design with the same expected score adds where the cheaper one does not reach."""
    candidates = {value: {"x": value} for value in range(AT_RANDOM + 2)}
    for cheap in (AT_RANDOM, AT_RANDOM + 1):
        costs = {value: (1.0 if value == cheap else 5.0,) for value in candidates}
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=FrontSampler(candidates, costs, 0))
        for value in range(AT_RANDOM):
            study.enqueue_trial({"x": value})
            trial = study.ask()
            study.tell(trial, (float(trial.suggest_categorical("x", range(AT_RANDOM + 2))), 5.0))
        assert study.ask().suggest_categorical("x", range(AT_RANDOM + 2)) == cheap


def test_no_cost_is_asked_for_before_anything_can_be_concluded() -> None:
    candidates = {value: {"x": value} for value in range(AT_RANDOM + 3)}
    asked: list[int] = []

    def cost(value: int) -> tuple[float]:
        asked.append(value)
        return (float(value),)

    costs = Lazily(candidates, cost)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=FrontSampler(candidates, costs, 0))
    for trained in range(AT_RANDOM + 1):
        assert bool(asked) == (trained > AT_RANDOM)
        trial = study.ask()
        study.tell(trial, (float(trial.suggest_categorical("x", range(AT_RANDOM + 3))), 0.0))
    assert len(asked) == 3


def test_a_certain_gain_is_the_growth_of_the_hypervolume() -> None:
    random = np.random.default_rng(0)
    known, known_costs = random.random(6), random.random((6, 1))
    known[0] = 0.0  # scores count above the worst one
    scores, costs = random.random(20), random.random((20, 1))
    gains = expected_gain(scores, np.full(20, 1e-9), costs, known, known_costs)
    points = np.column_stack([known, known_costs])
    for score, cost, gain in zip(scores, costs, gains, strict=True):
        grown = hypervolume(np.vstack([points, [score, cost[0]]])) - hypervolume(points)
        assert gain == pytest.approx(grown, abs=1e-7)


def test_an_expected_gain_is_the_mean_of_the_gains_of_what_may_be_so() -> None:
    random = np.random.default_rng(0)
    known, known_costs = random.random(4), random.random((4, 2))
    mean, deviation, costs = 0.6, 0.3, np.array([[0.7, 0.4]])
    (expected,) = expected_gain(np.array([mean]), np.array([deviation]), costs, known, known_costs)
    scores = mean + deviation * random.normal(size=20_000)
    count = len(scores)
    gains = expected_gain(scores, np.full(count, 1e-9), np.repeat(costs, count, axis=0), known, known_costs)
    assert expected == pytest.approx(gains.mean(), rel=0.03)


def test_designs_that_machines_failed_are_trained_in_the_end(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    small_space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    """Lost in every session they no longer come first, but they are what is left."""
    study = make_study()
    for _ in range(COMES_FIRST + 1):
        ledger = make_ledger(study, budget=1000, sampler="front", space=small_space)
        while (trial := ledger.ask()) is not None:
            if trial.job.design.attention == "eca":
                ledger.tell_failed(trial.number, Failure(kind=FailureKind.LOST_WORKER, reason="x"))
            else:
                ledger.report(trial.number, {"epoch": 1.0, "val_accuracy": 0.5})
                ledger.tell_complete(trial.number)
    ledger = run(make_ledger(study, budget=1000, sampler="front", space=small_space))
    assert ledger.trained == len(list(small_space.enumerate()))
