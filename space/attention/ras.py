"""The linear enhancement of RAS: a scale and a shift per channel.

Zhong et al.: Deepening Neural Networks Implicitly and Locally via Recurrent Attention Strategy,
https://arxiv.org/abs/2210.15676, Eq. 4
"""

import torch
from torch import Tensor, nn

from space.attention.gate import Excitation
from space.attention.inference import ChannelMap, Step
from space.attention.registry import ATTENTION
from space.declarations import DEPTH, When

START = -1.0  # beta as the authors start it: the gate opens at sigmoid(-1) = 0.27


@ATTENTION.register("ras", choices=(DEPTH.with_default(2),), stalls=When(connection=("relu",)))
class Affine(Excitation):
    """Excitation gamma * y + beta.

    At the published start gamma is 0. At depth 2 and more that is a saddle: the connection
    normalises a constant, so gamma gets an exactly zero gradient.

    Args:
        channels: C, channels of the feature map.

    Shape:
        pooled (B, C) -> logits (B, C).

    Parameters: 2 C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.full((channels,), START))

    def forward(self, pooled: Tensor) -> Tensor:
        return torch.addcmul(self.beta, self.gamma, pooled)

    def steps(self, features: ChannelMap | None = None) -> list[Step]:
        """One map: at any depth it collapses with BNs and identities between."""
        return [ChannelMap.linear(self.gamma, self.beta).after(features)]

    def pass_on(self) -> None:
        """Make the logits equal to what comes in: behind several gammas of 0 there is next to no gradient."""
        nn.init.ones_(self.gamma)
        nn.init.zeros_(self.beta)

    def hold(self) -> float:
        """Make the logits the same for every input, and return them."""
        nn.init.zeros_(self.gamma)
        nn.init.constant_(self.beta, START)
        return START
