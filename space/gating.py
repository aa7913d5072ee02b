"""Placing gates in a network: a gate goes round the last normalisation of a residual branch.

Any network can carry gates: a place is the name of a module whose output is the branch's output,
and the module there is replaced by one that multiplies that output with a gate.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from space.attention import Gate, stage_gates
from space.attention.gate import folded_gate
from space.attention.inference import ChannelMap, Multiplier
from space.attention.passes import add_product
from space.design import Design


class Site(NamedTuple):
    """A place for a gate.

    Attributes:
        path: name of the module whose output is gated, as in `named_modules`.
        stage: the stage, counted from 0.
        channels: channels of that output.
        normalised: whether that output is normalised, or is meant not to be.
        channels_last: whether that output is (B, H, W, C).
        fused: whether the network multiplies by the gate where it adds the shortcut, by `residual`; one that knows
            nothing of gates multiplies first.
    """

    path: str
    stage: int
    channels: int
    normalised: bool = True
    channels_last: bool = False
    fused: bool = False


class End(nn.Module, ABC):
    """A branch's last module that can also add what it returns to the shortcut."""

    @abstractmethod
    def add_to(self, shortcut: Tensor, x: Tensor) -> Tensor:
        """Shortcut + what it returns for x, in as few passes as it can."""


class Gated(End):
    """A branch's last module with a gate on its output: y = end(x), then y * gate(y)."""

    def __init__(self, end: nn.Module, gate: Gate) -> None:
        super().__init__()
        self.end = end
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        branch, gate = self.gate.factors(self.end(x))
        return branch * gate

    def add_to(self, shortcut: Tensor, x: Tensor) -> Tensor:
        """Shortcut + gated branch, multiplied and added in one pass."""
        return add_product(shortcut, *self.gate.factors(self.end(x)))


def residual(shortcut: Tensor | None, end: nn.Module, x: Tensor) -> Tensor:
    """Shortcut + end(x), in one pass where `end` can do that, as a gate round it can; end(x) without a shortcut."""
    if shortcut is not None and isinstance(end, End):
        return end.add_to(shortcut, x)
    branch: Tensor = end(x)
    return branch if shortcut is None else shortcut + branch


def place_gates(network: nn.Module, sites: Sequence[Site], design: Design) -> None:
    """Put the design's gates at these sites, which come in the order of the forward pass.

    What the blocks of a stage share is shared by those of one width.
    """
    names = names_of_modules(network)
    attended = sorted((site for site in sites if design.attends(site.stage)), key=lambda site: site.stage)
    for stage, channels in dict.fromkeys((site.stage, site.channels) for site in attended):
        there = [site for site in attended if (site.stage, site.channels) == (stage, channels)]
        for site, gate in zip(there, stage_gates(design, channels, len(there)), strict=True):
            end = network.get_submodule(site.path)
            around = gated(end, gate, design, channels, site.normalised, site.channels_last)
            for path in names[end]:
                network.set_submodule(path, around)


def names_of_modules(network: nn.Module) -> dict[nn.Module, list[str]]:
    """All names of each module: it may have several, and the forward pass go by any."""
    names = defaultdict[nn.Module, list[str]](list)
    for path, module in network.named_modules(remove_duplicate=False):
        names[module].append(path)
    return names


class SeesNormalised(Gate):
    """A gate that sees its features behind a BN, and multiplies them as they are."""

    def __init__(self, gate: Gate, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.gate = gate

    def forward(self, features: Tensor) -> Tensor:
        seen: Tensor = self.gate(self.bn(features))
        return seen

    def folded(self, features: ChannelMap | None = None) -> Multiplier | None:
        """The gate's own, seeing through the BN."""
        return folded_gate(self.gate, ChannelMap.norm(self.bn).after(features))

    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter within a few steps."""
        self.gate.start_at_one()


class OfChannelsLast(Gate):
    """A gate for features (B, H, W, C)."""

    def __init__(self, gate: Multiplier) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, features: Tensor) -> Tensor:
        seen: Tensor = self.gate(features.permute(0, 3, 1, 2))
        return seen.permute(0, 2, 3, 1)

    def factors(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors whose product is the gated features, in as few passes as the gate allows."""
        one, other = self.gate.factors(features.permute(0, 3, 1, 2))
        return one.permute(0, 2, 3, 1), other.permute(0, 2, 3, 1)

    def folded(self, features: ChannelMap | None = None) -> "OfChannelsLast | None":
        """The gate's own, of features as they are."""
        assert isinstance(self.gate, Gate)
        inner = folded_gate(self.gate) if features is None else None
        return None if inner is None else OfChannelsLast(inner)

    def start_at_one(self) -> None:
        """Let the gate start at exactly 1, with gradients that reach every parameter within a few steps."""
        assert isinstance(self.gate, Gate)
        self.gate.start_at_one()


class BatchNormLast(nn.BatchNorm2d):
    """BN of features (B, H, W, C)."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def gated(
    end: nn.Module, gate: Gate, design: Design, channels: int, normalised: bool, channels_last: bool = False
) -> Gated:
    """A gate round a branch's last module; some normalise first what is not (dia: BN+GAP in DIANet Table 10).

    Where the gates start at 1, only such a gate sees the normalised branch: the network's function must not change.
    """
    if design.declaration.normalises and not normalised:
        if design.get("start") == "unit":
            gate = SeesNormalised(gate, channels)
        else:
            end = nn.Sequential(end, (BatchNormLast if channels_last else nn.BatchNorm2d)(channels))
    return Gated(end, OfChannelsLast(gate) if channels_last else gate)
