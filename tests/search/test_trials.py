"""Trials, jobs and histories on their way to the ledger's storage and back."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import optuna
import pytest

from search.trials import JOB, OUTCOME, Job, Report, State, Trial, pack_history, read_trial, read_trials, unpack_history
from space.design import Design


@pytest.mark.parametrize(
    "history",
    [
        (),
        ({"epoch": 1.0},),
        ({"epoch": 1.0, "val_accuracy": 0.1}, {"epoch": 2.0, "val_accuracy": 0.2}),
        ({"epoch": 1.0}, {"epoch": 2.0, "val_accuracy": 0.2}, {"epoch": 3.0, "loss": 0.0}),
        ({"epoch": 1.0, "loss": 0.3}, {"epoch": 2.0}),
    ],
    ids=["empty", "one epoch", "two epochs", "metrics that come later", "metrics that go away"],
)
def test_a_history_survives_packing_and_json(history: tuple[Report, ...]) -> None:
    assert unpack_history(json.loads(json.dumps(pack_history(history)))) == history


def test_a_packed_history_has_one_list_a_metric_as_long_as_the_history() -> None:
    packed = pack_history(({"epoch": 1.0}, {"epoch": 2.0, "loss": 0.5}))
    assert packed == {"epoch": [1.0, 2.0], "loss": [None, 0.5]}


@pytest.mark.parametrize("design", ["none", "se:reduction=8", "ras:depth=3,connection=tanh,stages=23", "dia"])
def test_a_job_survives_json(make_job: Callable[..., Job], design: str) -> None:
    job = make_job(design, seed=2**32 - 1, fps=123.456789)
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_a_job_is_keyed_by_backbone_and_design(make_job: Callable[..., Job]) -> None:
    assert make_job("se", seed=1).candidate == make_job("se", seed=2).candidate == ("tiny", Design("se"))


def test_an_optuna_trial_without_a_job_is_no_trial(make_study: Callable[..., optuna.Study]) -> None:
    study = make_study()
    study.ask()
    assert [read_trial(frozen) for frozen in study.get_trials()] == [None]


def test_an_optuna_trial_with_a_job_and_no_outcome_is_running(
    make_study: Callable[..., optuna.Study], make_job: Callable[..., Job]
) -> None:
    study = make_study()
    study.ask().set_user_attr(JOB, make_job("eca").to_json())
    trial = read_trial(study.get_trials()[0])
    assert trial is not None
    assert (trial.state, trial.job, trial.last, trial.finished) == (State.RUNNING, make_job("eca"), {}, None)


def test_a_trial_is_read_anew_until_it_has_ended(
    make_study: Callable[..., optuna.Study], make_job: Callable[..., Job]
) -> None:
    study = make_study()
    asked = study.ask()
    asked.set_user_attr(JOB, make_job("eca").to_json())

    def read() -> Trial | None:
        ((_, trial),) = read_trials(study)
        return trial

    running = read()
    assert running is not None
    assert running.state is State.RUNNING
    asked.set_user_attr(OUTCOME, {"state": "failed"})
    told = read()
    assert told is not None
    assert (told.state, told.finished) == (State.FAILED, None)
    study.tell(asked, state=optuna.trial.TrialState.FAIL)
    ended = read()
    assert ended is not None
    assert ended.finished is not None
    assert read() is ended


def test_only_first_trials_trained_to_the_end_or_to_a_rung_count_for_the_budget(
    make_trial: Callable[..., Trial],
) -> None:
    counted: Sequence[State] = [state for state in State if make_trial(state=state).counts]
    assert counted == [State.COMPLETE, State.STOPPED]
    assert not any(make_trial(state=state, replicate=1).counts for state in State)


def test_a_first_training_and_a_replicate_are_told_apart_after_json(make_job: Callable[..., Job]) -> None:
    again = replace(make_job("se"), replicate=2)
    assert Job.from_json(json.loads(json.dumps(again.to_json()))) == again != make_job("se")
