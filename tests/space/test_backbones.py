"""Backbones: parameter counts of the papers, names, variant, layout, and what stands in a block."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from space.attention.dia import DIAGate
from space.backbones import BACKBONES, Backbone, Variant, backbone
from space.backbones.registry import declared
from space.backbones.resnet import resnet
from space.build import build
from space.design import Design, Stage
from space.errors import UserError
from space.gating import Gated
from tests.space.conftest import batch_norm, count, normal, randomised, sigmoid, weights

RAS_TABLE_1 = [
    (f"resnet{depth}", design, {10: ten, 100: hundred})
    for depth, design, ten, hundred in [
        (164, "none", 1704154, 1727284),
        (164, "se", 1906258, 1929388),
        (164, "cbam", 1911658, 1934788),
        (164, "dia", 1923002, 1946132),
        (164, "eca", 1704388, 1727518),
        (164, "sem", 1946974, 1970104),
        (164, "ras", 1736410, 1759540),
        (83, "none", 869530, 892660),
        (83, "se", 970582, 993712),
        (83, "cbam", 973282, 996412),
        (83, "dia", 1088378, 1111508),
        (83, "eca", 869647, 892777),
        (83, "sem", 990940, 1014070),
        (83, "ras", 885658, 908788),
    ]
]
RAS_TABLE_3 = [("resnet164", "spa", {100: 3856180})]
DIANET_TABLE_3_CIFAR = [
    (name, design, {10: ten, 100: hundred})
    for name, design, ten, hundred in [
        ("preresnet164", "none", 1703258, 1726388),
        ("preresnet164", "se:bias=no", 1896794, 1919924),
        ("preresnet164", "dia", 1938234, 1961364),
        ("wrn52-4", "none", 12049370, 12072500),
        ("wrn52-4", "se:reduction=4", 12397914, 12421044),
        ("wrn52-4", "dia", 12275386, 12298516),
        ("resnext101-8x32", "none", 32092074, 32138244),
        ("resnext101-8x32", "se:reduction=4,bias=no", 33984426, 34030596),
        ("resnext101-8x32", "dia", 32959850, 33006020),
    ]
]
DIANET_TABLE_3_IMAGENET = [
    (f"imagenet/{name}", design, {1000: parameters})
    for name, design, parameters in [
        ("resnet34+conv_bias", "none", 21806184),
        ("resnet34+conv_bias", "se", 21967380),
        ("resnet34+conv_bias", "dia:reduction=20", 21982276),
        ("resnet50+conv_bias", "none", 25583592),
        ("resnet50", "se", 28088024),
        ("resnet50+conv_bias", "dia:reduction=20", 28384612),
        ("resnet152+conv_bias", "none", 60268520),
        ("resnet152", "se", 66821848),
        ("resnet152+conv_bias", "dia:reduction=10", 65847524),
        ("resnext50-32x4", "none", 25028904),
        ("resnext50-32x4", "se", 27559896),
        ("resnext50-32x4", "dia:reduction=20", 27829924),
    ]
]
DIANET_TABLES_1_4_5_6_7 = [
    (f"resnet{depth}", design, {100: parameters})
    for depth, design, parameters in [
        (164, "se:sharing=stage", 1738512),
        (164, "dia:reduction=1", 2591924),
        (164, "dia:reduction=8", 1838500),
        (164, "dia:reduction=16", 1784684),
        (245, "se", 2865064),
        (245, "dia", 2780756),
        (407, "se", 4736416),
        (407, "dia", 4450004),
        (164, "dia:cells=3", 3329556),
        (164, "dia:output=tanh", 1946132),
        (164, "dia:stages=23", 1935348),
        (164, "dia:stages=13", 1904084),
        (164, "dia:stages=12", 1780116),
    ]
]
DIANET_TABLE_8 = [
    (f"resnet{depth}+no_bn", design, {100: parameters})
    for depth, plain, se, dia in [
        (83, 880532, 981584, 937932),
        (164, 1703060, 1905164, 1760460),
        (245, 2525588, 2828744, 2582988),
        (326, 3348116, 3752324, 3405516),
    ]
    for design, parameters in [("none", plain), ("se", se), ("dia:reduction=16", dia)]
]
DIANET = DIANET_TABLE_3_CIFAR + DIANET_TABLE_3_IMAGENET + DIANET_TABLES_1_4_5_6_7 + DIANET_TABLE_8


@pytest.mark.parametrize(("name", "design", "by_classes"), RAS_TABLE_1 + RAS_TABLE_3 + DIANET)
def test_parameters_are_those_of_the_papers(name: str, design: str, by_classes: dict[int, int]) -> None:
    with torch.device("cpu" if name.startswith(("resnet", "preresnet")) else "meta"):  # whichever is quicker
        network = build(Design.parse(design), backbone(name), num_classes=min(by_classes))
        for classes, parameters in by_classes.items():
            network.fc = nn.Linear(backbone(name).layout[-1].channels, classes)
            assert count(network) == parameters


@pytest.mark.parametrize(
    ("attention", "millions"),  # depth 3 with a shared BN, depth 3 and depth 4 with BNs of their own
    [
        ("ras", [1.760, 1.776, 1.792]),
        ("eca", [1.744, 1.760, 1.776]),
        ("se", [1.946, 1.962, 1.978]),
        ("spa", [3.872, 3.888, 3.905]),
    ],
)
def test_deep_gates_have_the_parameters_of_their_bns_too(attention: str, millions: list[float]) -> None:
    first = 2 if attention == "ras" else 3
    designs = [Design(attention, depth=first, bn="shared" if first == 3 else None)]
    designs += [Design(attention, depth=depth) for depth in (3, 4)]
    found = [count(build(design, backbone("resnet164"), 100)) for design in designs]
    assert [round(parameters / 1e6, 3) for parameters in found] == millions


@pytest.mark.parametrize("blocks", [1, 2, 5])
@pytest.mark.parametrize(("classes", "in_channels"), [(10, 3), (7, 1)])
def test_plain_parameters_follow_the_formula(blocks: int, classes: int, in_channels: int) -> None:
    network = build(Design(), backbone(f"resnet{9 * blocks + 2}"), classes, in_channels)
    expected = 34906 + 92736 * blocks + 257 * (classes - 10) + 9 * 16 * (in_channels - 3)
    assert count(network) == expected


UNKNOWN = ["", "+no_bn", "20", "resnet", "resnet-20", "resnet20x", "ResNet20", "resnetDEPTH", "resnet20-no_bn", "vgg16"]
UNKNOWN += ["wrn52", "resnext50", "resnext101-8x", "imagenet/resnet", "imagenet/wrn52-4"]
UNKNOWN_OPTIONS = [("resnet20", "bias"), ("wrn16-1", ""), ("imagenet/resnet50+no_bn", "NO_SKIP")]


@pytest.mark.parametrize(
    ("name", "named"),
    [(f"{family}{depth}", ["9n+2"]) for family in ("resnet", "preresnet") for depth in (0, 1, 2, 10, 12, 18, 50, 165)]
    + [(f"wrn{depth}-4", ["6n+4"]) for depth in (0, 4, 5, 52 + 1)]
    + [("resnext50-32x4", ["9n+2"]), ("resnext2-8x4", ["9n+2"])]
    + [(f"imagenet/resnet{depth}", ["18, 26, 34, 50, 101, 152"]) for depth in (0, 20, 164)]
    + [(f"imagenet/resnext{depth}-32x4", ["26, 50, 101, 152"]) for depth in (18, 29)]
    + [("wrn16-0", ["width"]), ("resnext20-0x4", ["groups"]), ("imagenet/resnext50-32x0", ["width"])]
    + [(name, list(BACKBONES)) for name in UNKNOWN]
    + [(f"{name}+{flag}", [f"+{flag}", "+conv_bias, +no_bn, +no_skip"]) for name, flag in UNKNOWN_OPTIONS],
)
def test_an_unknown_backbone_gets_one_line_with_what_there_is(name: str, named: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        backbone(name)
    message = str(raised.value)
    assert "\n" not in message
    assert [part for part in (name, *named) if part not in message] == []


@pytest.mark.parametrize("name", ["resnet20\n", "resnet20\n+no_bn", "resnet20+no\nbn", "resnet2\n0", "resnet9\r"])
def test_a_line_break_in_a_name_does_not_break_the_message(name: str) -> None:
    with pytest.raises(UserError) as raised:
        backbone(name)
    assert len(str(raised.value).splitlines()) == 1


FLAGS = ("conv_bias", "no_bn", "no_skip")
SETS_OF_FLAGS = [chosen for size in range(4) for chosen in combinations(FLAGS, size)]
MEMBERS = ["resnet20", "preresnet20", "wrn16-2", "resnext20-2x4"]
MEMBERS += ["imagenet/resnet18", "imagenet/resnet26", "imagenet/resnext26-2x4"]
EACH_MEMBER = pytest.mark.parametrize("name", MEMBERS)


@pytest.mark.parametrize("chosen", SETS_OF_FLAGS)
def test_options_are_what_their_text_says(chosen: tuple[str, ...]) -> None:
    variant = Variant(**dict.fromkeys(chosen, True))
    assert str(variant) == "".join(f"+{flag}" for flag in chosen)
    assert Variant.parse(str(variant).split("+")[1:]) == variant


@EACH_MEMBER
@pytest.mark.parametrize("chosen", SETS_OF_FLAGS)
def test_options_in_any_order_give_the_backbone_of_one_name(name: str, chosen: tuple[str, ...]) -> None:
    names = {backbone("+".join([name, *order])).name for order in permutations(chosen)}
    assert names == {"+".join([name, *chosen])}
    assert backbone("+".join([name, *chosen, *chosen])).name in names


def families(name: str) -> list[str]:
    """The forms that take a name."""
    return [form for form, family in BACKBONES.items() if family.takes(name)]


def test_the_members_are_of_all_families_that_say_where_their_places_are() -> None:
    (forms,) = zip(*map(families, MEMBERS), strict=True)
    assert set(forms) == {form for form, family in BACKBONES.items() if family.example}


@pytest.mark.parametrize(
    ("form", "name"),
    [(form, family.example) for form, family in BACKBONES.items() if family.example]
    + [("torchvision/NAME", "torchvision/resnet18"), ("timm/NAME", "timm/resnet18")]
    + [("package.module:FACTORY", "tests.space.test_foreign:Own")]
    + [("FILE.py:FACTORY", f"{Path(__file__).with_name('test_foreign.py')}:Own")],
)
def test_one_registry_makes_backbones_of_every_kind(form: str, name: str) -> None:
    assert families(name) == [form]
    assert backbone(name).name == name


def test_a_plugin_can_declare_a_family_as_ours_do(registries: None) -> None:
    @declared("shallowDEPTH", numbers="depth 9n+2", example="shallow11")
    def shallow(variant: Variant, depth: int) -> Backbone:
        return replace(resnet(variant, depth), name=f"shallow{depth}{variant}")

    assert BACKBONES.keys() - BACKBONES.ours.keys() == {"shallowDEPTH"}
    assert backbone("shallow20+no_bn").sites == backbone("resnet20+no_bn").sites
    assert backbone(r"shallow20@stages\.(.).1.bn3").layout == ((1, 64, ()), (1, 128, ()), (1, 256, ()))
    with pytest.raises(UserError, match=r"no backbone 'deep20'; there are .*, shallowDEPTH"):
        backbone("deep20")


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("resnet164", [(18, 64), (18, 128), (18, 256)]),
        ("preresnet164", [(18, 64), (18, 128), (18, 256)]),
        ("wrn52-4", [(8, 64), (8, 128), (8, 256)]),
        ("resnext101-8x32", [(11, 128), (11, 256), (11, 512)]),
        ("imagenet/resnet34", [(3, 64), (4, 128), (6, 256), (3, 512)]),
        ("imagenet/resnet152", [(3, 256), (8, 512), (36, 1024), (3, 2048)]),
        ("imagenet/resnext50-32x4", [(3, 256), (4, 512), (6, 1024), (3, 2048)]),
    ],
)
def test_the_layouts_are_those_of_the_papers(name: str, layout: list[tuple[int, int]]) -> None:
    assert backbone(name).layout == tuple(Stage(*stage) for stage in layout)


@EACH_MEMBER
@pytest.mark.parametrize("variant", ["", "+no_bn", "+no_skip"])
def test_the_sites_are_one_a_block_in_the_order_of_the_forward_pass(name: str, variant: str) -> None:
    it = backbone(name + variant)
    network = it.make(3, 10).eval()
    passed: list[tuple[str, int]] = []
    for path, module in network.named_modules():
        if path in {site.path for site in it.sites}:
            module.register_forward_hook(lambda _, __, output, path=path: passed.append((path, output.shape[1])))
    network(torch.zeros(1, 3, 32, 32))

    assert [(site.path, site.channels) for site in it.sites] == passed
    for number, stage in enumerate(it.layout):
        assert [site.channels for site in it.sites if site.stage == number] == [stage.channels] * stage.blocks


@EACH_MEMBER
@pytest.mark.parametrize("side", [32, 96])
def test_the_last_features_are_smaller_than_the_image_by_the_stride(name: str, side: int) -> None:
    it = backbone(name)
    network = it.make(3, 10).eval()
    sizes: list[torch.Size] = []
    network.get_submodule(it.sites[-1].path).register_forward_hook(lambda _, __, output: sizes.append(output.shape))

    assert network(torch.zeros(2, 3, side, side)).shape == (2, 10)
    assert sizes == [(2, it.layout[-1].channels, side // it.stride, side // it.stride)]
    assert it.stride == (32 if name.startswith("imagenet") else 4)


@EACH_MEMBER
@pytest.mark.parametrize(("channels", "classes"), [(1, 100), (4, 2)])
def test_a_backbone_takes_any_channels_and_classes(name: str, channels: int, classes: int) -> None:
    with torch.device("meta"):
        assert backbone(name).make(channels, classes)(torch.zeros(2, channels, 64, 64)).shape == (2, classes)


# What a block computes, written out. A gate of `ras:depth=1` is sigmoid(gamma y + beta) of the channel means y.


class Tensors:
    """The tensors of a block whose every convolution has a bias or none, and every BN of the branch exists or none."""

    def __init__(self, block: nn.Module, name: str) -> None:
        self.w = weights(block)
        self.biases = "+conv_bias" in name
        self.bns = "+no_bn" not in name

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"] if self.biases else None
        groups = x.shape[1] // weight.shape[1]
        assert self.biases or f"{name}.bias" not in self.w
        return nn.functional.conv2d(x, weight, bias, stride, padding=weight.shape[2] // 2, groups=groups)

    def bn(self, name: str, x: Tensor) -> Tensor:
        return batch_norm(self.w, name, x, training=False)

    def norm(self, name: str, x: Tensor) -> Tensor:
        assert self.bns or f"{name}.weight" not in self.w
        return self.bn(name, x) if self.bns else x


Formula = Callable[[Tensors, Tensor, int, bool], tuple[Tensor, Tensor]]
"""(tensors, x, stride, whether the size changes) -> branch and shortcut."""


def bottleneck(t: Tensors, x: Tensor, stride: int, changes: bool) -> tuple[Tensor, Tensor]:
    hidden = t.norm("bn1", t.conv("conv1", x)).clamp(min=0)
    hidden = t.norm("bn2", t.conv("conv2", hidden, stride)).clamp(min=0)
    branch = t.norm("bn3.end", t.conv("conv3", hidden))
    return branch, t.bn("shortcut.1", t.conv("shortcut.0", x, stride)) if changes else x


def basic(t: Tensors, x: Tensor, stride: int, changes: bool) -> tuple[Tensor, Tensor]:
    hidden = t.norm("bn1", t.conv("conv1", x, stride)).clamp(min=0)
    branch = t.norm("bn2.end", t.conv("conv2", hidden))
    return branch, t.bn("shortcut.1", t.conv("shortcut.0", x, stride)) if changes else x


def pre_bottleneck(t: Tensors, x: Tensor, stride: int, changes: bool) -> tuple[Tensor, Tensor]:
    hidden = t.conv("conv1", t.norm("bn1", x).clamp(min=0))
    hidden = t.conv("conv2", t.norm("bn2", hidden).clamp(min=0), stride)
    branch = t.conv("conv3.end", t.norm("bn3", hidden).clamp(min=0))
    return branch, t.conv("shortcut", x, stride) if changes else x


def wide_basic(t: Tensors, x: Tensor, stride: int, changes: bool) -> tuple[Tensor, Tensor]:
    activated = t.norm("bn1", x).clamp(min=0)
    hidden = t.conv("conv1", activated, stride)
    branch = t.conv("conv2.end", t.norm("bn2", hidden).clamp(min=0))
    return branch, t.conv("shortcut", activated, stride) if changes else x


FORMULAS: dict[str, tuple[Formula, str]] = {
    "resnet20": (bottleneck, "bn3"),
    "preresnet20": (pre_bottleneck, "conv3"),
    "wrn16-1": (wide_basic, "conv2"),
    "wrn16-2": (wide_basic, "conv2"),
    "resnext20-2x4": (bottleneck, "bn3"),
    "imagenet/resnet18": (basic, "bn2"),
    "imagenet/resnext26-2x4": (bottleneck, "bn3"),
}
KEEPS_ITS_SIZE = ("wrn16-1", "imagenet/resnet18")  # in the first block, too


def one_block(design: Design, name: str, stage: int, block: int) -> tuple[nn.Module, Tensor, int]:
    """A block in evaluation mode with every tensor at random, an input for it, and its stride."""
    with torch.device("meta"):
        made = build(design, backbone(name)).get_submodule(f"stages.{stage}.{block}")
    it = randomised(made.to_empty(device="cpu"), std=0.5).eval()
    return it, normal(2, weights(it)["conv1.weight"].shape[1], 6, 6), 2 if stage and not block else 1


EACH_BLOCK = pytest.mark.parametrize(("stage", "block"), [(0, 0), (0, 1), (1, 0), (1, 1)])


@pytest.mark.parametrize("variant", ["", "+conv_bias", "+no_bn", "+no_skip", "+no_bn+no_skip", "+conv_bias+no_bn"])
@EACH_BLOCK
@pytest.mark.parametrize("member", FORMULAS)
def test_a_block_is_shortcut_plus_branch_times_gate(member: str, stage: int, block: int, variant: str) -> None:
    it, x, stride = one_block(Design("ras", depth=1), member + variant, stage, block)
    t = Tensors(it, member + variant)
    formula, end = FORMULAS[member]
    skips = "no_skip" not in variant
    changes = skips and block == 0 and (stage > 0 or member not in KEEPS_ITS_SIZE)
    assert changes == any(name.startswith("shortcut") for name in t.w)

    branch, shortcut = formula(t, x, stride, changes)
    gamma, beta = (t.w[f"{end}.gate.excitations.0.{name}"] for name in ("gamma", "beta"))
    gated = branch * sigmoid(gamma * branch.mean((2, 3)) + beta)[:, :, None, None]
    expected = shortcut + gated if skips else gated
    torch.testing.assert_close(it(x.clone()), expected.clamp(min=0) if end.startswith("bn") else expected)


@pytest.mark.parametrize("variant", ["", "+no_bn", "+no_skip"])
@pytest.mark.parametrize("member", FORMULAS)
def test_dia_multiplies_a_normalised_feature_unless_there_are_no_bns(member: str, variant: str) -> None:
    it, x, stride = one_block(Design("dia"), member + variant, stage=1, block=0)
    formula, name = FORMULAS[member]
    end = it.get_submodule(name)
    assert isinstance(end, Gated)
    assert isinstance(end.gate, DIAGate)
    t = Tensors(it, member + variant)
    preactivated = not name.startswith("bn")
    norms = preactivated and t.bns
    assert [found for found in t.w if ".end.1" in found] == [found for found in t.w if norms and ".end.1" in found]
    if norms:  # BN(C) behind the last convolution
        assert t.w[f"{name}.end.1.weight"].shape == (backbone(member).layout[1].channels,)
        t.w |= {f"{name}.end.weight": t.w[f"{name}.end.0.weight"]}

    branch, shortcut = formula(t, x, stride, "no_skip" not in variant)
    if norms:
        branch = t.bn(f"{name}.end.1", branch)
    gated = branch * end.gate(branch)
    expected = gated if "no_skip" in variant else shortcut + gated
    torch.testing.assert_close(it(x.clone()), expected if preactivated else expected.clamp(min=0))


@pytest.mark.parametrize("member", ["preresnet20", "wrn16-2"])
@pytest.mark.parametrize("design", ["dia:stages=2", "dia:stages=13", "dia", "se", "spa"])
def test_dia_adds_bns_only_in_the_stages_that_carry_it(member: str, design: str) -> None:
    it, parsed = backbone(member), Design.parse(design)
    plain, gated = (build(d, it) for d in (Design(), parsed))
    bns = [sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) for network in (plain, gated)]
    added = [name for name, module in gated.named_modules() if isinstance(module, nn.BatchNorm2d) and ".end.1" in name]

    attended = [site.path for site in it.sites if parsed.attends(site.stage)] if "dia" in design else []
    assert added == [f"{path}.end.1" for path in attended]
    assert bns[1] - bns[0] == len(added)


def test_a_wide_block_drops_three_tenths_of_what_its_second_convolution_sees() -> None:
    it, x, _ = one_block(Design(), "wrn16-2", stage=1, block=1)
    seen: list[Tensor] = []
    it.get_submodule("conv2").register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    x = x.repeat(20, 1, 1, 1)
    it(x)
    it.get_submodule("dropout").train()
    it(x)
    whole, dropped = seen

    torch.testing.assert_close(dropped, torch.where(dropped == 0, 0, whole / 0.7))
    assert abs(float((dropped[whole != 0] == 0).double().mean()) - 0.3) < 0.01


@pytest.mark.parametrize("member", FORMULAS)
@pytest.mark.parametrize("variant", ["", "+conv_bias+no_bn"])
def test_a_network_is_a_stem_stages_and_a_classifier_of_channel_means(member: str, variant: str) -> None:
    with torch.device("meta"):
        made = build(Design(), backbone(member + variant))
    network = randomised(made.to_empty(device="cpu"), std=0.2).eval()
    t = Tensors(network, member + variant)
    preactivated = member in ("preresnet20", "wrn16-1", "wrn16-2")
    stages = network.get_submodule("stages")
    through: list[tuple[Tensor, Tensor]] = []
    stages.register_forward_hook(lambda _, inputs, out: through.append((inputs[0].clone(), out)))
    images = normal(2, 3, 64, 64)
    logits = network(images)
    [(entering, leaving)] = through

    stem = t.conv("stem.0", images, 2 if "imagenet" in member else 1)
    if not preactivated:
        stem = t.norm("stem.1", stem).clamp(min=0)
    if "imagenet" in member:
        assert t.w["stem.0.weight"].shape == (64, 3, 7, 7)
        padded = nn.functional.pad(stem, (1, 1, 1, 1), value=-torch.inf)
        stem = padded.unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5))
    torch.testing.assert_close(entering, stem)
    if preactivated:
        leaving = t.norm("tail.0", leaving).clamp(min=0)
    torch.testing.assert_close(logits, leaving.mean((2, 3)) @ t.w["fc.weight"].T + t.w["fc.bias"])


@EACH_MEMBER
def test_without_bns_only_those_of_the_projections_stay(name: str) -> None:
    with torch.device("meta"):
        plain, bare = (build(Design("dia"), backbone(name + variant)) for variant in ("", "+no_bn"))
    norms = [
        [path for path, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
        for network in (plain, bare)
    ]
    assert norms[1] == [path for path in norms[0] if path.endswith("shortcut.1")]


@EACH_MEMBER
def test_conv_bias_gives_every_convolution_a_bias(name: str) -> None:
    for variant in ("", "+conv_bias"):
        with torch.device("meta"):
            network = build(Design(), backbone(name + variant))
        convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
        assert {module.bias is not None for module in convolutions} == {bool(variant)}


@EACH_MEMBER
def test_convolutions_start_normal_with_variance_two_over_fan_out(name: str) -> None:
    torch.manual_seed(0)
    for module in build(Design(), backbone(name)).modules():
        if isinstance(module, nn.Conv2d):
            out, _, height, width = module.weight.shape
            expected = (2 / (height * width * out)) ** 0.5
            weight, size = module.weight.detach(), module.weight.numel()
            assert abs(float(weight.std()) / expected - 1) < 5 / (2 * size) ** 0.5
            assert abs(float(weight.mean())) < 5 * expected / size**0.5
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.unique().tolist() == [1.0]
            assert module.bias.unique().tolist() == [0.0]
