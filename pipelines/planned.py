"""Training a list of designs, each under several seeds: what retraining and reproducing have in common."""

import contextlib
import functools
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pipelines import session
from pipelines.console import stderr
from pipelines.costs import costs_of
from pipelines.quantities import show_percent
from pipelines.session import Session
from pipelines.tracking import View
from search.engine import Engine
from search.ledger import Ledger
from search.proposers import Planned
from search.storage import Storage
from search.trials import Job, State, Trial
from space import Design
from space.choices import Candidate
from trainers.cost import Task
from trainers.evaluator import Evaluator
from trainers.throughput import FpsTable, measure_table

METRIC = "test_accuracy"
FPS_TABLE = "fps_table"
"""The attribute with all FPS that were measured for a study."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Designs to train under the seeds 0, 1, ...

    Attributes:
        name: of the study that holds the trainings; it may hold those of other plans, too.
        candidates: what to train.
        seeds: trainings of each.
        task: what the networks are for.
        evaluate: makes the trainings.
        nan_is_a_result: whether networks may well break off, so that many of them are no reason to stop.
    """

    name: str
    candidates: Sequence[Candidate]
    seeds: int
    task: Task
    evaluate: Evaluator
    nan_is_a_result: bool = False

    def holds(self, trial: Trial) -> bool:
        """Whether a trial is one of these trainings."""
        return trial.job.candidate in self.candidates and trial.job.seed < self.seeds

    def left(self, storage: Storage) -> int:
        """Trainings that an earlier session has not finished."""
        there = storage.read(self.name).trials if storage.exists(self.name) else []
        return len(self.candidates) * self.seeds - sum(self.holds(t) and t.finished is not None for t in there)


@dataclass(frozen=True)
class Trained:
    """How a plan went.

    Attributes:
        trials: of the plan.
        session: how the session ended.
        table: the FPS of every design of the plan.
        ledger: of the study, still open.
    """

    trials: Sequence[Trial]
    session: Session
    table: FpsTable
    ledger: Ledger


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
    """
    if storage.exists(plan.name) and FPS_TABLE in (there := storage.read(plan.name).attributes):
        known = FpsTable.from_json(there[FPS_TABLE])
    everything = [*{name: (name, Design()) for name, _ in plan.candidates}.values(), *plan.candidates]
    with stderr.status("measuring FPS"):
        measure = functools.partial(measure_table, everything, plan.task, plan.evaluate.device, known=known)
        table = engine.alone(measure)
    costs = costs_of(plan.candidates, plan.task, table)
    jobs = [
        Job(backbone=name, design=design, seed=seed, cost=costs[name, design])
        for seed in range(plan.seeds)
        for name, design in plan.candidates
    ]
    with storage.writing(plan.name, Planned.DIRECTIONS, {"uid": uuid.uuid4().hex}) as study:
        record = storage.read(plan.name)
        others = sum(trial.trained for trial in record.trials if not plan.holds(trial))
        ledger = Ledger(study, Planned(jobs, METRIC), len(jobs) + others)
        ledger.annotate(FPS_TABLE, table.to_json())
        ended = session.run(
            ledger,
            engine,
            plan.evaluate,
            storage.folder(plan.name),
            view(record.attributes["uid"], table),
            tracking_uri=tracking_uri,
            lines=_lines,
            time_limit=time_limit,
            nan_is_a_result=plan.nan_is_a_result,
        )
        yield Trained([trial for trial in ledger.trials if plan.holds(trial)], ended, table, ledger)


def _lines(trials: Sequence[Trial]) -> list[tuple[str, str]]:
    last = max(trials, key=lambda trial: trial.finished or trial.started)
    result = show_percent(last.last[METRIC]) if last.state is State.COMPLETE else last.state.value
    return [("last", f"{result}   {last.job.backbone} {last.job.design}   seed {last.job.seed}")]
