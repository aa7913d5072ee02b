"""Choosing the device from what the user said and what the machine or the cluster has."""

from types import ModuleType

import torch

from pipelines.settings.options.shared import check_device
from space import UserError
from trainers.measuring.timing import device_name


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


def find_device_name(device: str, address: str | None, node_type: str | None) -> str:
    """The processor that trials run on; the GPUs of a cluster have one name, since they come and go, unless typed."""
    if address is not None and node_type is not None:
        return f"{node_type} of the cluster"
    return "a GPU of the cluster" if device == "cuda" and address is not None else device_name(device)


def _has_gpus(address: str) -> bool:
    from search.on_ray import cluster  # takes a second

    return cluster.has_gpus(address, our_packages())


def our_packages() -> tuple[ModuleType, ...]:
    """Ours, for the workers of a cluster."""
    import pipelines
    import search
    import space
    import trainers

    return (pipelines, search, space, trainers)
