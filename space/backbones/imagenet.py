"""ResNet and ResNeXt for ImageNet: a stem of stride 4 and four stages.

He et al.: Deep Residual Learning for Image Recognition, CVPR 2016, https://arxiv.org/abs/1512.03385, and Xie et al.:
Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017, https://arxiv.org/abs/1611.05431
"""

from space.backbones.backbone import Backbone, Variant
from space.backbones.blocks import Basic, Bottleneck
from space.backbones.network import residual_backbone
from space.backbones.registry import declared
from space.design import Stage
from space.errors import UserError

STEM = 64
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4

BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks of each stage by depth."""


@declared("imagenet/resnetDEPTH", numbers="depth 18, 26, 34, 50, 101, 152", example="imagenet/resnet50")
def imagenet_resnet(variant: Variant, depth: int) -> Backbone:
    """The ResNet of this depth, of basic blocks up to 34.

    Raises:
        UserError: another depth than there are.
    """
    if depth not in BASIC:
        return _bottlenecks(f"imagenet/resnet{depth}", depth, sorted(BASIC | BOTTLENECK), variant, 1, STEM)
    return residual_backbone(
        f"imagenet/resnet{depth}",
        [Stage(blocks, channels) for blocks, channels in zip(BASIC[depth], WIDTHS, strict=True)],
        STEM,
        Basic,
        lambda stage, in_channels, channels, stride, variant: Basic(in_channels, channels, stride, variant),
        variant,
        imagenet=True,
    )


@declared("imagenet/resnextDEPTH-GROUPSxCHANNELS", numbers="depth 26, 50, 101, 152", example="imagenet/resnext50-32x4")
def imagenet_resnext(variant: Variant, depth: int, groups: int, group_width: int) -> Backbone:
    """The ResNeXt of this depth, whose first stage has `groups` groups of `group_width` channels.

    Raises:
        UserError: another depth than there are, or no groups or width.
    """
    name = f"imagenet/resnext{depth}-{groups}x{group_width}"
    if groups < 1 or group_width < 1:
        raise UserError(f"no backbone {name!r}: groups and width must be at least 1")
    return _bottlenecks(name, depth, sorted(BOTTLENECK), variant, groups, group_width)


def _bottlenecks(name: str, depth: int, depths: list[int], variant: Variant, groups: int, group_width: int) -> Backbone:
    if depth not in BOTTLENECK:
        raise UserError(f"no backbone {name!r}: its depth must be one of {', '.join(map(str, depths))}")
    return residual_backbone(
        name,
        [Stage(blocks, width * EXPANSION) for blocks, width in zip(BOTTLENECK[depth], WIDTHS, strict=True)],
        STEM,
        Bottleneck,
        lambda stage, in_channels, channels, stride, variant: Bottleneck(
            in_channels, groups * group_width * 2**stage, channels, stride, variant, groups
        ),
        variant,
        imagenet=True,
    )
