"""Stopped or killed at any moment, the same command completes the budget."""

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
import torch

from pipelines.running.stopping import Stopping
from search.storage import Storage
from search.trials import State, Trial
from tests.pipelines.conftest import Search, mlflow_runs
from tests.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.faults
Start = Callable[..., subprocess.Popen[str]]
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


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.long)])
def test_killed_in_the_middle_the_same_command_completes_the_budget(search: Search, start: Start, engine: str) -> None:
    killed = start(*LAUNCH, "--engine", engine)
    wait_until_trained(killed, 2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    left = [trial.number for trial in trials() if trial.state is State.RUNNING]
    assert left

    again = search(*LAUNCH, "--engine", "local")
    assert again.code == 0, again.err
    assert_complete(search)
    taken_up = {trial.number: trial.state for trial in trials()}
    assert all(taken_up[number] is State.COMPLETE for number in left)


@pytest.mark.parametrize(
    ("engine", "number"),
    [("local", signal.SIGINT), pytest.param("ray", signal.SIGTERM, marks=pytest.mark.long)],
    ids=["ctrl-c", "sigterm on ray"],
)
def test_a_signal_stops_cleanly_and_it_is_said_how_to_go_on(
    search: Search, start: Start, engine: str, number: signal.Signals
) -> None:
    stopped = start(*LAUNCH, "--engine", engine)
    wait_until_trained(stopped, 1)
    stopped.send_signal(number)
    stopped.send_signal(signal.SIGCONT)
    _out, err = stopped.communicate()
    assert stopped.returncode == 3, err
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert mlflow_runs("search")[0].info.status == "KILLED"

    assert search(*LAUNCH, "--engine", "local").code == 0
    assert_complete(search)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_the_first_signal_asks_and_the_handlers_come_back_afterwards(number: signal.Signals, name: str) -> None:
    before = signal.getsignal(number)
    with Stopping() as stopping:
        assert not stopping()
        os.kill(os.getpid(), number)
        assert stopping()
        assert stopping.reason == name
        assert signal.getsignal(number) is before  # a second one acts at once
    assert signal.getsignal(number) is before


def test_after_sigterm_an_epoch_that_takes_longer_than_the_grace_is_broken_off(search: Search, start: Start) -> None:
    long = (*LAUNCH, "--engine", "local", "--backbone", "resnet164", "--batch-size", "2", "--grace", "0.1s")
    stopped = start(*long)
    wait_until_trained(stopped, 0)
    stopped.send_signal(signal.SIGTERM)
    stopped.send_signal(signal.SIGCONT)
    _out, err = stopped.communicate()
    assert stopped.returncode == 3, err
    assert "Traceback" not in err
    (trial,) = trials()
    assert trial.state is State.RUNNING
    assert not list(Path("runs/mine/checkpoints").glob("*")), "it trained to the end of its epoch"
    assert mlflow_runs("search")[0].info.status == "KILLED"


def be_slow_to_stop(grace: float) -> None:
    with Stopping(grace=grace):
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(60)


def test_within_the_grace_nothing_is_broken_off_and_afterwards_nothing_comes() -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            be_slow_to_stop(grace=0.001)
        with Stopping(grace=60) as stopping:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopping()
        assert not any(
            isinstance(thread, threading.Timer) and not thread.finished.is_set() for thread in threading.enumerate()
        )
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_time_limit_stops_resumably(search: Search) -> None:
    stopped = search(*LAUNCH, "--engine", "local", "--time-limit", "0.3s")
    assert stopped.code == 3
    assert "the time limit" in stopped.err

    assert search(*LAUNCH, "--engine", "local").code == 0
    assert_complete(search)


def test_checkpoints_are_where_a_user_wants_them_and_the_next_launch_finds_them_there(search: Search) -> None:
    one = (*LAUNCH, "--engine", "local", "--budget", "1", "--epochs", "30")
    assert search(*one, "--checkpoints", "elsewhere", "--time-limit", "0.5s").code == 3
    (saved,) = Path("elsewhere").iterdir()
    before = len(torch.load(saved, weights_only=True)["state"]["reports"])
    assert before >= 1
    assert not Path("runs/mine/checkpoints").exists()

    assert search(*one, "--keep-checkpoints").code == 0
    (kept,) = Path("elsewhere").iterdir()
    assert len(torch.load(kept, weights_only=True)["state"]["reports"]) == 30
    (trial,) = trials()
    assert [report["epoch"] for report in trial.history] == list(range(1, 31))
    assert "of trials that ended" in search("doctor", "mine").out
    search("doctor", "mine", "--mend")
    assert list(Path("elsewhere").iterdir()) == []


@pytest.mark.parametrize("room", [100, 700, 1500])
def test_a_full_disk_stops_in_a_line_and_the_same_command_goes_on_when_there_is_room(search: Search, room: int) -> None:
    search(*LAUNCH, "--engine", "local", "--budget", "2")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path("runs/mine/journal.log").stat().st_size + room, hard))
    try:
        stopped = search(*LAUNCH, "--engine", "local")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stopped.code == 3, stopped.err
    assert stopped.err.strip().splitlines()[-1].startswith("search: no room for ")
    assert "Traceback" not in stopped.err

    assert search(*LAUNCH, "--engine", "local").code == 0
    assert_complete(search)


