"""Parameters and MACs: of modules by hand, and of designs without building them."""

import random
from itertools import product

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from space.backbones import BACKBONES, backbone
from space.build import build
from space.declarations import Value
from space.declared import DECLARED
from space.design import Design
from space.space_files import load_space
from trainers.counting import (
    GateContext,
    GatedStage,
    attended_stages,
    computation,
    count_macs,
    count_params,
    macs,
    num_params,
)
from trainers.task import Task

DIGITS = Task(10, (1, 8, 8))
CIFAR = Task(100, (3, 32, 32))
TASKS = pytest.mark.parametrize("task", [DIGITS, CIFAR], ids=["digits", "cifar"])


def built(design: Design, name: str, task: Task) -> nn.Module:
    with torch.device("meta"):
        return build(design, backbone(name), task.num_classes, task.shape[0])


def sample(name: str, count: int) -> list[Design]:
    designs = [design for _, design in load_space("full", {name: backbone(name).layout}).enumerate()]
    return random.Random(name).sample(designs, count)


@TASKS
@pytest.mark.parametrize(
    ("name", "design"),
    [
        pytest.param(name, design, id=f"{name}-{design}")
        for name in ("resnet11", "resnet20")
        for design in sample(name, 20)
    ],
)
def test_costs_are_those_of_the_network_really_built(name: str, design: Design, task: Task) -> None:
    network = built(design, name, task)
    assert num_params(design, name, task) == sum(p.numel() for p in network.parameters())
    assert macs(design, name, task) == count_macs(network, task.shape)


@pytest.mark.parametrize("name", ["timm/rexnet_100", "timm/test_convnext"])
@pytest.mark.parametrize("text", ["se", "se:sharing=stage", "dia:reduction=8", "spa:stages=2,depth=3", "cbam"])
def test_stages_of_several_widths_and_maps_with_their_channels_last_cost_what_is_built(name: str, text: str) -> None:
    pytest.importorskip("timm")
    design, task = Design.parse(text), Task(5, (3, 64, 96))
    network = built(design, name, task)
    assert num_params(design, name, task) == count_params(network)
    assert macs(design, name, task) == count_macs(network, task.shape)
    widths = {"timm/rexnet_100": True, "timm/test_convnext": False}[name]
    assert (len(attended_stages(Design("se"), name, task)) > len(backbone(name).layout)) is widths


@pytest.mark.parametrize("name", ["resnet11", "resnet20"])
@pytest.mark.parametrize(
    "text",
    ["se:sharing=stage", "se:stages=123", "se:reduction=32,stages=1", "ras:depth=3,sharing=stage", "dia:stages=321"],
)
def test_a_design_costs_what_its_canonical_form_costs(name: str, text: str) -> None:
    design = Design.parse(text)
    canonical = design.canonical(backbone(name).layout)
    assert num_params(design, name, CIFAR) == num_params(canonical, name, CIFAR)
    assert macs(design, name, CIFAR) == macs(canonical, name, CIFAR)


def test_macs_of_layers_by_hand() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),  # 8 x 3 x 9 at 6 x 5 places
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3, stride=2, padding=1, groups=2, bias=False),  # 4 x 4 x 9 at 3 x 3 places
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 7),  # 28
    )
    assert count_macs(layers, (3, 6, 5)) == 8 * 3 * 9 * 30 + 4 * 4 * 9 * 9 + 28
    assert count_params(layers) == 8 * 27 + 8 + 16 + 4 * 4 * 9 + 28 + 7


def test_macs_of_the_smallest_resnet_by_hand() -> None:
    total = 1 * 9 * 16 * 64 + 256 * 10  # stem at 8 x 8, classifier
    channels = 16
    for planes, places_in, places in [(16, 64, 64), (32, 64, 16), (64, 16, 4)]:
        total += channels * planes * places_in + planes * planes * 9 * places + planes * 4 * planes * places
        total += channels * 4 * planes * places  # the projection
        channels = 4 * planes
    assert macs(Design(), "resnet11", DIGITS) == total


