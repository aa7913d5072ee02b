"""Choosing the engine, and the device, from what the user said and what the machine has."""

import os
from types import ModuleType

import torch

from pipelines.settings.options.shared import Resources, check_device
from search.engine import Engine, trials_that_fit
from search.local_engine import LocalEngine
from space import UserError
from trainers.throughput import device_name

RAY_START_SECONDS = 15.0
"""What it takes to start Ray and its workers; below this saving one process is quicker."""


def find_device(name: str, address: str | None, study: str | None = None) -> str:
    """Cpu or cuda, from auto, cpu or cuda: what this machine has, or the cluster at an address.

    Args:
        name: as typed, or as the study was made with.
        address: of the cluster; None for this machine. One that grows by itself may have no GPU yet: cuda says so.
        study: that was made with this device; None for what was typed.

    Raises:
        UserError: another name, or no GPU where one is wanted.
    """
    check_device(name)
    if address is not None:
        return "cuda" if name == "cuda" or (name == "auto" and _has_gpus(address)) else "cpu"
    there = torch.cuda.is_available()
    if name == "cuda" and not there and study is not None:
        raise UserError(f"study {study} trains on cuda, and no GPU is to be seen here; give --address of a Ray cluster")
    if name == "cuda" and not there:
        raise UserError("--device cuda: no GPU is to be seen here; use --device cpu, or --address of a Ray cluster")
    return "cuda" if name != "cpu" and there else "cpu"


def find_device_name(device: str, address: str | None) -> str:
    """The processor that trials run on; the GPUs of a cluster have one name, since they come and go."""
    return "a GPU of the cluster" if device == "cuda" and address is not None else device_name(device)


def make_engine(resources: Resources, device: str, trials: int, trial_seconds: float) -> Engine:
    """The engine to run so many more trials of about this length.

    `auto` takes Ray when more than one worker saves more time than Ray needs to start.
    """
    gpus = resources.gpus(device)
    if resources.engine == "local":
        return LocalEngine()
    if resources.address is None:
        fit = _fit(resources.cpus_per_trial, gpus)
        if gpus and resources.workers is not None and resources.workers > fit:
            each = f"{resources.cpus_per_trial} CPUs and {gpus:g} GPUs"
            raise UserError(f"--workers {resources.workers}: only {fit} trials of {each} fit on this machine")
        workers = max(1, min(resources.workers or fit, trials))
        saved = trials * trial_seconds * (1 - 1 / workers)
        if resources.engine == "auto" and (workers == 1 or saved < RAY_START_SECONDS):
            return LocalEngine()
    from search.on_ray import cluster  # takes a second, and so does what is beside it
    from search.on_ray.engine import RayEngine

    if resources.address is not None:
        workers = resources.workers or cluster.room(resources.address, resources.cpus_per_trial, gpus, _packages())
    return RayEngine(workers, resources.cpus_per_trial, gpus, resources.address, _packages())


def _fit(cpus: int, gpus: float) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    there = torch.cuda.device_count() if gpus else 0
    return trials_that_fit(max(cores, cpus), there, cpus, gpus)


def _has_gpus(address: str) -> bool:
    from search.on_ray import cluster  # takes a second

    return cluster.has_gpus(address, _packages())


def _packages() -> tuple[ModuleType, ...]:
    """Ours, for the workers of a cluster."""
    import pipelines
    import search
    import space
    import trainers

    return (pipelines, search, space, trainers)
