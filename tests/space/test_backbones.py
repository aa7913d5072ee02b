"""Backbones: parameter counts of the papers, names, layout, and what stands in a block."""

import pytest
import torch
from torch import Tensor, nn

from space.backbones import BACKBONES, backbone
from space.backbones.resnet import Bottleneck
from space.build import build
from space.design import Design
from space.errors import UserError

RAS_TABLE_1 = [
    (depth, design, classes, count)
    for depth, design, ten, hundred in [
        (164, "none", 1704154, 1727284),
        (164, "se", 1906258, 1929388),
        (164, "cbam", 1911658, 1934788),
        (164, "dia", 1923002, 1946132),
        (164, "eca", 1704388, 1727518),
        (164, "ras", 1736410, 1759540),
        (83, "none", 869530, 892660),
        (83, "se", 970582, 993712),
        (83, "cbam", 973282, 996412),
        (83, "dia", 1088378, 1111508),
        (83, "eca", 869647, 892777),
        (83, "ras", 885658, 908788),
    ]
    for classes, count in [(10, ten), (100, hundred)]
]
DIANET_TABLES_1_4_5_7 = [
    (164, "se:sharing=stage", 100, 1738512),
    (164, "dia:reduction=1", 100, 2591924),
    (164, "dia:reduction=8", 100, 1838500),
    (164, "dia:reduction=16", 100, 1784684),
    (245, "se", 100, 2865064),
    (245, "dia", 100, 2780756),
    (407, "se", 100, 4736416),
    (407, "dia", 100, 4450004),
    (164, "dia:stages=23", 100, 1935348),
    (164, "dia:stages=13", 100, 1904084),
    (164, "dia:stages=12", 100, 1780116),
]


@pytest.mark.parametrize(("depth", "design", "classes", "count"), RAS_TABLE_1 + DIANET_TABLES_1_4_5_7)
def test_parameters_are_those_of_the_papers(depth: int, design: str, classes: int, count: int) -> None:
    network = build(Design.parse(design), backbone(f"resnet{depth}"), classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("blocks", [1, 2, 5])
@pytest.mark.parametrize(("classes", "in_channels"), [(10, 3), (7, 1)])
def test_plain_parameters_follow_the_formula(blocks: int, classes: int, in_channels: int) -> None:
    network = build(Design(), backbone(f"resnet{9 * blocks + 2}"), classes, in_channels)
    expected = 34906 + 92736 * blocks + 257 * (classes - 10) + 9 * 16 * (in_channels - 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize(
    ("name", "named"),
    [(f"resnet{depth}", "9n+2") for depth in (0, 1, 2, 10, 12, 18, 50, 165)]
    + [(name, "resnetDEPTH") for name in ("resnet", "resnet-20", "vgg16", "", "20", "resnet20x", "ResNet20")],
)
def test_an_unknown_backbone_gets_one_line_with_what_there_is(name: str, named: str) -> None:
    with pytest.raises(UserError) as raised:
        backbone(name)
    assert "\n" not in str(raised.value)
    assert repr(name) in str(raised.value)
    assert named in str(raised.value)


@pytest.mark.parametrize("name", [f"{family}29" for family in BACKBONES])
def test_the_sites_are_one_a_block_in_the_order_of_the_forward_pass(name: str) -> None:
    it = backbone(name)
    network = it.make(3, 10).eval()
    passed: list[tuple[str, int]] = []
    for path, module in network.named_modules():
        if path in {site.path for site in it.sites}:
            module.register_forward_hook(lambda _, __, output, path=path: passed.append((path, output.shape[1])))
    network(torch.zeros(1, 3, 16, 16))

    assert [(site.path, site.channels) for site in it.sites] == passed
    for number, stage in enumerate(it.layout):
        assert [site.channels for site in it.sites if site.stage == number] == [stage.channels] * stage.blocks


@pytest.mark.parametrize("name", [f"{family}11" for family in BACKBONES])
@pytest.mark.parametrize("side", [8, 32, 96])
def test_the_last_features_are_smaller_than_the_image_by_the_stride(name: str, side: int) -> None:
    it = backbone(name)
    network = it.make(3, 10).eval()
    sizes: list[torch.Size] = []
    network.get_submodule(it.sites[-1].path).register_forward_hook(lambda _, __, output: sizes.append(output.shape))

    assert network(torch.zeros(2, 3, side, side)).shape == (2, 10)
    assert sizes == [(2, it.layout[-1].channels, side // it.stride, side // it.stride)]


@pytest.mark.parametrize(("stage", "block", "stride"), [(0, 0, 1), (0, 1, 1), (1, 0, 2), (1, 1, 1), (2, 0, 2)])
def test_a_block_is_relu_of_shortcut_plus_branch_times_gate(stage: int, block: int, stride: int) -> None:
    torch.manual_seed(0)
    network = build(Design("se", reduction=4), backbone("resnet20")).double().eval()
    it = network.get_submodule(f"stages.{stage}.{block}")
    assert isinstance(it, Bottleneck)
    for parameter in it.parameters():
        nn.init.normal_(parameter, std=0.5)
    for name, buffer in it.named_buffers():
        if "running" in name:
            nn.init.uniform_(buffer, 0.5, 1.5)
    tensors = dict(it.state_dict())
    x = torch.randn(2, it.conv1.in_channels, 6, 6, dtype=torch.float64)

    def conv_bn(x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        weight = tensors[f"{conv}.weight"]
        x = nn.functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)
        parts = (tensors[f"{bn}.{p}"][:, None, None] for p in ("running_mean", "running_var", "weight", "bias"))
        mean, var, scale, shift = parts
        normalised: Tensor = (x - mean) / (var + 1e-5).sqrt() * scale + shift
        return normalised

    hidden = conv_bn(x, "conv1", "bn1").clamp(min=0)
    hidden = conv_bn(hidden, "conv2", "bn2", stride).clamp(min=0)
    branch = conv_bn(hidden, "conv3", "bn3.end")
    gate = "bn3.gate.excitation"
    squeezed = branch.mean((2, 3)) @ tensors[f"{gate}.squeeze.weight"].T + tensors[f"{gate}.squeeze.bias"]
    logits = squeezed.clamp(min=0) @ tensors[f"{gate}.excite.weight"].T + tensors[f"{gate}.excite.bias"]
    shortcut = x if block else conv_bn(x, "shortcut.0", "shortcut.1", stride)
    expected = (shortcut + branch / (1 + (-logits[:, :, None, None]).exp())).clamp(min=0)

    torch.testing.assert_close(it(x), expected)


@pytest.mark.parametrize("depth", [20, 83])
def test_convolutions_start_normal_with_variance_two_over_fan_out(depth: int) -> None:
    torch.manual_seed(0)
    for module in build(Design(), backbone(f"resnet{depth}")).modules():
        if isinstance(module, nn.Conv2d):
            out, _, height, width = module.weight.shape
            expected = (2 / (height * width * out)) ** 0.5
            weight, count = module.weight.detach(), module.weight.numel()
            assert abs(float(weight.std()) / expected - 1) < 5 / (2 * count) ** 0.5
            assert abs(float(weight.mean())) < 5 * expected / count**0.5
