"""DIA-LSTM: one LSTM per stage sees the pooled feature of block after block; its state is the gate.

Huang et al.: DIANet: Dense-and-Implicit Attention Network, AAAI 2020, https://arxiv.org/abs/1905.10671,
Eq. 1 and Figure 4
"""

import torch
from torch import Tensor, nn

from space.attention.gate import Gate
from space.design import hidden_width


def _bottleneck(channels: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 4 * channels))


class DIALSTM(nn.Module):
    """The modified LSTM cell: a bottleneck each for input and state, sigmoid at the output.

    i, f, g, o are the four parts of input(y) + state(h);
    c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) sigmoid(c').

    Args:
        channels: C, channels of the stage.
        reduction: r; both hidden layers have q = max(1, C // r) units.

    Shape:
        pooled (B, C), state a pair of (B, C) -> the next state.

    Parameters: 2 (5 C q + q + 4 C).
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.input = _bottleneck(channels, hidden)
        self.state = _bottleneck(channels, hidden)

    def forward(self, pooled: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = state
        mixed: Tensor = self.input(pooled) + self.state(h)
        i, f, g, o = mixed.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.sigmoid(), c

    def hold(self) -> float:
        """Make h the same for every input and state, and return it."""
        for bottleneck in (self.input, self.state):
            last = bottleneck[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        return 0.25  # sigmoid(0) * sigmoid(0)


class DIAUnit(nn.Module):
    """A stage's LSTM with the state that its blocks hand on during one forward pass.

    Args:
        lstm: the cell that all blocks of the stage share.
    """

    def __init__(self, lstm: DIALSTM) -> None:
        super().__init__()
        self.lstm = lstm
        self.carried: tuple[Tensor, Tensor] | None = None

    def advance(self, pooled: Tensor, first: bool, last: bool) -> Tensor:
        """Take one block's pooled feature (B, C); return h (B, C).

        The first block starts from zeros, the last one lets go of the state, so that nothing
        outlives the pass.
        """
        if first or self.carried is None:
            zeros = torch.zeros_like(pooled)
            self.carried = (zeros, zeros)
        h: Tensor
        h, c = self.lstm(pooled, self.carried)
        self.carried = None if last else (h, c)
        return h


class DIAGate(Gate):
    """The gate of one block of a stage: h as it is.

    Args:
        unit: shared by the blocks of the stage.
        first: whether this is the stage's first block.
        last: whether this is the stage's last block.

    Shape:
        features (B, C, H, W) -> gate (B, C, 1, 1).
    """

    def __init__(self, unit: DIAUnit, first: bool, last: bool) -> None:
        super().__init__()
        self.unit = unit
        self.first = first
        self.last = last

    def forward(self, features: Tensor) -> Tensor:
        h = self.unit.advance(features.mean((2, 3)), self.first, self.last)
        return (h if self.scale == 1.0 else h * self.scale)[:, :, None, None]

    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter."""
        self.scale = 1.0 / self.unit.lstm.hold()
