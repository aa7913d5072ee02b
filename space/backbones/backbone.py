"""What the rest of the project knows of a backbone."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from space.design import Layout
from space.gating import Site


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network without attention, and where attention goes.

    Attributes:
        name: what a user types.
        stride: how much smaller the last feature map is than the image, in pixels a side.
        layout: blocks and channels of each stage.
        make: (in_channels, num_classes) -> the network.
        sites: the places for gates in such a network, in the order of the forward pass.
    """

    name: str
    stride: int
    layout: Layout
    make: Callable[[int, int], nn.Module]
    sites: tuple[Site, ...]
