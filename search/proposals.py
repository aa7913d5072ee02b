"""What a ledger asks for when it needs another trial: a job, or a reason to try something else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.samplers import BaseSampler

from search.tally import Tally
from search.trials import Job, Report, State, Trial
from space.declarations import Value


@dataclass(frozen=True)
class Proposed:
    """A proposal to be trained."""

    job: Job


@dataclass(frozen=True)
class Rejected:
    """A proposal that is not trained.

    Attributes:
        job: what was proposed.
        state: duplicate or infeasible.
        instead: decisions that lead to a design worth proposing next.
    """

    job: Job
    state: State
    instead: Mapping[str, Value]


class Proposer(Protocol):
    """Where a ledger's jobs come from."""

    def sampler(self, number: int) -> BaseSampler:
        """The sampler that decides for the trial of this number."""

    def propose(self, handle: optuna.Trial) -> Proposed | Rejected:
        """A job for a new trial, or why the one decided on is not trained."""

    def replicate(self, trials: Tally) -> Job | None:
        """A design to train again before another one is proposed, from all trials so far; None for none now."""

    def take(self, job: Job) -> None:
        """Note that this job has been given out."""

    def recall(self, trial: Trial) -> None:
        """Note a trial of an earlier session; what failed by no fault of its own may be proposed again."""

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to propose."""

    def values(self, job: Job, report: Report) -> Sequence[float]:
        """The objectives of a job trained to the end, from its last report."""
