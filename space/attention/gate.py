"""What an attention module is to the rest of the network: a gate on a branch's features."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


def mean(features: Tensor, *dims: int, keepdim: bool = False) -> Tensor:
    """Mean over dimensions of a map, such that gates train in up to half the time.

    The gradient of a sum is an expanded view; that of `torch.mean` is a whole map, and one that is not channels_last.
    """
    wide = torch.promote_types(features.dtype, torch.float32)  # the sum of a map may be too large for float16
    total = features.sum(dims, keepdim, dtype=wide)
    return (total / math.prod(features.shape[dim] for dim in dims)).to(features.dtype)


class Excitation(nn.Module, ABC):
    """From pooled features (B, P) to logits (B, C); P = C unless `squeeze` says otherwise."""

    def squeeze(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) -> pooled (B, P): the channel means."""
        return mean(features, 2, 3)

    def lift(self, logits: Tensor) -> Tensor:
        """Logits (B, C) -> pooled (B, P): what `squeeze` would make of them as a 1x1 map."""
        return logits

    def pass_on(self) -> None:
        """Let gradients through to what comes before, if the published start would not."""

    @abstractmethod
    def hold(self) -> float:
        """Make the logits the same for every input, and return them."""


class Gate(nn.Module, ABC):
    """From features (B, C, H, W) to what they are multiplied with, (B, C, 1, 1) or (B, C, H, W)."""

    scale = 1.0
    """Factor on the gate; other than 1 only for the unit start."""

    def factors(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors whose product is the gated features, in as few passes as the gate allows."""
        return features, self(features)

    @abstractmethod
    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter within a few steps."""

    def _scaled(self, gate: Tensor) -> Tensor:
        return gate if self.scale == 1.0 else gate * self.scale
