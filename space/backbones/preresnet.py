"""The CIFAR ResNet with activations in front of the convolutions, depth 9n + 2.

He et al.: Identity Mappings in Deep Residual Networks, ECCV 2016, https://arxiv.org/abs/1603.05027
"""

from space.backbones.backbone import Backbone, Variant
from space.backbones.blocks import PreBottleneck
from space.backbones.network import residual_backbone
from space.backbones.registry import declared
from space.backbones.resnet import CHANNELS, EXPANSION, STEM, stages


@declared("preresnetDEPTH", numbers="depth 9n+2", example="preresnet164")
def preresnet(variant: Variant, depth: int) -> Backbone:
    """The PreResNet of this depth.

    Raises:
        UserError: a depth that is not 9n + 2.
    """
    name = f"preresnet{depth}"
    return residual_backbone(
        name,
        stages(name, depth, CHANNELS),
        STEM,
        PreBottleneck,
        lambda stage, in_channels, channels, stride, variant: PreBottleneck(
            in_channels, channels // EXPANSION, channels, stride, variant
        ),
        variant,
    )
