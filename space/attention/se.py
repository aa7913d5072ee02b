"""Squeeze-and-Excitation: a two-layer bottleneck on the channel means.

Hu, Shen, Sun: Squeeze-and-Excitation Networks, CVPR 2018, https://arxiv.org/abs/1709.01507
"""

from torch import Tensor, nn

from space.attention.gate import Excitation
from space.attention.inference import ChannelMap, Step
from space.attention.registry import ATTENTION
from space.declarations import KEEP_ZERO, REDUCTION, Choice, When, hidden_width


@ATTENTION.register(
    "se",
    choices=(REDUCTION, Choice("bias", ("yes", "no"), changes=("params",))),
    stalls=When(connection=KEEP_ZERO, bias=("no",)),
)
class SE(Excitation):
    """Excitation C -> C/r -> C with a ReLU between.

    Args:
        channels: C, channels of the feature map.
        reduction: r; the hidden layer has max(1, C // r) units.
        bias: whether both layers have biases.

    Shape:
        pooled (B, C) -> logits (B, C).

    Parameters: 2 C q, and q + C of the biases, with q = max(1, C // r).
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = True) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.reduce = nn.Linear(channels, hidden, bias)
        self.excite = nn.Linear(hidden, channels, bias)

    def forward(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.excite(self.reduce(pooled).relu())
        return logits

    def steps(self, features: ChannelMap | None = None) -> list[Step]:
        """Two maps with a ReLU between."""
        reduce, excite = (ChannelMap.linear(it.weight, it.bias) for it in (self.reduce, self.excite))
        return [reduce.after(features), nn.ReLU(), excite]

    def hold(self) -> float:
        """Make the logits the same for every input, and return them."""
        for parameter in self.excite.parameters():
            nn.init.zeros_(parameter)
        return 0.0
