"""Backbones that are not ours: libraries', a user's own, and what they get where their makers do not see to it."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from space.backbones import BACKBONES, Backbone, backbone
from space.backbones.factories import called
from space.backbones.finding import found_backbone
from space.build import build
from space.design import Design, Stage
from space.errors import UserError
from space.gating import Gated, Site
from tests.space.conftest import count


class Block(nn.Module):
    """X + norm(conv(X))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.norm(self.conv(x))
        return out


class Own(nn.Module):
    """Two blocks."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1)
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(self.stem(images)).mean((2, 3)))
        return out


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """What a test registers is gone behind it."""
    known = dict(BACKBONES)
    yield
    BACKBONES.clear()
    BACKBONES.update(known)


def own(factory: Callable[..., nn.Module]) -> Backbone:
    return found_backbone("own", called("own", factory))


def error(call: Callable[[], object]) -> str:
    """The one line that a mistake gets."""
    with pytest.raises(UserError) as raised:
        call()
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def both(num_classes: int, in_channels: int) -> nn.Module:
    return Own(num_classes, in_channels)


def as_timm(num_classes: int, in_chans: int) -> nn.Module:
    return Own(num_classes, in_chans)


def classes_alone(num_classes: int = 7) -> nn.Module:
    return Own(num_classes)


def neither() -> nn.Module:
    return Own()


def reads_values_when_made(num_classes: int, in_channels: int) -> nn.Module:
    rates = [rate.item() for rate in torch.linspace(0, 0.1, 4)]
    return Own(num_classes, in_channels, len(rates))


def reads_values_as_numpy(num_classes: int, in_channels: int) -> nn.Module:
    return Own(num_classes, in_channels, len(torch.linspace(0, 0.1, 4).numpy()))


class ReadsValues(Own):
    """Cannot run without values."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images / (1.0 + abs(images.mean().item())))


class ForOneSize(Own):
    """Takes 32 x 32 pixels alone."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.head = nn.Linear(4 * 32 * 32, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(self.stem(images)).flatten(1))
        return out


class ConvolutionAsHead(Own):
    """The last layer is a 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(4, 1000, 1)  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(self.stem(images))).mean((2, 3))
        return out


def for_one_channel() -> nn.Module:
    return Own(in_channels=1)


FACTORIES_THAT_FIT: dict[str, tuple[Callable[..., nn.Module], bool]] = {  # and whether they run without values
    "both": (both, True),
    "in_chans": (as_timm, True),
    "classes alone": (classes_alone, True),
    "neither": (neither, True),
    "a class": (Own, True),
    "reads values when made": (reads_values_when_made, True),
    "reads values as numpy": (reads_values_as_numpy, True),
    "reads values": (ReadsValues, False),
    "for one size": (ForOneSize, True),
    "for one channel": (for_one_channel, True),
    "a convolution as head": (ConvolutionAsHead, True),
}


@pytest.mark.parametrize("which", FACTORIES_THAT_FIT)
@pytest.mark.parametrize(("channels", "classes"), [(3, 10), (1, 7), (5, 1000)])
def test_a_factory_of_any_kind_makes_networks_for_any_images_and_classes(
    which: str, channels: int, classes: int
) -> None:
    factory, on_meta = FACTORIES_THAT_FIT[which]
    it = own(factory)

    assert it.sites == tuple(Site(f"blocks.{number}.norm", 0, 4) for number in range(2))
    assert (it.name, it.layout, it.stride, it.classifier) == ("own", (Stage(2, 4),), 1, "head")
    assert it.on_meta is on_meta
    for design in ("none", "se:reduction=2"):
        network = build(Design.parse(design), it, classes, channels)
        assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())
        stem, head = network.get_submodule("stem"), network.get_submodule("head")
        assert isinstance(stem, nn.Conv2d)
        assert isinstance(head, nn.Linear | nn.Conv2d)
        width = head.out_features if isinstance(head, nn.Linear) else head.out_channels
        assert (stem.in_channels, width) == (channels, classes)
        logits = network(torch.rand(2, channels, 32, 32))
        assert logits.shape == (2, classes)
        assert logits.detach().std() > 0
        skeleton = it.skeleton(channels, classes)
        assert {parameter.device.type for parameter in skeleton.parameters()} == {"meta" if on_meta else "cpu"}
        if design == "none":
            assert count(skeleton) == count(network)


