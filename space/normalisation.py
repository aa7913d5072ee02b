"""Normalising images by channel: (pixels / 255 - mean) / std, where mean and std are of pixels scaled to 0..1."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the constants are read where there is no need of torch
    import torch
    from torch import Tensor

Levels = tuple[float, ...]
"""A number for each channel."""

IMAGENET: tuple[Levels, Levels] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet, which most published weights were trained with."""


def normaliser(mean: Levels, std: Levels, device: "torch.device | None" = None) -> "Callable[[Tensor], Tensor]":
    """From images (B, C, H, W) of uint8 on this device to what a network sees."""
    import torch

    centre, spread = (torch.tensor(levels, device=device).view(1, -1, 1, 1) * 255 for levels in (mean, std))
    return lambda images: (images - centre) / spread
