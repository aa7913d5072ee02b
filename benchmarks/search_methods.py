"""Ways to search a table of curves, and what all searches of a seed have in common."""

import json
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import optuna

from benchmarks.search_scores import Truth
from pipelines.results.fronts import front_rows, rows
from pipelines.settings.objectives import objectives_named
from pipelines.settings.study import Settings
from search.checkpoints import Checkpoints
from search.ending import MaxEpochs
from search.halving import Halving, rungs_of
from search.ledger import Ledger
from search.objectives import Objectives
from search.proposers import Sampled
from search.replay import Replay
from search.replicates import Replicates
from search.simulated_engine import SimulatedEngine
from search.table import METRIC, Table, halves
from search.trials import Job, State, Trial
from space.choices import Candidate
from space.cost import Costs
from space.design import Design
from space.seeds import mix_seed

HERE = Path(__file__).parent
TRAININGS = 100
"""Full trainings' worth of epochs of a search."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to search.

    Attributes:
        sampler: a name of ours or of a class; "" for one of Syne Tune's.
        confirm: share of the epochs for replicates.
        rungs: shares of the epochs after which halving judges; none for no halving.
        factor: of halving.
        peer: name of Syne Tune's method.
    """

    sampler: str = ""
    confirm: float = 0.0
    rungs: tuple[float, ...] = ()
    factor: float = 3.0
    peer: str = ""


METHODS: dict[str, Method] = {
    "random": Method(sampler="random"),
    "tpe": Method(sampler="tpe"),
    "nsga2": Method(sampler="nsga2"),
    "gp": Method(sampler="optuna.samplers:GPSampler"),
    "moasha": Method(peer="moasha"),
    "morea": Method(peer="morea"),
    "tpe+replicates": Method(sampler="tpe", confirm=0.3),
    "random+replicates": Method(sampler="random", confirm=0.3),
    "front": Method(sampler="front"),
    **{f"front+replicates{share}": Method(sampler="front", confirm=share / 100) for share in (20, 30, 40, 50)},
    "front+halving": Method(sampler="front", rungs=(0.5,), factor=2.0),
    "front+replicates30+halving": Method(sampler="front", confirm=0.3, rungs=(0.5,), factor=2.0),
    "front+replicates30+halving75": Method(sampler="front", confirm=0.3, rungs=(0.75,), factor=2.0),
}
SLOW = ("gp",)
"""Minutes for a search."""
DEFAULT = "front+replicates30"
"""Of `search launch`."""


class Ground:
    """What all searches of a seed have in common.

    Args:
        table: of curves.
        seed: of the search.
        syne_tune: python of an environment that has it.
    """

    def __init__(self, table: Table, seed: int, syne_tune: str = "python") -> None:
        self.table, self.seed, self.syne_tune = table, seed, syne_tune
        self.settings = Settings.from_json(table.settings)
        self.objectives: Objectives = objectives_named(self.settings.objectives)
        self.images = self.settings.images["val"]
        self.epochs = table.val_accuracy.shape[2]
        self.seen = halves(table.seeds, seed)[0]
        space = self.settings.search_space
        candidates = dict.fromkeys([space.plain(), *space.enumerate()])
        self.costs: dict[Candidate, Costs] = {it: table.costs_of(it[1]) for it in candidates}
        self.truth = Truth.of(table, seed, self.objectives)

    def search(self, method: Method) -> Sequence[Trial]:
        """Its trials, in their order."""
        return self._elsewhere(method) if method.peer else self._ours(method)

    def _ours(self, method: Method) -> Sequence[Trial]:
        study = optuna.create_study(directions=self.objectives.directions)
        replicates = Replicates(
            share=method.confirm,
            objectives=self.objectives,
            images=self.images,
            seed=self.seed,
            most=len(self.seen),
            rest=method.confirm > 0,
        )
        space = self.settings.search_space
        proposer = Sampled(space, self.costs, (), method.sampler, self.seed, self.objectives, replicates)
        halving = Halving(
            bounds=self.truth.bounds,
            rungs=rungs_of(method.rungs, self.epochs),
            reduction_factor=method.factor,
        )
        bound = MaxEpochs(epochs=TRAININGS * self.epochs, each=self.epochs)
        ledger = Ledger(study, proposer, len(self.costs), halving, bound=bound)
        columns = {mix_seed(self.seed, k): column for k, column in enumerate(self.seen)}

        with tempfile.TemporaryDirectory() as folder:
            evaluate = Replay(self.table, columns.__getitem__)
            SimulatedEngine().run(ledger, evaluate, Checkpoints(Path(folder), "benchmark"), lambda: False)
        return ledger.trials

    def _elsewhere(self, method: Method) -> Sequence[Trial]:
        """What another program chose to train, and for how long, as trials."""
        designs = list(self.costs)
        decisions = self.settings.search_space.decisions
        curves = self.table.val_accuracy[[self.table.rows[it] for _, it in designs], self.seen[0]]
        problem = {
            "choices": self.settings.search_space.choices(),
            "decisions": [dict(decisions.get(it, {})) for it in designs],
            "curves": curves.tolist(),
            "costs": [[-cost.sign * self.costs[it][cost.key] for cost in self.objectives.costs] for it in designs],
            "epochs": TRAININGS * self.epochs,
            "seed": self.seed,
            "method": method.peer,
        }
        command = [self.syne_tune, str(HERE / "syne_tune_search.py")]
        done = subprocess.run(command, input=json.dumps(problem), capture_output=True, text=True, check=True)
        trials = []
        for number, (index, epochs) in enumerate(json.loads(done.stdout)):
            backbone, design = designs[index]
            job = Job(backbone=backbone, design=design, seed=self.seed, costs=self.costs[backbone, design])
            trials.append(_trial(number, job, curves[index][:epochs], self.epochs))
        return trials

    def everything(self) -> list[Trial]:
        """Every design trained under each seed that a search may see: no search can know more."""
        trials: list[Trial] = []
        for replicate, column in enumerate(self.seen):
            for (backbone, design), costs in self.costs.items():
                curve = self.table.val_accuracy[self.table.rows[design], column]
                seed = mix_seed(self.seed, replicate)
                job = Job(backbone=backbone, design=design, seed=seed, costs=costs, replicate=replicate)
                trials.append(_trial(len(trials), job, curve, self.epochs))
        return trials

    def fronts(self, trials: Sequence[Trial]) -> list[list[Design]]:
        """What is reported after these trials, the best first; plain, as the reference, is no finding."""
        complete = rows(trials, {}, self.objectives, self.images)
        shown = [front_rows(complete, cost) for cost in self.objectives.costs]
        return [[Design.parse(row.design) for row in front if not row.plain] for front in shown]


def _trial(number: int, job: Job, curve: Iterable[float], epochs: int) -> Trial:
    """Of a training with this curve, which was stopped if that is shorter than so many epochs."""
    history = tuple({"epoch": epoch, METRIC: float(value)} for epoch, value in enumerate(curve, start=1))
    state = State.COMPLETE if len(history) == epochs else State.STOPPED
    return Trial(number=number, state=state, job=job, history=history, started=datetime.min)
