"""Where jobs come from: a sampler over a space, or a list."""

from collections import Counter
from collections.abc import Callable, Sequence

import optuna
import pytest

from search.ledger import Ledger
from search.proposers import COMES_FIRST, Planned
from search.samplers import SAMPLERS
from search.trials import Failure, FailureKind, Job, State, Trial
from space.choices import Candidate, SearchSpace
from space.cost import Costs, Limit, within
from space.declarations import Value
from space.seeds import mix_seed
from tests.objectives import FPS, PARAMS


def lose(ledger: Ledger, numbers: set[int], kind: FailureKind = FailureKind.LOST_WORKER) -> list[Trial]:
    """Train until the trials of these numbers have failed; gives them back."""
    lost: list[Trial] = []
    while len(lost) < len(numbers):
        trial = ledger.ask()
        assert trial is not None
        if trial.number in numbers:
            lost.append(trial)
            ledger.tell_failed(trial.number, Failure(kind=kind, reason="x"))
        else:
            ledger.report(trial.number, {"epoch": 1.0, "val_accuracy": 0.5})
            ledger.tell_complete(trial.number)
    return lost


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("numbers", [{0}, {1, 3}, {0, 1, 2}, {2, 3}], ids=str)
def test_whatever_the_machine_does_to_a_trial_the_next_session_trains_its_design_first(
    numbers: set[int],
    sampler: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    run: Callable[..., Ledger],
) -> None:
    study = make_study()
    lost = lose(make_ledger(study, sampler=sampler), numbers)
    before = len(make_ledger(study, sampler=sampler).trials)
    ledger = run(make_ledger(study, budget=8, sampler=sampler))
    again = [trial for trial in ledger.trials[before:] if trial.trained][: len(lost)]
    assert [trial.job.candidate for trial in again] == [trial.job.candidate for trial in lost]
    trained = [trial.job.candidate for trial in ledger.trials if trial.trained]
    assert len(trained) == len(set(trained)) == 8


@pytest.mark.parametrize("kind", FailureKind, ids=[kind.value for kind in FailureKind])
def test_a_design_comes_again_only_if_it_is_not_to_blame_and_not_in_the_same_session(
    kind: FailureKind,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    small_space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    every = len(list(small_space.enumerate()))
    study = make_study()
    ledger = make_ledger(study, budget=1000, space=small_space)
    (lost,) = lose(ledger, {1}, kind)
    assert run(ledger).trained == every - 1
    assert ledger.exhausted
    after = run(make_ledger(study, budget=1000, space=small_space))
    tried = Counter(trial.job.candidate for trial in after.trials if trial.trained or trial.failure)
    to_blame = kind in (FailureKind.NAN, FailureKind.OUT_OF_MEMORY, FailureKind.TIMEOUT)
    assert tried == {**dict.fromkeys(small_space.enumerate(), 1), lost.job.candidate: 1 if to_blame else 2}


def test_a_design_that_no_machine_can_train_lets_others_come_first_in_the_end(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], space: SearchSpace
) -> None:
    study = make_study()
    lost = [*lose(make_ledger(study), {1})]
    for session in range(2, COMES_FIRST + 1):
        lost += lose(make_ledger(study), {session})
    assert len({trial.job.candidate for trial in lost}) == 1
    other = make_ledger(study).ask()
    assert other is not None
    assert other.job.candidate not in (space.plain(), lost[0].job.candidate)


def test_the_plain_backbone_comes_first_however_often_a_machine_failed_it(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], space: SearchSpace
) -> None:
    study = make_study()
    for session in range(COMES_FIRST + 3):
        (lost,) = lose(make_ledger(study), {session})
        assert lost.job.candidate == space.plain()


def test_a_lost_design_beyond_new_limits_is_not_tried_again(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], run: Callable[..., Ledger]
) -> None:
    study = make_study()
    lost = lose(make_ledger(study), {1, 2, 3})
    tight = (Limit(PARAMS, max(trial.job.costs["num_params"] for trial in lost) - 1),)
    ledger = run(make_ledger(study, limits=tight))
    assert all(within(trial.job.costs, tight) for trial in ledger.trials if trial.trained)
    assert ledger.trained == 8


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        ((), True),
        (
            (
                Limit(PARAMS, 1000),
                Limit(FPS, 500.0),
            ),
            True,
        ),
        ((Limit(PARAMS, 999),), False),
        ((Limit(FPS, 500.1),), False),
        (
            (
                Limit(PARAMS, 1000),
                Limit(FPS, 501.0),
            ),
            False,
        ),
    ],
)
def test_a_limit_allows_what_reaches_it_exactly(limits: Sequence[Limit], allowed: bool) -> None:
    assert within({"num_params": 1000, "macs": 1, "fps": 500.0}, limits) is allowed


def test_a_rejected_design_is_replaced_by_the_nearest_unseen_one(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_costs: Callable[[SearchSpace], dict[Candidate, Costs]],
    space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    limits = (Limit(PARAMS, 8000),)
    ledger = run(make_ledger(make_study(), budget=20, limits=limits))
    decisions = space.decisions
    unseen = {candidate for candidate, cost in make_costs(space).items() if within(cost, limits)}

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


@pytest.mark.parametrize("seed", [0, 7])
def test_the_first_training_of_every_design_has_the_same_seed_so_that_gains_are_paired(
    seed: int, make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], run: Callable[..., Ledger]
) -> None:
    ledger = run(make_ledger(make_study(), seed=seed))
    assert {trial.job.seed for trial in ledger.trials} == {mix_seed(seed, 0)}


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


@pytest.mark.parametrize(
    ("kind", "again"),
    [(kind, kind is not FailureKind.NAN) for kind in FailureKind],
    ids=[kind.value for kind in FailureKind],
)
def test_a_failed_job_of_a_plan_is_tried_again_by_the_next_session_alone_unless_of_nan(
    kind: FailureKind,
    again: bool,
    study: optuna.Study,
    planned: Callable[..., Ledger],
    jobs: list[Job],
    run: Callable[..., Ledger],
) -> None:
    ledger = planned(study, jobs)
    first = ledger.ask()
    assert first is not None
    ledger.tell_failed(first.number, Failure(kind=kind, reason="x"))
    assert [trial.job for trial in run(ledger).trials] == jobs, "each once"
    after = run(planned(study, jobs))
    assert [trial.job for trial in after.trials] == [*jobs, *(jobs[:1] if again else [])]
    assert not after.unfinished
    assert len(run(planned(study, jobs)).trials) == len(after.trials)


def test_an_interrupted_plan_goes_on_with_the_job_left_running(
    study: optuna.Study, planned: Callable[..., Ledger], jobs: list[Job], run: Callable[..., Ledger]
) -> None:
    ledger = planned(study, jobs)
    for _ in range(2):
        ledger.ask()
    ledger.tell_failed(0, Failure(kind=FailureKind.NAN, reason="x"))
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
    lose(make_ledger(study), {0, 2})
    ledger = run(make_ledger(study, budget=15))
    for trial, frozen in zip(ledger.trials, study.get_trials(), strict=True):

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
