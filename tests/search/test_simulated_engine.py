"""Trials on a simulated clock: what a real engine would do, in the order of the times that epochs take."""

import dataclasses
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from search.checkpoints import Checkpoints
from search.engine import LONGEST_STEP, TOLD_A_SECOND, Engine, step_seconds
from search.ledger import GoesOn, Ledger
from search.local_engine import LocalEngine
from search.proposers import Sampled
from search.replay import Replay
from search.simulated_engine import SimulatedEngine
from search.table import Table
from search.trials import State, Trial
from space.choices import Candidate, SearchSpace
from space.cost import Costs
from tests.objectives import OBJECTIVES

EPOCHS = 4

Story = Callable[[Sequence[Trial]], list[object]]
Events = list[tuple[str, Trial]]


@pytest.fixture
def evaluate(space: SearchSpace, make_costs: Callable[[SearchSpace], dict[Candidate, Costs]]) -> Replay:
    """Follows random curves of all designs of the space; each design takes its own time, and one in eight fails."""
    random = np.random.default_rng(0)
    designs = [design for _, design in space.enumerate()]
    curves = random.random((len(designs), 2, EPOCHS)).astype(np.float32)
    curves[3::8, :, 1:] = np.nan
    costs = make_costs(space).values()
    table = Table(
        designs=tuple(designs),
        val_accuracy=curves,
        seconds=random.uniform(1.0, 9.0, (len(designs), 2)),
        costs={name: np.array([cost[name] for cost in costs]) for name in ("num_params", "macs", "fps")},
        settings={},
    )
    return Replay(table, lambda seed: 1)


@pytest.fixture
def searched(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], evaluate: Replay, tmp_path: Path
) -> Callable[..., Ledger]:
    """Searches on an engine: (engine, study=None, should_stop=never, budget=12, **of make_ledger)."""

    def search(
        engine: Engine,
        study: optuna.Study | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        budget: int = 12,
        **more: Any,
    ) -> Ledger:
        study = make_study() if study is None else study
        ledger = make_ledger(study, budget=budget, **more)
        folder = tmp_path / str(id(study))
        engine.run(ledger, evaluate, Checkpoints(folder, "study"), should_stop)
        return ledger

    return search


def best_half(trial: Trial, trials: Sequence[Trial]) -> bool | None:
    """A rung after the second epoch."""
    return None if trial.last["epoch"] != 2 else trial.last["val_accuracy"] > 0.5


def after(calls: int) -> Callable[[], bool]:
    """Says yes from so many calls on."""
    counter = itertools.count()
    return lambda: next(counter) >= calls


@pytest.mark.parametrize("goes_on", [None, best_half])
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_with_one_worker_it_searches_as_the_local_engine_does(
    searched: Callable[..., Ledger], story: Story, goes_on: GoesOn | None, sampler: str
) -> None:
    simulated = searched(SimulatedEngine(), goes_on=goes_on, sampler=sampler)
    local = searched(LocalEngine(), goes_on=goes_on, sampler=sampler)

    assert story(simulated.trials) == story(local.trials)
    states = Counter(trial.state for trial in simulated.trials)
    assert states[State.FAILED] > 0
    assert (states[State.STOPPED] > 0) == (goes_on is not None)


@pytest.mark.parametrize("calls", range(1, 60, 7))
def test_interrupted_anywhere_it_searches_the_same(
    searched: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_halving: Callable[..., GoesOn],
    story: Story,
    calls: int,
) -> None:
    halving = make_halving()
    through = searched(SimulatedEngine(), goes_on=halving)
    study = make_study()
    searched(SimulatedEngine(), study, after(calls), goes_on=halving)
    again = searched(SimulatedEngine(), study, goes_on=halving)
    assert story(again.trials) == story(through.trials)


