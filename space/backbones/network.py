"""The residual network that all of our backbones are: stem, stages of blocks, average pool, classifier."""

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from space.backbones.backbone import Backbone, Variant
from space.backbones.blocks import Block
from space.design import Stage
from space.gating import Site

MakeBlock = Callable[[int, int, int, int, Variant], Block]
"""(stage, in_channels, channels, stride, variant) -> a block."""


class ResidualNet(nn.Module):
    """A residual network for image classification.

    Args:
        stem: from images to the first stage.
        stages: of blocks.
        tail: behind the last stage.
        channels: behind the last stage.
        num_classes: outputs.

    Shape:
        images (B, in_channels, H, W) -> logits (B, num_classes).
    """

    def __init__(
        self, stem: nn.Module, stages: Sequence[nn.Module], tail: nn.Module, channels: int, num_classes: int
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*stages)
        self.tail = tail
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))

    def forward(self, images: Tensor) -> Tensor:
        features = self.tail(self.stages(self.stem(images)))
        logits: Tensor = self.fc(self.pool(features).flatten(1))
        return logits


def residual_backbone(
    name: str,
    layout: Sequence[Stage],
    stem_channels: int,
    block: type[Block],
    make_block: MakeBlock,
    variant: Variant,
    *,
    imagenet: bool = False,
) -> Backbone:
    """A backbone of stages that each halve the size but the first.

    Args:
        name: without the variant.
        layout: blocks and channels of each stage.
        stem_channels: channels in front of the first stage.
        block: class of the blocks.
        make_block: makes one.
        variant: of the backbone.
        imagenet: a stem of stride 4 for large images, instead of a 3x3 convolution.
    """
    preactivated = not block.NORMALISED

    def make(in_channels: int, num_classes: int) -> nn.Module:
        stem = nn.Sequential(variant.conv(in_channels, stem_channels, *((7, 2) if imagenet else (3, 1))))
        if not preactivated:
            stem.append(variant.norm(stem_channels)).append(nn.ReLU(inplace=True))
        if imagenet:
            stem.append(nn.MaxPool2d(3, 2, 1))
        stages, width = [], stem_channels
        for number, (blocks, channels, _) in enumerate(layout):
            stage = nn.Sequential()
            for position in range(blocks):
                stride = 2 if number > 0 and position == 0 else 1
                stage.append(make_block(number, width, channels, stride, variant))
                width = channels
            stages.append(stage)
        tail = nn.Sequential(variant.norm(width), nn.ReLU()) if preactivated else nn.Identity()
        return ResidualNet(stem, stages, tail, width, num_classes)

    return Backbone(
        name=f"{name}{variant}",
        stride=(4 if imagenet else 1) * 2 ** (len(layout) - 1),
        layout=tuple(layout),
        make=make,
        sites=tuple(
            Site(
                f"stages.{number}.{position}.{block.END}",
                number,
                channels,
                normalised=block.NORMALISED or variant.no_bn,
                fused=not variant.no_skip,
            )
            for number, (blocks, channels, _) in enumerate(layout)
            for position in range(blocks)
        ),
    )
