"""The wide residual network, depth 6n + 4.

Zagoruyko, Komodakis: Wide Residual Networks, BMVC 2016, https://arxiv.org/abs/1605.07146
"""

from space.backbones.backbone import Backbone, Variant
from space.backbones.blocks import WideBasic
from space.backbones.network import residual_backbone
from space.backbones.registry import declared
from space.design import Stage
from space.errors import UserError

PLANES = (16, 32, 64)
STEM = 16
DROPOUT = 0.3
BLOCK_LAYERS = 6  # three stages of blocks with two convolutions


@declared("wrnDEPTH-WIDTH", numbers="depth 6n+4", example="wrn52-4")
def wrn(variant: Variant, depth: int, width: int) -> Backbone:
    """The WRN of this depth, `width` times as wide as the CIFAR ResNet of basic blocks.

    Raises:
        UserError: a depth that is not 6n + 4, or no width.
    """
    name = f"wrn{depth}-{width}"
    blocks, rest = divmod(depth - 4, BLOCK_LAYERS)
    if blocks < 1 or rest:
        raise UserError(f"no backbone {name!r}: its depth must be 6n+4: 10, 16, 22, 28, ..., 52, ...")
    if width < 1:
        raise UserError(f"no backbone {name!r}: its width must be at least 1")
    return residual_backbone(
        name,
        [Stage(blocks, planes * width) for planes in PLANES],
        STEM,
        WideBasic,
        lambda stage, in_channels, channels, stride, variant: WideBasic(
            in_channels, channels, stride, variant, DROPOUT
        ),
        variant,
    )
