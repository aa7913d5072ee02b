"""The CIFAR ResNet of bottleneck blocks, depth 9n + 2.

He et al.: Deep Residual Learning for Image Recognition, CVPR 2016, https://arxiv.org/abs/1512.03385,
in the variant of both papers: a projection shortcut in the first block of every stage.
"""

from space.backbones.backbone import Backbone, Variant
from space.backbones.blocks import Bottleneck
from space.backbones.network import residual_backbone
from space.backbones.registry import declared
from space.design import Stage
from space.errors import UserError

CHANNELS = (64, 128, 256)
STEM = 16
EXPANSION = 4
BLOCK_LAYERS = 9  # three stages of blocks with three convolutions


@declared("resnetDEPTH", numbers="depth 9n+2", example="resnet20")
def resnet(variant: Variant, depth: int) -> Backbone:
    """The ResNet of this depth: 34906 + 92736 n parameters for 3 channels and 10 classes.

    Raises:
        UserError: a depth that is not 9n + 2.
    """
    name = f"resnet{depth}"
    layout = stages(name, depth, CHANNELS)
    return residual_backbone(
        name,
        layout,
        STEM,
        Bottleneck,
        lambda stage, in_channels, channels, stride, variant: Bottleneck(
            in_channels, channels // EXPANSION, channels, stride, variant
        ),
        variant,
    )


def stages(name: str, depth: int, channels: tuple[int, ...]) -> list[Stage]:
    """So many blocks of these channels a stage, for a depth of 9n + 2.

    Raises:
        UserError: another depth.
    """
    blocks, rest = divmod(depth - 2, BLOCK_LAYERS)
    if blocks < 1 or rest:
        raise UserError(f"no backbone {name!r}: its depth must be 9n+2: 11, 20, 29, ..., 83, ..., 164, ...")
    return [Stage(blocks, c) for c in channels]
