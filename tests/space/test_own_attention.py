"""Attention that networks carry themselves: it is found however it is written, and taken out on demand."""

import re
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from space.backbones import BACKBONES, backbone, chosen
from space.backbones.factories import called
from space.backbones.finding import found_backbone
from space.build import build
from space.design import Design
from space.errors import UserError
from space.gating import Gated
from tests.space.conftest import count

C = 8

Compute = Callable[["Layers", Tensor], Tensor]


class Layers(nn.Module):
    """What may make a factor of a map of eight channels."""

    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.compute = compute
        self.narrow, self.wide = nn.Linear(C, 2), nn.Linear(2, C)
        self.pointwise = nn.Conv2d(C, C, 1)
        self.row = nn.Conv1d(1, 1, 3, padding=1)
        self.window = nn.Conv2d(2, 1, 3, padding=1)
        self.gamma = nn.Parameter(torch.ones(C, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self, x)

    def se(self, x: Tensor) -> Tensor:
        """The factor of SE."""
        out: Tensor = self.wide(self.narrow(x.mean((2, 3))).relu()).sigmoid()
        return out[:, :, None, None]


def eca(of: Layers, x: Tensor) -> Tensor:
    y = of.row(x.mean((2, 3))[:, None])
    out: Tensor = x * y.sigmoid().view(len(x), C, 1, 1).expand_as(x)
    return out


def spatial(of: Layers, x: Tensor) -> Tensor:
    maps = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], dim=1)
    out: Tensor = x * of.window(maps).sigmoid()
    return out


def rows_and_columns(of: Layers, x: Tensor) -> Tensor:
    rows, columns = (of.pointwise(x.mean(dim, keepdim=True)).sigmoid() for dim in (2, 3))
    out: Tensor = x * rows * columns
    return out


ATTENTION: dict[str, Compute] = {
    "se": lambda of, x: x * of.se(x),
    "se, the other way round": lambda of, x: of.se(x) * x,
    "se by a function": lambda of, x: torch.mul(x, of.se(x)),
    "se by convolutions": lambda of, x: x * of.pointwise(nn.functional.adaptive_avg_pool2d(x, 1)).sigmoid(),
    "eca": eca,
    "spatial": spatial,
    "cbam": lambda of, x: spatial(of, x * of.se(x)),
    "rows and columns": rows_and_columns,
}
OTHERS: dict[str, Compute] = {
    "a convolution with a gate": lambda of, x: x * of.pointwise(x).sigmoid(),
    "a product of two": lambda of, x: of.pointwise(x) * of.se(x),
    "a scale": lambda of, x: x * of.gamma,
    "a normalisation": lambda of, x: x * (x * x).mean(1, keepdim=True).rsqrt() * of.gamma,
    "a sum": lambda of, x: x + x * of.se(x),
    "nothing": lambda of, x: x,
    "an activation": lambda of, x: x * x.sigmoid(),
}


