"""Training a list of designs, each under several seeds: what retraining, comparing and reproducing share."""

import contextlib
import functools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.running import session
from pipelines.running.costs import FPS_TABLE, costs_of
from pipelines.running.session import Session
from pipelines.terminal.console import stderr
from pipelines.terminal.formats import show_percent
from pipelines.tracking.view import View
from search.engine import Engine
from search.ledger import Ledger
from search.proposers import Planned
from search.storage import Storage
from search.trials import Job, State, Trial
from space import Design
from space.choices import Candidate
from space.plugins import call_with
from trainers.cost import Task
from trainers.evaluator import Evaluator
from trainers.throughput import FpsTable, measure_table


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Designs to train under the seeds 0, 1, ...

    Attributes:
        name: of the study that holds the trainings; it may hold those of other plans, too.
        candidates: what to train.
        seeds: trainings of each.
        task: what the networks are for.
        evaluate: makes the trainings.
        metric: the report's entry that counts.
        nan_is_a_result: whether trainings may well break off in nan, so that many of them are no reason to stop.
    """

    name: str
    candidates: Sequence[Candidate]
    seeds: int
    task: Task
    evaluate: Evaluator
    metric: str = "test_accuracy"
    nan_is_a_result: bool = False

    def holds(self, trial: Trial) -> bool:
        """Whether a trial is one of these trainings."""
        return trial.job.candidate in self.candidates and trial.job.seed < self.seeds

    def left(self, storage: Storage) -> int:
        """Trainings that are still to do."""
        there = storage.read(self.name).trials if storage.exists(self.name) else []
        return len(self.candidates) * self.seeds - sum(self.is_done(trial) for trial in there)

    def is_done(self, trial: Trial) -> bool:
        """Whether a trial is one of these trainings, at its end."""
        return self.holds(trial) and trial.finished is not None and not Planned.may_try_again(trial)

    def latest(self, trials: Sequence[Trial]) -> list[Trial]:
        """The last trial of each training; an earlier one failed."""
        return list({(t.job.candidate, t.job.seed): t for t in trials if self.holds(t)}.values())


@dataclass(frozen=True)
class Trained:
    """How a plan went.

    Attributes:
        trials: of the plan, the last one of each training.
        session: how the session ended.
        table: the FPS of every design of the plan.
        ledger: of the study, still open.
        uid: of the study.
    """

    trials: Sequence[Trial]
    session: Session
    table: FpsTable
    ledger: Ledger
    uid: str


@contextlib.contextmanager
def trained(
    plan: Plan,
    engine: Engine,
    storage: Storage,
    view: Callable[[str, FpsTable], View],
    *,
    known: FpsTable | None = None,
    tracking_uri: str | None,
    time_limit: float | None,
    attributes: Mapping[str, Any] | None = None,
) -> Iterator[Trained]:
    """Train what is left of a plan; its study stays locked inside the context.

    Args:
        plan: what to train.
        engine: where.
        storage: of the study.
        view: what MLflow shows, from the study's uid and its FPS.
        known: FPS measured before this study was made.
        tracking_uri: of MLflow; None for its default.
        time_limit: seconds.
        attributes: of the study, if it is new.
    """
    if storage.exists(plan.name) and FPS_TABLE in (there := storage.read(plan.name).attributes):
        known = FpsTable.from_json(there[FPS_TABLE])
    everything = [*{name: (name, Design()) for name, _ in plan.candidates}.values(), *plan.candidates]
    if known is not None and known.has(everything, plan.task):
        table = known
    else:
        with stderr.status("measuring FPS"):
            measure = functools.partial(measure_table, everything, plan.task, plan.evaluate.device, known=known)
            table = engine.alone(functools.partial(call_with, plan.evaluate.plugins, measure))
    with storage.writing(plan.name, Planned.DIRECTIONS, {**(attributes or {}), "uid": uuid.uuid4().hex}) as study:
        record = storage.read(plan.name)
        uid = record.attributes["uid"]
        if FPS_TABLE in record.attributes:  # maybe of another process, just now: a design keeps its FPS
            table = table.completed_by(FpsTable.from_json(record.attributes[FPS_TABLE]))
        costs = costs_of(plan.candidates, plan.task, table)
        jobs = [
            Job(backbone=name, design=design, seed=seed, cost=costs[name, design])
            for seed in range(plan.seeds)
            for name, design in plan.candidates
        ]
        # Trials of other plans that a session left running are finished first, in places of their own.
        others = sum(t.trained or t.state is State.RUNNING for t in record.trials if not plan.holds(t))
        budget = len(jobs) + others
        ledger = Ledger(study, Planned(jobs, plan.metric), budget, nan_is_a_result=plan.nan_is_a_result)
        ledger.annotate(FPS_TABLE, table.to_json())
        ledger.annotate("budget", budget)
        ended = session.run(
            ledger,
            engine,
            replace(plan.evaluate, study=uid),
            storage.folder(plan.name),
            view(uid, table),
            storage=storage,
            tracking_uri=tracking_uri,
            lines=functools.partial(_lines, plan.metric),
            time_limit=time_limit,
            total=len(jobs),
            counts=plan.is_done,
            lacks=lambda trials: any(trial.failure is not None for trial in plan.latest(trials)),
        )
        yield Trained(plan.latest(ledger.trials), ended, table, ledger, uid)


def _lines(metric: str, trials: Sequence[Trial]) -> list[tuple[str, str]]:
    last = max(trials, key=lambda trial: trial.finished or trial.started)
    result = show_percent(last.last[metric]) if last.state is State.COMPLETE else last.state.value
    return [("last", f"{result}   {last.job.backbone} {last.job.design}   seed {last.job.seed}")]
