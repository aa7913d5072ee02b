"""Passes over feature maps (B, C, H, W), written such that they and their gradients take few and quick ones.

On CPUs a gate's time is that of its passes over maps: its own layers see vectors.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

VECTOR = 32
"""Numbers side by side that torch needs for a quick maximum over the dimensions before them."""


def mean(features: Tensor, *dims: int, keepdim: bool = False) -> Tensor:
    """Mean over dimensions of a map.

    The gradient of a sum is an expanded view; that of `torch.mean` is a whole map, and one that is not channels_last.
    """
    wide = torch.promote_types(features.dtype, torch.float32)  # the sum of a map may be too large for float16
    total = features.sum(dims, keepdim, dtype=wide)
    return (total / math.prod([features.shape[dim] for dim in dims])).to(features.dtype)


def channel_means(features: Tensor) -> Tensor:
    """Features (B, C, H, W) -> (B, C)."""
    return mean(features, 2, 3)


def channel_maxima(features: Tensor) -> Tensor:
    """Features (B, C, H, W) -> (B, C)."""
    return _maxima(features, 2, 3).flatten(1)


def pixel_maxima(features: Tensor) -> Tensor:
    """Features (B, C, H, W) -> (B, 1, H, W)."""
    return _maxima(features, 1)


def add_product(shortcut: Tensor, features: Tensor, gate: Tensor) -> Tensor:
    """Shortcut + features * gate, where the gate is smaller than the map in some dimensions."""
    if torch.is_grad_enabled() and shortcut.dtype == features.dtype == gate.dtype and gate.shape != features.shape:
        return _AddProduct.apply(shortcut, features, gate)  # type: ignore[no-any-return]
    return torch.addcmul(shortcut, features, gate)


class _AddProduct(torch.autograd.Function):
    """The gradient of `torch.addcmul` first multiplies the whole map by 1."""

    @staticmethod
    def forward(ctx: Any, shortcut: Tensor, features: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(features, gate)
        return torch.addcmul(shortcut, features, gate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, gate = ctx.saved_tensors
        product = grad * features
        narrow = [dim for dim, size in enumerate(gate.shape) if size != features.shape[dim]]
        to_gate = product.sum(narrow, keepdim=True)
        return grad, torch.mul(grad, gate, out=product), to_gate


def _maxima(features: Tensor, *dims: int) -> Tensor:
    if torch.is_grad_enabled() and features.requires_grad:
        return _Maxima.apply(features, dims)  # type: ignore[no-any-return]
    return _largest(features, *dims)


class _Maxima(torch.autograd.Function):
    """The gradient of `torch.amax` counts equal numbers in integers, which takes longer than all else."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, dims: tuple[int, ...]) -> Tensor:
        largest = _largest(features, *dims)
        ctx.dims = dims
        ctx.save_for_backward(features, largest)
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        features, largest = ctx.saved_tensors
        are_largest = torch.eq(features, largest, out=torch.empty_like(features))
        return are_largest.mul_(grad / are_largest.sum(ctx.dims, keepdim=True)), None


def _largest(features: Tensor, *dims: int) -> Tensor:
    batch, channels, height, width = features.shape
    side_by_side = VECTOR // channels
    if dims == (2, 3) and side_by_side > 1 and height * width % side_by_side == 0:
        rows = features.permute(0, 2, 3, 1).reshape(batch, -1, side_by_side * channels)
        return rows.amax(1).view(batch, side_by_side, channels).amax(1)[:, :, None, None]
    return features.amax(dims, keepdim=True)
