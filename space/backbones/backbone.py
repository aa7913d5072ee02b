"""What the rest of the project knows of a backbone, and what all of ours can be built without."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

from torch import nn

from space.design import Layout
from space.errors import UserError
from space.gating import Site
from space.meta import meta

Make: TypeAlias = Callable[[int, int], nn.Module]
"""(in_channels, num_classes) -> a network."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network without attention, and where attention goes.

    Attributes:
        name: what a user types.
        stride: how much smaller the last feature map is than the image, in pixels a side.
        layout: blocks and channels of each stage.
        make: (in_channels, num_classes) -> the network.
        sites: the places for gates in such a network, in the order of the forward pass.
        classifier: path of the last layer, whose outputs are the classes.
        on_meta: whether it runs on the meta device, without values.
        own_attention: paths of the attention modules that it carries without any design.
        removed: paths of those that were taken out.
    """

    name: str
    stride: int
    layout: Layout
    make: Make
    sites: tuple[Site, ...]
    classifier: str = "fc"
    on_meta: bool = True
    own_attention: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of it, a line each."""
        if not self.own_attention:
            return ()
        modules = f"{len(self.own_attention)} modules, such as {self.own_attention[0]}"
        return (
            f"{self.name} keeps the attention that it carries itself ({modules}), and a design's gates come beside it; "
            "--replace-attention takes it out",
        )

    def skeleton(self, in_channels: int, num_classes: int) -> nn.Module:
        """The network to count with: on the meta device, where it runs there."""
        return on_meta(self.make, in_channels, num_classes) if self.on_meta else self.make(in_channels, num_classes)


def on_meta(make: Make, in_channels: int, num_classes: int) -> nn.Module:
    """The network on the meta device: it has shapes and no values."""
    try:
        with meta():
            return make(in_channels, num_classes)
    except (NotImplementedError, RuntimeError):  # it computes with values while it is made
        return make(in_channels, num_classes).to("meta")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How a backbone differs from its textbook form, typed behind its name: resnet56+no_skip.

    Attributes:
        conv_bias: a bias in every convolution, as in the code behind DIANet's ImageNet rows.
        no_bn: no BN but those of the projection shortcuts (DIANet Table 8).
        no_skip: no shortcuts (DIANet Figure 6).
    """

    conv_bias: bool = False
    no_bn: bool = False
    no_skip: bool = False

    @classmethod
    def parse(cls, flags: Sequence[str]) -> "Variant":
        """The variant of these names.

        Raises:
            UserError: naming the one that does not exist.
        """
        known = [field.name for field in fields(cls)]
        for flag in flags:
            if flag not in known:
                raise UserError(f"no option {f'+{flag}'!r}; there are {', '.join(f'+{name}' for name in known)}")
        return cls(**dict.fromkeys(flags, True))

    def __str__(self) -> str:
        return "".join(f"+{field.name}" for field in fields(self) if getattr(self, field.name))

    def conv(self, in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
        """A convolution that keeps the size but for its stride."""
        return nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=self.conv_bias)

    def norm(self, channels: int) -> nn.Module:
        """A BN, or nothing."""
        return nn.Identity() if self.no_bn else nn.BatchNorm2d(channels)