def test_layers_that_fit_are_left_as_the_factory_made_them() -> None:
    class Marked(Own):
        def __init__(self, num_classes: int) -> None:
            super().__init__(num_classes)
            for layer in (self.stem, self.head):
                nn.init.constant_(layer.weight, 0.25)

    network = own(Marked).make(3, 12)
    assert network.get_parameter("stem.weight").unique().tolist() == [0.25]
    assert network.get_parameter("head.weight").unique().tolist() == [0.25]
    assert own(Marked).make(1, 12).get_parameter("stem.weight").unique().numel() > 4


def test_a_stem_that_does_not_see_the_images_themselves_is_left_alone() -> None:
    def unshuffled(num_classes: int, in_channels: int) -> nn.Module:
        return nn.Sequential(nn.PixelUnshuffle(2), Own(num_classes, 4 * in_channels))

    for channels in (1, 3):
        assert own(unshuffled).make(channels, 5)(torch.rand(2, channels, 8, 8)).shape == (2, 5)


def test_a_network_without_a_last_layer_must_take_the_classes() -> None:
    class Cosine(nn.Module):
        def __init__(self, num_classes: int = 10) -> None:
            super().__init__()
            self.embed = Own(6)
            self.centres = nn.Parameter(torch.rand(num_classes, 6))

        def forward(self, images: Tensor) -> Tensor:
            out: Tensor = self.embed(images) @ self.centres.T
            return out

    it = own(Cosine)
    assert it.classifier == ""
    assert it.make(3, 5)(torch.rand(2, 3, 8, 8)).shape == (2, 5)
    assert error(lambda: own(lambda: Cosine(8))) == "own always has 8 outputs; let it take num_classes"


def test_what_is_drawn_next_does_not_depend_on_whether_a_backbone_was_met_before() -> None:
    for factory in (Own, ReadsValues, reads_values_when_made):
        numbers = []
        BACKBONES.register(factory.__name__)(factory)
        for _ in range(2):
            torch.manual_seed(0)
            backbone(factory.__name__)
            numbers.append(float(torch.rand(())))
        assert len(set(numbers)) == 1


class Nothing(nn.Module):
    """Has no forward."""


class Features(Own):
    """Returns no logits."""

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.stem(images))
        return out


