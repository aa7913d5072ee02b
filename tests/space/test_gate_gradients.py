"""Whole networks in training: every parameter gets a gradient, but for shifts that a BN takes away."""

import re
from copy import deepcopy
from functools import lru_cache

import pytest
import torch
from torch import nn

from space.attention import ATTENTION
from space.backbones import backbone
from space.declared import DECLARED
from space.design import Design
from space.gating import place_gates
from tests.space.conftest import normal, shifts_before_bn

CIFAR = ["resnet20", "preresnet20", "wrn16-1", "resnext20-2x8"]
IMAGENET = ["imagenet/resnet18", "imagenet/resnet26", "imagenet/resnext26-2x8"]
DEPTHS = ["depth=1", "depth=2", "depth=3", "depth=2,deepening=explicit,connection=bn"]
DESIGNS = [
    *(f"{name}:{depth}" for name in ATTENTION if "depth" in DECLARED[name].choices for depth in DEPTHS),
    *("cbam", "dia:cells=2", "sem"),
]


def test_every_attention_is_among_these_designs() -> None:
    assert {Design.parse(text).attention for text in DESIGNS} == {*ATTENTION}


def randomise(network: nn.Module, part: str = "") -> None:
    """Draw the parameters whose names match, such that signals keep their size."""
    for name, parameter in network.named_parameters():
        if re.search(part, name) and parameter.dim() > 1:
            bound = (6.0 / parameter[0].numel()) ** 0.5
            nn.init.uniform_(parameter, -bound, bound)
        elif re.search(part, name):
            mean = 1.0 if name.endswith("weight") else 0.0
            nn.init.uniform_(parameter, mean - 0.3, mean + 0.3)


@lru_cache(maxsize=1)
def plain(name: str) -> nn.Module:
    """The backbone in double precision, at random."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = backbone(name).make(3, 10)
    network = network.to_empty(device="cpu").double()
    randomise(network)
    return network


def gradients(name: str, design: Design) -> dict[str, float]:
    """The largest entry of each parameter's gradient on eight images, relative to the largest of all."""
    parameters = {id(parameter): parameter for parameter in plain(name).parameters()}
    network = deepcopy(plain(name), parameters)  # modules of its own round the same parameters
    torch.manual_seed(0)
    place_gates(network, backbone(name).sites, design)
    network.double().train()
    randomise(network, r"\.(gate|end\.1)\.")
    network.zero_grad()
    side = 32 if "imagenet/resnet18" in name else 16
    nn.functional.cross_entropy(network(normal(8, 3, side, side)), torch.arange(8)).backward()
    sizes: dict[str, float] = {}
    for path, parameter in network.named_parameters():
        assert parameter.grad is not None, path
        assert bool(parameter.grad.isfinite().all()), path
        sizes[path] = float(parameter.grad.abs().max())
    return {path: size / max(sizes.values()) for path, size in sizes.items()}


def is_idle(path: str, name: str, design: Design) -> bool:
    """Whether a BN takes away what this parameter adds, so that its gradient is zero but for rounding.

    In a gate that is a shift in front of a BN connection. With +conv_bias it is the bias of each
    convolution that a BN follows: at once, or, on the stream that pre-activation blocks add to,
    before anything else than a 1x1 convolution sees it. The last convolution of such a block is
    free where the gate, which differs from image to image, multiplies its bias.
    """
    if ".gate." in path:
        return shifts_before_bn(path, design)
    if "+conv_bias" not in name:
        return False
    if "+no_bn" in name:  # but the BNs of the projections stay
        return path.endswith("shortcut.0.bias")
    return bool(re.search(r"^stem\.0\.bias$|\.conv\d\.(end\.0\.)?bias$|\.shortcut(\.0)?\.bias$", path))


def check(name: str, design: Design) -> None:
    found = gradients(name, design)
    idle = {path for path in found if is_idle(path, name, design)}

    assert {path: size for path, size in found.items() if path in idle and size > 1e-12} == {}
    assert {path: size for path, size in found.items() if path not in idle and size < 1e-10} == {}


@pytest.mark.parametrize("text", DESIGNS)
@pytest.mark.parametrize("name", CIFAR + IMAGENET)
def test_every_parameter_gets_a_gradient(name: str, text: str) -> None:
    given = Design.parse(text).to_dict()
    if "reduction" in given:  # many hidden units, so that no ReLU is closed to all; few where channels are many
        given["reduction"] = {"imagenet/resnet18": 16, "imagenet/resnet26": 32, "imagenet/resnext26-2x8": 32}.get(
            name, 2
        )
    if "imagenet" in name and given["attention"] == "dia":
        given["cells"] = 1
    check(name, Design.from_dict(given))


@pytest.mark.parametrize("text", ["none", "se:reduction=2", "dia:reduction=2"])
@pytest.mark.parametrize("options", ["+conv_bias", "+no_bn", "+no_skip", "+conv_bias+no_bn"])
@pytest.mark.parametrize("name", [*CIFAR, "imagenet/resnet18"])
def test_every_parameter_gets_a_gradient_with_options_of_the_backbone(name: str, options: str, text: str) -> None:
    check(name + options, Design.parse(text))