class Block(nn.Module):
    """X + attention(bn(conv(X)))."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.conv, self.bn, self.extra = nn.Conv2d(C, C, 3, padding=1), nn.BatchNorm2d(C), attention

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.extra(self.bn(self.conv(x)))
        return out


class Net(nn.Module):
    """Two such blocks."""

    def __init__(self, make: Callable[[], nn.Module], num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, C, 3, padding=1)
        self.blocks = nn.Sequential(Block(make()), Block(make()))
        self.fc = nn.Linear(C, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.fc(self.blocks(self.stem(images)).mean((2, 3)))
        return out


def net(make: Callable[[], nn.Module]) -> Callable[[int, int], nn.Module]:
    def network(num_classes: int, in_channels: int) -> nn.Module:
        return Net(make, num_classes, in_channels)

    return network


def own_attention(make: Callable[[], nn.Module]) -> tuple[str, ...]:
    return found_backbone("net", called("net", net(make))).own_attention


@pytest.mark.parametrize("name", ATTENTION)
def test_a_product_with_factors_from_means_of_it_is_attention(name: str) -> None:
    assert own_attention(lambda: Layers(ATTENTION[name])) == ("blocks.0.extra", "blocks.1.extra")


@pytest.mark.parametrize("name", OTHERS)
def test_other_products_are_none(name: str) -> None:
    assert own_attention(lambda: Layers(OTHERS[name])) == ()


@pytest.mark.parametrize("name", ["se", "eca", "ceca", "ese", "cbam", "lcbam", "gc"])
def test_attention_of_libraries_is_found_by_what_it_computes(name: str) -> None:
    layers = pytest.importorskip("timm.layers")
    assert own_attention(lambda: layers.create_attn(name, C)) == ("blocks.0.extra", "blocks.1.extra")
    assert own_attention(lambda: SqueezeExcitation(C, 2)) == ("blocks.0.extra", "blocks.1.extra")


CARRYING = {"timm/seresnet18": "timm/resnet18", "timm/ecaresnet26t": "timm/resnet26t"}
"""And the network without."""


@pytest.mark.parametrize("name", CARRYING)
def test_without_its_attention_a_network_is_the_plain_one(name: str) -> None:
    pytest.importorskip("timm")
    plain, other = chosen(name, replace_attention=True), backbone(CARRYING[name])

    assert plain.name == f"{name}+no_attention"
    assert backbone(plain.name) is plain
    assert plain.sites == other.sites == backbone(name).sites
    assert plain.removed == backbone(name).own_attention != ()
    assert (plain.own_attention, plain.notes, other.removed) == ((), (), ())
    shapes = [{n: t.shape for n, t in it.skeleton(3, 10).state_dict().items()} for it in (plain, other)]
    assert shapes[0] == shapes[1]


def test_a_network_that_keeps_its_attention_says_so_in_one_line() -> None:
    pytest.importorskip("timm")
    (note,) = chosen("timm/seresnet18").notes
    assert re.fullmatch(
        r"timm/seresnet18 keeps .*8 modules, such as layer1\.0\.se.*--replace-attention takes it out", note
    )
    assert backbone("timm/resnet18").notes == backbone("resnet20").notes == ()


@pytest.fixture
def carrying() -> Iterator[str]:
    """A network that carries SE."""
    BACKBONES.register("carrying")(net(lambda: Layers(ATTENTION["se"])))
    yield "carrying"
    del BACKBONES["carrying"]


def test_what_has_no_attention_stays_as_it_is_and_is_not_said_to_have_some(carrying: str) -> None:
    for name in ("resnet20", "torchvision/resnet18"):
        assert chosen(name, replace_attention=True) is backbone(name)
        with pytest.raises(UserError, match=rf"{name} carries no attention of its own; leave \+no_attention out"):
            backbone(f"{name}+no_attention")
    names = [f"{carrying}+no_attention", r"carrying+no_attention@blocks\.(.)\.bn"]
    assert [chosen(carrying, p, replace_attention=True).name for p in (None, r"blocks\.(.)\.bn")] == names
    assert [chosen(name, replace_attention=True).name for name in names] == names


def test_weights_of_a_removed_module_are_left_out_and_others_are_not(carrying: str) -> None:
    full = build(Design(), backbone(carrying), 5)
    weights = full.state_dict()
    it = backbone(f"{carrying}+no_attention")
    gated = build(Design("se", reduction=2), it, 5, weights=weights)
    state = gated.state_dict()

    assert count(it.make(3, 5)) == count(full) - sum(count(full.get_submodule(path)) for path in it.removed)
    assert all(torch.equal(state[f"blocks.{i}.conv.weight"], weights[f"blocks.{i}.conv.weight"]) for i in range(2))
    assert [module for module in gated.modules() if isinstance(module, Gated)]
    with pytest.raises(UserError, match=r"not in the network blocks\.0\.extras\.bias"):
        build(Design(), it, 5, weights={**weights, "blocks.0.extras.bias": torch.zeros(1)})
    without = found_backbone("bare", called("bare", net(nn.Identity)))
    with pytest.raises(UserError, match=r"not in the network blocks\.0\.extra\.gamma"):
        build(Design(), without, 5, weights=weights)


class Chain(nn.Module):
    """SE between convolutions, and no residual branch."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(in_channels, C, 3), Layers(ATTENTION["se"]), nn.Conv2d(C, C, 3))
        self.fc = nn.Linear(C, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.fc(self.body(images).mean((2, 3)))
        return out


def test_attention_is_taken_out_of_a_network_whose_places_are_named() -> None:
    BACKBONES.register("chain")(Chain)
    try:
        it = chosen("chain", r"body\.2", replace_attention=True)
        assert it.name == r"chain+no_attention@body\.2"
        assert it.removed == ("body.1",)
    finally:
        del BACKBONES["chain"]


def test_a_product_of_what_has_no_channels_that_are_known_is_no_attention() -> None:
    class Blind(Layers):
        def forward(self, x: Tensor) -> Tensor:
            turned = torch.matmul(x, torch.eye(x.shape[-1], device=x.device))
            return x + self.compute(self, turned) * 0

    assert own_attention(lambda: Blind(ATTENTION["se"])) == ()
