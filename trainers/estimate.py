"""About how long a training takes, before it is begun."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from trainers.allocator import keep_freed_memory
from trainers.measuring.parts import batch_of
from trainers.measuring.timing import seconds_of
from trainers.recipe import Recipe
from trainers.schedules import steps_per_epoch
from trainers.task import Task
from trainers.training import trainable


def estimate_training_seconds(
    network: nn.Module, task: Task, recipe: Recipe, images: Mapping[str, int], device: str
) -> float:
    """About how long this network trains: the time of one step and of one batch to judge, times their numbers.

    Timed on a part of a batch where images are large.

    Raises:
        UserError: it cannot be trained: see `Training`.
    """
    keep_freed_memory()
    steps = steps_per_epoch(recipe, images["train"])
    trainable(network)
    network = network.to(device).to(memory_format=torch.channels_last)
    size = max(2, min(recipe.batch_size, batch_of(task) // 2))
    batch = torch.rand((size, *task.shape), device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(size, dtype=torch.int64, device=device)
    step = seconds_of(lambda: cross_entropy(network.train()(batch), labels).backward(), device)
    with torch.inference_mode():
        judge = seconds_of(lambda: network.eval()(batch), device)
    return recipe.epochs * (steps * step * recipe.batch_size + images["val"] * judge) / size
