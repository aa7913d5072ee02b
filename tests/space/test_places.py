"""Places for gates: found at the end of each residual branch of any network, or named by a pattern."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.overrides import TorchFunctionMode

from space.attention import Gate
from space.backbones import backbone, branches, watching
from space.backbones.branches import residual_branches
from space.backbones.finding import found_backbone
from space.backbones.sites import find_sites, layout_of
from space.backbones.watched import Watched
from space.backbones.watching import watch
from space.design import Stage
from space.errors import UserError
from space.gating import Gated, Site
from tests.space.conftest import normal


def watched(network: nn.Module, side: int = 32) -> Watched:
    return watch(network.to("meta"), torch.zeros(2, 3, side, side, device="meta"))


def found(network: nn.Module, pattern: str | None = None) -> list[str]:
    return [site.path for site in find_sites(watched(network), pattern)]


# The families of the papers say themselves where their places are.

MEMBERS = ["resnet11", "resnet29", "preresnet20", "wrn16-1", "wrn22-2", "resnext20-2x4"]
MEMBERS += ["imagenet/resnet18", "imagenet/resnet50", "imagenet/resnext26-2x4"]


@pytest.mark.parametrize("options", ["", "+conv_bias"])
@pytest.mark.parametrize("name", MEMBERS)
def test_what_is_found_in_the_families_of_the_papers_is_what_they_declare(name: str, options: str) -> None:
    declared = backbone(name + options)
    it = found_backbone(name + options, declared.make)

    assert find_sites(watched(declared.skeleton(3, 10))) == it.sites == declared.sites
    assert it.layout == declared.layout == layout_of(declared.sites)
    assert (it.name, it.classifier, it.stride) == (declared.name, declared.classifier, declared.stride)
    assert it.on_meta


@pytest.mark.parametrize("name", MEMBERS)
def test_a_pattern_for_the_ends_of_the_branches_finds_the_same(name: str) -> None:
    declared = backbone(name)
    end = declared.sites[0].path.rpartition(".")[2]
    for pattern in (rf"stages\.\d\.\d\.{end}", rf"stages\.(\d)\.\d\.{end}"):
        it = backbone(f"{name}@{pattern}")
        assert (it.sites, it.layout, it.stride) == (declared.sites, declared.layout, declared.stride)
        assert it.name == f"{name}@{pattern}"


def test_without_bns_the_places_are_the_last_convolutions() -> None:
    declared = backbone("resnet20+no_bn")
    it = found_backbone(declared.name, declared.make)
    assert it.sites == tuple(
        Site(site.path.replace("bn3", "conv3"), site.stage, site.channels, False) for site in declared.sites
    )


class Drawn(nn.Module):
    """The network that `watching` and `branches` begin with."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = DrawnBlock()

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.block(self.stem(images))
        return out


class DrawnBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


def test_what_is_noted_is_as_it_is_drawn() -> None:
    seen = watched(Drawn(), 8)
    assert watching.__doc__ is not None
    drawn = re.findall(r"^    (\d.*)$", watching.__doc__, re.MULTILINE)
    noted = [
        (node.number, node.function, *(parent.number for parent in node.parents), node.depth, *node.modules)
        for node in seen.nodes
    ]
    assert [line.split() for line in drawn] == [[word for it in row if (word := str(it))] for row in noted]
    assert [(it.whole.number, *(term.number for term in it.terms)) for it in seen.sums] == [(4, 1, 3)]
    assert seen.inputs["block"].number == 1


def test_what_follows_is_as_it_is_drawn() -> None:
    seen = watched(Drawn(), 8)
    assert branches.__doc__ is not None
    drawn = re.findall(r"^    (?:\| +)?(\d) (\w+) *(\S*)$", branches.__doc__, re.MULTILINE)
    assert drawn == [(str(it.number), it.function, "".join(it.modules)) for it in seen.nodes[1:]]
    (branch,) = residual_branches(seen)
    assert (branch.end.number, branch.whole.number, branch.inside) == (3, 4, 1 << 2 | 1 << 3)
    assert find_sites(seen) == (Site("block.norm", 0, 4),)


# Libraries: one place in each residual block, at the end of its branch.


def of_class(name: str) -> Callable[[nn.Module], bool]:
    return lambda module: type(module).__name__ == name


def with_true(attribute: str) -> Callable[[nn.Module], bool]:
    return lambda module: getattr(module, attribute, False) is True


