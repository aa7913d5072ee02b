"""The learning rate from step to step, and how many steps there are."""

import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR

from space.errors import UserError
from trainers.recipe import Recipe
from trainers.share import ALONE, Share


def steps_per_epoch(recipe: Recipe, train_size: int, share: Share = ALONE) -> int:
    """Batches in an epoch; a last batch in which a share has one image, or none, is left out.

    Raises:
        UserError: no batch is left.
    """
    if train_size < share.least:
        raise UserError(f"training images: {train_size}; batch normalisation needs at least {share.least}")
    return train_size // recipe.batch_size + (train_size % recipe.batch_size >= share.least)


def scheduler(recipe: Recipe, optimizer: torch.optim.SGD, steps: int) -> LRScheduler:
    """Of a recipe, stepped so many times an epoch."""
    total = recipe.epochs * steps
    if recipe.schedule == "one-cycle":
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=max(2, total),  # the last step has next to no rate, and may not be the only one
            base_momentum=recipe.momentum - 0.05,
            max_momentum=recipe.momentum + 0.05,
        )
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=total)
    if recipe.schedule == "constant":
        return ConstantLR(optimizer, factor=1.0)
    return MultiStepLR(optimizer, [epoch * steps for epoch in recipe.drops], recipe.gamma)
