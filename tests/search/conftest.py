"""What the tests of search/ run on: a small space, its costs, and trainings that follow a table of curves."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from search.checkpoints import Checkpoints
from search.ending import UNBOUND, Bound
from search.engine import Engine
from search.execution import Evaluate, ResumableTraining
from search.halving import Halving
from search.hypervolume import Bounds
from search.ledger import GoesOn, Ledger, Observer
from search.local_engine import LocalEngine
from search.proposers import Sampled
from search.replicates import Replicates
from search.storage import Direction, Storage
from search.trials import Job, State, Trial
from space.choices import Candidate, SearchSpace
from space.cost import Costs, Limit
from space.design import Design, Stage
from tests.objectives import OBJECTIVES

AtStep = Callable[[Design, int], None]
"""Called with the design and the epoch before each epoch is trained; may raise, wait or kill the process."""

Log = dict[str, Any]
"""One line of a journal."""


def fraction(*parts: object) -> float:
    """A number in 0..1 that depends on the parts alone, in any process."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4]) / 2**32


class Curve:
    """A training whose accuracy sums up table entries: an epoch forgotten or trained twice would show."""

    def __init__(self, backbone: str, design: Design, seed: int, epochs: int, at_step: AtStep | None) -> None:
        self._key = (backbone, str(design), seed)
        self._design = design
        self._epochs = epochs
        self._at_step = at_step
        self._epoch = 0
        self._level = torch.zeros((), dtype=torch.float64)

    @property
    def done(self) -> bool:
        return self._epoch >= self._epochs

    def step(self) -> dict[str, float]:
        epoch = self._epoch + 1
        if self._at_step is not None:
            self._at_step(self._design, epoch)
        self._epoch = epoch
        self._level += fraction(*self._key, epoch) / self._epochs
        return {"epoch": epoch, "seconds": 0.001, "val_accuracy": float(self._level)}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "level": self._level.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._epoch, self._level = state["epoch"], state["level"]

    def halve_batches(self) -> None:
        """It has none."""


class Curves:
    """An evaluator over a table of curves."""

    def __init__(self, epochs: int, at_step: AtStep | None) -> None:
        self._epochs = epochs
        self._at_step = at_step

    def __call__(self, backbone: str, design: Design, seed: int) -> ResumableTraining:
        return Curve(backbone, design, seed, self._epochs, self._at_step)


class MemoryJournal(BaseJournalBackend):
    """A journal in a list, which a test can cut where a process might have been killed."""

    def __init__(self, logs: Iterable[Log]) -> None:
        self._lines = [json.dumps(log) for log in logs]

    def read_logs(self, log_number_from: int) -> Iterable[Log]:
        return [json.loads(line) for line in self._lines[log_number_from:]]

    def append_logs(self, logs: list[Log]) -> None:
        self._lines += [json.dumps(log) for log in logs]


@pytest.fixture(scope="session")
def make_curves() -> Callable[..., Evaluate]:
    """Makes an evaluator: (epochs=3, at_step=None)."""

    def make(epochs: int = 3, at_step: AtStep | None = None) -> Evaluate:
        return Curves(epochs, at_step)

    return make


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """A few dozen designs in one backbone, some reached by several sequences of decisions."""
    return SearchSpace(
        {"tiny": (Stage(1, 16), Stage(2, 32))},
        {
            "none": {},
            "se": {"depth": (1, 2), "connection": ("bn", "relu"), "stages": ("all", "12", "2"), "reduction": (4, 8)},
            "ras": {"depth": (1, 2, 3), "connection": ("bn", "tanh"), "stages": ("all", "1", "2")},
            "eca": {"stages": ("all", "2")},
        },
    )


@pytest.fixture(scope="session")
def small_space() -> SearchSpace:
    """Eight designs in two backbones: a search of it meets duplicates at once and then its end."""
    layouts = {"tiny": (Stage(1, 16), Stage(2, 32)), "wide": (Stage(1, 32), Stage(2, 64))}
    return SearchSpace(layouts, {"none": {}, "se": {"reduction": (4, 8)}, "eca": {}})