@pytest.mark.parametrize(
    ("text", "gate_macs"),
    [  # of one gate of C channels on P pixels, q = C // r
        ("se:reduction=8", lambda c, p: 2 * c * (c // 8)),
        ("se:depth=3,reduction=8", lambda c, p: 3 * 2 * c * (c // 8)),
        ("ras:depth=4", lambda c, p: 0),
        ("eca", lambda c, p: c * (3 if c == 64 else 5)),
        ("cbam", lambda c, p: 2 * 2 * c * (c // 16) + 2 * 49 * p),
        ("dia", lambda c, p: 2 * 5 * c * (c // 4)),
    ],
)
@pytest.mark.parametrize("blocks", [1, 2])
def test_gates_add_these_macs(text: str, gate_macs: object, blocks: int) -> None:
    assert callable(gate_macs)
    name = f"resnet{9 * blocks + 2}"
    added = sum(blocks * gate_macs(channels, pixels) for channels, pixels in [(64, 64), (128, 16), (256, 4)])
    assert macs(Design.parse(text), name, DIGITS) == macs(Design(), name, DIGITS) + added


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_a_network_as_it_was(training: bool) -> None:
    network = build(Design("se"), backbone("resnet11")).train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count_macs(network, (3, 8, 8))

    assert network.training is training
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)


def test_a_frozen_parameter_does_not_count_and_gates_in_a_frozen_network_do(registries: None) -> None:
    @BACKBONES.register("frozen stem")
    def frozen_stem(num_classes: int, in_channels: int) -> nn.Module:
        network = backbone("resnet11").make(in_channels, num_classes)
        network.get_submodule("stem").requires_grad_(False)
        return network

    task = Task(10, (3, 32, 32))
    stem = 3 * 9 * 16 + 32
    for text in ("none", "se", "dia:stages=3"):
        design = Design.parse(text)
        assert num_params(design, "frozen stem", task) == num_params(design, "resnet11", task) - stem
        assert num_params(design, "frozen stem", task) == count_params(built(design, "frozen stem", task))


def test_a_shared_parameter_counts_once() -> None:
    linear = nn.Linear(3, 4)
    assert count_params(nn.ModuleList([linear, linear])) == 16


def test_attended_stages_have_the_blocks_and_feature_sizes_of_the_backbone() -> None:
    stages = attended_stages(Design("se", stages="13"), "resnet29", CIFAR)
    assert stages == [GatedStage(3, GateContext((64, 32, 32)), 0), GatedStage(3, GateContext((256, 8, 8)), 2)]
    assert attended_stages(Design(), "resnet29", CIFAR) == []


def test_what_a_gate_computes_depends_on_attention_depth_connection_and_reduction_only() -> None:
    choices = DECLARED["se"].choices
    for stages, sharing, start in product((None, "2"), choices["sharing"].values, choices["start"].values):
        fields: dict[str, Value | None] = {"stages": stages, "sharing": sharing, "start": start}
        table = {"attention": "se", "depth": 3, "bn": "shared", "reduction": 8, "bias": "no", **fields}
        design = Design.from_dict(table)
        assert computation(design) == Design("se", depth=3, reduction=8)


@pytest.mark.parametrize(
    "name", ["resnet11", "wrn10-1", "resnext11-8x32", "torchvision/vit_b_16", "torchvision/resnet18"]
)
def test_macs_are_half_of_what_torchs_counter_counts(name: str) -> None:
    shape = (3, 224, 224) if "vit" in name else (3, 64, 64)
    if "vit" in name:
        network: nn.Module = models.get_model(name.partition("/")[2])
    else:
        network = build(Design("dia"), backbone(name), 5)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.zeros(1, *shape))
    assert count_macs(network, shape) == counter.get_total_flops() // 2 > 0
