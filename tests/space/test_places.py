"""Places for gates, found at the end of each residual branch of the families' and the libraries' networks."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from space.backbones import backbone, branches, watching
from space.backbones.branches import residual_branches
from space.backbones.finding import found_backbone
from space.backbones.sites import find_sites, layout_of
from space.design import Stage
from space.errors import UserError
from space.gating import Site
from tests.space.conftest import normal
from tests.space.finding import drawn, put, watched

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