@pytest.fixture(scope="session")
def make_costs() -> Callable[[SearchSpace], dict[Candidate, Costs]]:
    """Costs of each design of a space, all different; the plain first backbone is the cheapest."""

    def make(space: SearchSpace) -> dict[Candidate, Costs]:
        def cost(candidate: Candidate) -> Costs:
            weight = 0.0 if candidate == space.plain() else 0.1 + fraction(candidate[0], str(candidate[1]))
            return {"num_params": 1000 + int(9000 * weight), "macs": 10_000, "fps": 5000 / (1 + weight)}

        return {candidate: cost(candidate) for candidate in space.enumerate()}

    return make


@pytest.fixture(scope="session")
def make_job() -> Callable[..., Job]:
    """Makes a job: (design="se", seed=0, num_params=1000, fps=500.0)."""

    def make(design: str = "se", seed: int = 0, num_params: int = 1000, fps: float = 500.0) -> Job:
        cost = {"num_params": num_params, "macs": 10_000, "fps": fps}
        return Job(backbone="tiny", design=Design.parse(design), seed=seed, costs=cost)

    return make


@pytest.fixture(scope="session")
def make_trial(make_job: Callable[..., Job]) -> Callable[..., Trial]:
    """Makes a trial with one report: (val_accuracy=0.5, state=COMPLETE, num_params=1000, fps=500.0, design="se",
    number=0, replicate=0).
    """

    def make(
        val_accuracy: float = 0.5,
        state: State = State.COMPLETE,
        num_params: int = 1000,
        fps: float = 500.0,
        design: str = "se",
        number: int = 0,
        replicate: int = 0,
    ) -> Trial:
        job = replace(make_job(design, seed=replicate, num_params=num_params, fps=fps), replicate=replicate)
        history = ({"epoch": 1.0, "val_accuracy": val_accuracy},)
        begun = datetime(2026, 1, 1)
        finished = None if state is State.RUNNING else begun
        return Trial(number=number, state=state, job=job, history=history, started=begun, finished=finished)

    return make


@pytest.fixture(scope="session")
def make_study() -> Callable[..., optuna.Study]:
    """Opens a study whose journal starts with these lines: (logs=(), directions=those of a search)."""

    def make(
        logs: Iterable[Log] = (), directions: Sequence[Direction] = OBJECTIVES.directions, name: str = "study"
    ) -> optuna.Study:
        storage = JournalStorage(MemoryJournal(logs))
        return optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)

    return make


@pytest.fixture(scope="session")
def journal_of() -> Callable[[optuna.Study], list[Log]]:
    """The lines of a study made by `make_study`, one for each write."""

    def lines(study: optuna.Study) -> list[Log]:
        storage = study._storage
        assert isinstance(storage, JournalStorage)
        return list(storage._backend.read_logs(0))

    return lines


@pytest.fixture(scope="session")
def make_ledger(
    space: SearchSpace, make_costs: Callable[[SearchSpace], dict[Candidate, Costs]]
) -> Callable[..., Ledger]:
    """Makes a searching ledger: (study, budget=8, sampler="random", seed=0, limits=None, goes_on=None, space=space,
    nan_is_a_result=False, confirm=0.0, bound=none, rest=False,
    first=()).
    """
    default_space = space

    def make(
        study: optuna.Study,
        budget: int = 8,
        sampler: str = "random",
        seed: int = 0,
        limits: Sequence[Limit] = (),
        goes_on: GoesOn | None = None,
        space: SearchSpace = default_space,
        nan_is_a_result: bool = False,
        confirm: float = 0.0,
        bound: Bound = UNBOUND,
        rest: bool = False,
        first: Sequence[Candidate] = (),
    ) -> Ledger:
        replicates = Replicates(share=confirm, objectives=OBJECTIVES, images=1000, seed=seed, rest=rest)
        proposer = Sampled(space, make_costs(space), limits, sampler, seed, OBJECTIVES, replicates, first)
        return Ledger(study, proposer, budget, goes_on, nan_is_a_result, bound)

    return make