LIBRARIES: dict[str, Callable[[nn.Module], bool]] = {  # which of its modules are residual blocks
    "torchvision/resnet18": of_class("BasicBlock"),
    "torchvision/resnet50": of_class("Bottleneck"),
    "torchvision/resnext50_32x4d": of_class("Bottleneck"),
    "torchvision/wide_resnet50_2": of_class("Bottleneck"),
    "torchvision/regnet_x_400mf": of_class("ResBottleneckBlock"),
    "torchvision/regnet_y_400mf": of_class("ResBottleneckBlock"),
    "torchvision/mobilenet_v2": with_true("use_res_connect"),
    "torchvision/mobilenet_v3_small": with_true("use_res_connect"),
    "torchvision/efficientnet_b0": with_true("use_res_connect"),
    "torchvision/mnasnet0_5": with_true("apply_residual"),
    "torchvision/convnext_tiny": of_class("CNBlock"),
    "timm/resnet26": of_class("Bottleneck"),
    "timm/seresnet18": of_class("BasicBlock"),
    "timm/ecaresnet26t": of_class("Bottleneck"),
    "timm/resnetv2_50": of_class("PreActBottleneck"),
    "timm/efficientnet_b0": with_true("has_skip"),
    "timm/mixnet_s": with_true("has_skip"),
    "timm/res2net50_26w_4s": of_class("Bottle2neck"),
    "timm/convnext_atto": of_class("ConvNeXtBlock"),
    "timm/fastvit_t8": lambda module: type(module).__name__ in ("RepMixer", "ConvMlp"),
}
BARE = {"torchvision/convnext_tiny", "timm/resnetv2_50", "timm/convnext_atto"}
"""Without a normalisation at the ends of their branches."""


@pytest.mark.parametrize("name", [name for name in LIBRARIES if "fastvit" not in name])
def test_each_residual_block_of_a_library_has_one_place_in_the_order_of_the_forward_pass(name: str) -> None:
    it = backbone(name)
    network = it.skeleton(3, 10)
    blocks = [path for path, module in network.named_modules() if LIBRARIES[name](module)]

    assert len(it.sites) == len(blocks) > 3
    assert [p for site, p in zip(it.sites, blocks, strict=True) if not site.path.startswith(f"{p}.")] == []
    assert {site.normalised for site in it.sites} == {name not in BARE}
    assert [site.stage for site in it.sites] == sorted(site.stage for site in it.sites)
    assert sum(stage.blocks for stage in it.layout) == len(blocks)
    assert {site.channels for site in it.sites} == {stage.channels for stage in it.layout}
    assert isinstance(network.get_submodule(it.classifier), nn.Linear | nn.Conv2d)
    assert it.stride == 32


class Constant(Gate):
    """A gate of one value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def start_at_one(self) -> None:
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        return features.new_full((1, 1, 1, 1), self.value)


class Sum(NamedTuple):
    """The two sides of a sum of feature maps, as they were added."""

    one: Tensor
    other: Tensor


class Sums(TorchFunctionMode):
    """Keeps every sum of two feature maps, and the product that a gated branch and a shortcut are added by."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Sum] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        maps = [it.clone() for it in args if isinstance(it, Tensor) and it.dim() == 4]
        name = getattr(func, "__name__", "")
        if re.fullmatch("(__[ir]?)?add_?(__)?", name) and len(maps) == 2 and maps[0].shape == maps[1].shape:
            self.seen.append(Sum(*maps))
        if name == "addcmul":
            self.seen.append(Sum(maps[0], maps[1] * maps[2]))
        return func(*args, **(kwargs or {}))


def sums(network: nn.Module, images: Tensor) -> list[Sum]:
    mode = Sums()
    with mode, torch.inference_mode():
        network.eval()(images)
    return mode.seen


def put(network: nn.Module, path: str, value: float) -> None:
    network.set_submodule(path, Gated(network.get_submodule(path), Constant(value)))


