"""The ledger: an Optuna study as the only truth about a search.

One process, the driver, writes it. The engines ask it for trials and tell it what became of them;
everything else observes it and can be rebuilt from it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import optuna

from search.ending import UNBOUND, Bound, Ending
from search.hopeless import hopeless
from search.optuna_trials import OptunaTrials
from search.proposals import Proposed, Proposer
from search.trials import Failure, FailureKind, Report, State, Trial

GoesOn = Callable[[Trial, Sequence[Trial]], bool | None]
"""Of a running trial, whose history ends with the newest report, and all trials: whether the one is worth training on.

None where it is not judged: between two rungs.
"""


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
        goes_on: judges what is no replicate, at rungs; None trains every trial to the end.
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
        self._kept = OptunaTrials(study, proposer)
        self._trials = self._kept.by_number
        self._before = [trial for trial in self._trials.values() if self._says_something(trial)]
        self._ended: list[Trial] = []

    @property
    def trials(self) -> list[Trial]:
        """All trials that have a job, by number."""
        return self._trials.in_order()

    @property
    def budget(self) -> int:
        """Trials to train in all."""
        return self._budget

    @property
    def running(self) -> list[Trial]:
        """Trials that were given out and not told yet."""
        return list(self._trials.running.values())

    @property
    def trained(self) -> int:
        """Trials that count for the budget."""
        return self._trials.trained

    @property
    def exhausted(self) -> bool:
        """Whether every design has been given out."""
        return self._proposer.exhausted

    @property
    def ending(self) -> Ending | None:
        """Why no other trial is begun now; None while one is."""
        if self._wants_designs() or self._proposer.replicate(self._trials) is not None:
            return self._bound(self._trials.values())
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

        A trial that runs nowhere comes first, under its own number and seed: an earlier session left it, or it was
        put back. None is final once nothing is running: a failure gives its place in the budget back, and what trials
        on their way come to may give hope again.
        """
        if self.hopeless:
            return None
        while self._kept.orphans:
            number = self._kept.orphans.popleft()
            if number in self._trials:
                return self._start(self._trials[number])
            if not self._wants_more():
                self._kept.drop(number)
                continue
            if (trial := self._propose(self._kept.handle(number))) is not None:
                return self._start(trial)
        while self._wants_more():
            if (trial := self._propose(self._kept.begin())) is not None:
                return self._start(trial)
        return None

    def put_back(self, number: int) -> None:
        """Have a trial that was given out, and whose worker was lost, given out again."""
        self._kept.orphans.append(number)

    def place(self, number: int, worker: str) -> None:
        """Note where a trial is training."""
        self._trials[number] = replace(self._trials[number], worker=worker)

    def report(self, number: int, report: Report) -> bool:
        """Record an epoch; returns whether the trial goes on. An epoch known already changes nothing.

        What passes a rung is written down, so that after an interruption others are judged as they would have been.
        """
        trial = self._trials[number]
        if trial.history and report["epoch"] <= trial.last["epoch"]:
            return True
        trial = self._trials[number] = replace(trial, history=(*trial.history, report))
        for observer in self._observers:
            observer.reported(trial)
        if self._goes_on is None or trial.job.replicate:
            return True
        verdict = self._goes_on(trial, self.trials)
        if verdict:
            self._kept.note(trial)
        return verdict is not False

    def tell_complete(self, number: int) -> None:
        """Close a trial that trained to the end; without finite objectives it has failed."""
        trial = self._trials[number]
        try:
            values = self._proposer.values(trial.job, trial.last)
        except KeyError as error:
            self.tell_failed(number, Failure(kind=FailureKind.ERROR, reason=f"its last report has no {error}"))
            return
        if not all(math.isfinite(value) for value in values):
            reason = f"its objectives are {', '.join(map(str, values))}"
            self.tell_failed(number, Failure(kind=FailureKind.NAN, reason=reason))
            return
        self._tell(number, State.COMPLETE)

    def tell_stopped(self, number: int) -> None:
        """Close a trial that was stopped at a rung. It is on no front."""
        self._tell(number, State.STOPPED)

    def tell_failed(self, number: int, failure: Failure) -> None:
        """Close a trial that failed. Its design is not tried again in this session."""
        self._tell(number, State.FAILED, failure)

    @property
    def annotations(self) -> Mapping[str, Any]:
        """All that is stored with the study beside its trials, a copy."""
        return dict(self._study.user_attrs)

    def annotate(self, key: str, value: Any) -> None:
        """Store a value with the study; may be called from another thread."""
        self._study.set_user_attr(key, value)

    def _wants_more(self) -> bool:
        """Whether another trial is to be begun now."""
        return self.ending is None

    def _wants_designs(self) -> bool:
        """Whether the budget has room for another design, and there is one."""
        on_their_way = len(self._trials.running) - self._trials.running_again
        return self.trained + on_their_way < self._budget and not self.exhausted

    def _propose(self, handle: optuna.Trial) -> Trial | None:
        """Have the proposer decide for a trial; None, and the trial closed, if it is not to be trained."""
        decided = self._kept.decided(handle) and self._wants_designs()
        again = None if decided else self._proposer.replicate(self._trials)
        proposal = self._proposer.propose(handle) if again is None else Proposed(again)
        if isinstance(proposal, Proposed):
            self._proposer.take(proposal.job)
            return self._kept.give(handle, proposal.job)
        self._kept.reject(handle, proposal)
        return None

    def _start(self, trial: Trial) -> Trial:
        for observer in self._observers:
            observer.started(trial)
        return trial

    def _tell(self, number: int, state: State, failure: Failure | None = None) -> None:
        trial = replace(self._trials[number], state=state, failure=failure, finished=datetime.now())
        self._kept.close(trial)
        if self._says_something(trial):
            self._ended.append(trial)
        for observer in self._observers:
            observer.finished(trial)

    def _says_something(self, trial: Trial) -> bool:
        """Whether its end tells what becomes of others."""
        if trial.failure is not None:
            return not (self._nan_is_a_result and trial.failure.kind is FailureKind.NAN)
        return trial.trained
