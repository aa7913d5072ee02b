"""What a Ray cluster has room for, and that nobody waits for it for ever."""

import os

import pytest

from search.engine import trials_that_fit
from space.errors import UserError

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and files to the collector
]


@pytest.mark.parametrize("parts", range(1, 130))
def test_as_many_trials_share_a_gpu_as_its_parts(parts: int) -> None:
    for gpus in range(4):
        assert trials_that_fit(1000, gpus, 1, 1 / parts) == gpus * parts
        assert trials_that_fit(1000, gpus, 1, round(1 / parts, 12)) in (gpus * parts, gpus * (parts - 1))
    assert trials_that_fit(1000, 1, 1, 0.2) == 5


@pytest.mark.parametrize(("cpus", "each", "fit"), [(7, 2, 3), (1, 2, 0), (8, 1, 8), (0, 1, 0)])
def test_a_trial_has_its_cpus(cpus: int, each: int, fit: int) -> None:
    assert trials_that_fit(cpus, 0, each, 0.0) == fit
    assert trials_that_fit(cpus, 100, each, 1.0) == fit


def test_a_trial_does_not_part_over_two_nodes() -> None:
    from search.on_ray.cluster import room_on

    nodes = [{"CPU": 3.0}, {"CPU": 3.0, "GPU": 2.0}, {"GPU": 4.0}]
    assert room_on(nodes, 1, 0.0) == 6
    assert room_on(nodes, 2, 0.0) == 2
    assert room_on(nodes, 4, 0.0) == 0
    assert room_on(nodes, 1, 1.0) == 2
    assert room_on(nodes, 1, 0.25) == 3  # CPUs of its own node


@pytest.mark.long
def test_a_cluster_without_a_free_gpu_is_told_of_in_one_line(
    ray_session: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import ray
    from ray.util import placement_group, remove_placement_group

    from search.on_ray import cluster

    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(cluster, "WAIT_SECONDS", 0.1)
    taken = placement_group([{"GPU": 1}, {"GPU": 1}])
    ray.get(taken.ready())
    try:
        with pytest.raises(UserError, match="--address head: no node has 1 CPUs and 1 GPU free after"):
            cluster.alone_on("head", 1, 1, os.getpid)
    finally:
        remove_placement_group(taken)
    assert "waiting for 1 CPUs and 1 GPU of the cluster at head" in caplog.text
    monkeypatch.setattr(cluster, "WAIT_SECONDS", 60.0)
    assert cluster.alone_on("head", 1, 1, os.getpid) != os.getpid()
    assert cluster.has_gpus("head", ())
    assert cluster.room("head", 1, 0.5, ()) >= 2
    with pytest.raises(UserError, match=r"--address head: no node has room for a trial \(1000 CPUs\)"):
        cluster.room("head", 1000, 0.0, ())
