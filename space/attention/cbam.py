"""Convolutional Block Attention Module: a channel gate, then a spatial gate.

Woo et al.: CBAM: Convolutional Block Attention Module, ECCV 2018, https://arxiv.org/abs/1807.06521
"""

import math

import torch
from torch import Tensor, nn

from space.attention.gate import Gate
from space.attention.inference import ChannelMap, Multiplier, merged, normalised
from space.attention.passes import channel_maxima, channel_means, mean, pixel_maxima
from space.attention.registry import ATTENTION
from space.attention.se import SE
from space.declarations import REDUCTION


class SpatialGate(nn.Module):
    """Sigmoid of a 7x7 convolution over the channel maximum and the channel mean, with a BN(1).

    Shape:
        features (B, C, H, W) -> gate (B, 1, H, W).

    Parameters: 100.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        nn.init.normal_(self.conv.weight, 0.0, math.sqrt(2.0 / 49))  # like every 2-d convolution here
        self.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, features: Tensor) -> Tensor:
        maps = torch.cat([pixel_maxima(features), mean(features, 1, keepdim=True)], dim=1)
        logits: Tensor = self.bn(self.conv(maps))
        return logits.sigmoid()


@ATTENTION.register("cbam", choices=(REDUCTION,))
class CBAM(Gate):
    """The gate of CBAM: channel gate times spatial gate.

    Args:
        channels: C, channels of the feature map.
        reduction: r of the bottleneck that the averaged and the maximal channel vectors both pass.

    Shape:
        features (B, C, H, W) -> gate (B, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.mlp = SE(channels, reduction)
        self.spatial = SpatialGate()

    def forward(self, features: Tensor) -> Tensor:
        channel = self._channel(features)
        return channel * self._scaled(self.spatial(features * channel))

    def factors(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The features after the channel gate, which the spatial gate sees, too; and that gate (B, 1, H, W)."""
        seen = features * self._channel(features)
        return seen, self._scaled(self.spatial(seen))

    def _channel(self, features: Tensor) -> Tensor:
        logits: Tensor = self.mlp(channel_means(features)) + self.mlp(channel_maxima(features))
        return logits.sigmoid()[:, :, None, None]

    def folded(self, features: ChannelMap | None = None) -> "FoldedCBAM | None":
        """Without the BN, and in the memory of the features. Maxima need the features themselves."""
        return FoldedCBAM(self) if features is None else None

    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter within a few steps."""
        logit = self.mlp.hold()
        assert logit == 0.0  # and nothing has trained: the BN's running mean and variance are 0 and 1
        nn.init.zeros_(self.spatial.bn.weight)
        self.scale = 4.0  # 1 / (sigmoid(0) * sigmoid(0))


class FoldedCBAM(Multiplier):
    """The gate of CBAM for inference.

    Args:
        cbam: to fold.
    """

    overwrites = True

    def __init__(self, cbam: CBAM) -> None:
        super().__init__()
        self.mlp = merged(cbam.mlp.steps())
        self.conv = normalised(cbam.spatial.conv, cbam.spatial.bn)
        self.scale = cbam.scale

    def factors(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """As CBAM's, but the first overwrites the features."""
        logits = self.mlp(channel_means(features)) + self.mlp(channel_maxima(features))
        seen = features.mul_(logits.sigmoid()[:, :, None, None])
        maps = torch.cat([pixel_maxima(seen), mean(seen, 1, keepdim=True)], dim=1)
        return seen, self._scaled(self.conv(maps).sigmoid())
