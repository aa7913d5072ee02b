"""DIA-LSTM: one LSTM per stage sees the pooled feature of block after block; its state is the gate.

Huang et al.: DIANet: Dense-and-Implicit Attention Network, AAAI 2020, https://arxiv.org/abs/1905.10671,
Eq. 1, Figure 4 and Table 6
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor, nn

from space.attention.gate import Gate
from space.attention.inference import ChannelMap, Multiplier
from space.attention.passes import channel_means
from space.attention.registry import ATTENTION
from space.declarations import REDUCTION, Choice, hidden_width

CellState: TypeAlias = tuple[Tensor, Tensor]
"""h and c of a cell, (B, C) each."""

OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
"""Activations of the cell state at a cell's output."""

DROPOUT = 0.1  # between stacked cells


class Cell(nn.Module):
    """An LSTM cell whose activation at the output is a choice.

    i, f, g, o are the four parts of input(y) + state(h);
    c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) act(c').

    Args:
        input: (B, C) -> (B, 4 C), for what the cell sees.
        state: likewise, for its h.
        output: act, a key of `OUTPUTS`.

    Shape:
        y (B, C), state -> the next state.
    """

    def __init__(self, input: nn.Module, state: nn.Module, output: str = "sigmoid") -> None:
        super().__init__()
        self.input = input
        self.state = state
        self.output = output

    def forward(self, y: Tensor, state: CellState) -> CellState:
        h, c = state
        mixed: Tensor = self.input(y) + self.state(h)
        i, f, g, o = mixed.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * OUTPUTS[self.output](c), c

    def extra_repr(self) -> str:
        return self.output

    def hold(self, calls: int) -> float:
        """Make h the same for every input and state, and return it as it is after so many calls."""
        g = 0.0 if self.output == "sigmoid" else 1.0  # act(0) is 0 elsewhere, and no scale makes that a 1
        ends = [_last_linear(self.input), _last_linear(self.state)]
        for end in ends:
            nn.init.zeros_(end.weight)
            nn.init.zeros_(end.bias)
        with torch.no_grad():
            ends[0].bias.chunk(4)[2].fill_(g)
        c = (1.0 - 0.5**calls) * math.tanh(g)  # c' = c / 2 + tanh(g) / 2
        return 0.5 * float(OUTPUTS[self.output](torch.tensor(c, dtype=torch.float64, device="cpu")))


def _last_linear(layers: nn.Module) -> nn.Linear:
    return [layer for layer in layers.modules() if isinstance(layer, nn.Linear)][-1]


class DIALSTM(nn.Module):
    """The modified LSTM: a cell with a bottleneck each for input and state, and plain cells stacked on it.

    Args:
        channels: C, channels of the stage.
        reduction: r; both hidden layers of the first cell have q = max(1, C // r) units.
        output: activation of the cell states.
        cells: how many are stacked; each further one sees the h below, after dropout.

    Shape:
        pooled (B, C), a state for each cell -> the next states; h of the last is the gate.

    Parameters: 2 (5 C q + q + 4 C), and 8 C (C + 1) for each further cell.
    """

    def __init__(self, channels: int, reduction: int = 4, output: str = "sigmoid", cells: int = 1) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.cells = nn.ModuleList([Cell(_bottleneck(channels, hidden), _bottleneck(channels, hidden), output)])
        for _ in range(1, cells):
            self.cells.append(Cell(nn.Linear(channels, 4 * channels), nn.Linear(channels, 4 * channels), output))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, pooled: Tensor, states: list[CellState]) -> list[CellState]:
        following: list[CellState] = []
        for cell, state in zip(self.cells, states, strict=True):
            seen = self.dropout(following[-1][0]) if following else pooled
            following.append(cell(seen, state))
        return following

    def start(self, pooled: Tensor) -> list[CellState]:
        """Zeros for each cell."""
        zeros = torch.zeros_like(pooled)
        return [(zeros, zeros) for _ in self.cells]

    def hold(self, calls: int) -> float:
        """Make the gate the same for every input, and return it as it is after so many calls."""
        last = self.cells[-1]
        assert isinstance(last, Cell)
        return last.hold(calls)


def _bottleneck(channels: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 4 * channels))


class DIAUnit(nn.Module):
    """A stage's LSTM with the states that its blocks hand on during one forward pass.

    Args:
        lstm: shared by all blocks of the stage.
    """

    def __init__(self, lstm: "DIALSTM | FoldedLSTM") -> None:
        super().__init__()
        self.lstm = lstm
        self.carried: list[CellState] | None = None

    def advance(self, pooled: Tensor, first: bool, last: bool) -> Tensor:
        """Take one block's pooled feature (B, C); return h (B, C).

        The first block starts from zeros, the last one lets go of the states, so that nothing
        outlives the pass.
        """
        if first or self.carried is None:
            self.carried = self.lstm.start(pooled)
        states: list[CellState] = self.lstm(pooled, self.carried)
        self.carried = None if last else states
        return states[-1][0]

    @cached_property
    def folded(self) -> "DIAUnit":
        """The same for inference: one for all blocks of the stage, since they hand on its state."""
        assert isinstance(self.lstm, DIALSTM)
        return DIAUnit(FoldedLSTM(self.lstm))


