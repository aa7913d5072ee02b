"""Studies in a database: its server goes away, another launch wants the study, or takes it."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from search.storage import Storage
from search.trials import State
from tests.pipelines.conftest import Search, mlflow_runs
from tests.pipelines.faults import LAUNCH, assert_complete, hit_after, trials, wait_until_trained
from tests.postgres import PASSWORD, Postgres

pytestmark = pytest.mark.faults
Start = Callable[..., subprocess.Popen[str]]


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
