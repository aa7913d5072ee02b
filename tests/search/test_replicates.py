"""Designs that are trained again: how many, which ones, under which seeds, and what that changes of all else."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import optuna
import pytest
from optuna.trial import TrialState

import search.replicates
from search.designs import TrainedDesign, doubts, known_designs, trained_designs
from search.estimates import Array
from search.execution import Evaluate
from search.ledger import Ledger
from search.replicates import LEARN_EVERY, MOST_LOST, Replicates, _learn_every
from search.samplers import SAMPLERS
from search.tally import Tally
from search.trials import Failure, FailureKind, State, Trial
from space.choices import SearchSpace
from space.design import Design
from space.seeds import mix_seed
from tests.objectives import OBJECTIVES

Make: TypeAlias = Callable[..., Ledger]
Study: TypeAlias = Callable[..., optuna.Study]
Run: TypeAlias = Callable[..., Ledger]

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


def replicates(ledger: Ledger) -> list[Trial]:
    """In the order in which they were begun."""
    return [trial for trial in ledger.trials if trial.job.replicate]


@every_sampler
@pytest.mark.parametrize("confirm", [0.2, 0.3, 0.6])
def test_replicates_take_their_share_of_the_epochs_and_none_of_the_budget(
    confirm: float, sampler: str, make_ledger: Make, make_study: Study, run: Run
) -> None:
    ledger = run(make_ledger(make_study(), budget=20, sampler=sampler, confirm=confirm))
    epochs = sum(len(trial.history) for trial in ledger.trials)
    again = sum(len(trial.history) for trial in replicates(ledger))
    assert again <= confirm * epochs < again + 3  # less than one training of three epochs is left
    assert ledger.trained == 20
    first = [trial.job.candidate for trial in ledger.trials if trial.counts]
    assert len(first) == len(set(first)) == 20
    assert not ledger.unfinished
    assert ledger.ask() is None


def test_without_a_share_there_is_none(make_ledger: Make, make_study: Study, run: Run) -> None:
    assert not replicates(run(make_ledger(make_study(), budget=20, confirm=0.0)))


def test_the_kth_training_of_every_design_has_the_studys_seed_k(make_ledger: Make, make_study: Study, run: Run) -> None:
    ledger = run(make_ledger(make_study(), budget=20, seed=5, confirm=0.6))
    trained = [trial for trial in ledger.trials if trial.state is State.COMPLETE]
    assert all(trial.job.seed == mix_seed(5, trial.job.replicate) for trial in trained)
    keys = [(trial.job.candidate, trial.job.replicate) for trial in trained]
    assert len(keys) == len(set(keys))
    for candidate, count in Counter(candidate for candidate, _ in keys).items():
        assert {replicate for other, replicate in keys if other == candidate} == set(range(count))


def test_plain_is_trained_under_a_seed_before_any_other_design_is(
    make_ledger: Make, make_study: Study, run: Run, space: SearchSpace
) -> None:
    again = replicates(run(make_ledger(make_study(), budget=20, confirm=0.6)))
    begun: Counter[int] = Counter()
    for trial in again:
        assert trial.job.candidate == space.plain() or begun[trial.job.replicate]
        begun[trial.job.replicate] += 1
    assert again[0].number < 6
    assert len({trial.job.candidate for trial in again}) > 3


def test_what_may_be_on_a_front_is_trained_again_and_what_is_clear_is_not(make_trial: Callable[..., Trial]) -> None:
    values = {"none": 0.7, "se": 0.71, "eca": 0.4, "ras": 0.1}
    trials = [make_trial(0.7, design="none", number=9, replicate=1)]
    for number, (design, value) in enumerate(values.items()):
        trials.append(make_trial(value, design=design, number=number, num_params=1000 + number, fps=500.0 - number))
    chooser = Replicates(share=0.9, objectives=OBJECTIVES, images=1000, seed=0)
    job = chooser.next(Tally(trials))
    assert job is not None
    assert (str(job.design), job.replicate) == ("se", 1)
    probability = {str(it.candidate[1]): it.p_front["params"] for it in known_designs(trials, OBJECTIVES, 1000)}
    assert probability["none"] == 1.0  # nothing is cheaper
    assert probability["se"] > probability["eca"] >= probability["ras"]


def test_of_many_trainings_a_few_more_are_not_learnt_from_at_once(
    make_trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is in which order they ended, not in which they began; who reads the study anew decides likewise."""
    begun = datetime(2026, 1, 1)
    trials = [make_trial(0.7, design="none")]
    for number in range(1, 200):
        accuracy = 0.6 + mix_seed(number) % 100 / 1000
        design, replicate = ("se", "eca", "ras", "cbam")[number % 4], number // 4
        trial = make_trial(accuracy, design=design, number=number, replicate=replicate, state=State.COMPLETE)
        trials.append(replace(trial, finished=begun + timedelta(seconds=number * 37 % 200)))
    order = sorted(range(200), key=lambda number: (trials[number].finished or begun, number))
    learnt: list[int] = []

    def noting(trained: Sequence[TrainedDesign], *others: Any) -> Array:
        learnt.append(len(trained))
        return doubts(trained, *others)

    monkeypatch.setattr(search.replicates, "doubts", noting)
    done = [set(order[:ended]) for ended in range(150, 201)]
    stages = [
        [it if it.number in some else replace(it, state=State.RUNNING, finished=None) for it in trials] for some in done
    ]
    chooser = Replicates(share=1.0, objectives=OBJECTIVES, images=1000, seed=0)
    chosen = [chooser.next(Tally(stage)) for stage in stages]
    assert len(learnt) < len(stages) / 2
    assert chosen == [replace(chooser).next(Tally(stage)) for stage in stages]