class DIAGate(Gate):
    """The gate of one block of a stage: h as it is.

    Args:
        unit: shared by the blocks of the stage.
        block: number of this block in its stage, from 0.
        blocks: in the stage.

    Shape:
        features (B, C, H, W) -> gate (B, C, 1, 1).
    """

    def __init__(self, unit: DIAUnit, block: int, blocks: int) -> None:
        super().__init__()
        self.unit = unit
        self.block = block
        self.last = block == blocks - 1

    def forward(self, features: Tensor) -> Tensor:
        h = self.unit.advance(channel_means(features), first=self.block == 0, last=self.last)
        return self._scaled(h)[:, :, None, None]

    def folded(self, features: ChannelMap | None = None) -> "FoldedDIAGate":
        """The LSTM sees what its first layer, merged with the map, makes of pooled x."""
        return FoldedDIAGate(self, features)

    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter within a few steps."""
        assert isinstance(self.unit.lstm, DIALSTM)
        self.scale = 1.0 / self.unit.lstm.hold(calls=self.block + 1)


class FoldedCell(nn.Module):
    """A cell for inference: the last layers of input and state are one, and one sigmoid computes i, f and o.

    Args:
        cell: to fold.

    Shape:
        what the first of two layers for the input made of y, or y where there is one; state -> the next state.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        ends = [_last_linear(cell.input), _last_linear(cell.state)]
        weight = torch.cat([it.weight.detach().double() for it in ends], dim=1)
        bias = torch.stack([it.bias.detach().double() for it in ends]).sum(0)
        rows = [torch.cat([i, f, o, g]) for i, f, g, o in (weight.chunk(4), bias.chunk(4))]
        self.mix = ChannelMap(*rows).module()
        narrow = isinstance(cell.state, nn.Sequential)
        self.state = next(cell.state.children()) if narrow else nn.Identity()
        self.activation = nn.ReLU() if narrow else nn.Identity()
        self.output = cell.output
        self.channels = ends[0].out_features // 4

    def forward(self, seen: Tensor, state: CellState) -> CellState:
        h, c = state
        mixed: Tensor = self.mix(self.activation(torch.cat([seen, self.state(h)], dim=1)))
        gates, g = mixed.split([3 * self.channels, self.channels], dim=1)
        i, f, o = gates.sigmoid().chunk(3, dim=1)
        c = f * c + i * g.tanh()
        return o * OUTPUTS[self.output](c), c


class FoldedLSTM(nn.Module):
    """The LSTM for inference, without the first layer for the input: each block has its own.

    Args:
        lstm: to fold.
    """

    def __init__(self, lstm: DIALSTM) -> None:
        super().__init__()
        self.cells = nn.ModuleList([FoldedCell(cell) for cell in lstm.cells if isinstance(cell, Cell)])
        self.channels = [cell.channels for cell in self.cells if isinstance(cell, FoldedCell)][-1]

    def forward(self, seen: Tensor, states: list[CellState]) -> list[CellState]:
        following: list[CellState] = []
        for cell, state in zip(self.cells, states, strict=True):
            following.append(cell(following[-1][0] if following else seen, state))
        return following

    def start(self, seen: Tensor) -> list[CellState]:
        """Zeros for each cell."""
        zeros = seen.new_zeros(seen.shape[0], self.channels)  # an export must not take the batch for a constant
        return [(zeros, zeros) for _ in self.cells]


class FoldedDIAGate(Multiplier):
    """The gate of one block for inference.

    Args:
        gate: to fold.
        features: the map from what this sees to the features; None for the features themselves.
    """

    def __init__(self, gate: DIAGate, features: ChannelMap | None) -> None:
        super().__init__()
        assert isinstance(gate.unit.lstm, DIALSTM)
        cell = gate.unit.lstm.cells[0]
        assert isinstance(cell, Cell)
        assert isinstance(cell.input, nn.Sequential)
        reduce = cell.input[0]
        assert isinstance(reduce, nn.Linear)
        self.reduce = ChannelMap.linear(reduce.weight, reduce.bias).after(features).module()
        self.unit = gate.unit.folded
        self.first, self.last = gate.block == 0, gate.last
        self.scale = gate.scale

    def forward(self, x: Tensor) -> Tensor:
        h = self.unit.advance(self.reduce(channel_means(x)), self.first, self.last)
        return self._scaled(h)[:, :, None, None]


@ATTENTION.register(
    "dia",
    choices=(
        REDUCTION.with_default(4),
        Choice("output", ("sigmoid", "tanh", "relu"), changes=("time",)),
        Choice("cells", (1, 2, 3)),
    ),
    normalises=True,
)
def dia(channels: int, blocks: int, reduction: int, output: str, cells: int) -> list[Gate]:
    """The gates of a stage: one LSTM sees block after block (the choices are those of Table 6)."""
    unit = DIAUnit(DIALSTM(channels, reduction, output, cells))
    return [DIAGate(unit, block, blocks) for block in range(blocks)]
