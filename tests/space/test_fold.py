"""Folding: the same function, few modules, and an argument that stays as it was."""

import random
from collections import Counter
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from space.attention import ATTENTION, Excitation, Gate
from space.attention.inference import ChannelMap, PooledGate
from space.attention.se import SE
from space.backbones import backbone
from space.build import build
from space.design import Design
from space.ends import FoldedEnd, PointwiseEnd
from space.errors import UserError
from space.fold import fold
from space.gating import Gated
from space.space_files import load_space
from tests.space.conftest import normal, weights

TIGHT = 1e-12
SINGLE = 1e-5
OURS = ["resnet20", "preresnet11", "wrn10-1", "resnext11-2x4"]
VARIANTS = ["resnet11+no_bn", "resnet11+no_skip", "resnet11+conv_bias", "wrn10-1+no_bn", "preresnet11+no_skip"]
LARGE = ["imagenet/resnet18", "imagenet/resnet26"]
FOREIGN = ["torchvision/resnet18", "torchvision/mobilenet_v2", "timm/resnet26"]
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
    return normal(2, 3, *((32, 32) if "/" in name else (16, 16)))


def random_design(seed: int, name: str) -> Design:
    generator = random.Random(seed)
    space = load_space("full", {name: backbone(name).layout})
    return space.sample(lambda _, options: generator.choice(options))[1]


@pytest.mark.parametrize("design", EACH)
def test_each_attention_computes_the_same(design: str) -> None:
    for name in ("resnet20", "wrn10-1"):
        network = trained(name, Design.parse(design))
        assert difference(fold(network), network, images_for(name)) < TIGHT
        single = deepcopy(network).float()
        assert difference(fold(single), single, images_for(name).float()) < SINGLE


@pytest.mark.parametrize("name", [*OURS, *VARIANTS])
def test_random_designs_compute_the_same(name: str) -> None:
    for seed in range(4):
        network = trained(name, random_design(seed, name), seed)
        assert difference(fold(network), network, images_for(name)) < TIGHT


@pytest.mark.parametrize("name", [*LARGE, *FOREIGN])
def test_large_and_foreign_networks_compute_the_same(name: str) -> None:
    for design in ("se:depth=2", "dia:stages=2"):  # the other stages are plain
        network = trained(name, Design.parse(design))
        assert difference(fold(network), network, images_for(name)) < TIGHT


def test_images_that_are_not_square_nor_channels_last_compute_the_same() -> None:
    network = trained("resnet11", Design("spa"))
    assert difference(fold(network), network, normal(2, 3, 20, 28)) < TIGHT


def test_the_argument_stays_as_it_is_and_shares_no_memory() -> None:
    network = trained("resnet11", Design("dia"))
    before, modules = weights(network), dict(network.named_modules())
    folded = fold(network)
    for parameter in folded.parameters():
        parameter.zero_()

    after = weights(network)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert dict(network.named_modules()) == modules
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(it.grad_fn or it.requires_grad for it in folded.parameters())


def test_images_are_not_overwritten() -> None:
    for design in ("none", "se", "cbam"):
        images = normal(2, 3, 16, 16)
        fold(trained("preresnet11", Design(design)))(images)
        assert torch.equal(images, normal(2, 3, 16, 16))


@pytest.mark.parametrize("path", ["", "stages.1.0.bn3"])
def test_a_network_in_training_mode_is_refused(path: str) -> None:
    network = trained("resnet11", Design("se"))
    network.get_submodule(path).train()
    with pytest.raises(UserError, match=r"^a network in training mode.* eval\(\)"):
        fold(network)


def operations(network: nn.Module) -> Counter[str]:
    """How often each function of torch is called for an image."""
    counts: Counter[str] = Counter()

    class Counting(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            counts[getattr(func, "__name__", "")] += 1
            return func(*args, **(kwargs or {}))

    with Counting(), torch.no_grad():
        network(normal(2, 3, 16, 16))
    return counts


@pytest.mark.parametrize("attention", ["ras", "eca"])
@pytest.mark.parametrize("connection", ["bn", "identity"])
def test_depth_of_affine_attention_costs_nothing(attention: str, connection: str) -> None:
    shallow, deep = (
        fold(trained("resnet20", Design.parse(text)))
        for text in (f"{attention}:depth=1", f"{attention}:depth=4,connection={connection}")
    )
    assert operations(deep) == operations(shallow)
    shapes = [{name: it.shape for name, it in weights(network).items()} for network in (deep, shallow)]
    assert shapes[0] == shapes[1]


def test_a_bn_between_two_applications_of_se_costs_nothing() -> None:
    with_bn, without = (
        fold(trained("resnet11", Design("se", depth=3, connection=connection))) for connection in ("bn", "identity")
    )
    assert operations(with_bn) == operations(without)


@pytest.mark.parametrize("name", ["resnet20", "resnext11-2x4", "imagenet/resnet26"])
def test_no_bn_is_left_where_activations_come_last(name: str) -> None:
    folded = fold(trained(name, Design("cbam")))
    assert not [path for path, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)]


def test_a_gate_of_pools_is_computed_before_the_map_exists() -> None:
    network = trained("resnet11", Design("se", reduction=4))
    end = fold(network).get_submodule("stages.1.0.bn3")

    assert isinstance(end, PointwiseEnd)
    assert isinstance(end.gate, PooledGate)
    assert [tuple(layer.weight.shape) for layer in end.gate.logits if isinstance(layer, nn.Linear)] == [
        (32, 32),  # straight from the 32 channels of the bottleneck to the 128 / 4 hidden units
        (128, 32),
    ]


