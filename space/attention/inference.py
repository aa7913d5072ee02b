"""What an attention says of itself to be folded for inference: which of its steps are affine maps of the channels.

Everything here holds in eval mode, where a BN is an affine map, too. Maps are kept in float64; who folds a network
takes the modules back to its dtype.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn


class ChannelMap(NamedTuple):
    """An affine map of vectors of channels: x -> weight x + bias.

    Attributes:
        weight: (D, C), or (C,) where it is diagonal.
        bias: (D,).
    """

    weight: Tensor
    bias: Tensor

    @classmethod
    def linear(cls, weight: Tensor, bias: Tensor | None = None) -> "ChannelMap":
        """That of a linear layer's or a 1x1 convolution's weight (D, C, ..) or of a diagonal (C,); no bias is 0."""
        weight = weight.detach().double()
        zeros = weight.new_zeros(len(weight))
        return cls(weight.flatten(1) if weight.dim() > 1 else weight, zeros if bias is None else bias.detach().double())

    @classmethod
    def norm(cls, bn: nn.BatchNorm1d | nn.BatchNorm2d) -> "ChannelMap":
        """That of a BN with running statistics."""
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = (bn.running_var.double() + bn.eps).rsqrt()
        if bn.weight is not None:
            scale = scale * bn.weight.detach().double()
        shift = -bn.running_mean.double() * scale
        return cls(scale, shift if bn.bias is None else shift + bn.bias.detach().double())

    @classmethod
    def stacked(cls, maps: Sequence["ChannelMap"]) -> "ChannelMap":
        """The outputs of several one behind the other."""
        dense = [it.weight if it.weight.dim() == 2 else it.weight.diag() for it in maps]
        return cls(torch.cat(dense), torch.cat([it.bias for it in maps]))

    def after(self, first: "ChannelMap | None") -> "ChannelMap":
        """This map of what another one returns; None changes nothing."""
        if first is None:
            return self
        if self.weight.dim() == 1:
            scale = self.weight.view(-1, *[1] * (first.weight.dim() - 1))
            return ChannelMap(scale * first.weight, self.weight * first.bias + self.bias)
        weight = self.weight @ first.weight if first.weight.dim() == 2 else self.weight * first.weight
        return ChannelMap(weight, self.weight @ first.bias + self.bias)

    def module(self) -> nn.Module:
        """A layer that computes it."""
        if self.weight.dim() == 1:
            return Scaled(self)
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0], device="meta")
        layer.weight, layer.bias = nn.Parameter(self.weight), nn.Parameter(self.bias)
        return layer


class Scaled(nn.Module):
    """A diagonal map as a layer, (B, C) -> (B, C)."""

    def __init__(self, diagonal: ChannelMap) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(diagonal.weight), nn.Parameter(diagonal.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, self.weight, x)


def declares(part: nn.Module, method: str) -> bool:
    """Whether the class itself has this method: what an attention says of its folded form, a subclass must say anew."""
    return method in vars(type(part))


Step: TypeAlias = ChannelMap | nn.Module


def merged(steps: Sequence[Step]) -> nn.Sequential:
    """The steps one after the other, neighbouring maps as one layer."""
    layers = nn.Sequential()
    pending: ChannelMap | None = None
    for step in steps:
        if isinstance(step, ChannelMap):
            pending = step.after(pending)
            continue
        if pending is not None:
            layers.append(pending.module())
        layers.append(step)
        pending = None
    return layers if pending is None else layers.append(pending.module())


class Multiplier(nn.Module):
    """From what it sees, x (B, D, H, W), to what features are multiplied with, (B, C, 1, 1) or (B, C, H, W)."""

    scale = 1.0
    """Factor on the gate; other than 1 only for the unit start."""

    overwrites = False
    """Whether `factors` writes into the features that it is given."""

    def factors(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors whose product is the gated features, in as few passes as the gate allows."""
        return features, self(features)

    def _scaled(self, gate: Tensor) -> Tensor:
        return gate if self.scale == 1.0 else gate * self.scale


class PooledGate(Multiplier):
    """A gate that sees nothing but pools: sigmoid(steps(pools(x))).

    Args:
        pools: x (B, D, H, W) -> pooled (B, P).
        steps: pooled -> logits (B, C).
        scale: of the gate.
    """

    def __init__(self, pools: Callable[[Tensor], Tensor], steps: Sequence[Step], scale: float) -> None:
        super().__init__()
        self.pools = pools
        self.logits = merged(steps)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logits(self.pools(x))
        return self._scaled(logits.sigmoid())[:, :, None, None]


def normalised(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution that computes bn(conv(x)). Its device and dtype are those of `conv`."""
    scale, shift = ChannelMap.norm(bn)
    if conv.bias is not None:
        shift = shift + scale * conv.bias.detach().double()
    made = deepcopy(conv)
    weight = conv.weight.detach().double() * scale.view(-1, 1, 1, 1)
    made.weight, made.bias = nn.Parameter(weight.to(conv.weight.dtype)), nn.Parameter(shift.to(conv.weight.dtype))
    return made
