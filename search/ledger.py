"""The ledger: an Optuna study as the only truth about a search.

One process, the driver, writes it. The engines ask it for trials and tell it what became of them;
everything else observes it and can be rebuilt from it.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import optuna
from optuna.trial import TrialState

from search.ending import UNBOUND, Bound, Ending
from search.hopeless import hopeless
from search.proposals import Proposed, Proposer
from search.trials import JOB, OUTCOME, VALUES, Failure, Kind, Report, State, Trial, pack_history, read_trial
from space.declarations import Value

INSTEAD = "instead"
"""In the outcome of a rejected trial: the decisions to go on with."""

GoesOn = Callable[[Trial], bool]
"""Whether a running trial, whose history ends with the newest report, is worth another epoch."""


class Observer(Protocol):
    """Is told what happens to a ledger, after it was written."""

    def started(self, trial: Trial) -> None:
        """A trial has been given out, or taken up again."""

    def reported(self, trial: Trial) -> None:
        """A trial has trained another epoch."""

    def finished(self, trial: Trial) -> None:
        """A trial has been told."""


class Ledger:
    """Gives out trials and records what became of them.

    Args:
        study: the Optuna study; this process alone writes it.
        proposer: decides what to train.
        budget: trials to train, to the end or to the rung that stopped them; replicates beside them.
        goes_on: judges each report of what is no replicate; None trains every trial to the end.
        nan_is_a_result: whether trainings may well break off in nan, so that many of them are no reason to stop.
        bound: what else ends the search.
    """

    def __init__(
        self,
        study: optuna.Study,
        proposer: Proposer,
        budget: int,
        goes_on: GoesOn | None = None,
        nan_is_a_result: bool = False,
        bound: Bound = UNBOUND,
    ) -> None:
        self._study = study
        self._proposer = proposer
        self._budget = budget
        self._observers: list[Observer] = []
        self._goes_on = goes_on
        self._bound = bound
        self._nan_is_a_result = nan_is_a_result
        self._handles: dict[int, optuna.Trial] = {}
        self._trials: dict[int, Trial] = {}
        self._orphans: deque[int] = deque()
        self._waiting: deque[int] = deque()
        self._total = 0  # trials in the study, those that wait included
        self._load()
        self._before = [trial for trial in self._trials.values() if self._says_something(trial)]
        self._ended: list[Trial] = []

    @property
    def trials(self) -> list[Trial]:
        """All trials that have a job, by number."""
        return [self._trials[number] for number in sorted(self._trials)]

    @property
    def budget(self) -> int:
        """Trials to train in all."""
        return self._budget

    @property
    def running(self) -> list[Trial]:
        """Trials that were given out and not told yet."""
        return [trial for trial in self._trials.values() if trial.state is State.RUNNING]

    @property
    def trained(self) -> int:
        """Trials that count for the budget."""
        return sum(trial.counts for trial in self._trials.values())

    @property
    def exhausted(self) -> bool:
        """Whether every design has been given out."""
        return self._proposer.exhausted

    @property
    def ending(self) -> Ending | None:
        """Why no other trial is begun now; None while one is."""
        if self._wants_designs() or self._proposer.replicate(self.trials) is not None:
            return self._bound(self.trials)
        if self.exhausted:
            return Ending("space", "Every design within the limits has been tried")
        return Ending("budget", f"--budget {self._budget} is reached")

    @property
    def ended(self) -> list[Trial]:
        """Trials that trained or failed in this session, in the order of their ends."""
        return list(self._ended)

    @property
    def hopeless(self) -> list[Trial]:
        """The failures after which no other trial is worth beginning now; empty while there is hope."""
        return hopeless(self._before, self._ended, self.running)

    @property
    def unfinished(self) -> bool:
        """Whether there is more to train."""
        return bool(self.running) or self._wants_more()

    def observe(self, observer: Observer) -> None:
        """Have this observer told of what happens from now on."""
        self._observers.append(observer)

    def ask(self) -> Trial | None:
        """The next trial to train; None if there is none to start now.

        A trial that an earlier session left running comes first, under its own number and seed.
        None is final once nothing is running: a failure gives its place in the budget back, and what trials on
        their way come to may give hope again.
        """
        if self.hopeless:
            return None
        while self._orphans:
            number = self._orphans.popleft()
            if number in self._trials:
                return self._start(self._trials[number])
            if not self._wants_more():
                self._close_in_study(self._handles.pop(number), None)
                continue
            if (trial := self._propose(self._handles[number])) is not None:
                return self._start(trial)
        while self._wants_more():
            if (trial := self._propose(self._begin())) is not None:
                return self._start(trial)
        return None

    def place(self, number: int, worker: str) -> None:
        """Note where a trial is training."""
        self._trials[number] = replace(self._trials[number], worker=worker)

    def report(self, number: int, report: Report) -> bool:
        """Record an epoch; returns whether the trial goes on. An epoch known already changes nothing."""
        trial = self._trials[number]
        if trial.history and report["epoch"] <= trial.last["epoch"]:
            return True
        trial = self._trials[number] = replace(trial, history=(*trial.history, report))
        for observer in self._observers:
            observer.reported(trial)
        return self._goes_on is None or trial.job.replicate > 0 or self._goes_on(trial)

    def tell_complete(self, number: int) -> None:
        """Close a trial that trained to the end; without finite objectives it has failed."""
        trial = self._trials[number]
        try:
            values = self._proposer.values(trial.job, trial.last)
        except KeyError as error:
            self.tell_failed(number, Failure(kind=Kind.ERROR, reason=f"its last report has no {error}"))
            return
        if not all(math.isfinite(value) for value in values):
            reason = f"its objectives are {', '.join(map(str, values))}"
            self.tell_failed(number, Failure(kind=Kind.NAN, reason=reason))
            return
        self._tell(number, State.COMPLETE)

    def tell_stopped(self, number: int) -> None:
        """Close a trial that was stopped at a rung. It is on no front."""
        self._tell(number, State.STOPPED)

    def tell_failed(self, number: int, failure: Failure) -> None:
        """Close a trial that failed. Its design is not tried again in this session."""
        self._tell(number, State.FAILED, failure)

    def annotate(self, key: str, value: Any) -> None:
        """Store a value with the study; may be called from another thread."""
        self._study.set_user_attr(key, value)

    def _wants_more(self) -> bool:
        """Whether another trial is to be begun now."""
        return self.ending is None

    def _wants_designs(self) -> bool:
        """Whether the budget has room for another design, and there is one."""
        on_their_way = sum(not trial.job.replicate for trial in self.running)
        return self.trained + on_their_way < self._budget and not self.exhausted

    def _load(self) -> None:
        """Take up what an earlier session left, wherever it was cut off.

        A trial with an outcome is closed, a trial without one is an orphan, and the replacement of a
        rejected trial that ends the study is queued, if it is not.
        """
        last: Mapping[str, Any] = {}
        for frozen in self._study.get_trials(deepcopy=False):
            self._total += 1
            if frozen.state is TrialState.WAITING:
                self._waiting.append(frozen.number)
                continue
            last = frozen.user_attrs.get(OUTCOME, {})
            trial = read_trial(frozen)
            if trial is not None:
                self._trials[frozen.number] = trial
                if trial.state not in (State.DUPLICATE, State.INFEASIBLE):
                    self._proposer.recall(trial)
            if frozen.state is TrialState.RUNNING:
                self._study.sampler = self._proposer.sampler(frozen.number)
                handle = optuna.Trial(self._study, frozen._trial_id)
                if OUTCOME in frozen.user_attrs:
                    self._close_in_study(handle, trial)
                else:
                    self._handles[frozen.number] = handle
                    self._orphans.append(frozen.number)
        if INSTEAD in last and not self._waiting:
            self._enqueue(last[INSTEAD])

    def _begin(self) -> optuna.Trial:
        """A new Optuna trial, its sampler seeded by the trial's number alone."""
        number = self._waiting.popleft() if self._waiting else self._total
        self._total = max(self._total, number + 1)
        self._study.sampler = self._proposer.sampler(number)
        handle = self._study.ask()
        assert handle.number == number, "another process writes this study"
        self._handles[number] = handle
        return handle

    def _enqueue(self, decisions: Mapping[str, Value]) -> None:
        self._study.enqueue_trial(dict(decisions))
        self._waiting.append(self._total)
        self._total += 1

    def _propose(self, handle: optuna.Trial) -> Trial | None:
        """Have the proposer decide for a trial; None, and the trial closed, if it is not to be trained."""
        decided = "fixed_params" in self._study.get_trials(deepcopy=False)[handle.number].system_attrs
        again = None if decided and self._wants_designs() else self._proposer.replicate(self.trials)
        proposal = self._proposer.propose(handle) if again is None else Proposed(again)
        trial = Trial(number=handle.number, state=State.RUNNING, job=proposal.job, started=datetime.now())
        if isinstance(proposal, Proposed):
            handle.set_user_attr(JOB, proposal.job.to_json())
            self._trials[handle.number] = trial
            self._proposer.take(proposal.job)
            return trial
        # The outcome comes first: a session cut off between the two must not leave a job to be trained.
        handle.set_user_attr(OUTCOME, {"state": proposal.state.value, INSTEAD: dict(proposal.instead)})
        handle.set_user_attr(JOB, proposal.job.to_json())
        self._trials[handle.number] = replace(trial, state=proposal.state, finished=datetime.now())
        self._close_in_study(self._handles.pop(handle.number), self._trials[handle.number])
        self._enqueue(proposal.instead)
        return None

    def _start(self, trial: Trial) -> Trial:
        for observer in self._observers:
            observer.started(trial)
        return trial

    def _tell(self, number: int, state: State, failure: Failure | None = None) -> None:
        trial = replace(self._trials[number], state=state, failure=failure, finished=datetime.now())
        outcome: dict[str, Any] = {"state": state.value, "history": pack_history(trial.history), "worker": trial.worker}
        if failure is not None:
            outcome["failure"] = failure.to_json()
        if state is State.COMPLETE and trial.job.replicate:
            outcome[VALUES] = list(self._proposer.values(trial.job, trial.last))
        handle = self._handles.pop(number)
        handle.set_user_attr(OUTCOME, outcome)  # before the end: a closed trial takes no attributes
        self._close_in_study(handle, trial)
        self._trials[number] = trial
        if self._says_something(trial):
            self._ended.append(trial)
        for observer in self._observers:
            observer.finished(trial)

    def _says_something(self, trial: Trial) -> bool:
        """Whether its end tells what becomes of others."""
        if trial.failure is not None:
            return not (self._nan_is_a_result and trial.failure.kind is Kind.NAN)
        return trial.trained

    def _close_in_study(self, handle: optuna.Trial, trial: Trial | None) -> None:
        """Tell Optuna; a trial that never got as far as a job counts as failed there.

        So does a replicate, whatever became of it: samplers expect one trial a design, and decided nothing in this one.
        """
        state = State.FAILED if trial is None or trial.job.replicate else trial.state
        values = self._proposer.values(trial.job, trial.last) if trial and state is State.COMPLETE else None
        self._study.tell(handle, values, _OPTUNA_STATES[state])


_OPTUNA_STATES = {
    State.COMPLETE: TrialState.COMPLETE,
    State.STOPPED: TrialState.PRUNED,
    State.FAILED: TrialState.FAIL,
    State.DUPLICATE: TrialState.FAIL,
    State.INFEASIBLE: TrialState.FAIL,
}
