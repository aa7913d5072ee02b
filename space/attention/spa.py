"""Spatial pyramid attention: a bottleneck on average pools of three sizes.

Guo et al.: SPANet: Spatial Pyramid Attention Network for Enhanced Image Recognition, ICME 2020
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from space.attention.gate import Excitation
from space.attention.registry import ATTENTION
from space.declarations import KEEP_ZERO, REDUCTION, When, hidden_width

SIDES = (1, 2, 4)
CELLS = sum(side * side for side in SIDES)


@ATTENTION.register("spa", choices=(REDUCTION,), stalls=When(connection=KEEP_ZERO))
class SPA(Excitation):
    """Excitation 21C -> C/r -> C with a ReLU between, without biases.

    Args:
        channels: C, channels of the feature map.
        reduction: r; the hidden layer has max(1, C // r) units.

    Shape:
        pooled (B, 21 C) -> logits (B, C).

    Parameters: 22 C q, with q = max(1, C // r).
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.reduce = nn.Linear(CELLS * channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def squeeze(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) -> average pools of 1x1, 2x2 and 4x4, (B, 21 C)."""
        return torch.cat([adaptive_avg_pool2d(features, side).flatten(1) for side in SIDES], dim=1)

    def lift(self, logits: Tensor) -> Tensor:
        """Logits (B, C) -> their pools as a 1x1 map, (B, 21 C)."""
        return torch.cat([logits.repeat_interleave(side * side, dim=1) for side in SIDES], dim=1)

    def forward(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.excite(self.reduce(pooled).relu())
        return logits

    def hold(self) -> float:
        """Make the logits the same for every input, and return them."""
        nn.init.zeros_(self.excite.weight)
        return 0.0
