"""A Ray cluster of two nodes on this machine: looked at before a search, and one of them lost in it."""

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.pipelines.conftest import Search
from tests.pipelines.running.test_interruption import LAUNCH, assert_complete, trials

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and files to the collector
]
Start = Callable[..., subprocess.Popen[str]]
STORE_BYTES = 80 * 1024**2


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator["Cluster"]:
    """Of two nodes with one CPU each; the second is a `fast` one."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # it listens on this machine alone
    from ray.cluster_utils import Cluster

    started = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE_BYTES},
    )
    started.add_node(num_cpus=1, resources={"fast": 1}, object_store_memory=STORE_BYTES)
    yield started
    started.shutdown()


def test_a_cluster_is_looked_at_and_a_node_lost_in_a_search_costs_no_trial(
    start: Start, search: Search, cluster: "Cluster"
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

    while launched.poll() is None and not any(trial.trained for trial in trials()):
        time.sleep(0.1)
    (lost,) = [node for node in cluster.list_all_nodes() if node != cluster.head_node]
    cluster.remove_node(lost)
    _, err = launched.communicate()
    assert launched.returncode == 0, err
    assert_complete(search)
