"""How a session ends, and that MLflow says the same."""

import functools
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from pipelines.running import session
from pipelines.running.session import Session
from pipelines.running.terms import Terms
from pipelines.terminal.exit_codes import COMPLETE, FAILED, STOPPED
from pipelines.tracking.view import View
from search.execution import ResumableTraining
from search.ledger import Ledger
from search.local_engine import LocalEngine
from search.proposers import Planned
from search.storage import Storage
from search.trials import Job, State
from space import Design
from tests.pipelines.conftest import mlflow_runs

JOBS = [
    Job(backbone=f"backbone{n}", design=Design(), seed=n, costs={"num_params": 1, "macs": 1, "fps": 1})
    for n in range(9)
]


class Epochs:
    """A training of two epochs, in the first of which something happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self._happens = happens
        self._epoch = 0

    @property
    def done(self) -> bool:
        return self._epoch == 2

    def step(self) -> Mapping[str, float]:
        if self._epoch == 0:
            self._happens()
        self._epoch += 1
        return {"epoch": float(self._epoch), "seconds": 0.0, "score": 0.5}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to take up."""

    def halve_batches(self) -> None:
        """There are none."""


def train() -> None:
    """As it should be."""


def get_nan() -> None:
    raise FloatingPointError("loss is nan")


def run_out_of_memory() -> None:
    raise MemoryError("no room")


def lose_the_disk() -> None:
    raise OSError("the disk is away")


def break_the_device() -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study(directions=Planned.DIRECTIONS)


@pytest.fixture
def run(here: Path, study: optuna.Study) -> Callable[..., tuple[Session, Ledger]]:
    """Runs what happens in one training after the other; the last thing happens in all others, too."""
    view = View(
        name="study",
        uid="uid",
        params={},
        tags={"kind": "test"},
        trial_name=lambda trial: str(trial.number),
        metrics=lambda trials: {},
        trial_tags=lambda trials: {},
        columns=["score"],
        figures=lambda trials: {},
        describe=lambda trials: [],
        write_artifacts=lambda trials, runs, folder: None,
    )

    def run_all(*happens: Callable[[], None], lacks: bool = False) -> tuple[Session, Ledger]:
        left = list(happens)

        @functools.lru_cache  # where memory runs out, the same happens again
        def of(seed: int) -> Callable[[], None]:
            return left.pop(0) if len(left) > 1 else left[0]

        def evaluate(backbone: str, design: Design, seed: int) -> ResumableTraining:
            return Epochs(of(seed))

        ledger = Ledger(study, Planned(JOBS, "score"), len(JOBS))
        ended = session.run(
            ledger,
            LocalEngine(),
            evaluate,
            here,
            view,
            storage=Storage(str(here)),
            terms=Terms(),
            lines=lambda trials: [],
            lacks=lambda trials: lacks and any(trial.failure for trial in trials),
        )
        return ended, ledger

    return run_all


@pytest.mark.parametrize(
    ("happens", "exit_code", "status", "trials"),
    [
        ([train], COMPLETE, "FINISHED", {"FINISHED"}),
        ([run_out_of_memory, train], COMPLETE, "FINISHED", {"FINISHED", "FAILED"}),
        ([*[get_nan, run_out_of_memory] * 3, train], FAILED, "FAILED", {"FAILED"}),
        ([train, lose_the_disk], FAILED, "FAILED", {"FINISHED", "FAILED"}),
        ([train, press_ctrl_c], STOPPED, "KILLED", {"FINISHED", "KILLED"}),
        ([press_ctrl_c], STOPPED, "KILLED", {"KILLED"}),
        ([train, break_the_device], STOPPED, "KILLED", {"FINISHED", "FAILED"}),
        ([break_the_device], FAILED, "FAILED", {"FAILED"}),
    ],
    ids=["complete", "one failed", "hopeless", "broken", "ctrl-c", "ctrl-c at once", "device", "device at once"],
)
def test_mlflow_says_of_a_session_and_of_its_trials_how_they_ended(
    happens: Sequence[Callable[[], None]],
    exit_code: int,
    status: str,
    trials: set[str],
    run: Callable[..., tuple[Session, Ledger]],
) -> None:
    ended, ledger = run(*happens)
    assert ended.exit_code == exit_code
    assert (ended.reason == "") == (exit_code == COMPLETE)
    assert [parent.info.status for parent in mlflow_runs("test")] == [status]
    runs = {int(child.data.tags["trial"]): child.info.status for child in mlflow_runs()}
    told = {State.COMPLETE: "FINISHED", State.FAILED: "FAILED", State.RUNNING: "KILLED"}
    assert runs == {trial.number: told[trial.state] for trial in ledger.trials}
    assert set(runs.values()) == trials


def test_what_was_killed_is_finished_under_its_own_run(run: Callable[..., tuple[Session, Ledger]]) -> None:
    run(train, press_ctrl_c)
    before = {child.info.run_id for child in mlflow_runs()}
    ended, _ = run(train)
    assert ended.exit_code == COMPLETE
    assert before < {child.info.run_id for child in mlflow_runs()}
    assert {child.info.status for child in mlflow_runs()} == {"FINISHED"}
    assert [parent.info.status for parent in mlflow_runs("test")] == ["FINISHED"]


def test_after_a_device_error_nothing_else_is_begun_in_the_process_and_the_next_one_goes_on(
    run: Callable[..., tuple[Session, Ledger]],
) -> None:
    ended, ledger = run(train, break_the_device, train)
    assert [trial.state for trial in ledger.trials] == [State.COMPLETE, State.FAILED]
    assert "trial 1" in ended.reason
    assert "CUDA error" in ended.reason
    ended, ledger = run(train)
    assert ended.exit_code == COMPLETE
    assert [trial.job for trial in ledger.trials if trial.trained] == JOBS


def test_a_list_that_ends_before_it_is_hopeless_has_failed_all_the_same_if_nothing_trained(
    run: Callable[..., tuple[Session, Ledger]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.pipelines.running.test_session.JOBS", JOBS[:2])
    ended, _ = run(run_out_of_memory)
    assert ended.exit_code == FAILED
    assert "out of memory" in ended.reason


@pytest.mark.parametrize(("happens", "status"), [([train], "FINISHED"), ([get_nan, train], "FAILED")])
def test_where_each_training_is_wanted_one_that_failed_is_a_failure_in_mlflow(
    happens: Sequence[Callable[[], None]], status: str, run: Callable[..., tuple[Session, Ledger]]
) -> None:
    assert run(*happens, lacks=True)[0].exit_code == COMPLETE
    assert [parent.info.status for parent in mlflow_runs("test")] == [status]


def test_a_picture_that_is_not_taken_leaves_no_run_open(
    run: Callable[..., tuple[Session, Ledger]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise OSError("the artifact store is full")

    monkeypatch.setattr("pipelines.tracking.runs.StudyRuns.refresh", refuse)
    run(train)
    assert [parent.info.status for parent in mlflow_runs("test")] == ["FINISHED"]
