"""The cost of every design of a space, and the limits that a user sets on it."""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from pipelines.terminal.formats import parse_count
from space import UserError
from space.choices import Candidate
from space.cost import Cost, Limits
from trainers import cost
from trainers.cost import Task
from trainers.recipe import Recipe
from trainers.throughput import FpsTable, estimate_training_seconds

FPS_TABLE = "fps_table"
"""The attribute of a study with all FPS that were measured for it."""


def costs_of(
    candidates: Iterable[Candidate], task: Task, table: FpsTable | None, *, with_macs: bool = True
) -> dict[Candidate, Cost]:
    """The cost of each candidate; its FPS is infinite if there is no table, its MACs are 0 if they are not wanted."""
    return {
        (backbone, design): Cost(
            num_params=cost.num_params(design, backbone, task),
            macs=cost.macs(design, backbone, task) if with_macs else 0,
            fps=float("inf") if table is None else table.fps(design, backbone, task),
        )
        for backbone, design in candidates
    }


def trial_seconds(network: nn.Module, task: Task, recipe: Recipe, images: Mapping[str, int], device: str) -> float:
    """About how long a network trains on one worker."""
    here = device if torch.cuda.is_available() else "cpu"  # a cluster's GPUs are not here
    return estimate_training_seconds(network, task, recipe, images, here)


def limits_of(max_params: str | None, min_fps: str | None, costs: Mapping[Candidate, Cost]) -> Limits:
    """The limits that a user typed.

    Raises:
        UserError: one that is no number, or that no design meets.
    """
    limits = Limits(
        max_params=None if max_params is None else parse_count(max_params, "--max-params"),
        min_fps=None if min_fps is None else parse_count(min_fps, "--min-fps"),
    )
    smallest, fewest = min(costs.items(), key=lambda item: item[1].num_params)
    if limits.max_params is not None and fewest.num_params > limits.max_params:
        raise UserError(
            f"no design meets --max-params {max_params}; "
            f"the smallest of {len(costs):,} has {fewest.num_params:,} ({smallest[1]})"
        )
    fastest, most = max(costs.items(), key=lambda item: item[1].fps)
    if limits.min_fps is not None and most.fps < limits.min_fps:
        raise UserError(
            f"no design meets --min-fps {min_fps}; the fastest of {len(costs):,} reaches {most.fps:,.0f} ({fastest[1]})"
        )
    if not any(limits.allow(cost) for cost in costs.values()):
        raise UserError(f"no design meets --max-params {max_params} and --min-fps {min_fps} together")
    return limits
