"""The CIFAR ResNet of grouped bottlenecks, depth 9n + 2.

Xie et al.: Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017,
https://arxiv.org/abs/1611.05431, in the widths of DIANet's code
"""

from space.backbones.backbone import Backbone, Variant
from space.backbones.blocks import Bottleneck
from space.backbones.network import residual_backbone
from space.backbones.registry import declared
from space.backbones.resnet import stages
from space.errors import UserError

CHANNELS = (128, 256, 512)
STEM = 32


@declared("resnextDEPTH-GROUPSxCHANNELS", numbers="depth 9n+2", example="resnext101-8x32")
def resnext(variant: Variant, depth: int, groups: int, group_width: int) -> Backbone:
    """The ResNeXt of this depth, whose first stage has `groups` groups of `group_width` channels.

    Raises:
        UserError: a depth that is not 9n + 2, or no groups or width.
    """
    name = f"resnext{depth}-{groups}x{group_width}"
    if groups < 1 or group_width < 1:
        raise UserError(f"no backbone {name!r}: groups and width must be at least 1")
    return residual_backbone(
        name,
        stages(name, depth, CHANNELS),
        STEM,
        Bottleneck,
        lambda stage, in_channels, channels, stride, variant: Bottleneck(
            in_channels, groups * group_width * 2**stage, channels, stride, variant, groups
        ),
        variant,
    )