def test_the_gate_goes_into_the_weights_where_an_image_has_more_pixels_than_the_branch_channels() -> None:
    conv = nn.Conv2d(8, 16, 1).double()
    gated, plain = (PointwiseEnd(conv, it) for it in (PooledGate(pools, [ChannelMap(*halves())], 1.0), None))
    for side in (2, 3):  # 4 and 9 pixels
        z, shortcut = normal(2, 8, side, side), normal(2, 16, side, side)
        gate = (z.mean((2, 3)) @ halves().weight.T).sigmoid()[:, :, None, None]
        torch.testing.assert_close(gated(z), conv(z) * gate)
        torch.testing.assert_close(gated.add_to(shortcut.clone(), z), shortcut + conv(z) * gate)
        torch.testing.assert_close(plain.add_to(shortcut.clone(), z), shortcut + conv(z))


def pools(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def halves() -> ChannelMap:
    return ChannelMap(torch.full((16, 8), 0.5, dtype=torch.float64), torch.zeros(16, dtype=torch.float64))


class Cubed(SE):
    """What a plug-in may derive from ours: SE's declaration does not hold for it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, pooled: Tensor) -> Tensor:
        return super().forward(pooled) ** 3


class Loudest(Gate):
    """A gate that declares nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        return self._scaled((features.amax((2, 3)) * self.weight).sigmoid())[:, :, None, None]

    def start_at_one(self) -> None:
        nn.init.zeros_(self.weight)
        self.scale = 2.0


class Rooted(Excitation):
    """A plug-in's excitation with a folded form: two maps with an activation between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(channels, 3), nn.Linear(3, channels)

    def forward(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.two(self.one(pooled).sin())
        return logits

    def steps(self, features: ChannelMap | None = None) -> list[ChannelMap | nn.Module]:
        one, two = (ChannelMap.linear(it.weight, it.bias) for it in (self.one, self.two))
        return [one.after(features), Sine(), two]

    def hold(self) -> float:
        nn.init.zeros_(self.two.weight), nn.init.zeros_(self.two.bias)
        return 0.0


class Maximal(Rooted):
    """One that sees other pools than it says."""

    def squeeze(self, features: Tensor) -> Tensor:
        return features.amax((2, 3))

    def steps(self, features: ChannelMap | None = None) -> list[ChannelMap | nn.Module]:
        return super().steps(features)


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("part", "depth", "folds"), [(Cubed, 2, False), (Loudest, None, False), (Maximal, 1, False), (Rooted, 3, True)]
)
def test_an_attention_of_a_plugin_folds_as_it_declares_and_else_runs_as_it_is(
    part: type[nn.Module], depth: int | None, folds: bool
) -> None:
    ATTENTION.register("mine")(part)
    network = trained("resnet11", Design("mine", depth=depth) if depth else Design("mine"))
    folded = fold(network)

    assert difference(folded, network, normal(2, 3, 16, 16)) < TIGHT
    assert any(isinstance(module, PooledGate) for module in folded.modules()) == folds
    assert not any(isinstance(module, Gated) for module in folded.modules())


class Awkward(nn.Module):
    """Convolutions and BNs that must not be merged: used twice, seen by others, or in code that looks at values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.other, self.norm2 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.again = self.other
        self.last = Judging()

    def forward(self, x: Tensor) -> Tensor:
        seen = self.conv(x)
        x = self.norm(seen) + seen
        x = self.norm2(self.other(x)) + self.again(x)
        out: Tensor = self.last(x)
        return out


class Judging(nn.Module):
    """Code that cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x)) if x.sum() > 0 else x
        return out


def test_what_cannot_be_folded_runs_as_it_is() -> None:
    torch.manual_seed(0)
    network = Awkward().double().eval()
    for name, buffer in network.named_buffers():
        if "running" in name:
            nn.init.uniform_(buffer, 0.5, 1.5)
    folded = fold(network)

    assert difference(folded, network, normal(2, 3, 4, 4).abs()) < TIGHT
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 3


def test_a_folded_network_is_an_ordinary_module() -> None:
    network = trained("resnet11", Design("sem"))
    images = normal(2, 3, 16, 16)
    folded = fold(network)
    other = fold(trained("resnet11", Design("sem"), seed=1))
    other.load_state_dict(folded.state_dict())

    assert difference(deepcopy(folded), network, images) < TIGHT
    assert difference(other, network, images) < TIGHT
    assert difference(fold(folded), network, images) < TIGHT
    assert sum(isinstance(module, FoldedEnd | PointwiseEnd) for module in fold(folded).modules()) == 3
    assert difference(deepcopy(folded).float(), network.float(), images.float()) < SINGLE


@pytest.mark.parametrize("design", ["ras:depth=4", "dia"])
def test_a_folded_network_can_be_exported(design: str) -> None:
    network = trained("resnet11", Design.parse(design))
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(fold(network), (normal(2, 3, 16, 16),), dynamic_shapes=({0: batch},))
    assert difference(program.module(), network, normal(5, 3, 16, 16)) < TIGHT


@pytest.mark.parametrize("design", ["none", "se", "cbam"])
def test_a_folded_network_runs_under_autocast(design: str) -> None:
    network = trained("resnet11", Design(design)).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert difference(fold(network), network, normal(2, 3, 16, 16).float()) < 0.05
