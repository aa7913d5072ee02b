"""Spatial pyramid attention: a bottleneck on average pools of three sizes.

Guo et al.: SPANet: Spatial Pyramid Attention Network for Enhanced Image Recognition, ICME 2020
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from space.attention.gate import Excitation
from space.attention.inference import ChannelMap, Step
from space.attention.registry import ATTENTION
from space.declarations import KEEP_ZERO, REDUCTION, When, hidden_width

SIDES = (1, 2, 4)
CELLS = sum(side * side for side in SIDES)


def pyramid(features: Tensor) -> Tensor:
    """Features (B, C, H, W) -> average pools of 1x1, 2x2 and 4x4, (B, 21 C)."""
    finest = max(SIDES)
    if all(pixels % finest == 0 for pixels in features.shape[2:]):
        features = adaptive_avg_pool2d(features, finest)  # the others are means of these cells
    return torch.cat([adaptive_avg_pool2d(features, side).flatten(1) for side in SIDES], dim=1)


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

    pools = staticmethod(pyramid)

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.reduce = nn.Linear(CELLS * channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def lift(self, logits: Tensor) -> Tensor:
        """Logits (B, C) -> their pools as a 1x1 map, (B, 21 C)."""
        return torch.cat([logits.repeat_interleave(side * side, dim=1) for side in SIDES], dim=1)

    def forward(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.excite(self.reduce(pooled).relu())
        return logits

    def steps(self, features: ChannelMap | None = None) -> list[Step]:
        """Two maps with a ReLU between; every cell of the pyramid takes its own part of the first."""
        if features is None:
            return [ChannelMap.linear(self.reduce.weight), nn.ReLU(), ChannelMap.linear(self.excite.weight)]
        matrix = features.weight if features.weight.dim() == 2 else features.weight.diag()
        cells = [torch.einsum("hcs,cd->hds", it, matrix).flatten(1) for it in self._of_cells()]
        bias = self._summed() @ features.bias
        return [ChannelMap(torch.cat(cells, dim=1), bias), nn.ReLU(), ChannelMap.linear(self.excite.weight)]

    def lifted_steps(self) -> list[Step]:
        """Of logits, all cells of the pyramid see the same."""
        return [ChannelMap.linear(self._summed()), nn.ReLU(), ChannelMap.linear(self.excite.weight)]

    def _of_cells(self) -> list[Tensor]:
        """The weights (hidden, C, side^2) of the first layer."""
        weight = self.reduce.weight.detach().double()
        channels = weight.shape[1] // CELLS
        sizes = [channels * side * side for side in SIDES]
        return [it.unflatten(1, (channels, -1)) for it in weight.split(sizes, dim=1)]

    def _summed(self) -> Tensor:
        return torch.stack([it.sum(2) for it in self._of_cells()]).sum(0)

    def hold(self) -> float:
        """Make the logits the same for every input, and return them."""
        nn.init.zeros_(self.excite.weight)
        return 0.0
