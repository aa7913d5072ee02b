"""Folding: the same function, few modules, and an argument that stays as it was."""

import random
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from space.attention import ATTENTION, Excitation, Gate
from space.attention.inference import ChannelMap, PooledGate
from space.attention.se import SE
from space.backbones import backbone
from space.build import build
from space.choices import SearchSpace
from space.design import Design
from space.ends import FoldedEnd, PointwiseEnd
from space.errors import UserError
from space.fold import fold
from space.gating import Gated
from tests.space.conftest import normal, weights

TIGHT = 1e-12
SINGLE = 1e-5
OURS = ["resnet20", "preresnet11", "wrn10-1", "resnext11-2x4"]
VARIANTS = ["resnet11+no_bn", "resnet11+no_skip", "resnet11+conv_bias", "wrn10-1+no_bn", "preresnet11+no_skip"]
LARGE = ["imagenet/resnet18", "imagenet/resnet26"]
FOREIGN = ["torchvision/resnet18", "torchvision/mobilenet_v2", "torchvision/densenet121", "timm/resnet26"]
EACH = ["none", "se:bias=no", "ras:depth=4", "eca:depth=2,connection=identity", "spa:depth=2,connection=bn", "cbam"]
EACH += ["sem", "dia", "dia:cells=2,output=tanh", "se:depth=3,bn=shared,sharing=stage", "cbam:sharing=stage"]
EACH += ["ras:depth=3,deepening=explicit", "spa:depth=3,connection=rational", "dia:start=unit", "sem:start=unit"]


def trained(name: str, design: Design, seed: int = 0) -> nn.Module:
    """A network in eval mode as training might leave it: no weight or statistic is where it starts."""
    torch.manual_seed(seed)
    network = build(design, backbone(name)).double().eval()
    for module in network.modules():
        for path, parameter in module.named_parameters(recurse=False):
            if "weight" not in path or isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.normal_(parameter, 0.6, 0.3)
    for path, buffer in network.named_buffers():
        if "running_mean" in path:
            nn.init.normal_(buffer, 0.0, 0.3)
        elif "running_var" in path:
            nn.init.uniform_(buffer, 0.4, 1.6)
    return network


def difference(one: nn.Module, other: nn.Module, images: Tensor) -> float:
    """Of what they return, relative to the largest."""
    with torch.no_grad():
        expected = other(images.clone())
        return float((one(images.clone()) - expected).abs().max() / expected.abs().max())


def images_for(name: str) -> Tensor:
    return normal(2, 3, *((64, 64) if "/" in name else (32, 32)))


def random_design(seed: int, name: str) -> Design:
    generator = random.Random(seed)
    return SearchSpace.all(backbone(name).layout).sample(lambda _, options: generator.choice(options))


@pytest.mark.parametrize("design", EACH)
def test_each_attention_computes_the_same(design: str) -> None:
    for name in ("resnet20", "wrn10-1"):
        network = trained(name, Design.parse(design))
        assert difference(fold(network), network, images_for(name)) < TIGHT
        single = deepcopy(network).float()
        assert difference(fold(single), single, images_for(name).float()) < SINGLE


@pytest.mark.parametrize("name", [*OURS, *VARIANTS])
def test_random_designs_compute_the_same(name: str) -> None:
    for seed in range(6):
        network = trained(name, random_design(seed, name), seed)
        assert difference(fold(network), network, images_for(name)) < TIGHT


@pytest.mark.parametrize("name", [*LARGE, *FOREIGN])
def test_large_and_foreign_networks_compute_the_same(name: str) -> None:
    for design in ("none", "se:depth=2", "dia:stages=2"):
        network = trained(name, Design.parse(design))
        assert difference(fold(network), network, images_for(name)) < TIGHT


def test_images_that_are_not_square_nor_channels_last_compute_the_same() -> None:
    network = trained("resnet11", Design("spa"))
    assert difference(fold(network), network, normal(2, 3, 20, 28)) < TIGHT
