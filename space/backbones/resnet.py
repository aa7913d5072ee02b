"""The CIFAR ResNet of bottleneck blocks, depth 9n + 2.

He et al.: Deep Residual Learning for Image Recognition, CVPR 2016, https://arxiv.org/abs/1512.03385,
in the variant of both papers: a projection shortcut in the first block of every stage.
"""

import math

from torch import Tensor, nn

from space.backbones.backbone import Backbone
from space.design import Stage
from space.errors import UserError
from space.gating import Site, residual

PLANES = (16, 32, 64)
EXPANSION = 4
BLOCK_LAYERS = 9  # three stages of blocks with three convolutions


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, each with BN; Y = relu(shortcut(X) + f(X) * gate)."""

    def __init__(self, in_channels: int, planes: int, stride: int, projection: bool) -> None:
        super().__init__()
        channels = planes * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, channels, 1, bias=False)
        self.bn3: nn.Module = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if projection:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        out: Tensor = self.relu(residual(self.shortcut(x), self.bn3, self.conv3(branch)))
        return out


class ResNet(nn.Module):
    """Stem, three stages of `blocks` bottlenecks at strides 1, 2, 2, average pool, classifier.

    Shape:
        images (B, in_channels, H, W) -> logits (B, num_classes).

    Parameters: 34906 + 92736 n for 3 channels and 10 classes.
    """

    def __init__(self, blocks: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, PLANES[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(PLANES[0])
        self.relu = nn.ReLU(inplace=True)
        self.stages = nn.Sequential()
        channels = PLANES[0]
        for planes in PLANES:
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if block == 0 and planes != PLANES[0] else 1
                stage.append(Bottleneck(channels, planes, stride, projection=block == 0))
                channels = planes * EXPANSION
            self.stages.append(stage)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))

    def forward(self, images: Tensor) -> Tensor:
        features = self.stages(self.relu(self.bn1(self.conv1(images))))
        logits: Tensor = self.fc(self.pool(features).flatten(1))
        return logits


def resnet(depth: int) -> Backbone:
    """The ResNet of this depth.

    Raises:
        UserError: a depth that is not 9n + 2.
    """
    blocks, rest = divmod(depth - 2, BLOCK_LAYERS)
    if blocks < 1 or rest:
        raise UserError(f"no backbone 'resnet{depth}': its depth must be 9n+2: 11, 20, 29, ..., 83, ..., 164, ...")
    return Backbone(
        name=f"resnet{depth}",
        stride=4,
        layout=tuple(Stage(blocks, planes * EXPANSION) for planes in PLANES),
        make=lambda in_channels, num_classes: ResNet(blocks, in_channels, num_classes),
        sites=tuple(
            Site(f"stages.{stage}.{block}.bn3", stage, planes * EXPANSION)
            for stage, planes in enumerate(PLANES)
            for block in range(blocks)
        ),
    )
