"""Augmentation of whole batches, on the device. Images are (B, C, H, W)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def random_crop(images: Tensor, padding: int) -> Tensor:
    """Each image shifted by up to `padding` pixels in both directions, black moving in."""
    batch, _, height, width = images.shape
    device = images.device
    top = torch.randint(2 * padding + 1, (batch, 1, 1), device=device)
    left = torch.randint(2 * padding + 1, (batch, 1, 1), device=device)
    rows = top + torch.arange(height, device=device)[None, :, None]
    columns = left + torch.arange(width, device=device)[None, None, :]
    which = torch.arange(batch, device=device)[:, None, None]
    padded = pad(images, (padding,) * 4).permute(0, 2, 3, 1)
    return padded[which, rows, columns].permute(0, 3, 1, 2)


def random_flip(images: Tensor) -> Tensor:
    """Each image mirrored left to right with probability one half."""
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def random_resized_crop(images: Tensor, size: Sequence[int]) -> Tensor:
    """A random part of each image, 8 to 100 % of its area, resized to this height and width with antialiasing.

    The parts are drawn from the CPU's global generator, so they are the same on every device.
    """
    from torchvision.transforms.v2 import RandomResizedCrop  # takes as long as torch

    crop = RandomResizedCrop(size)
    return torch.stack([crop(image) for image in images])