@pytest.fixture(scope="session")
def make_halving(
    space: SearchSpace, make_costs: Callable[[SearchSpace], dict[Candidate, Costs]]
) -> Callable[..., Halving]:
    """Judges designs of the space: (rungs=(1, 2), reduction_factor=2.0)."""

    def make(rungs: tuple[int, ...] = (1, 2), reduction_factor: float = 2.0) -> Halving:
        bounds = Bounds.of(OBJECTIVES, make_costs(space).values())
        return Halving(bounds=bounds, rungs=rungs, reduction_factor=reduction_factor)

    return make


@pytest.fixture
def run(tmp_path: Path, make_curves: Callable[..., Evaluate]) -> Callable[..., Ledger]:
    """Runs a ledger to its end in this process: (ledger, evaluate=curves, should_stop=never); gives it back."""
    counter = iter(range(1_000_000))

    def run_here(
        ledger: Ledger, evaluate: Evaluate | None = None, should_stop: Callable[[], bool] = lambda: False
    ) -> Ledger:
        checkpoints = Checkpoints(tmp_path / f"run{next(counter)}", "study")
        LocalEngine().run(ledger, evaluate or make_curves(), checkpoints, should_stop)
        return ledger

    return run_here


@pytest.fixture(scope="session")
def story() -> Callable[[Sequence[Trial]], list[object]]:
    """What happened in each trial, without the times it happened at."""

    def tell(trials: Sequence[Trial]) -> list[object]:
        def one(trial: Trial) -> object:
            reports = [{name: value for name, value in report.items() if name != "time"} for report in trial.history]
            kind = trial.failure.kind if trial.failure else None
            job = trial.job
            key = job.backbone, str(job.design), job.replicate
            return trial.number, trial.state, key, job.seed, job.costs, kind, reports

        return [one(trial) for trial in trials]

    return tell


class Notes(Observer):
    """An observer that writes down (event, trial)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Trial]] = []

    def started(self, trial: Trial) -> None:
        self.events.append(("started", trial))

    def reported(self, trial: Trial) -> None:
        self.events.append(("reported", trial))

    def finished(self, trial: Trial) -> None:
        self.events.append(("finished", trial))


@pytest.fixture
def watch() -> Callable[[Ledger], list[tuple[str, Trial]]]:
    """Observes a ledger; the list fills with (event, trial)."""

    def observe(ledger: Ledger) -> list[tuple[str, Trial]]:
        notes = Notes()
        ledger.observe(notes)
        return notes.events

    return observe


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A Ray of 4 logical CPUs and 2 logical GPUs for all tests."""
    import search.on_ray.engine  # sets what Ray reads when it is imported  # noqa: F401, I001
    import ray

    ray.init(
        address="local",  # not one that somebody else started on this machine
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 1024**2,
    )
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import tests
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def ray_workers(ray_session: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Ray, to whose workers what a file of tests defines travels by value."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(request.module)
    yield
    cloudpickle.unregister_pickle_by_value(request.module)


@pytest.fixture
def ray_engine(ray_workers: None) -> Callable[..., Engine]:
    """Makes a Ray engine: (workers, gpus_per_trial=0.0, trial_timeout=None)."""
    from search.on_ray.engine import RayEngine

    def make(workers: int, gpus_per_trial: float = 0.0, trial_timeout: float | None = None) -> Engine:
        return RayEngine(workers=workers, gpus_per_trial=gpus_per_trial, trial_timeout=trial_timeout)

    return make


@pytest.fixture
def search(make_ledger: Callable[..., Ledger], run: Callable[..., Ledger]) -> Callable[..., list[Trial]]:
    """Runs a search in a storage: (storage, name="study", budget=3); gives its trials."""

    def search_there(storage: Storage, name: str = "study", budget: int = 3) -> list[Trial]:
        with storage.writing(name, OBJECTIVES.directions, {"made_for": name}) as study:
            return run(make_ledger(study, budget=budget)).trials

    return search_there
