"""Where jobs come from: a sampler over a space, or a list."""

from collections import Counter
from collections.abc import Callable

import optuna
import pytest

from search.execution import Evaluate
from search.ledger import Ledger
from search.proposers import Planned
from search.trials import Failure, Job, State, Trial
from space.choices import Candidate, SearchSpace
from space.cost import Cost, Limits
from space.design import Design, Value


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        (Limits(), True),
        (Limits(max_params=1000, min_fps=500.0), True),
        (Limits(max_params=999), False),
        (Limits(min_fps=500.1), False),
        (Limits(max_params=1000, min_fps=501.0), False),
    ],
)
def test_a_limit_allows_what_reaches_it_exactly(limits: Limits, allowed: bool) -> None:
    assert limits.allow(Cost(num_params=1000, macs=1, fps=500.0)) is allowed


def test_a_rejected_design_is_replaced_by_the_nearest_unseen_one(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_costs: Callable[[SearchSpace], dict[Candidate, Cost]],
    space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    limits = Limits(max_params=8000)
    ledger = run(make_ledger(make_study(), budget=20, limits=limits))
    decisions = space.decisions
    unseen = {candidate for candidate, cost in make_costs(space).items() if limits.allow(cost)}

    def differences(one: Candidate, other: Candidate) -> int:
        left, right = decisions[one], decisions[other]
        return sum(left.get(name) != right.get(name) for name in {*left, *right})

    replaced: Counter[State] = Counter()
    for trial, after in zip(ledger.trials, [*ledger.trials[1:], None], strict=True):
        if trial.state in (State.DUPLICATE, State.INFEASIBLE):
            assert after is not None
            nearest = min(differences(trial.job.candidate, candidate) for candidate in unseen)
            assert after.job.candidate in unseen
            assert differences(trial.job.candidate, after.job.candidate) == nearest
            replaced[trial.state] += 1
        unseen.discard(trial.job.candidate)
    assert replaced[State.DUPLICATE], "nothing was replaced"
    assert replaced[State.INFEASIBLE], "nothing was replaced"


def test_ties_between_nearest_designs_are_broken_by_the_seed(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    small_space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    """Otherwise every search would try replacements in the order of the space."""
    orders = {
        tuple(str(t.job.design) for t in run(make_ledger(make_study(), budget=99, seed=seed, space=small_space)).trials)
        for seed in range(6)
    }
    assert len(orders) > 1


def test_a_design_reached_by_several_decisions_is_one_design(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    """All stages by name are the default stages: the two decisions lead to one trial."""
    full = {candidate for candidate in space.enumerate() if candidate[1].attention == "se"}
    assert not any(design.stages == "12" for _, design in full)
    ledger = run(make_ledger(make_study(), budget=1000))
    trained = [trial.job.candidate for trial in ledger.trials if trial.trained]
    assert len(trained) == len(set(trained)) == len(list(space.enumerate()))


@pytest.fixture
def jobs(make_job: Callable[..., Job]) -> list[Job]:
    return [make_job(design, seed) for seed in (1, 2) for design in ("none", "se", "ras:depth=3")]


@pytest.fixture
def planned(make_study: Callable[..., optuna.Study]) -> Callable[..., Ledger]:
    """Makes a ledger that works off a list: (study, jobs)."""

    def make(study: optuna.Study, jobs: list[Job]) -> Ledger:
        return Ledger(study, Planned(jobs, "val_accuracy"), len(jobs))

    return make


@pytest.fixture
def study(make_study: Callable[..., optuna.Study]) -> optuna.Study:
    return make_study(directions=Planned.DIRECTIONS)


def test_a_plan_is_worked_off_in_its_order_each_job_once(
    study: optuna.Study, planned: Callable[..., Ledger], jobs: list[Job], run: Callable[..., Ledger]
) -> None:
    ledger = run(planned(study, jobs))
    assert [trial.job for trial in ledger.trials] == jobs
    assert ledger.exhausted
    assert not ledger.unfinished


def test_a_job_that_stands_twice_in_a_plan_is_trained_once(
    study: optuna.Study, planned: Callable[..., Ledger], jobs: list[Job], run: Callable[..., Ledger]
) -> None:
    assert [trial.job for trial in run(planned(study, jobs + jobs)).trials] == jobs


def test_a_plan_extended_by_more_seeds_trains_only_the_new_jobs(
    study: optuna.Study,
    planned: Callable[..., Ledger],
    jobs: list[Job],
    make_job: Callable[..., Job],
    run: Callable[..., Ledger],
) -> None:
    run(planned(study, jobs))
    more = [make_job("none", 3), *jobs, make_job("se", 3)]
    trained = [trial.job for trial in run(planned(study, more)).trials]
    assert trained == [*jobs, make_job("none", 3), make_job("se", 3)]


def test_a_failed_job_of_a_plan_is_not_tried_again(
    study: optuna.Study,
    planned: Callable[..., Ledger],
    jobs: list[Job],
    make_curves: Callable[..., Evaluate],
    run: Callable[..., Ledger],
) -> None:
    def at_step(design: Design, epoch: int) -> None:
        if design.attention == "se":
            raise MemoryError

    ledger = run(planned(study, jobs), make_curves(at_step=at_step))
    again = run(planned(study, jobs))
    assert ledger.trained == again.trained == 4
    assert [trial.job for trial in again.trials] == jobs
    assert not again.unfinished


def test_an_interrupted_plan_goes_on_with_the_job_left_running(
    study: optuna.Study, planned: Callable[..., Ledger], jobs: list[Job], run: Callable[..., Ledger]
) -> None:
    ledger = planned(study, jobs)
    for _ in range(2):
        ledger.ask()
    ledger.tell_failed(0, Failure(kind="error", reason="x"))
    resumed = run(planned(study, jobs))
    assert [trial.job for trial in resumed.trials] == jobs
    assert [trial.number for trial in resumed.trials] == list(range(len(jobs)))


def test_a_plan_without_work_gives_nothing_to_a_trial_left_without_a_job(
    study: optuna.Study, planned: Callable[..., Ledger], jobs: list[Job], run: Callable[..., Ledger]
) -> None:
    """Killed before trial 3 had its job; the same command with fewer seeds has nothing left to do."""
    run(planned(study, jobs[:3]))
    study.ask()
    fewer = run(planned(study, jobs[:3]))
    assert fewer.trained == 3
    assert not fewer.unfinished


def test_the_objective_of_a_plan_is_its_metric(
    study: optuna.Study, planned: Callable[..., Ledger], jobs: list[Job], run: Callable[..., Ledger]
) -> None:
    ledger = run(planned(study, jobs))
    assert [frozen.values for frozen in study.get_trials()] == [[t.last["val_accuracy"]] for t in ledger.trials]


def test_what_a_trial_trains_is_what_its_decisions_say(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    """The sampler learns from the parameters: they have to be those of the design that was trained."""
    study = make_study()
    ledger = run(make_ledger(study, budget=15))
    for trial, frozen in list(zip(ledger.trials, study.get_trials(), strict=True))[1:]:

        def replay(name: str, options: object, params: dict[str, Value] = frozen.params) -> Value:
            return params[name]

        assert space.sample(replay) == trial.job.candidate


def test_started_trials_carry_their_job_to_observers(
    study: optuna.Study,
    planned: Callable[..., Ledger],
    jobs: list[Job],
    run: Callable[..., Ledger],
    watch: Callable[[Ledger], list[tuple[str, Trial]]],
) -> None:
    ledger = planned(study, jobs)
    events = watch(ledger)
    run(ledger)
    assert [trial.job for event, trial in events if event == "started"] == jobs
