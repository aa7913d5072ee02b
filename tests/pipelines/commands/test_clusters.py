"""A Ray cluster of two nodes on this machine: looked at before a search, and one of them lost in it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.pipelines.conftest import Search
from tests.pipelines.faults import LAUNCH, assert_complete, ended_within, trials

pytestmark = [pytest.mark.long, pytest.mark.faults]
Start = Callable[..., subprocess.Popen[str]]


CLUSTER = """
import sys
from ray.cluster_utils import Cluster

store = {"object_store_memory": 80 * 1024**2}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **store})
second = cluster.add_node(num_cpus=1, resources={"fast": 1}, **store)
print(cluster.address, flush=True)
if sys.stdin.readline():
    cluster.remove_node(second)
    print("lost", flush=True)
    sys.stdin.readline()
cluster.shutdown()
"""
"""Of two nodes with one CPU each; the second is a `fast` one, which is lost when a line is written.

It ends when its input does.
"""


@dataclass
class Cluster:
    """In a process of its own: how Ray asks for tokens is settled once in a process."""

    process: subprocess.Popen[str]
    address: str

    @classmethod
    @contextmanager
    def begun(cls) -> Iterator["Cluster"]:
        """One for as long as the context lasts."""
        with subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            cluster = cls(process, process.stdout.readline().strip())
            yield cluster
            if process.poll() is None:
                cluster.end()

    def lose(self) -> None:
        """All of it at once, as if its machines had lost their power."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def lose_a_node(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "lost"

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # it listens on this machine alone
    with Cluster.begun() as cluster:
        yield cluster


def wait_for_a_trial(launched: subprocess.Popen[str]) -> None:
    """Until the first one is trained."""
    while not ended_within(launched, 0.1) and not any(trial.trained for trial in trials()):
        pass


def test_a_cluster_is_looked_at_and_a_node_lost_in_a_search_costs_no_trial(
    start: Start, search: Search, cluster: Cluster
) -> None:
    there = ("--address", cluster.address)
    looked = start(*LAUNCH, *there, "--dry-run", "--node-type", "fast", "--checkpoints", "/proc/nowhere")
    launched = start(*LAUNCH, *there)
    _, err = looked.communicate()
    assert looked.returncode == 2
    says = [line for line in err.splitlines() if "checkpoints:" in line]
    assert len(says) == 2, err  # of the driver, and of the one node
    assert all("--checkpoints" in line for line in says)
    assert err.strip().splitlines()[-1].startswith(f"search: --address {cluster.address}: trials would fail there")

    wait_for_a_trial(launched)
    cluster.lose_a_node()
    _, err = launched.communicate()
    assert launched.returncode == 0, err
    assert_complete(search)


def test_a_search_whose_head_is_lost_is_completed_by_the_same_command_on_a_new_one(
    start: Start, search: Search, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "15")  # of the minute that Ray waits for its head
    launched = start(*LAUNCH, "--address", cluster.address)
    wait_for_a_trial(launched)
    cluster.lose()
    _, err = launched.communicate()
    assert launched.returncode == 3, err
    says = f"search: the head of the Ray cluster at {cluster.address} does not answer; the same command goes on"
    assert err.strip().splitlines()[-1] == says
    with Cluster.begun() as new:
        again = start(*LAUNCH, "--address", new.address)
        _, err = again.communicate()
        assert again.returncode == 0, err
    assert_complete(search)