def test_each_of_several_workers_is_stopped_at_a_rung_and_the_budget_is_trained(
    searched: Callable[..., Ledger], make_halving: Callable[..., GoesOn]
) -> None:
    ledger = searched(SimulatedEngine(4), goes_on=make_halving(), budget=20, confirm=0.3)
    assert (ledger.trained, ledger.running) == (20, [])
    epochs = {trial.state: {len(t.history) for t in ledger.trials if t.state is trial.state} for trial in ledger.trials}
    assert epochs[State.STOPPED] == {1, 2}
    assert epochs[State.COMPLETE] == {EPOCHS}
    again = [trial for trial in ledger.trials if trial.job.replicate]
    assert again
    assert State.STOPPED not in {trial.state for trial in again}


def test_several_workers_search_the_same_twice_and_train_the_budget(
    searched: Callable[..., Ledger], story: Story
) -> None:
    first, second = searched(SimulatedEngine(5)), searched(SimulatedEngine(5))
    assert story(first.trials) == story(second.trials)
    assert first.trained == 12
    assert not first.running


def test_several_workers_that_are_interrupted_train_the_budget(
    searched: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    study = make_study()
    left = searched(SimulatedEngine(3), study, after(15)).running
    assert len(left) == 3
    ledger = searched(SimulatedEngine(3), study)
    assert (ledger.trained, ledger.running) == (12, [])
    assert all(
        [report["epoch"] for report in trial.history] == [1, 2, 3, 4] for trial in ledger.trials if trial.trained
    )


def test_the_ledger_is_told_in_the_order_of_simulated_time(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    evaluate: Replay,
    watch: Callable[[Ledger], Events],
    tmp_path: Path,
) -> None:
    ledger = make_ledger(make_study(), budget=12)
    events = watch(ledger)
    SimulatedEngine(4).run(ledger, evaluate, Checkpoints(tmp_path, "study"), lambda: False)

    times = [trial.last["time"] for event, trial in events if event == "reported"]
    assert times == sorted(times)
    numbers = [trial.number for event, trial in events if event == "reported"]
    changes = sum(one != other for one, other in itertools.pairwise(numbers))
    assert changes > 2 * len(set(numbers)), "trials take turns"
    for trial in ledger.trials:
        for one, other in itertools.pairwise(trial.history):
            assert other["time"] - one["time"] == pytest.approx(other["seconds"], abs=1e-5)


def test_as_many_trials_run_at_once_as_there_are_workers(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    evaluate: Replay,
    watch: Callable[[Ledger], Events],
    tmp_path: Path,
) -> None:
    ledger = make_ledger(make_study(), budget=12)
    events = watch(ledger)
    SimulatedEngine(4).run(ledger, evaluate, Checkpoints(tmp_path, "study"), lambda: False)
    steps = [{"started": 1, "finished": -1}.get(event, 0) for event, _ in events]
    assert max(itertools.accumulate(steps)) == 4


def trained_seconds(ledger: Ledger) -> float:
    return sum(report["seconds"] for trial in ledger.trials for report in trial.history)


def test_the_clock_of_one_worker_shows_what_its_epochs_took(searched: Callable[..., Ledger]) -> None:
    engine = SimulatedEngine()
    ledger = searched(engine)
    assert engine.seconds == pytest.approx(trained_seconds(ledger))
    assert engine.busy_seconds == pytest.approx(engine.seconds)
    assert (engine.waiting_seconds, engine.busy) == (0.0, 1.0)


def test_workers_share_the_time(searched: Callable[..., Ledger]) -> None:
    engine = SimulatedEngine(4)
    ledger = searched(engine)
    assert engine.busy_seconds == pytest.approx(trained_seconds(ledger))
    assert engine.busy_seconds / 4 <= engine.seconds < engine.busy_seconds / 2
    assert engine.busy == 1.0


def test_the_time_that_deciding_takes_passes_on_the_clock_and_keeps_the_workers_waiting(
    searched: Callable[..., Ledger],
) -> None:
    """The timer is read before and after each decision, and says that each takes a second."""
    ticks: Iterator[int] = itertools.count()
    engine = SimulatedEngine(timer=lambda: float(next(ticks)))
    ledger = searched(engine)

    decisions = next(ticks) // 2
    assert engine.seconds == pytest.approx(trained_seconds(ledger) + decisions)
    no_trial = 1  # at the end the ledger is asked for another one, and nothing waits for that
    last_report = 1
    assert engine.waiting_seconds == pytest.approx(decisions - no_trial - last_report)
    assert engine.busy == pytest.approx(engine.busy_seconds / (engine.busy_seconds + engine.waiting_seconds))


def test_the_ledger_serves_first_who_came_first_however_long_it_takes(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    evaluate: Replay,
    watch: Callable[[Ledger], Events],
    tmp_path: Path,
) -> None:
    ledger, ticks = make_ledger(make_study(), budget=12), itertools.count(0, 3)
    events = watch(ledger)
    engine = SimulatedEngine(4, timer=lambda: float(next(ticks)))
    whole = replace(evaluate.table, val_accuracy=np.nan_to_num(evaluate.table.val_accuracy))  # a failure has no time
    engine.run(ledger, replace(evaluate, table=whole), Checkpoints(tmp_path, "study"), lambda: False)

    free, served = [0.0] * 4, 0.0  # since when the workers are, and when the last one that was served came
    for event, trial in events:
        if event == "finished":
            heapq.heappush(free, trial.last["time"])
        else:
            came = heapq.heappop(free) if event == "started" else trial.last["time"]
            assert came >= served
            served = came


@pytest.mark.parametrize("goes_on", [None, best_half])
def test_who_tells_of_several_epochs_at_once_searches_the_same_and_waits_less(
    goes_on: Callable[..., bool | None] | None,
    searched: Callable[..., Ledger],
    story: Story,
) -> None:
    ticks, seldom = (itertools.count(0, 0.5) for _ in range(2))
    each = SimulatedEngine(timer=lambda: next(ticks))
    several = SimulatedEngine(timer=lambda: next(seldom), step_seconds=2.5)
    one, other = searched(each, goes_on=goes_on), searched(several, goes_on=goes_on)

    assert story(one.trials) == story(other.trials)
    assert several.waiting_seconds < each.waiting_seconds
    assert several.busy_seconds >= each.busy_seconds  # what is over at a rung has trained on meanwhile
    for trial in other.trials:
        for report, following in itertools.pairwise(trial.history):
            passed = following["time"] - report["time"]
            assert passed > following["seconds"] - 1e-5


def test_designs_that_the_table_does_not_have_are_not_tried(
    space: SearchSpace,
    make_costs: Callable[[SearchSpace], dict[Candidate, Costs]],
    make_study: Callable[..., optuna.Study],
    evaluate: Replay,
    tmp_path: Path,
) -> None:
    costs: Mapping[Candidate, Costs] = dict(itertools.islice(make_costs(space).items(), 9))
    proposer = Sampled(space, costs, (), "random", 0, OBJECTIVES)
    ledger = Ledger(make_study(), proposer, budget=100)
    rows = {design: evaluate.table.rows[design] for _, design in costs}
    known = dataclasses.replace(evaluate.table, designs=tuple(rows))
    SimulatedEngine(2).run(ledger, Replay(known, lambda seed: 0), Checkpoints(tmp_path, "study"), lambda: False)

    tried = [t.job.candidate for t in ledger.trials if t.state not in (State.DUPLICATE, State.INFEASIBLE)]
    assert Counter(tried) == Counter(dict.fromkeys(costs, 1))
    assert any(trial.state is State.INFEASIBLE for trial in ledger.trials)
    assert ledger.exhausted


@pytest.mark.parametrize("workers", [1, 99, 1024, 10_000])
def test_many_workers_tell_a_driver_no_more_often_than_it_takes_and_are_not_silent_for_long(workers: int) -> None:
    step = step_seconds(workers)
    assert 1.0 <= step <= LONGEST_STEP
    assert workers / step <= TOLD_A_SECOND or step == LONGEST_STEP
