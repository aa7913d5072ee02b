"""What is made of trials that have ended."""

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.ended import OfEnded


def test_what_has_ended_is_looked_at_once_and_what_has_not_each_time() -> None:
    looked: list[tuple[int, TrialState]] = []

    def look(trial: FrozenTrial) -> int:
        looked.append((trial.number, trial.state))
        return len(looked)

    study, made = optuna.create_study(), OfEnded(look)
    study.tell(study.ask(), 0.0)
    running = study.ask()
    assert made(study, study.get_trials()) == [1, 2]
    assert made(study, study.get_trials()) == [1, 3]
    study.tell(running, state=TrialState.FAIL)
    assert made(study, study.get_trials()) == made(study, study.get_trials()) == [1, 4]
    assert looked == [(0, TrialState.COMPLETE), (1, TrialState.RUNNING), (1, TrialState.RUNNING), (1, TrialState.FAIL)]


def test_two_studies_have_nothing_in_common() -> None:
    made = OfEnded(lambda trial: trial.values)
    for value in (1.0, 2.0):
        study = optuna.create_study()
        study.tell(study.ask(), value)
        assert made(study, study.get_trials()) == [[value]]
