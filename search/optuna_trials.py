"""The trials of a study as Optuna keeps them: taken up, begun, written and closed.

What is written when is what makes a process that was killed go on: see `OptunaTrials._load`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import optuna
from optuna.study._tell import _tell_with_warning
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.proposals import Proposer, Rejected
from search.tally import Tally
from search.trials import (
    FIXED,
    INSTEAD,
    JOB,
    ORIGIN,
    OUTCOME,
    PASSED,
    VALUES,
    Job,
    State,
    Trial,
    pack_history,
    read_trials,
)
from space.declarations import Value

OTHER = "another process writes this study"


class OptunaTrials:
    """Trials of a study that this process alone writes.

    Args:
        study: the Optuna study.
        proposer: decides on the trials.

    Attributes:
        by_number: trials that have a job.
        orphans: numbers of the trials that are not closed and run nowhere; an earlier session left some without a job.
    """

    def __init__(self, study: optuna.Study, proposer: Proposer) -> None:
        self.by_number = Tally()
        self.orphans: deque[int] = deque()
        self._study = study
        self._proposer = proposer
        self._handles: dict[int, optuna.Trial] = {}
        self._instead: Mapping[str, Value] = {}  # decisions of the next trial; none where it is free
        self._decided: set[int] = set()  # trials that were begun with decisions
        self._frozen: list[FrozenTrial] = []  # all in the study, as samplers last saw them
        self._changed: set[int] = set()  # of which since then
        self._load()

    def _load(self) -> None:
        """Take up what an earlier session left, wherever it was cut off.

        A trial with an outcome is closed, and a trial without one is an orphan. A rejected trial that
        ends the study is replaced by the next one.
        """
        for frozen, trial in read_trials(self._study):
            self._frozen.append(frozen)
            if FIXED in frozen.system_attrs:
                self._decided.add(frozen.number)
            waits = frozen.state is TrialState.WAITING  # as earlier versions left one that was to replace another
            if waits:
                begun = self._study._storage.set_trial_state_values(frozen._trial_id, TrialState.RUNNING)
                assert begun, OTHER
                self._changed.add(frozen.number)
            outcome = frozen.user_attrs.get(OUTCOME, {})
            if ORIGIN not in outcome:
                self._instead = outcome.get(INSTEAD, {})
            if trial is not None:
                self.by_number[frozen.number] = trial
                if trial.state not in (State.DUPLICATE, State.INFEASIBLE):
                    self._proposer.recall(trial)
            if waits or frozen.state is TrialState.RUNNING:
                self._study.sampler = self._proposer.sampler(frozen.number)
                self._handles[frozen.number] = optuna.Trial(self._study, frozen._trial_id)
                if outcome:
                    self._close_in_study(frozen.number, trial)
                    if trial is not None:
                        self.by_number[frozen.number] = replace(trial, finished=datetime.now())
                else:
                    self.orphans.append(frozen.number)

    def handle(self, number: int) -> optuna.Trial:
        """What the proposer decides on, of a trial that is not closed."""
        self._show_samplers()
        return self._handles[number]

    def begin(self) -> optuna.Trial:
        """A new Optuna trial, its sampler seeded by the trial's number alone.

        That is what `ask` gives, but for looking for one that waits among all trials, which takes long with thousands.
        """
        number, template = len(self._frozen), None
        self._study.sampler = self._proposer.sampler(number)
        if self._instead:
            template = create_trial(state=TrialState.RUNNING, system_attrs={FIXED: dict(self._instead)})
            self._decided.add(number)
        trial_id = self._study._storage.create_new_trial(self._study._study_id, template)
        self._instead = {}
        self._changed.add(number)
        self._show_samplers()
        handle = optuna.Trial(self._study, trial_id)
        assert handle.number == number, OTHER
        self._handles[number] = handle
        return handle

    def _show_samplers(self) -> None:
        """Have samplers see all trials as they are now; only those are read that may have changed.

        To list all 16,000 of a search of 10,000 designs at each decision would take a fifth of what deciding takes.
        """
        storage, study_id = self._study._storage, self._study._study_id
        for number in sorted(self._changed):
            assert number <= len(self._frozen), OTHER
            frozen = storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, number))
            self._frozen[number : number + 1] = [frozen]
        self._changed.clear()
        self._study._thread_local.cached_all_trials = list(self._frozen)  # which `ask` leaves to be read again

    def decided(self, handle: optuna.Trial) -> bool:
        """Whether a trial was begun with decisions that were made before."""
        return handle.number in self._decided

    def give(self, handle: optuna.Trial, job: Job) -> Trial:
        """Write down what a trial trains."""
        handle.set_user_attr(JOB, job.to_json())
        self._changed.add(handle.number)
        trial = Trial(number=handle.number, state=State.RUNNING, job=job, started=datetime.now())
        self.by_number[handle.number] = trial
        return trial

    def reject(self, handle: optuna.Trial, proposal: Rejected) -> None:
        """Close a trial that is not trained; the next one is what is to be tried instead."""
        # The outcome comes first: a session cut off between the two must not leave a job to be trained.
        handle.set_user_attr(OUTCOME, {"state": proposal.state.value, INSTEAD: dict(proposal.instead)})
        trial = replace(self.give(handle, proposal.job), state=proposal.state, finished=datetime.now())
        self.by_number[handle.number] = trial
        self._close_in_study(handle.number, trial)
        self._instead = proposal.instead

    def note(self, trial: Trial) -> None:
        """Write down how far a running trial is."""
        self._handles[trial.number].set_user_attr(PASSED, pack_history(trial.history))
        self._changed.add(trial.number)

    def close(self, trial: Trial) -> None:
        """Write down what became of a trial."""
        outcome: dict[str, Any] = {
            "state": trial.state.value,
            "history": pack_history(trial.history),
            "worker": trial.worker,
        }
        if trial.failure is not None:
            outcome["failure"] = trial.failure.to_json()
        if trial.state is State.COMPLETE and trial.job.replicate:
            outcome[VALUES] = list(self._proposer.values(trial.job, trial.last))
        self._handles[trial.number].set_user_attr(
            OUTCOME, outcome
        )  # before the end: a closed trial takes no attributes
        self._close_in_study(trial.number, trial)
        self.by_number[trial.number] = trial

    def drop(self, number: int) -> None:
        """Close a trial that never got as far as a job; the next one has the decisions that it began with, if any."""
        if fixed := self._frozen[number].system_attrs.get(FIXED):
            self._handles[number].set_user_attr(OUTCOME, {INSTEAD: fixed})
            self._instead = fixed
        self._close_in_study(number, None)

    def _close_in_study(self, number: int, trial: Trial | None) -> None:
        """Tell Optuna; a trial that never got as far as a job counts as failed there.

        So does a replicate, whatever became of it: samplers expect one trial a design, and decided nothing in this one.
        """
        state = State.FAILED if trial is None or trial.job.replicate else trial.state
        values = self._proposer.values(trial.job, trial.last) if trial and state is State.COMPLETE else None
        # What `tell` does, but for the copy of the whole trial that it returns.
        _tell_with_warning(self._study, self._handles.pop(number), values, _OPTUNA_STATES[state])
        self._changed.add(number)


_OPTUNA_STATES = {
    State.COMPLETE: TrialState.COMPLETE,
    State.STOPPED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
    State.DUPLICATE: TrialState.FAIL,
    State.INFEASIBLE: TrialState.FAIL,
}
