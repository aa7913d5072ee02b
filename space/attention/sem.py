"""Switchable self-attention: three excitations whose weights the features decide.

Zhong, Wen, Qin: Switchable Self-attention Module, https://arxiv.org/abs/2209.05680
"""

import math

from torch import Tensor, nn

from space.attention.eca import ECA
from space.attention.gate import Gate, mean
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
        pooled = mean(features, 2, 3)
        w0, w1, w2 = self.switch(pooled).sigmoid().split(1, dim=1)
        gate = (w0 * self.se(pooled)).sigmoid() * (w1 * self.eca(pooled)).sigmoid()
        gate = gate * (w2 * self.affine(pooled)).sigmoid()
        return self._scaled(gate)[:, :, None, None]

    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter within a few steps."""
        for parameter in self.switch.parameters():
            nn.init.zeros_(parameter)  # w = 0.5
        logits = [excitation.hold() for excitation in (self.se, self.eca, self.affine)]
        self.scale = math.prod(1.0 + math.exp(-0.5 * logit) for logit in logits)
