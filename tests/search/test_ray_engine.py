"""What Ray adds: lost and broken workers are replaced, several train at once, on fractions of GPUs."""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest

from search.checkpoints import Checkpoint, Checkpoints
from search.engine import Engine
from search.execution import Evaluate, worker_name
from search.ledger import Ledger
from search.trials import FailureKind, Job, State, Trial
from space.design import Design

pytestmark = [
    pytest.mark.long,
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and files to the collector
]


def never() -> bool:
    return False


class Once:
    """Something that happens the first time that a design gets to its second epoch.

    Args:
        attention: of the design.
        marker: a file that says that it has happened.
    """

    def __init__(self, attention: str, marker: Path) -> None:
        self._attention = attention
        self._marker = marker

    def now(self, design: Design, epoch: int) -> bool:
        """Whether it is to happen now, in whichever process."""
        if design.attention != self._attention or epoch != 2 or self._marker.exists():
            return False
        self._marker.touch()
        return True


class DieOnce(Once):
    """Kills the worker process."""

    def __call__(self, design: Design, epoch: int) -> None:
        if self.now(design, epoch):
            os._exit(1)


class BreakDevice(Once):
    """Breaks the device of its process, as CUDA does."""

    BROKEN = "BROKEN_DEVICE"

    def __call__(self, design: Design, epoch: int) -> None:
        if self.now(design, epoch):
            os.environ[self.BROKEN] = "yes"
        if self.BROKEN in os.environ:
            raise RuntimeError("CUDA error: device-side assert triggered")


class DieAlways:
    """Kills the worker process whenever a design of this attention starts."""

    def __init__(self, attention: str) -> None:
        self._attention = attention

    def __call__(self, design: Design, epoch: int) -> None:
        if design.attention == self._attention:
            os._exit(1)


@pytest.mark.parametrize("fault", [DieOnce, BreakDevice])
def test_after_a_fault_another_process_trains_that_trial_and_the_next_ones(
    fault: Callable[[str, Path], Callable[[Design, int], None]],
    ray_engine: Callable[..., Engine],
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    story: Callable[[list[Trial]], list[object]],
    run: Callable[..., Ledger],
    tmp_path: Path,
) -> None:
    marker = tmp_path / "happened"
    ledger = make_ledger(make_study(), budget=3)
    evaluate = make_curves(at_step=fault("none", marker))
    ray_engine(1).run(ledger, evaluate, Checkpoints(tmp_path / "checkpoints", "study"), never)
    assert marker.exists()
    assert story(ledger.trials) == story(run(make_ledger(make_study(), budget=3)).trials)


def test_a_trial_whose_worker_is_lost_every_time_fails_alone(
    ray_engine: Callable[..., Engine],
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    tmp_path: Path,
) -> None:
    ledger = make_ledger(make_study(), budget=2)
    ray_engine(1).run(ledger, make_curves(at_step=DieAlways("none")), Checkpoints(tmp_path, "study"), never)
    assert [trial.state for trial in ledger.trials] == [State.FAILED, State.COMPLETE, State.COMPLETE]
    failure = ledger.trials[0].failure
    assert failure is not None
    assert failure.kind is FailureKind.LOST_WORKER
    assert ledger.trials[0].worker == worker_name()
    assert not ledger.running


@dataclass(frozen=True)
class LostBetweenTrials(Checkpoints):
    """Of workers that die when they are to take up their second trial; Tune reuses them from trial to trial."""

    home: int = field(default_factory=os.getpid)

    def of(self, number: int, job: Job) -> Checkpoint:
        if os.getpid() != self.home:
            if "TAKEN_UP" in os.environ:
                os._exit(1)
            os.environ["TAKEN_UP"] = "yes"
        return super().of(number, job)


