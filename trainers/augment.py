"""Augmentation of whole batches, on the device. Images are (B, C, H, W)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def random_crop(images: Tensor, padding: int) -> Tensor:
    """Each image shifted by up to `padding` pixels in both directions, black moving in."""
    batch, _, height, width = images.shape
    device = images.device
    top = torch.randint(2 * padding + 1, (batch,), device=device)
    left = torch.randint(2 * padding + 1, (batch,), device=device)
    shifted = pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # every shift, a view
    return shifted[torch.arange(batch, device=device), :, top, left]


def random_flip(images: Tensor) -> Tensor:
    """Each image mirrored left to right with probability one half."""
    batch, device = len(images), images.device
    mirrored = torch.rand(batch, device=device) < 0.5
    both = torch.cat([images, images.flip(3)])
    return both.index_select(0, torch.arange(batch, device=device) + batch * mirrored)  # copies whole images


def random_resized_crop(images: Tensor, size: Sequence[int]) -> Tensor:
    """A random part of each image, 8 to 100 % of its area, resized to this height and width with antialiasing.

    The parts are drawn from the CPU's global generator, so they are the same on every device.
    """
    from torchvision.transforms.v2 import RandomResizedCrop  # takes as long as torch

    crop = RandomResizedCrop(size)
    return torch.stack([crop(image) for image in images])