def drawn(network: nn.Module) -> nn.Module:
    """The network with parameters at random: libraries start some at zero, or next to it."""
    generator = torch.Generator().manual_seed(0)
    network = network.to_empty(device="cpu")
    for parameter in network.parameters():
        bound = (3.0 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 1.0
        nn.init.uniform_(parameter, -bound if parameter.dim() > 1 else 0.5, bound, generator=generator)
    for name, buffer in network.named_buffers():
        nn.init.constant_(buffer, float(name.endswith("var")))
    return network


AS_ANOTHER = ("torchvision/resnet50", "torchvision/resnext50_32x4d", "torchvision/wide_resnet50_2")
NUMERICALLY = [name for name in LIBRARIES if name not in AS_ANOTHER]
NUMERICALLY += ["timm/ghostnet_100", "resnet20", "preresnet20", "wrn16-2"]


@pytest.mark.parametrize("name", NUMERICALLY)
def test_gates_of_zero_leave_the_shortcuts_alone(name: str) -> None:
    it = backbone(name)
    network = drawn(it.skeleton(3, 10))
    for site in it.sites:
        put(network, site.path, 0.0)
    closed = [[side for side in sides if not side.any()] for sides in sums(network, normal(1, 3, 32, 32).float())]

    assert sum(len(zeros) == 1 for zeros in closed) == len(it.sites)
    assert max(len(zeros) for zeros in closed) == 1


@pytest.mark.parametrize(
    "name", ["torchvision/resnet18", "torchvision/mobilenet_v3_small", "timm/res2net50_26w_4s", "timm/convnext_atto"]
)
def test_a_gate_of_one_half_halves_the_branch(name: str) -> None:
    it = backbone(name)
    network = drawn(it.skeleton(3, 10))
    images = normal(1, 3, 32, 32).float()
    plain = sums(network, images)
    halved: list[int] = []
    for site in it.sites[:: len(it.sites) // 4]:
        end = network.get_submodule(site.path)
        put(network, site.path, 0.5)
        gated = sums(network, images)
        first = next(i for i, (a, b) in enumerate(zip(plain, gated, strict=True)) if not equal(a, b))
        sides = [(old, new) for old, new in zip(plain[first], gated[first], strict=True) if not torch.equal(old, new)]
        assert len(sides) == 1
        torch.testing.assert_close(sides[0][1], sides[0][0] / 2)
        network.set_submodule(site.path, end)
        halved.append(first)

    assert halved == sorted(set(halved))


def equal(one: Sum, other: Sum) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


WITHOUT = ["torchvision/vgg11", "torchvision/densenet121", "torchvision/vit_b_16", "torchvision/swin_t"]
WITHOUT += ["timm/vgg11", "timm/densenet121", "timm/vit_tiny_patch16_224", "timm/swin_tiny_patch4_window7_224"]


@pytest.mark.parametrize("name", WITHOUT)
def test_a_network_without_residual_branches_gets_one_line_that_names_the_option(name: str) -> None:
    with pytest.raises(UserError) as raised:
        backbone(name)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{name}: no residual branch found; ")
    assert "--gate-at PATTERN" in message


@pytest.mark.parametrize("name", ["torchvision/vgg11", "torchvision/vit_b_16", "timm/swin_tiny_patch4_window7_224"])
def test_each_module_that_the_line_names_is_a_place(name: str) -> None:
    with pytest.raises(UserError) as raised:
        backbone(name)
    named = str(raised.value).partition("for some of ")[2].removesuffix(", ...").split(", ")

    assert 1 <= len(named) <= 8
    for path in named:
        assert [site.path for site in backbone(f"{name}@{re.escape(path)}").sites] == [path]


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        (r"torchvision/squeezenet1_1@features\.(?:3|4|6|7)", [(2, 128), (2, 256)]),
        (r"torchvision/densenet121@features\.denseblock(\d)", [(1, 256), (1, 512), (1, 1024), (1, 1024)]),
        (r"torchvision/shufflenet_v2_x0_5@stage(\d)\.\d", [(4, 48), (8, 96), (4, 192)]),
    ],
)
def test_a_pattern_may_name_what_concatenates(name: str, layout: list[tuple[int, int]]) -> None:
    assert backbone(name).layout == tuple(Stage(*stage) for stage in layout)


# Own networks: how a block adds must not matter.

Add = Callable[["Block", Tensor], Tensor]


def in_place(block: "Block", x: Tensor) -> Tensor:
    y = block.of("one", x)
    y += x
    return y


def by_method(block: "Block", x: Tensor) -> Tensor:
    return block.of("one", x).add_(x)


def builtin_sum(block: "Block", x: Tensor) -> Tensor:
    return sum([x, block.of("one", x)], torch.zeros(()))


def with_norm_as_function(block: "Block", x: Tensor) -> Tensor:
    bn = block.get_submodule("norm")
    assert isinstance(bn, nn.BatchNorm2d)
    return x + batch_norm(block.of("conv", x), bn.running_mean, bn.running_var, bn.weight, bn.bias)


