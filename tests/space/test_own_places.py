"""Places for gates in own networks: how a block adds must not matter."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from space.backbones.sites import find_sites, layout_of
from space.backbones.watching import watch
from space.design import Stage
from space.errors import UserError
from space.gating import Site
from tests.space.conftest import normal
from tests.space.finding import drawn, found, put, watched
from tests.space.own_blocks import (
    NO_PLAIN_SHORTCUT,
    WAYS,
    Add,
    Block,
    Both,
    Down,
    Own,
    Shared,
    Unit,
    channels_last,
    conv_norm,
    plain_block,
    scaled_channels_last,
)


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