class Several(Own):
    """Returns a tuple."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images), images  # type: ignore[return-value]


def raising() -> nn.Module:
    raise KeyError("here\nand here")


def not_written() -> nn.Module:
    raise NotImplementedError("\n\nlater")


ONE = Own()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (raising, r"own raises KeyError: 'here\\nand here'"),
        (not_written, "own raises NotImplementedError: later"),
        (lambda: 3, "own returns int, no torch.nn.Module"),
        (lambda depth: Own(), "own raises TypeError: .*missing 1 required positional argument: 'depth'"),
        (Nothing, 'own takes no images of 224 or 32 pixels: Module .Nothing. is missing the required "forward".*'),
        (lambda: Own(in_channels=2), "own takes no images of 224 or 32 pixels: .*2 channels.*"),
        (Features, r"own returns a tensor of 4 dimensions; a classifier returns logits \(images, classes\)"),
        (Several, r"own returns no tensor; a classifier returns logits \(images, classes\)"),
        (ONE, "own is no function or class that makes a network"),
        (dict, "own is no function or class that makes a network"),
        ("Own", "own is no function or class that makes a network"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.LazyLinear(10)), "own: no residual branch.*"),
    ],
)
def test_a_factory_that_does_not_do_gets_one_line(factory: Callable[..., nn.Module], message: str) -> None:
    found = error(lambda: own(factory))
    assert re.fullmatch(message, found), found


def test_a_factory_must_make_a_new_network_each_time() -> None:
    it = own(lambda: ONE)
    assert error(lambda: it.make(3, 10)) == "own returns the same network again; let it make a new one each time"


# By name


def test_a_file_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.py").write_text("from tests.space.test_foreign import Own\n")
    monkeypatch.chdir(tmp_path)
    it = backbone("net.py:Own")
    monkeypatch.chdir("/")

    assert it.name == f"{tmp_path}/net.py:Own"
    assert backbone(it.name).sites == it.sites
    assert backbone(f"{it.name}@blocks.(.).norm").layout == (Stage(1, 4), Stage(1, 4))
    assert "/net.py: no such Python file" in error(lambda: backbone("net.py:Own"))


def test_a_module_is_imported() -> None:
    assert backbone("tests.space.test_foreign:Own").layout == (Stage(2, 4),)
    assert error(lambda: backbone("tests.space.nowhere:Own")).startswith("no module 'tests.space.nowhere'")


def test_a_registered_name_is_one_that_nothing_else_has_and_is_listed() -> None:
    for taken in ("resnet1001", "timm/mine"):
        with pytest.raises(UserError, match="already"):
            BACKBONES.register(taken)(both)
    BACKBONES.register("mine")(both)
    assert backbone("mine").layout == (Stage(2, 4),)
    assert "mine" in error(lambda: backbone("yours"))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("torchvision/resnet19", ["'torchvision/resnet19'", "resnet18", "more"]),
        ("torchvision/", ["torchvision has"]),
        ("timm/resnet18.nonsense", ["'timm/resnet18.nonsense'", "nonsense"]),
        ("timm/resnet19", ["'timm/resnet19'", "resnet18", "more"]),
        ("torchvision/resnet18@nothing", ["torchvision/resnet18: --gate-at nothing", "conv1"]),
        ("resnet20@nothing", ["resnet20: --gate-at nothing", "stem.0"]),
        ("own.py:", ["own.py"]),
    ],
)
def test_an_unknown_name_gets_one_line(name: str, parts: list[str]) -> None:
    message = error(lambda: backbone(name))
    assert [part for part in parts if part not in message] == []


def test_without_timm_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert error(lambda: backbone("timm/resnet152")) == (
        "timm/resnet152 needs timm: pip install 'attention-search[timm]'"
    )


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/resnet18", "torchvision/mobilenet_v3_small"])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_of_libraries_take_any_images_and_classes(name: str, channels: int) -> None:
    with torch.device("meta"):
        network = build(Design("se"), backbone(name), 7, channels)
        assert network(torch.zeros(2, channels, 64, 64)).shape == (2, 7)


def test_a_stem_of_a_library_that_sees_no_images_is_left_alone() -> None:
    pytest.importorskip("timm")
    with torch.device("meta"):  # space to depth in front of its stem
        assert backbone("timm/tresnet_m").make(1, 7)(torch.zeros(2, 1, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize("name", [r"googlenet@inception\d[a-e]", r"inception_v3@Mixed_..", "resnet18"])
def test_networks_of_torchvision_return_logits_in_training_too(name: str) -> None:
    with torch.device("meta"):
        network = build(Design("se"), backbone(f"torchvision/{name}"), 7).train()
        assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 7)


def test_a_tag_of_pretrained_weights_names_the_same_network() -> None:
    pytest.importorskip("timm")
    assert backbone("timm/resnet18.a1_in1k").sites == backbone("timm/resnet18").sites


def test_a_gate_stands_under_every_name_that_a_module_has() -> None:
    class Twice(Block):
        def __init__(self) -> None:
            super().__init__(4)
            self.body = nn.Sequential(self.conv, self.norm)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = x + self.body(x)
            return out

    class Net(Own):
        def __init__(self, num_classes: int) -> None:
            super().__init__(num_classes)
            self.blocks = nn.Sequential(Twice(), Twice())

    network = build(Design("se", reduction=2), own(Net))
    gated = [module for module in network.modules() if isinstance(module, Gated)]
    ran: list[nn.Module] = []
    for module in gated:
        module.register_forward_hook(lambda module, _, __: ran.append(module))
    network(torch.rand(2, 3, 8, 8))

    assert len(gated) == 2
    assert ran == gated
    assert [network.get_submodule(f"blocks.{number}.norm") for number in range(2)] == gated