def res2(block: "Block", x: Tensor) -> Tensor:
    """Sums between groups inside the branch, as in Res2Net."""
    first, second = block.of("wide", x).chunk(2, dim=1)
    first = block.of("group", first)
    second = block.of("group2", first + second)
    return x + block.of("narrow", torch.cat([first, second], dim=1))


def with_own_attention(block: "Block", x: Tensor) -> Tensor:
    y = block.of("one", x)
    return x + y * block.of("two", y).sigmoid()


class Shared(nn.Module):
    """Something without parameters that every branch ends in."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0


def channels_last(block: "Block", x: Tensor) -> Tensor:
    y = block.of("linear", x.permute(0, 2, 3, 1)).relu()
    return x + block.of("scale", y.permute(0, 3, 1, 2))


def scaled_channels_last(block: "Block", x: Tensor) -> Tensor:
    y = block.of("linear", x.permute(0, 2, 3, 1)) * block.gamma.flatten()
    return x + y.permute(0, 3, 1, 2)


WAYS: dict[str, tuple[Add, list[str]]] = {  # how a block adds, and its places
    "plus": (lambda block, x: x + block.of("one", x), ["one.1"]),
    "plus, the other way round": (lambda block, x: block.of("one", x) + x, ["one.1"]),
    "in place": (in_place, ["one.1"]),
    "in place by a method": (by_method, ["one.1"]),
    "torch.add": (lambda block, x: torch.add(x, block.of("one", x)), ["one.1"]),
    "torch.add with a factor": (lambda block, x: torch.add(x, block.of("one", x), alpha=0.5), ["one.1"]),
    "builtin sum": (builtin_sum, ["one.1"]),
    "a ReLU behind the norm": (lambda block, x: x + block.of("one", x).relu(), ["one.1"]),
    "a layer in the shortcut": (lambda block, x: block.of("conv", x) + block.of("two", x), ["two.3"]),
    "no norm": (lambda block, x: x + block.of("conv", x), ["conv"]),
    "a norm as a function": (with_norm_as_function, ["conv"]),
    "its own attention": (with_own_attention, ["one.1"]),
    "groups as in Res2Net": (res2, ["narrow"]),
    "one end for all blocks": (lambda block, x: x + block.of("shared", block.of("conv", x)), ["conv"]),
    "a module behind the last layer": (lambda block, x: x + block.of("act", block.of("conv", x)), ["conv"]),
    "a sum in front of the norm": (
        lambda block, x: x + block.of("scale", x + block.of("one", x) + block.of("two", x)),
        ["scale"],
    ),
    "blocks of another width": (
        lambda block, x: x + block.of("narrow", block.of("units", block.of("wide", x))),
        ["narrow"],
    ),
    "channels last inside": (channels_last, ["scale"]),
    "three, one after the other": (lambda block, x: x + block.of("one", x) + block.of("two", x), ["one.1", "two.3"]),
    "three, the deep one first": (lambda block, x: x + block.of("two", x) + block.of("one", x), ["two.3", "one.1"]),
    "three, the shortcut last": (lambda block, x: block.of("one", x) + block.of("two", x) + x, ["one.1", "two.3"]),
    "three, of which a module returns two": (lambda block, x: x + block.of("both", x), ["both"]),
    "a way without layers through the branch": (
        lambda block, x: block.of("scale", block.of("one", x) - block.of("norm", x)) + x,
        ["scale"],
    ),
    "two sums": (lambda block, x: (x + block.of("one", x)) + (x + block.of("two", x)), ["one.1", "two.3"]),
    "a layer scale behind": (lambda block, x: x + block.of("act", block.of("one", x)) * block.gamma, ["one.1"]),
    "a layer scale as a module": (lambda block, x: x + block.of("scaled", block.of("conv", x)), ["conv"]),
    "channels last, and a layer scale": (scaled_channels_last, ["linear"]),
    "some of the channels of a layer": (lambda block, x: x + block.of("wide", x)[:, :4], ["wide"]),
    "to some of the channels": (
        lambda block, x: torch.cat([x[:, :2] + block.of("one", x)[:, :2], x[:, 2:]], dim=1),
        ["one.1"],
    ),
    "a separable convolution in the shortcut": (
        lambda block, x: block.of("separable", x) + block.of("three", x),
        ["three.5"],
    ),
}


NO_PLAIN_SHORTCUT = ("a norm as a function", "a layer in the shortcut", "a separable convolution in the shortcut")


class Scaled(nn.Module):
    """A layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((4, 1, 1), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Both(nn.Module):
    """The sum of two branches."""

    def __init__(self, one: nn.Module, two: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList([one, two])

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.parts
        out: Tensor = one(x) + two(x)
        return out


def conv_norm(channels: int = 4, out: int | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out or channels, 3, padding=1), nn.BatchNorm2d(out or channels))


class Unit(nn.Module):
    """The simplest block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = conv_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.branch(x)
        return out


class Block(nn.Module):
    """A block of four channels that uses what it needs."""

    gamma: nn.Parameter

    def __init__(self, add: Add, shared: nn.Module | None = None) -> None:
        super().__init__()
        self.add = add
        self.shared = shared or Shared()
        self.act = nn.ReLU()
        self.units = nn.Sequential(Unit(6), Unit(6))
        self.one = conv_norm()
        self.two = nn.Sequential(*conv_norm(), *conv_norm())
        self.both = Both(conv_norm(), nn.Sequential(*conv_norm(), *conv_norm()))
        self.conv, self.norm = conv_norm()
        self.wide, self.group, self.group2, self.narrow = (
            nn.Conv2d(i, o, 3, padding=1) for i, o in ((4, 6), (3, 3), (3, 3), (6, 4))
        )
        self.linear = nn.Linear(4, 4)
        self.scale = nn.BatchNorm2d(4)
        self.scaled = Scaled()
        self.gamma = nn.Parameter(torch.full((1, 4, 1, 1), 1e-6))
        self.three = nn.Sequential(*conv_norm(), *conv_norm(), *conv_norm())
        self.separable = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))
        self.depthwise, self.pointwise = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 1, groups=4)

    def of(self, layer: str, x: Tensor) -> Tensor:
        """What one of its layers makes of this."""
        out: Tensor = self.get_submodule(layer)(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        return self.add(self, x)


class Own(nn.Module):
    """A network of such blocks."""

    def __init__(self, *blocks: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride, padding=1)
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(4, 10)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.fc(self.blocks(self.stem(images)).mean((2, 3)))
        return out


@pytest.mark.parametrize("way", WAYS)
def test_a_branch_is_found_however_it_is_added(way: str) -> None:
    add, expected = WAYS[way]
    shared = Shared()
    paths = found(Own(Block(add, shared), Block(add, shared), nn.ReLU()))

    assert sorted(paths) == sorted(f"blocks.{number}.{path}" for number in range(2) for path in expected)
    assert [int(path.split(".")[1]) for path in paths] == sorted([0, 1] * len(expected))


@pytest.mark.parametrize("way", [way for way in WAYS if way not in NO_PLAIN_SHORTCUT])
def test_own_blocks_with_gates_of_zero_are_their_shortcuts(way: str) -> None:
    add, expected = WAYS[way]
    network = drawn(Own(Block(add)))
    for path in expected:
        put(network, f"blocks.0.{path}", 0.0)
    x = normal(2, 4, 5, 5).float()
    shortcut = x * 2 if way == "two sums" else x

    torch.testing.assert_close(network.get_submodule("blocks.0").eval()(x), shortcut)


IN_DISGUISE: dict[str, Add] = {  # sums that become one convolution
    "side by side": lambda block, x: block.of("scale", block.of("depthwise", x) + block.of("pointwise", x) + x),
    "full ones side by side": lambda block, x: block.of("one", x) + block.of("conv", x) + x,
    "with a norm as the third": lambda block, x: block.of("one", x) + block.of("conv", x) + block.of("norm", x),
    "with a norm as the shortcut": lambda block, x: block.of("norm", x) + block.of("one", x),
    "depthwise": lambda block, x: x + block.of("depthwise", x),
    "as a difference": lambda block, x: (
        x + block.of("scaled", block.of("depthwise", x) + block.of("pointwise", x) - block.of("norm", x))
    ),
}


@pytest.mark.parametrize("way", IN_DISGUISE)
def test_a_sum_that_becomes_one_convolution_is_no_residual_block(way: str) -> None:
    network = Own(Block(IN_DISGUISE[way]), plain_block())
    assert found(network) == ["blocks.1.one.1"]
    assert found(network, r"blocks\.1\.one\.1") == ["blocks.1.one.1"]


def test_a_fusion_of_branches_that_hold_blocks_is_no_residual_block() -> None:
    class Fusion(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.high, self.down, self.low = (
                nn.Sequential(Unit(4), Unit(4)),
                Down(4, 4),
                nn.Sequential(Unit(4), Unit(4)),
            )
            self.up = nn.Sequential(*conv_norm(), nn.Upsample(scale_factor=2))
            self.again = Down(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            low: Tensor = self.low(self.down(x))
            high: Tensor = self.high(x)
            high, low = high + self.up(low), low + self.again(high)
            out: Tensor = high + self.up(low)
            return out

    blocks = [f"blocks.0.{side}.{number}.branch.1" for side in ("low", "high") for number in range(2)]
    assert found(Own(Fusion())) == blocks
    assert found(Own(Fusion()), r"blocks\.0\.(?:high|low)\.\d\.branch\.1") == blocks


@pytest.mark.parametrize("side", [4, 8])
def test_as_many_channels_as_pixels_in_a_row_are_not_mistaken_for_them(side: int) -> None:
    network = Own(Block(channels_last), Block(scaled_channels_last), Block(windows))
    sites = find_sites(watched(network, side))
    assert sites == (Site("blocks.0.scale", 0, 4, False), Site("blocks.1.linear", 0, 4, False, True))


def windows(block: "Block", x: Tensor) -> Tensor:
    """Attention in windows of 2 x 2 pixels, which are more images than there are."""
    batch, channels, height, width = x.shape
    y = x.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    y = block.of("two", y.reshape(-1, channels, 2, 2))
    y = y.reshape(batch, height // 2, width // 2, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return x + y.reshape(x.shape)


def test_maps_of_more_than_nine_shapes_are_stages_by_their_resolution() -> None:
    def network(widths: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Conv2d(3, 4, 1)]
        for width in range(4, 4 + widths):
            layers += [Unit(width), nn.Conv2d(width, width + 1, 1)]
        layers += [Down(4 + widths, 4), Unit(4), Unit(4)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))

    few, many = (find_sites(watched(network(widths))) for widths in (8, 9))
    assert layout_of(few) == (*(Stage(1, width) for width in range(4, 12)), Stage(2, 4))
    assert layout_of(many) == (Stage(1, 4, tuple(Stage(1, width) for width in range(5, 13))), Stage(2, 4))


def plain_block() -> Block:
    return Block(WAYS["plus"][0])


def test_a_norm_that_all_blocks_share_is_no_place_but_what_holds_it_and_runs_once_is() -> None:
    norm = nn.BatchNorm2d(4)
    blocks = [Block(lambda block, x: x + block.of("shared", x), nn.Sequential(nn.Conv2d(4, 4, 1), norm)) for _ in "12"]
    assert find_sites(watched(Own(*blocks))) == tuple(Site(f"blocks.{i}.shared", 0, 4, True) for i in range(2))

    bare = [Block(lambda block, x: x + block.of("shared", block.of("conv", x)), norm) for _ in "12"]
    with pytest.raises(UserError, match="no residual branch found"):
        find_sites(watched(Own(*bare)))


class ConvNorm(nn.Sequential):
    """Holds what its name says, or does not."""


class ChannelNorm(nn.Module):
    """A normalisation of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 1, 1))
        self.squash = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.weight * self.squash(x - x.mean(1, keepdim=True))
        return out


