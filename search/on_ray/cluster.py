"""Connecting to Ray, and what a Ray cluster has: room for trials, GPUs, a place to measure on."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Generic, TypeVar

import ray
from ray.util import placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from search.engine import trials_that_fit
from space.errors import Stopped, UserError, first_line

CONNECT_SECONDS = 5.0
PATIENCE_SECONDS = 5.0
"""After so long a user is told what is waited for."""
WAIT_SECONDS = 120.0
"""So long is waited for a place on a cluster; one that grows by itself needs a while."""
HEAD_PATIENCE = "RAY_gcs_rpc_server_reconnect_timeout_s", 60.0
"""Where Ray reads how many seconds it waits for a head that is away, perhaps to be started anew; and its default."""
HEAD_SHARE, HEAD_KNOCKS = 0.7, 10
"""Of Ray's patience that we have, and how often we knock in that time."""
OBJECT_STORE_BYTES = 200 * 1024**2
"""Of a Ray that we start; only reports pass through it."""

SLIVER = 0.001
"""Of a GPU, for what only looks at it."""
GPU_NAME = "accelerator_type:"
"""What Ray puts before the name of a node's GPUs."""
EVERYWHERE = {"CPU", "GPU", "memory", "object_store_memory"}
"""Resources that tell no type."""
NO_TYPE: Mapping[str, float] = {}
TYPE_SHARE = 0.001
"""Of the resource that marks nodes of a type, for each trial: more than fit on a node otherwise."""

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def connect(address: str | None, cores: int | None, modules: tuple[ModuleType, ...]) -> None:
    """Be connected to a Ray cluster, or to a Ray of this machine that is started for it.

    Args:
        address: of the cluster; None for this machine.
        cores: of a Ray that is started.
        modules: packages to send to a cluster that does not have them.

    Raises:
        UserError: no cluster answers there.
    """
    for name in ("ray", "ray.tune", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is in the ledger
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        quiet |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        with _our_sigterm():
            ray.init(address="local", num_cpus=cores, **quiet)
        return
    try:
        _knock(address)
        with _our_sigterm():
            ray.init(address=address, runtime_env={"py_modules": list(modules)}, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"--address {address}: no Ray cluster answers there ({first_line(error)})") from None


def type_resource(address: str, node_type: str | None, modules: tuple[ModuleType, ...]) -> dict[str, float]:
    """What a trial takes of a resource that only nodes of a type have: a GPU's name, or one they were started with.

    Raises:
        UserError: there is no cluster at this address, or no node of this type.
    """
    if node_type is None:
        return {}
    connect(address, None, modules)
    there = {name for node in _nodes() for name in node}
    named = [name for name in (f"{GPU_NAME}{node_type}", node_type) if name in there]
    if not named:
        types = sorted({name.removeprefix(GPU_NAME) for name in there - EVERYWHERE if not name.startswith("node:")})
        raise UserError(f"--node-type {node_type}: no node is of that type; there are {', '.join(types) or 'none'}")
    return {named[0]: TYPE_SHARE}


def room(
    address: str,
    cpus_per_trial: int,
    gpus_per_trial: float,
    modules: tuple[ModuleType, ...],
    of_type: Mapping[str, float] = NO_TYPE,
) -> int:
    """How many trials a cluster can run at once, on nodes that have the resource of a type.

    Raises:
        UserError: there is no cluster at this address, or none with room for a trial.
    """
    connect(address, None, modules)
    nodes = [node for node in _nodes() if of_type.keys() <= node.keys()]
    fit = room_on(nodes, cpus_per_trial, gpus_per_trial)
    if fit < 1:
        there = " and ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
        wanted = f"{cpus_per_trial} CPUs" + (f", {gpus_per_trial:g} GPUs" if gpus_per_trial else "")
        raise UserError(f"--address {address}: no node has room for a trial ({wanted}); there are {there}")
    return fit


def room_on(nodes: Iterable[Mapping[str, float]], cpus_per_trial: int, gpus_per_trial: float) -> int:
    """Trials that run at once on nodes with these resources; a trial does not part over two."""
    sizes = ((node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes)
    return sum(trials_that_fit(cpus, gpus, cpus_per_trial, gpus_per_trial) for cpus, gpus in sizes)


def has_gpus(address: str, modules: tuple[ModuleType, ...]) -> bool:
    """Whether a cluster has a GPU now, taken or free.

    Raises:
        UserError: there is no cluster at this address.
    """
    connect(address, None, modules)
    return any(node.get("GPU", 0.0) >= 1 for node in _nodes())


def alone_on(
    address: str, cpus: float, gpus: int, measure: Callable[[], Result], of_type: Mapping[str, float] = NO_TYPE
) -> Result:
    """What a function returns on a worker of a cluster, of a type or any, that has so many CPUs and GPUs for itself.

    Raises:
        UserError: there is no such worker within `WAIT_SECONDS`.
    """
    place = placement_group([{"CPU": cpus, **({"GPU": gpus} if gpus else {}), **of_type}])
    try:
        if not _is_ready(place, PATIENCE_SECONDS):
            what = f"{cpus:g} CPUs" + (f" and {gpus} GPU" if gpus else "")
            logger.warning("waiting for %s of the cluster at %s to be free, to measure FPS there", what, address)
            if not _is_ready(place, WAIT_SECONDS):
                raise UserError(
                    f"--address {address}: no node has {what} free after {WAIT_SECONDS:.0f} s; "
                    "wait until others are done there, or use another device"
                )
        there = PlacementGroupSchedulingStrategy(place)

        @ray.remote(num_cpus=cpus, num_gpus=gpus, scheduling_strategy=there)
        def task() -> Result:
            return measure()

        result: Result = ray.get(task.remote())
        return result
    finally:
        remove_placement_group(place)


@dataclass(frozen=True)
class OnNode(Generic[Result]):
    """What a function returned on one node.

    Attributes:
        name: of the node, an address; numbered where several nodes have one.
        resources: CPUs, GPUs and others.
        result: None where it failed.
        error: why, in one line; empty where it did not.
    """

    name: str
    resources: Mapping[str, float]
    result: Result | None
    error: str = ""


def on_each_node(look: Callable[[], Result], *, gpu: bool, wanted: Mapping[str, float]) -> list[OnNode[Result]]:
    """What a function returns on each node that has these resources, taken by others or not.

    Args:
        look: the function.
        gpu: whether it is to see the GPUs.
        wanted: resources of a trial.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    nodes = [node for node in nodes if all(node["Resources"].get(name, 0) >= of for name, of in wanted.items())]

    @ray.remote(num_cpus=0, num_gpus=SLIVER if gpu else 0, max_retries=0)
    def task() -> Result:
        return look()

    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    asked = [task.options(scheduling_strategy=place).remote() for place in places]
    done, _ = ray.wait(asked, num_returns=len(asked), timeout=WAIT_SECONDS) if asked else ([], [])
    found: list[OnNode[Result]] = []
    for node, reference in zip(nodes, asked, strict=True):
        name, resources = node["NodeManagerAddress"], node["Resources"]
        if others := sum(other.name.partition(" ")[0] == name for other in found):
            name = f"{name} ({others + 1})"
        if reference not in done:
            found.append(OnNode(name, resources, None, f"no answer after {WAIT_SECONDS:.0f} s"))
            continue
        try:
            found.append(OnNode(name, resources, ray.get(reference)))
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            found.append(OnNode(name, resources, None, f"{type(cause).__name__}: {first_line(cause)}"))
    return found


def _is_ready(place: Any, seconds: float) -> bool:
    return bool(ray.wait([place.ready()], timeout=seconds)[0])


def _nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextlib.contextmanager
def watched_head(lost: Callable[[Stopped], None]) -> Iterator[None]:
    """Tell, from another thread, when the head of the cluster is lost.

    Ray's own calls hang then, and when its patience ends it ends this process as failed: nothing can be done in order.

    Args:
        lost: is to end this process.
    """
    head, over = ray.get_runtime_context().gcs_address, threading.Event()
    name, default = HEAD_PATIENCE
    patience = HEAD_SHARE * float(os.environ.get(name, default))

    def watch() -> None:
        answered = time.monotonic()
        while time.monotonic() - answered < patience:
            if over.wait(patience / HEAD_KNOCKS):
                return
            with contextlib.suppress(OSError):
                _knock(head)
                answered = time.monotonic()
        lost(Stopped(f"the head of the Ray cluster at {head} does not answer"))

    thread = threading.Thread(target=watch, name="head", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _our_sigterm() -> Iterator[None]:
    """Keep what this process does on SIGTERM: Ray makes it end at once, with exit code 15."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)


def _knock(address: str) -> None:
    """Fail at once where nothing listens: Ray would try for minutes."""
    host, colon, port = address.removeprefix("ray://").partition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
