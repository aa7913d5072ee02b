"""Own networks, whose blocks add in many ways."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

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


def plain_block() -> Block:
    return Block(WAYS["plus"][0])


class Down(nn.Sequential):
    """Half the size, and perhaps other channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(nn.Conv2d(channels, out, 3, 2, padding=1), nn.BatchNorm2d(out))