class NormAct(nn.BatchNorm2d):
    """A normalisation that holds what comes behind it."""

    def __init__(self) -> None:
        super().__init__(4)
        self.act = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(super().forward(x))
        return out


@pytest.mark.parametrize(
    ("layers", "path", "normalised"),
    [
        ([nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False)], "one.1", True),
        ([nn.Conv2d(4, 4, 1), nn.InstanceNorm2d(4)], "one.1", True),
        ([nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4), nn.Dropout()], "one.1", True),
        ([nn.Conv2d(4, 4, 1), ChannelNorm()], "one.1", True),
        ([nn.Conv2d(4, 4, 1), NormAct()], "one.1", True),
        ([ConvNorm(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))], "one.0.1", True),
        ([ConvNorm(nn.Conv2d(4, 4, 1), nn.Identity())], "one.0.0", False),
        ([nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1)], "one.2", False),
    ],
    ids=str,
)
def test_normalisations_are_known_by_their_names_and_parameters(
    layers: list[nn.Module], path: str, normalised: bool
) -> None:
    block = plain_block()
    block.one = nn.Sequential(*layers)
    assert find_sites(watched(Own(block))) == (Site(f"blocks.0.{path}", 0, 4, normalised),)


def convolutions(number: int) -> nn.Module:
    return nn.Sequential(*(layer for _ in range(number) for layer in conv_norm()))


