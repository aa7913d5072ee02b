"""Stopped or killed at any moment, the same command completes the budget."""

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path

import pytest
import torch

from pipelines.running.stopping import Stopping
from search.trials import State
from tests.pipelines.conftest import Search, mlflow_runs
from tests.pipelines.faults import LAUNCH, assert_complete, hit_after, trials, wait_until_trained

pytestmark = pytest.mark.faults
Start = Callable[..., subprocess.Popen[str]]


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
