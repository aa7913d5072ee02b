"""Trials side by side on the cores or GPUs of this machine or of a Ray cluster, by Ray Tune."""

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.checkpoints import Checkpoints
from search.engine import record, step_seconds
from search.execution import Evaluate, Execution, Progress, worker_name
from search.ledger import Ledger
from search.on_ray.cluster import NO_TYPE, alone_on, connect, watched_head
from search.trials import Failure, FailureKind, Job
from space.errors import Stopped

RESTARTS = 3
"""How often a trial whose worker was lost is taken up by another before it counts as failed: of a node that is lost Ray
knows only a while later, and sends the trial there again."""

Result = TypeVar("Result")


class RayEngine:
    """Several workers, each with its own process, reused from trial to trial.

    Args:
        workers: trials at once.
        cpus_per_trial: cores, and CPU threads, of a trial.
        gpus_per_trial: GPUs of a trial; a fraction shares one and bounds the trial's memory on it.
        address: of a Ray cluster; None for this machine.
        modules: packages to send to a cluster that does not have them.
        trial_timeout: seconds after which a trial has failed; None for any time.
        of_type: what a trial takes of a resource that only nodes of some type have; empty for any node.
        lost: ends this process where the cluster's head is lost; None to let Ray do so, as failed.
    """

    name = "ray"

    def __init__(
        self,
        workers: int,
        cpus_per_trial: int = 1,
        gpus_per_trial: float = 0.0,
        address: str | None = None,
        modules: tuple[ModuleType, ...] = (),
        trial_timeout: float | None = None,
        of_type: Mapping[str, float] = NO_TYPE,
        lost: Callable[[Stopped], None] | None = None,
    ) -> None:
        self.workers = workers
        self._lost = lost
        self._resources = {"cpu": float(cpus_per_trial), "gpu": gpus_per_trial, **of_type}
        self._of_type = of_type
        self._address = address
        self._modules = modules
        self._trial_timeout = trial_timeout

    def run(
        self, ledger: Ledger, evaluate: Evaluate, checkpoints: Checkpoints, should_stop: Callable[[], bool]
    ) -> None:
        """Train what the ledger gives out, until it has no more or `should_stop`.

        Stopped, trials on their way stay running in the ledger and their states are in `checkpoints`.
        """
        self._connect()
        trainable = tune.with_parameters(
            _Worker,
            evaluate=evaluate,
            checkpoints=checkpoints,
            gpus=self._resources["gpu"],
            timeout=self._trial_timeout,
            seconds=step_seconds(self.workers),
        )
        trouble: list[Exception] = []
        with tempfile.TemporaryDirectory(prefix="search-tune-") as folder:
            tuner = tune.Tuner(
                tune.with_resources(trainable, self._resources),
                tune_config=tune.TuneConfig(
                    search_alg=_LedgerSearcher(ledger),
                    scheduler=_LedgerScheduler(ledger, checkpoints, trouble),
                    num_samples=-1,
                    max_concurrent_trials=self.workers,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=folder,
                    verbose=0,
                    stop=_Stopper(lambda: bool(trouble) or should_stop()),
                    failure_config=tune.FailureConfig(max_failures=RESTARTS),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            )
            try:
                with self._watched():
                    tuner.fit()
            except tune.TuneError as error:  # of what our parts raised Tune keeps the text alone
                trouble.append(error.__context__ if isinstance(error.__context__, Exception) else error)
        if trouble:
            raise trouble[0] from None

    @property
    def wanted(self) -> dict[str, float]:
        """Resources of a trial, by Ray's names."""
        names = {"cpu": "CPU", "gpu": "GPU"}
        return {names.get(name, name): of for name, of in self._resources.items() if of}

    def alone(self, measure: Callable[[], Result]) -> Result:
        """Run this where trials will run, while nothing else of ours does."""
        if self._address is None:
            return measure()
        self._connect()
        gpus = 1 if self._resources["gpu"] else 0
        return alone_on(self._address, self._resources["cpu"], gpus, measure, self._of_type)

    def _watched(self) -> contextlib.AbstractContextManager[None]:
        """While the head of a cluster is watched; through Ray's client it is not seen."""
        seen = self._address is not None and not self._address.startswith("ray://")
        return watched_head(self._lost) if seen and self._lost else contextlib.nullcontext()

    def _connect(self) -> None:
        cores = max(os.cpu_count() or 1, int(self.workers * self._resources["cpu"]))
        connect(self._address, cores, self._modules)


class _Worker(tune.Trainable):
    """Runs one trial after the other in a process of its own."""

    def setup(  # type: ignore[override]  # with_parameters hands over the rest
        self,
        config: dict[str, Any],
        evaluate: Evaluate,
        checkpoints: Checkpoints,
        gpus: float,
        timeout: float | None,
        seconds: float,
    ) -> None:
        self._evaluate = evaluate
        self._checkpoints = checkpoints
        self._timeout = timeout
        self._seconds = seconds
        if 0 < gpus < 1 and torch.cuda.is_available():  # needs a GPU to be seen at work
            torch.cuda.set_per_process_memory_fraction(gpus)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        job = Job.from_json(new_config["job"])
        checkpoint = self._checkpoints.of(new_config["number"], job)
        self._execution = Execution(job, self._evaluate, checkpoint, self._timeout, expendable=True)
        self._announced = False
        return True

    def step(self) -> dict[str, Any]:
        if not self._announced:  # so that the driver knows where a trial was, should its worker be lost
            self._announced = True
            return {"progress": Progress((), done=False, worker=worker_name()), "done": False}
        progress = self._execution.advance(self._seconds)
        if progress.failure is not None and progress.failure.kind is FailureKind.DEVICE:
            raise RuntimeError(progress.failure.reason)  # Tune takes another process, and the trial up again
        return {"progress": progress, "done": progress.over}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        self._execution.save()  # to the study's own folder, where the next session looks

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: an execution takes up by itself what was saved."""

    def cleanup(self) -> None:
        self._execution.save()


class _StaysHere:
    """Part of an experiment that is never restored: Tune writes it to disk as nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _LedgerSearcher(_StaysHere, Searcher):
    """Tune's trials are the ledger's."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._on_their_way: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        trial = self._ledger.ask()
        if trial is not None:
            self._on_their_way.add(trial_id)
            return {"number": trial.number, "job": trial.job.to_json()}
        return None if self._on_their_way else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Whatever became of it, the scheduler has told the ledger."""
        self._on_their_way.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: each launch is a new Tune experiment."""


class _LedgerScheduler(_StaysHere, FIFOScheduler):
    """Hands results to the ledger, which decides who goes on.

    Args:
        ledger: that is told.
        checkpoints: of its trials.
        trouble: what the ledger raised, such as of a full disk; Tune would take it for the trial's. From then on
            nothing is told, so trials stay as they are, to be taken up again.
    """

    def __init__(self, ledger: Ledger, checkpoints: Checkpoints, trouble: list[Exception]) -> None:
        FIFOScheduler.__init__(self)
        self._trouble = trouble
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._put_back: Counter[int] = Counter()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stopped = self._record(trial, result["progress"])
        return str(TrialScheduler.STOP if stopped else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        progress: Progress | None = result.get("progress")
        if progress is not None and progress.over:  # a trial stopped from outside is complete to Tune, not to us
            self._record(trial, progress)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        if trial.status == trial.ERROR:  # of a lost worker that Tune is about to replace
            return
        number = trial.config["number"]
        if trial.should_recover() and self._put_back[number] < RESTARTS:
            self._put_back[number] += 1  # Tune gives up what a worker that is lost between two trials was to do next
            self._ledger.put_back(number)
            return
        details = Path(trial.error_file).read_text() if trial.error_file else ""
        last_line = next(reversed(details.strip().splitlines()), "no word from it")
        reason = f"its worker was lost {RESTARTS + 1} times: {last_line}"
        failure = Failure(kind=FailureKind.LOST_WORKER, reason=reason, details=details)
        self._record(trial, Progress((), done=False, failure=failure))

    def _record(self, trial: Any, progress: Progress) -> bool:
        number, job = trial.config["number"], Job.from_json(trial.config["job"])
        if self._trouble:
            return True
        try:
            return record(self._ledger, number, progress, self._checkpoints.of(number, job))
        except Exception as error:
            self._trouble.append(error)
            return True


class _Stopper(_StaysHere, tune.Stopper):
    """Ends the experiment when the user or the time limit says so."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._should_stop()