@pytest.mark.parametrize("layers", [(1, 1), (2, 2), (2, 3), (3, 5)])
def test_a_sum_without_a_shortcut_is_not_residual(layers: tuple[int, int]) -> None:
    for one, other in (layers, layers[::-1]):
        with pytest.raises(UserError, match="no residual branch found"):
            found(Own(Both(convolutions(one), convolutions(other))))


def test_blocks_of_another_size_inside_a_branch_are_blocks() -> None:
    class Hourglass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.unit, self.up = nn.Conv2d(4, 4, 2, 2), Unit(4), nn.ConvTranspose2d(4, 4, 2, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.up(self.unit(self.down(x)))
            return out

    places = ["blocks.0.unit.branch.1", "blocks.0.up", "blocks.1.branch.1"]
    assert found(Own(Hourglass(), Unit(4))) == places
    assert found(Own(Hourglass(), Unit(4)), "|".join(map(re.escape, places))) == places


class Skip(nn.Module):
    """A shortcut round several blocks."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


@pytest.mark.parametrize("behind", [nn.Identity, lambda: nn.Conv2d(4, 4, 3, padding=1)], ids=["nothing", "a layer"])
def test_a_skip_over_several_blocks_leaves_the_places_to_the_blocks(behind: Callable[[], nn.Module]) -> None:
    network = Own(Skip(plain_block(), plain_block(), behind()), plain_block())
    expected = ["blocks.0.inner.0.one.1", "blocks.0.inner.1.one.1", "blocks.1.one.1"]

    assert found(network) == expected
    assert found(network, r".*\.one\.1") == expected


def test_a_module_with_several_names_is_one_place() -> None:
    network = Own(plain_block())
    network.add_module("again", network.get_submodule("blocks.0.one.1"))
    assert found(network) == ["blocks.0.one.1"]


def test_the_number_of_images_does_not_matter_nor_do_their_values() -> None:
    some, others = torch.zeros(1, 3, 9, 9), normal(3, 3, 9, 9).float()
    sites = [find_sites(watch(drawn(Own(plain_block())), images)) for images in (some, others)]
    assert sites[0] == sites[1]


def test_watching_leaves_no_hooks_behind_whether_the_network_runs_or_not() -> None:
    network = Own(plain_block())
    watch(network, torch.zeros(1, 3, 8, 8))
    with pytest.raises(RuntimeError):
        watch(network, torch.zeros(1, 5, 8, 8))
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), "none of its modules returns a feature map"),
        (lambda: Own(nn.ReLU()), "some of stem, blocks.0, blocks"),
    ],
)
def test_what_could_be_named_is_told_where_nothing_is_found(make: Callable[[], nn.Module], named: str) -> None:
    with pytest.raises(UserError, match="no residual branch found") as raised:
        find_sites(watched(make()))
    assert named in str(raised.value)


# Patterns


class Down(nn.Sequential):
    """Half the size, and perhaps other channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(nn.Conv2d(channels, out, 3, 2, padding=1), nn.BatchNorm2d(out))


class Mixed(nn.Module):
    """Returns what is no feature map, too."""

    def __init__(self) -> None:
        super().__init__()
        self.a = Down(3, 4)
        self.twice = nn.ReLU()
        self.b = Down(4, 4)
        self.last = nn.BatchNorm2d(4)
        self.flat = nn.Flatten()
        self.unused = nn.ReLU()
        self.pair = Pair()
        self.turned = Turned()
        self.attend = Attend()
        self.square = nn.Linear(4, 8)
        self.fc = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.twice(self.a(images))
        x, _ = self.pair(self.twice(self.b(x)))
        x = x + self.last(x)
        x = x + self.attend(x).mean()
        nhwc = self.fc(self.square(self.turned(x)))
        out: Tensor = nhwc.mean((1, 2)) + self.flat(x)[:, :1]
        return out


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class Attend(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ x.mT


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def test_the_groups_of_a_pattern_tell_the_stages_and_without_groups_their_shapes_do() -> None:
    network = Own(plain_block(), plain_block(), plain_block())
    of = watched(network)
    by_shape, by_group, in_pairs = (
        find_sites(of, pattern)
        for pattern in (r"blocks\.\d\.one\.1", r"blocks\.(\d)\.one\.1", r"blocks\.(?:([01])|2)\.one\.1")
    )

    assert [site.stage for site in by_shape] == [0, 0, 0]
    assert [site.stage for site in by_group] == [0, 1, 2]
    assert [site.stage for site in in_pairs] == [0, 1, 2]
    assert {(site.path, site.channels) for sites in (by_shape, by_group) for site in sites} == {
        (f"blocks.{number}.one.1", 4) for number in range(3)
    }


def test_stages_come_in_the_order_of_the_forward_pass_whatever_their_groups_say() -> None:
    network = nn.Sequential(Down(3, 8), Down(8, 4), nn.Flatten(), nn.Linear(256, 10))
    assert find_sites(watched(network), r"(\d)\.1") == (Site("0.1", 0, 8), Site("1.1", 1, 4))
    assert [site.stage for site in find_sites(watched(network), r"(?:1\.1|0\.(1))")] == [0, 1]


def test_a_stage_counts_as_normalised_where_all_its_places_are() -> None:
    network = Own(plain_block(), Block(WAYS["no norm"][0]))
    sites = find_sites(watched(network), r"blocks\.0\.one\.1|blocks\.1\.conv")
    assert [site.normalised for site in sites] == [False, False]
    assert [site.normalised for site in find_sites(watched(network), r"blocks\.(0)\.one\.1|blocks\.1\.conv")] == [
        True,
        False,
    ]


@pytest.mark.parametrize("path", ["square", "turned"])
def test_a_pattern_may_name_maps_with_their_channels_last(path: str) -> None:
    channels = {"square": 8, "turned": 4}[path]
    assert find_sites(watched(Mixed()), path) == (Site(path, 0, channels, False, True),)


def test_a_pattern_is_for_the_whole_name() -> None:
    assert found(Mixed(), "b.1") == ["b.1"]
    for part in ("1", "b.", r"\.1"):
        with pytest.raises(UserError, match="no module has such a name"):
            found(Mixed(), part)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("nothing", ["no module has such a name", "some of a.0, a.1, a, b.0"]),
        ("a.(1", ["no regular expression", "unterminated"]),
        ("flat", ["flat returns 2 x 256", "(B, C, H, W)"]),
        ("attend", ["attend returns 2 x 4 x 8 x 8", "(B, C, H, W)"]),
        ("twice", ["twice runs several times"]),
        ("unused", ["unused returns no tensor"]),
        ("pair", ["pair returns no tensor"]),
        ("a|a.1", ["a and a.1 are in one branch", "one gate"]),
    ],
)
def test_a_wrong_pattern_gets_one_line(pattern: str, named: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        found(Mixed(), pattern)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert [part for part in (f"--gate-at {pattern}", *named) if part not in message] == []


@pytest.mark.parametrize("way", WAYS)
def test_a_pattern_may_name_what_is_found(way: str) -> None:
    network = Own(Block(WAYS[way][0]), Block(WAYS[way][0]))
    places = found(network)
    assert found(network, "|".join(map(re.escape, places))) == places


def test_a_line_break_in_a_pattern_does_not_break_the_message() -> None:
    for pattern in ("a.1\n", "\r", "(\n"):
        with pytest.raises(UserError, match=re.escape(repr(pattern))) as raised:
            found(Mixed(), pattern)
        assert len(str(raised.value).splitlines()) == 1


def test_a_branch_takes_one_gate() -> None:
    with pytest.raises(UserError, match=r"blocks\.0\.two\.1 and blocks\.0\.two\.3 are in one branch"):
        found(Own(Block(lambda block, x: x + block.two(x))), r".*two\.[13]")


def test_places_of_one_stage_have_one_shape() -> None:
    network = nn.Sequential(Down(3, 8), Down(8, 8), nn.Flatten(), nn.Linear(512, 10))
    with pytest.raises(UserError, match=r"--gate-at .*: 1\.1 returns 8 x 8 x 8 and others of its stage 8 x 16 x 16"):
        found(network, r"\d\.(1)")


@pytest.mark.parametrize("stages", [9, 10])
def test_a_design_names_at_most_nine_stages(stages: int) -> None:
    network = Own(*(plain_block() for _ in range(stages)))
    pattern = r"blocks\.(\d)\.one\.1"
    if stages == 9:
        assert len(layout_of(find_sites(watched(network), pattern))) == 9
        return
    with pytest.raises(UserError, match=r"10 stages, and a design names at most 9; .*--gate-at"):
        found(network, pattern)
