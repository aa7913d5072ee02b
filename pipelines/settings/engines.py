"""Choosing the engine from what the user said and what the machine has."""

import os

import torch

from pipelines.settings.devices import our_packages
from pipelines.settings.options.shared import Resources
from pipelines.terminal.leaving import leave
from search.engine import Engine, trials_that_fit
from search.local_engine import LocalEngine
from space import UserError

RAY_START_SECONDS = 15.0
"""What it takes to start Ray and its workers; below this saving one process is quicker."""


def make_engine(resources: Resources, device: str, trials: int, trial_seconds: float) -> Engine:
    """The engine to run so many more trials of about this length.

    `auto` takes Ray when more than one worker saves more time than Ray needs to start.
    """
    gpus, timeout = resources.gpus(device), resources.trial_seconds
    if resources.node_type is not None and resources.address is None:
        raise UserError(f"--node-type {resources.node_type} is of a cluster; give its --address, or leave that out")
    if resources.engine == "local":
        return LocalEngine(timeout)
    if resources.address is None:
        fit = _fit(resources.cpus_per_trial, gpus)
        if gpus and resources.workers is not None and resources.workers > fit:
            each = f"{resources.cpus_per_trial} CPUs and {gpus:g} GPUs"
            raise UserError(f"--workers {resources.workers}: only {fit} trials of {each} fit on this machine")
        workers = max(1, min(resources.workers or fit, trials))
        saved = trials * trial_seconds * (1 - 1 / workers)
        if resources.engine == "auto" and (workers == 1 or saved < RAY_START_SECONDS):
            return LocalEngine(timeout)
    from search.on_ray import cluster  # takes a second, and so does what is beside it
    from search.on_ray.engine import RayEngine

    cpus, of_type = resources.cpus_per_trial, cluster.NO_TYPE
    if resources.address is not None:
        of_type = cluster.type_resource(resources.address, resources.node_type, our_packages())
        workers = resources.workers or cluster.room(resources.address, cpus, gpus, our_packages(), of_type)
    return RayEngine(workers, cpus, gpus, resources.address, our_packages(), timeout, of_type, leave)


def show_engine(engine: Engine) -> str:
    """Such as ray, 2 workers."""
    return f"{engine.name}, {engine.workers} worker{'s' * (engine.workers > 1)}"


def _fit(cpus: int, gpus: float) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    there = torch.cuda.device_count() if gpus else 0
    return trials_that_fit(max(cores, cpus), there, cpus, gpus)