def test_a_trial_whose_worker_is_lost_before_it_begins_is_trained_by_another(
    ray_engine: Callable[..., Engine],
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    story: Callable[[list[Trial]], list[object]],
    run: Callable[..., Ledger],
    tmp_path: Path,
) -> None:
    ledger = make_ledger(make_study(), budget=4)
    ray_engine(1).run(ledger, make_curves(), LostBetweenTrials(tmp_path, "study"), never)
    assert story(ledger.trials) == story(run(make_ledger(make_study(), budget=4)).trials)


class FailToArrive:
    """Cannot be unpickled in a worker, so often; then does nothing."""

    def __init__(self, folder: Path, times: int) -> None:
        self._folder = folder
        self._times = times
        self._home = os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        failures = len(list(self._folder.iterdir()))
        if os.getpid() != self._home and failures < self._times:
            (self._folder / str(failures)).touch()
            raise ImportError("not on this worker")

    def __call__(self, design: Design, epoch: int) -> None:
        """Nothing."""


def test_a_trial_whose_worker_does_not_start_fails_alone(
    ray_engine: Callable[..., Engine],
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    tmp_path: Path,
) -> None:
    from search.on_ray.engine import RESTARTS

    broken = tmp_path / "broken"
    broken.mkdir()
    ledger = make_ledger(make_study(), budget=1)
    ray_engine(1).run(
        ledger,
        make_curves(at_step=FailToArrive(broken, times=RESTARTS + 1)),
        Checkpoints(tmp_path / "checkpoints", "study"),
        never,
    )
    assert [trial.state for trial in ledger.trials] == [State.FAILED, State.COMPLETE]
    assert ledger.trials[0].failure is not None
    assert ledger.trials[0].failure.kind is FailureKind.LOST_WORKER


class WaitForAll:
    """Records which GPUs a trial sees, and waits until all trials have."""

    def __init__(self, folder: Path, trials: int) -> None:
        self._folder = folder
        self._trials = trials

    def __call__(self, design: Design, epoch: int) -> None:
        if epoch > 1:
            return
        (self._folder / f"{design} {os.getpid()}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
        give_up = time.monotonic() + 60
        while len(list(self._folder.iterdir())) < self._trials:
            if time.monotonic() > give_up:
                raise TimeoutError("the other trials did not start")
            time.sleep(0.02)


@pytest.fixture(scope="module")
def seen_gpus(
    ray_workers: None,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Ledger, list[str]]:
    """Four trials at once on halves of two logical GPUs, and the devices that they saw."""
    from search.on_ray.engine import RayEngine

    folder = tmp_path_factory.mktemp("gpus")
    ledger = make_ledger(make_study(), budget=4)
    evaluate = make_curves(at_step=WaitForAll(folder, trials=4))
    RayEngine(workers=4, gpus_per_trial=0.5).run(
        ledger, evaluate, Checkpoints(tmp_path_factory.mktemp("checkpoints"), "study"), never
    )
    return ledger, [path.read_text() for path in folder.iterdir()]


def test_as_many_trials_run_at_once_as_there_are_workers(seen_gpus: tuple[Ledger, list[str]]) -> None:
    ledger, _ = seen_gpus
    assert [trial.state for trial in ledger.trials if trial.trained] == [State.COMPLETE] * 4
    assert not any(trial.failure for trial in ledger.trials)


def test_trials_on_half_a_gpu_see_one_device_and_share_it_by_two(seen_gpus: tuple[Ledger, list[str]]) -> None:
    _, devices = seen_gpus
    assert Counter(devices) == {"0": 2, "1": 2}


def test_a_ray_that_is_there_is_used_and_left_running(seen_gpus: tuple[Ledger, list[str]]) -> None:
    import ray

    assert ray.is_initialized()
    assert ray.cluster_resources()["GPU"] == 2  # a Ray of the engine's own would have none


def test_a_cluster_measures_alone_on_a_worker(ray_workers: None) -> None:
    from search.on_ray.engine import RayEngine

    on_a_cluster = RayEngine(workers=1, address="the Ray that is there")
    assert on_a_cluster.alone(os.getpid) != os.getpid()
