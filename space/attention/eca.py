"""Efficient Channel Attention: a short convolution over the channels.

Wang et al.: ECA-Net: Efficient Channel Attention for Deep CNNs, CVPR 2020, https://arxiv.org/abs/1910.03151
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from space.attention.gate import Excitation
from space.attention.inference import ChannelMap, Step
from space.attention.registry import ATTENTION
from space.declarations import KEEP_ZERO, When


def kernel_size(channels: int) -> int:
    """Taps t = int(|(log2 C + 1) / 2|), made odd upward: 3, 5, 5 for C = 64, 128, 256."""
    taps = int(abs((math.log2(channels) + 1) / 2))
    return taps if taps % 2 else taps + 1


@ATTENTION.register("eca", stalls=When(connection=KEEP_ZERO))
class ECA(Excitation):
    """Excitation by a 1-d convolution over neighbouring channels, without bias.

    Args:
        channels: C, channels of the feature map.

    Shape:
        pooled (B, C) -> logits (B, C).

    Parameters: t, see `kernel_size`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        taps = kernel_size(channels)
        self.conv = nn.Conv1d(1, 1, taps, padding=taps // 2, bias=False)

    def forward(self, pooled: Tensor) -> Tensor:
        taps = self.conv.kernel_size[0]
        windows = pad(pooled, (taps // 2, taps // 2)).unfold(1, taps, 1)
        return linear(windows, self.conv.weight[0]).squeeze(2)  # what self.conv returns, after a fraction of its time

    def steps(self, features: ChannelMap | None = None) -> list[Step]:
        """One map, whose weight is a band."""
        weight = self.conv.weight
        band = self(torch.eye(self.channels, dtype=weight.dtype, device=weight.device)).T
        return [ChannelMap.linear(band).after(features)]

    def hold(self) -> float:
        """Make the logits the same for every input, and return them."""
        nn.init.zeros_(self.conv.weight)
        return 0.0