def test_two_launches_of_one_study_do_not_mix(
    search: Search, start: Start, here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = f"sqlite:///{here}/studies.db"
    command = (*LAUNCH, "--budget", "3", "--space", str(here / "tiny.toml"), "--engine", "local", "--storage", database)
    first = start(*command)
    wait_until_trained(first, 1, database)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    second = search(*command)
    first.send_signal(signal.SIGCONT)
    _out, err = first.communicate()

    assert second.code == 2
    assert f"is being run by process {first.pid} on " in second.err
    assert first.returncode == 0, err
    assert [trial.state for trial in trials(Storage(database)) if trial.trained] == [State.COMPLETE] * 3


def test_a_launch_that_loses_its_study_stops_and_says_who_has_it(
    launch: Search, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rob() -> None:
        with contextlib.closing(sqlite3.connect(here / "studies.db")) as database, database:
            database.execute("UPDATE attention_search_leases SET holder = 'x', host = 'far', pid = 7")

    hit_after(5, rob, monkeypatch)
    ended = launch("--study", "mine", "--budget", "8", "--storage", "sqlite:///studies.db")
    assert ended.code == 3
    says = "search: study mine is no longer held: process 7 on far took it over; the same command goes on"
    assert ended.err.strip().splitlines()[-1] == says
    assert 1 <= sum(trial.trained for trial in trials(Storage("sqlite:///studies.db"))) <= 5
    assert mlflow_runs("search")[0].info.status == "KILLED"


@pytest.fixture(scope="module")
def postgres_of_mlflow(postgres: Postgres) -> str:
    """Name of a database with MLflow's tables, to copy; making them takes seconds."""
    url = postgres.made()
    make = "import sys, mlflow; mlflow.MlflowClient(sys.argv[1]).search_experiments()"
    subprocess.run([sys.executable, "-c", make, url], check=True, capture_output=True)  # a copy needs it left by all
    return url.rpartition("/")[2]


@pytest.fixture
def on_postgres(
    postgres: Postgres, postgres_of_mlflow: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, ...]:
    """A launch that is kept, as its runs in MLflow are, on a PostgreSQL server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres.made(like=postgres_of_mlflow))
    return *LAUNCH, "--engine", "local", "--storage", postgres.made()


@pytest.mark.long
def test_killed_on_a_database_server_it_is_completed_by_the_same_command(
    search: Search, start: Start, on_postgres: tuple[str, ...]
) -> None:
    where = on_postgres[-1]
    killed = start(*on_postgres)
    wait_until_trained(killed, 2, where)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    again = search(*on_postgres)
    assert again.code == 0, again.err
    assert PASSWORD not in again.out + again.err
    assert_complete(search, where)


@pytest.mark.long
def test_a_database_server_that_restarts_in_mid_search_is_not_noticed(
    search: Search, on_postgres: tuple[str, ...], postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarted = []

    def restart() -> None:
        postgres.stop("immediate")
        postgres.start()
        restarted.append(True)

    hit_after(5, restart, monkeypatch)
    ended = search(*on_postgres)
    assert ended.code == 0, ended.err
    assert restarted
    assert_complete(search, on_postgres[-1])


@pytest.mark.long
def test_a_database_server_that_stays_away_ends_the_launch_in_a_line_and_the_same_command_goes_on(
    search: Search, start: Start, on_postgres: tuple[str, ...], postgres: Postgres
) -> None:
    stopped = start(*on_postgres)
    wait_until_trained(stopped, 1, on_postgres[-1])
    postgres.stop()
    try:
        stopped.send_signal(signal.SIGCONT)
        out, err = stopped.communicate()
    finally:
        postgres.start()
    assert stopped.returncode == 3, err
    assert "does not answer" in err.strip().splitlines()[-1]
    assert "Traceback" not in err
    assert PASSWORD not in out + err
    assert search(*on_postgres).code == 0
    assert_complete(search, on_postgres[-1])


@pytest.mark.parametrize("hours", [-30, 30], ids=["back", "ahead"])
def test_a_clock_that_is_set_in_mid_search_changes_nothing(
    search: Search, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, jumps = time.time, [0]

    def jumping() -> float:
        return now() + jumps[-1] * 3600

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Jumping":
            return cls.fromtimestamp(jumping(), tz)

    with monkeypatch.context() as for_now:
        hit_after(5, lambda: jumps.append(hours), for_now)
        for_now.setattr("time.time", jumping)
        for module in ("search.ledger", "search.optuna_trials", "optuna.storages.journal._storage"):
            for_now.setattr(f"{module}.datetime", Jumping)
        ended = search(*LAUNCH, "--engine", "local", "--json")
    assert ended.code == 0, ended.err
    assert 0 <= ended.json["startup_seconds"] < 3600
    assert 0 <= ended.json["overhead_seconds"] < 3600
    started = [trial.started for trial in trials()]
    assert abs((started[-1] - started[0]).total_seconds()) > 29 * 3600
    assert_complete(search)
    assert search("front", "mine").code == 0
