"""The residual blocks: Y = shortcut(X) + f(X) * gate, with an activation behind or in front.

Each names in `END` the last module of its branch, round which a gate goes, and in `NORMALISED`
whether that module is a normalisation.
"""

from typing import ClassVar

from torch import Tensor, nn

from space.backbones.backbone import Variant
from space.gating import residual


class Block(nn.Module):
    """A residual block of C = `channels` output channels.

    Args:
        variant: of the backbone.
        shortcut: from the input to what the branch is added to; None for no addition.

    Shape:
        (B, in_channels, H, W) -> (B, C, H / stride, W / stride).
    """

    END: ClassVar[str]
    NORMALISED: ClassVar[bool]

    def __init__(self, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.shortcut = shortcut

    @property
    def fuses(self) -> str:
        """Path of the module whose output is gated and added in one pass; empty without a shortcut."""
        return "" if self.shortcut is None else self.END

    def add(self, x: Tensor, branch: Tensor) -> Tensor:
        """The branch's last module, gated, and the shortcut."""
        end = self.get_submodule(self.END)
        return residual(None if self.shortcut is None else self.shortcut(x), end, branch)


class Bottleneck(Block):
    """1x1, 3x3 and 1x1 convolutions, each with BN, and a ReLU behind the sum (He et al. 2016).

    Args:
        in_channels: of the input.
        width: of the 3x3 convolution.
        channels: C.
        stride: of the 3x3 convolution.
        groups: of the 3x3 convolution (Xie et al. 2017).
    """

    END = "bn3"
    NORMALISED = True

    def __init__(
        self, in_channels: int, width: int, channels: int, stride: int, variant: Variant, groups: int = 1
    ) -> None:
        super().__init__(projected(in_channels, channels, stride, variant))
        self.conv1 = variant.conv(in_channels, width, 1)
        self.bn1 = variant.norm(width)
        self.conv2 = variant.conv(width, width, 3, stride, groups)
        self.bn2 = variant.norm(width)
        self.conv3 = variant.conv(width, channels, 1)
        self.bn3 = variant.norm(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        out: Tensor = self.relu(self.add(x, self.conv3(branch)))
        return out


class Basic(Block):
    """Two 3x3 convolutions, each with BN, and a ReLU behind the sum (He et al. 2016)."""

    END = "bn2"
    NORMALISED = True

    def __init__(self, in_channels: int, channels: int, stride: int, variant: Variant) -> None:
        super().__init__(projected(in_channels, channels, stride, variant))
        self.conv1 = variant.conv(in_channels, channels, 3, stride)
        self.bn1 = variant.norm(channels)
        self.conv2 = variant.conv(channels, channels, 3)
        self.bn2 = variant.norm(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.relu(self.add(x, self.conv2(branch)))
        return out


class PreBottleneck(Block):
    """1x1, 3x3 and 1x1 convolutions, a BN and a ReLU in front of each (He et al. 2016b)."""

    END = "conv3"
    NORMALISED = False

    def __init__(self, in_channels: int, width: int, channels: int, stride: int, variant: Variant) -> None:
        super().__init__(bare(in_channels, channels, stride, variant))
        self.bn1 = variant.norm(in_channels)
        self.conv1 = variant.conv(in_channels, width, 1)
        self.bn2 = variant.norm(width)
        self.conv2 = variant.conv(width, width, 3, stride)
        self.bn3 = variant.norm(width)
        self.conv3 = variant.conv(width, channels, 1)
        self.relu = nn.ReLU()  # not in place: without BN its input is the shortcut's

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv1(self.relu(self.bn1(x)))
        branch = self.conv2(self.relu(self.bn2(branch)))
        return self.add(x, self.relu(self.bn3(branch)))


class WideBasic(Block):
    """Two 3x3 convolutions, a BN and a ReLU in front of each, dropout between (Zagoruyko, Komodakis 2016).

    Where the channels change, the first BN and ReLU are in front of the shortcut, too.
    """

    END = "conv2"
    NORMALISED = False

    def __init__(self, in_channels: int, channels: int, stride: int, variant: Variant, dropout: float) -> None:
        super().__init__(bare(in_channels, channels, stride, variant))
        self.activates_shortcut = in_channels != channels
        self.bn1 = variant.norm(in_channels)
        self.conv1 = variant.conv(in_channels, channels, 3, stride)
        self.bn2 = variant.norm(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = variant.conv(channels, channels, 3)
        self.relu = nn.ReLU()  # not in place: without BN its input is the shortcut's

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu(self.bn1(x))
        branch = self.dropout(self.relu(self.bn2(self.conv1(activated))))
        return self.add(activated if self.activates_shortcut else x, branch)


def projected(in_channels: int, channels: int, stride: int, variant: Variant) -> nn.Module | None:
    """Shortcut: a 1x1 convolution and a BN, which stays without the other BNs, where the size changes."""
    if variant.no_skip:
        return None
    if in_channels == channels and stride == 1:
        return nn.Identity()
    return nn.Sequential(variant.conv(in_channels, channels, 1, stride), nn.BatchNorm2d(channels))


def bare(in_channels: int, channels: int, stride: int, variant: Variant) -> nn.Module | None:
    """Shortcut: a 1x1 convolution where the size changes."""
    if variant.no_skip:
        return None
    return nn.Identity() if in_channels == channels and stride == 1 else variant.conv(in_channels, channels, 1, stride)
