"""Choosing the engine, and the device, from what the user said and what the machine has."""

import math
import os
from types import ModuleType

import torch

from pipelines.options import Resources, check_device
from search.engine import Engine
from search.local_engine import LocalEngine
from space import UserError

RAY_START_SECONDS = 15.0
"""What it takes to start Ray and its workers; below this saving one process is quicker."""


def find_device(name: str, address: str | None) -> str:
    """Cpu or cuda, from auto, cpu or cuda.

    Raises:
        UserError: another name, or no GPU where one is wanted.
    """
    check_device(name)
    there = torch.cuda.is_available()
    if name == "cuda" and not there and address is None:
        raise UserError("--device cuda: no GPU is to be seen here; use --device cpu, or --address of a Ray cluster")
    return "cuda" if name == "cuda" or (name == "auto" and there) else "cpu"


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
            raise UserError(f"--workers {resources.workers}: only {fit} trials of {gpus:g} GPUs fit on this machine")
        workers = max(1, min(resources.workers or fit, trials))
        saved = trials * trial_seconds * (1 - 1 / workers)
        if resources.engine == "auto" and (workers == 1 or saved < RAY_START_SECONDS):
            return LocalEngine()
    from search import ray_engine  # takes a second

    if resources.address is not None:
        workers = resources.workers or ray_engine.cluster_workers(
            resources.address, resources.cpus_per_trial, gpus, _packages()
        )
    return ray_engine.RayEngine(workers, resources.cpus_per_trial, gpus, resources.address, _packages())


def _fit(cpus: int, gpus: float) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fit = max(1, cores // cpus)
    return min(fit, torch.cuda.device_count() * math.floor(1 / gpus)) if gpus else fit


def _packages() -> tuple[ModuleType, ...]:
    """Ours, for the workers of a cluster."""
    import pipelines
    import search
    import space
    import trainers

    return (pipelines, search, space, trainers)
