"""What tests do to a launch, and what is to be so afterwards."""

import contextlib
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.running.stopping import Stopping
from search.storage import Storage
from search.trials import State, Trial
from tests.pipelines.conftest import Search, mlflow_runs

LAUNCH = ("launch", "--space", "tiny.toml", "--epochs", "2", "--study", "mine", "--budget", "5", "--confirm", "0")


def trials(storage: Storage | None = None) -> list[Trial]:
    """Of the study, in runs/ or elsewhere."""
    storage = storage or Storage("runs")
    return storage.read("mine").trials if storage.exists("mine") else []


def wait_until_trained(process: subprocess.Popen[str], count: int, where: str = "runs") -> None:
    """Until so many trials are trained and another one is running; the process is left suspended just then.

    A process that is suspended while it writes a database keeps it locked: it is let go on.
    """
    storage = Storage(where)

    def there() -> bool:
        if locked(where):
            return False
        now = trials(storage)
        return sum(trial.trained for trial in now) >= count and any(trial.state is State.RUNNING for trial in now)

    while not ended_within(process, 0.02):
        if there():
            process.send_signal(signal.SIGSTOP)
            if there():
                return
            process.send_signal(signal.SIGCONT)
    raise AssertionError(process.communicate())


def ended_within(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether it has ended; looking all the time would take the processor from it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def locked(where: str) -> bool:
    """Whether somebody is writing this storage, if it is a SQLite file."""
    path = Path(where.removeprefix("sqlite:///"))
    if not path.is_file():
        return False
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def assert_complete(search: Search, where: str = "runs") -> None:
    """The budget is trained exactly, nothing runs, and MLflow has each trial once."""
    status = search("status", "mine", "--json", "--storage", where).json
    assert (status["complete"], status["running"], status["failed"]) == (5, 0, 0)
    assert status["epochs_trained"] == 10
    trained = [trial for trial in trials(Storage(where)) if trial.trained]
    assert set(Counter(trial.job.candidate for trial in trained).values()) == {1}
    runs = Counter(run.data.tags["trial"] for run in mlflow_runs())
    assert runs == Counter(str(trial.number) for trial in trained)
    assert {run.info.status for run in mlflow_runs()} == {"FINISHED"}
    assert len(mlflow_runs("search")) == 1


def hit_after(calls: int, hit: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something happen between two epochs, when the search looks so often whether it is to stop."""
    asked = iter(range(1000))

    def look(stopping: Stopping) -> bool:
        if next(asked) == calls:
            hit()
        return False

    monkeypatch.setattr(Stopping, "__call__", look)
