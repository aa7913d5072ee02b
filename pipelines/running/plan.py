"""Training a list of designs, each under several seeds: what retraining, comparing and reproducing share."""

import contextlib
import functools
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.running import session
from pipelines.running.costs import costs_of, keep, prepare
from pipelines.running.session import Session
from pipelines.running.terms import Terms
from pipelines.terminal.formats import show_percent
from pipelines.tracking.view import View
from search.engine import Engine
from search.ledger import Ledger
from search.objectives import Objectives
from search.proposers import Planned
from search.storage import Storage
from search.trials import Job, State, Trial
from space import Design
from space.choices import Candidate
from space.cost import Costs
from trainers.costs import ALWAYS
from trainers.deployment import Deployment
from trainers.evaluator import Evaluator
from trainers.task import Task


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Designs to train under the seeds 0, 1, ...

    Attributes:
        name: of the study that holds the trainings; it may hold those of other plans, too.
        candidates: what to train.
        seeds: trainings of each.
        task: what the networks are for.
        evaluate: makes the trainings.
        objectives: the metric that counts, and costs to tell.
        deployment: how the networks run once they are trained.
        nan_is_a_result: whether trainings may well break off in nan, so that many of them are no reason to stop.
        known: trainings, by candidate and seed, of which it is known what they come to: they are left out.
    """

    name: str
    candidates: Sequence[Candidate]
    seeds: int
    task: Task
    evaluate: Evaluator
    objectives: Objectives
    deployment: Deployment
    nan_is_a_result: bool = False
    known: Collection[tuple[Candidate, int]] = ()

    @property
    def trainings(self) -> list[tuple[Candidate, int]]:
        """What is to be trained, all designs under one seed before any under the next."""
        everything = ((candidate, seed) for seed in range(self.seeds) for candidate in self.candidates)
        return [training for training in everything if training not in self.known]

    def holds(self, trial: Trial) -> bool:
        """Whether a trial is one of these trainings."""
        job = trial.job
        wanted = job.candidate in self.candidates and job.seed < self.seeds
        return wanted and (job.candidate, job.seed) not in self.known

    def left(self, storage: Storage) -> int:
        """Trainings that are still to do."""
        there = storage.read(self.name).trials if storage.exists(self.name) else []
        return len(self.trainings) - sum(self.is_done(trial) for trial in there)

    def is_done(self, trial: Trial) -> bool:
        """Whether a trial is one of these trainings, at its end."""
        return self.holds(trial) and trial.finished is not None and not Planned.may_try_again(trial)

    def latest(self, trials: Sequence[Trial]) -> list[Trial]:
        """The last trial of each of these trainings."""
        return latest(trial for trial in trials if self.holds(trial))


def latest(trials: Iterable[Trial]) -> list[Trial]:
    """The last trial of each training; an earlier one failed."""
    return list({(trial.job.candidate, trial.job.seed): trial for trial in trials}.values())


@dataclass(frozen=True)
class Trained:
    """How a plan went.

    Attributes:
        trials: of the plan, the last one of each training.
        session: how the session ended.
        costs: of every design of the study, and of the plain backbones.
        ledger: of the study, still open.
        uid: of the study.
    """

    trials: Sequence[Trial]
    session: Session
    costs: Mapping[Candidate, Costs]
    ledger: Ledger
    uid: str


@contextlib.contextmanager
def trained(
    plan: Plan,
    engine: Engine,
    storage: Storage,
    view: Callable[[str, Mapping[Candidate, Costs]], View],
    *,
    known: Mapping[str, Any] | None = None,
    terms: Terms,
    attributes: Mapping[str, Any] | None = None,
) -> Iterator[Trained]:
    """Train what is left of a plan; its study stays locked inside the context.

    Args:
        plan: what to train.
        engine: where.
        storage: of the study.
        view: what MLflow shows, from the study's uid and the costs of its designs.
        known: attributes of another study, for what was measured before this one was made.
        terms: where it is tracked and saved, and when it stops.
        attributes: of the study, if it is new.
    """
    there = storage.read(plan.name).attributes if storage.exists(plan.name) else {}
    everything = [*{name: (name, Design()) for name, _ in plan.candidates}.values(), *plan.candidates]
    prepared = prepare(
        [*ALWAYS, *(cost.name for cost in plan.objectives.costs)],
        everything,
        plan.task,
        plan.deployment,
        engine,
        plan.evaluate.code,
        {**(known or {}), **there},
    )
    with storage.writing(plan.name, Planned.DIRECTIONS, {**(attributes or {}), "uid": uuid.uuid4().hex}) as study:
        record = storage.read(plan.name)
        uid = record.attributes["uid"]
        keep(prepared, record.attributes, study.set_user_attr)
        before = {trial.job.candidate for trial in record.trials}
        costs = costs_of({*everything, *before, *((name, Design()) for name, _ in before)}, prepared)
        jobs = [
            Job(backbone=name, design=design, seed=seed, costs=costs[name, design])
            for (name, design), seed in plan.trainings
        ]
        # Trials of other plans that a session left running are finished first, in places of their own.
        others = sum(t.trained or t.state is State.RUNNING for t in record.trials if not plan.holds(t))
        budget = len(jobs) + others
        ledger = Ledger(study, Planned(jobs, plan.objectives.metric), budget, nan_is_a_result=plan.nan_is_a_result)
        ledger.annotate("budget", budget)
        ended = session.run(
            ledger,
            engine,
            replace(plan.evaluate, study=uid),
            storage.folder(plan.name),
            view(uid, costs),
            storage=storage,
            terms=terms,
            lines=functools.partial(_lines, plan.objectives.metric),
            total=len(jobs),
            counts=plan.is_done,
            lacks=lambda trials: any(trial.failure is not None for trial in plan.latest(trials)),
        )
        yield Trained(plan.latest(ledger.trials), ended, costs, ledger, uid)


def _lines(metric: str, trials: Sequence[Trial]) -> list[tuple[str, str]]:
    last = max(trials, key=lambda trial: trial.finished or trial.started)
    result = show_percent(last.last[metric]) if last.state is State.COMPLETE else last.state.value
    return [("last", f"{result}   {last.job.backbone} {last.job.design}   seed {last.job.seed}")]
