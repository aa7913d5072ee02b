"""Switchable self-attention: three excitations whose weights the features decide.

Zhong, Wen, Qin: Switchable Self-attention Module, https://arxiv.org/abs/2209.05680
"""

import math

import torch
from torch import Tensor, nn

from space.attention.eca import ECA
from space.attention.gate import Gate
from space.attention.inference import ChannelMap, Multiplier, merged
from space.attention.passes import channel_means
from space.attention.ras import Affine
from space.attention.registry import ATTENTION
from space.attention.se import SE
from space.declarations import REDUCTION

EXCITATIONS = 3


@ATTENTION.register("sem", choices=(REDUCTION,))
class SEM(Gate):
    """sigmoid(w0 SE(y)) * sigmoid(w1 ECA(y)) * sigmoid(w2 (gamma y + beta)), w = sigmoid(Linear(y)).

    Args:
        channels: C, channels of the feature map.
        reduction: r of SE.

    Shape:
        features (B, C, H, W) -> gate (B, C, 1, 1).

    Parameters: 3 C + 3 beside those of SE, ECA and the affine map.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.switch = nn.Linear(channels, EXCITATIONS)
        self.se = SE(channels, reduction)
        self.eca = ECA(channels)
        self.affine = Affine(channels)

    def forward(self, features: Tensor) -> Tensor:
        pooled = channel_means(features)
        w0, w1, w2 = self.switch(pooled).sigmoid().split(1, dim=1)
        gate = (w0 * self.se(pooled)).sigmoid() * (w1 * self.eca(pooled)).sigmoid()
        gate = gate * (w2 * self.affine(pooled)).sigmoid()
        return self._scaled(gate)[:, :, None, None]

    def folded(self, features: ChannelMap | None = None) -> "FoldedSEM":
        """All that is linear in the pooled features in one layer."""
        return FoldedSEM(self, features)

    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter within a few steps."""
        for parameter in self.switch.parameters():
            nn.init.zeros_(parameter)  # w = 0.5
        logits = [excitation.hold() for excitation in (self.se, self.eca, self.affine)]
        self.scale = math.prod(1.0 + math.exp(-0.5 * logit) for logit in logits)


class FoldedSEM(Multiplier):
    """The same for inference: one layer computes the weights' logits, SE's hidden units, ECA and the affine map.

    Args:
        sem: to fold.
        features: the map from what this sees to the features; None for the features themselves.
    """

    def __init__(self, sem: SEM, features: ChannelMap | None) -> None:
        super().__init__()
        switch = ChannelMap.linear(sem.switch.weight, sem.switch.bias)
        reduce, relu, excite = sem.se.steps()
        others = [*sem.eca.steps(), *sem.affine.steps()]
        maps = [it for it in (switch, reduce, *others) if isinstance(it, ChannelMap)]
        self.sizes = [len(it.bias) for it in maps]
        self.first = ChannelMap.stacked(maps).after(features).module()
        self.excite = merged([relu, excite])
        self.scale = sem.scale

    def forward(self, x: Tensor) -> Tensor:
        switch, hidden, eca, affine = self.first(channel_means(x)).split(self.sizes, dim=1)
        logits = torch.stack([self.excite(hidden), eca, affine], dim=1)
        gates = (switch.sigmoid()[:, :, None] * logits).sigmoid()
        return self._scaled(gates[:, 0] * gates[:, 1] * gates[:, 2])[:, :, None, None]