def test_samplers_and_optunas_front_do_not_see_replicates(make_ledger: Make, make_study: Study, run: Run) -> None:
    study = make_study()
    ledger = run(make_ledger(study, budget=12, sampler="tpe", confirm=0.4))
    for trial, frozen in zip(ledger.trials, study.get_trials(), strict=True):
        if trial.job.replicate:
            assert (frozen.state, frozen.params) == (TrialState.FAIL, {})
            assert trial.state is State.COMPLETE
    assert {frozen.number for frozen in study.best_trials} <= {t.number for t in ledger.trials if t.counts}


@pytest.mark.parametrize("kind", [FailureKind.NAN, FailureKind.ERROR], ids=["its own fault", "the machine's"])
def test_a_failed_replicate_hurts_nothing(
    kind: FailureKind, make_ledger: Make, make_study: Study, make_curves: Callable[..., Evaluate], space: SearchSpace
) -> None:
    ledger = make_ledger(make_study(), budget=12, confirm=0.5)
    failed: Counter[Any] = Counter()
    while (trial := ledger.ask()) is not None:
        if trial.job.replicate and trial.job.design != Design():
            failed[trial.job.candidate] += 1
            ledger.tell_failed(trial.number, Failure(kind=kind, reason="x"))
            continue
        ledger.report(trial.number, {"epoch": 1.0, "val_accuracy": 0.5 + 0.001 * trial.number})
        ledger.tell_complete(trial.number)
        if ledger.hopeless:
            break
    assert failed
    assert max(failed.values()) <= (1 if kind is FailureKind.NAN else MOST_LOST)
    assert ledger.hopeless or ledger.trained == 12


def test_a_larger_budget_goes_on(make_ledger: Make, make_study: Study, run: Run) -> None:
    study = make_study()
    before = run(make_ledger(study, budget=10, confirm=0.3))
    after = run(make_ledger(study, budget=20, confirm=0.3))
    whole = run(make_ledger(make_study(), budget=20, confirm=0.3))
    assert after.trained == 20
    assert len(replicates(before)) == 4
    assert len(replicates(after)) == len(replicates(whole)) == 8
    assert len(run(make_ledger(study, budget=20, confirm=0.0)).trials) == len(after.trials)


def test_two_workers_do_not_train_the_same_again(make_ledger: Make, make_study: Study) -> None:
    ledger = make_ledger(make_study(), budget=8, confirm=0.5)
    open_trials: list[Trial] = []
    begun = []
    while (trial := ledger.ask()) is not None or open_trials:
        if trial is not None:
            open_trials.append(trial)
            begun.append((trial.job.candidate, trial.job.replicate))
        if trial is None or len(open_trials) == 3:
            done = open_trials.pop(0)
            ledger.report(done.number, {"epoch": 1.0, "val_accuracy": 0.5 + 0.01 * done.number})
            ledger.tell_complete(done.number)
    assert len(begun) == len(set(begun))
    assert any(replicate for _, replicate in begun)
    assert ledger.trained == 8


def test_of_thousands_of_trainings_something_is_learnt_again_each_fiftieth_at_most() -> None:
    begun = [count - count % _learn_every(count) for count in range(1, 20_000)]
    learnt = sorted(set(begun))
    assert begun[:100] == list(range(1, 101))
    assert all(count - at < max(1, LEARN_EVERY * count) for count, at in enumerate(begun, start=1))
    assert len([at for at in learnt if at > 10_000]) <= 70


def test_doubt_is_what_is_known_of_fronts(make_trial: Callable[..., Trial]) -> None:
    trials = [
        make_trial(0.7 + mix_seed(number) % 100 / 2000, design=design, number=number, num_params=1000 + number)
        for number, design in enumerate(["none", "se", "eca", "ras", "cbam"])
    ]
    known = known_designs(trials, OBJECTIVES, 1000)
    told = doubts(trained_designs(trials, OBJECTIVES.metric), OBJECTIVES, 1000)
    assert told.tolist() == pytest.approx([sum(p * (1 - p) for p in it.p_front.values()) for it in known])
    assert max(told) > 0
