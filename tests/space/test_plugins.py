"""Attentions that a plug-in registers are like ours, and its mistakes are one line."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search.samplers import SAMPLERS
from space.attention import ATTENTION, Excitation, Gate, stage_gates
from space.backbones import BACKBONES, backbone
from space.build import build
from space.declarations import hidden_width
from space.declared import DECLARED
from space.design import Design, Stage
from space.errors import UserError
from space.space_files import PRESETS, load_space
from space.user_code import load_plugins
from tests.space.conftest import count
from trainers.datasets import DATASETS

pytestmark = pytest.mark.usefixtures("registries")

ROOT = Path(__file__).parents[2]
PLAIN = "ANSWER = 42"
ONE = {"resnet20": backbone("resnet20").layout}


class Scale(Excitation):
    """w z, with a weight for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, pooled: Tensor) -> Tensor:
        return self.weight * pooled

    def hold(self) -> float:
        nn.init.zeros_(self.weight)
        return 0.0


class Narrow(Scale):
    """W2 W1 z, with a bottleneck."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        Excitation.__init__(self)
        hidden = hidden_width(channels, reduction)
        self.reduce = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.excite(self.reduce(pooled))
        return logits

    def hold(self) -> float:
        nn.init.zeros_(self.excite.weight)
        return 0.0


class Pixels(Gate):
    """The sigmoid of a 1x1 convolution: a gate for each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self._scaled(self.conv(features).sigmoid())

    def start_at_one(self) -> None:
        nn.init.zeros_(self.conv.weight)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)
        self.scale = 2.0


class OneAnyway(Pixels):
    """1 + tanh of what is 0 at first."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.start_at_one()

    def forward(self, features: Tensor) -> Tensor:
        gate: Tensor = 1 + self.conv(features).tanh()
        return gate


def register_all() -> None:
    ATTENTION.register("scale")(Scale)
    ATTENTION.register("narrow")(Narrow)
    ATTENTION.register("pixels")(Pixels)
    ATTENTION.register("anyway")(OneAnyway)


def test_an_excitation_has_the_fields_of_se() -> None:
    ATTENTION.register("scale")(Scale)
    ATTENTION.register("narrow")(Narrow)
    assert [*DECLARED["narrow"].choices] == [field for field in DECLARED["se"].choices if field != "bias"]
    assert [*DECLARED["scale"].choices] == [field for field in DECLARED["narrow"].choices if field != "reduction"]


def test_a_gate_has_sharing_stages_and_start_unless_it_starts_at_1_anyway() -> None:
    ATTENTION.register("pixels")(Pixels)
    ATTENTION.register("anyway")(OneAnyway)
    assert tuple(DECLARED["pixels"].choices) == ("sharing", "stages", "start")
    assert tuple(DECLARED["anyway"].choices) == ("sharing", "stages")
    assert Design("anyway").starting_at_one() == Design("anyway")


def test_its_designs_have_a_text_and_a_canonical_form() -> None:
    ATTENTION.register("narrow")(Narrow)
    text = "narrow:depth=3,connection=tanh,sharing=stage,stages=23,reduction=8"
    assert str(Design.parse(text)) == text
    layout = (Stage(2, 16), Stage(1, 64))  # 16 channels have one hidden unit, divided by 10 to 32
    assert str(Design.parse("narrow:stages=1,reduction=32").canonical(layout)) == "narrow:stages=1,reduction=10"
    assert str(Design.parse("narrow:stages=12,reduction=32").canonical(layout)) == "narrow:reduction=32"
    assert str(Design.parse("narrow:stages=2,sharing=stage").canonical(layout)) == "narrow:stages=2"


def test_the_default_reduction_is_the_constructors() -> None:
    ATTENTION.register("narrow")(Narrow)
    assert Design("narrow")["reduction"] == 4
    assert Design("narrow") == Design.parse("narrow:reduction=4")
    assert str(Design("narrow", reduction=16)) == "narrow:reduction=16"


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("scale", 2 * (64 + 128 + 256)),
        ("scale:sharing=stage", 64 + 128 + 256),
        ("scale:stages=3", 2 * 256),
        ("scale:depth=3", 2 * (64 + 128 + 256) * (1 + 2 * 2)),  # two BNs of two parameters a channel
        ("scale:depth=2,deepening=explicit", 2 * (64 + 128 + 256) * 2),
        ("narrow:stages=1", 2 * 2 * 64 * 16),
        ("narrow:stages=1,reduction=16,sharing=stage", 2 * 64 * 4),
        ("pixels:stages=2", 2 * (128 * 128 + 128)),
        ("pixels:stages=2,sharing=stage", 128 * 128 + 128),
    ],
)
def test_a_network_has_its_modules_where_the_design_says(text: str, parameters: int) -> None:
    register_all()
    networks = [build(design, backbone("resnet20")) for design in (Design(), Design.parse(text))]
    assert count(networks[1]) - count(networks[0]) == parameters


@pytest.mark.parametrize(
    "text", ["scale", "scale:depth=3", "scale:depth=2,connection=sigmoid", "narrow:sharing=stage", "pixels", "anyway"]
)
def test_a_network_whose_gates_start_at_1_is_the_plain_one_and_learns(text: str) -> None:
    register_all()
    design = Design.parse(text).starting_at_one()
    torch.manual_seed(0)
    features = torch.randn(4, 16, 3, 3)
    gates = stage_gates(design, 16, 2)
    for gate in gates:
        torch.testing.assert_close(gate(features).expand_as(features), torch.ones_like(features))
    learning = nn.ModuleList(gates)
    optimizer = torch.optim.SGD(learning.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        out = gates[1](gates[0](features) * features)
        (out * features.pow(2)).sum().backward()
        optimizer.step()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in learning.parameters())


@pytest.mark.parametrize("connection", ["identity", "relu", "tanh"])
def test_nothing_is_known_of_its_biases_so_the_unit_start_is_refused_where_they_would_be_needed(
    connection: str,
) -> None:
    ATTENTION.register("scale")(Scale)
    Design("scale", depth=2, connection=connection)
    with pytest.raises(UserError, match=f"start=unit with connection={connection} would never learn"):
        Design("scale", depth=2, connection=connection, start="unit")


@pytest.mark.parametrize("preset", PRESETS)
def test_it_joins_the_presets_and_no_file(preset: str, tmp_path: Path) -> None:
    before = load_space(preset, ONE).values
    ATTENTION.register("scale")(Scale)
    after = load_space(preset, ONE).values
    assert after == {**before, "scale": after["scale"]}
    assert after["scale"]["depth"] == before["se"]["depth"]
    (tmp_path / "space.toml").write_text('attention = ["none", "se"]')
    assert {d.attention for _, d in load_space(tmp_path / "space.toml", ONE).enumerate()} == {"none", "se"}
    (tmp_path / "space.toml").write_text('attention = ["none", "scale"]\n[scale]\ndepth = [1, 2]')
    designs = {str(design) for _, design in load_space(tmp_path / "space.toml", ONE).enumerate()}
    assert designs == {"none", "scale", "scale:depth=2"}


def test_an_attention_that_is_not_there_may_be_a_plugins(tmp_path: Path) -> None:
    says = "no attention 'scale'; there are none, .*se, .*spa; a plug-in's needs --plugin FILE.py"
    with pytest.raises(UserError, match=says):
        Design.parse("scale")
    (tmp_path / "space.toml").write_text('attention = ["none", "scale"]')
    with pytest.raises(UserError, match=says):
        load_space(tmp_path / "space.toml", ONE)


class Keyword(Scale):
    def __init__(self, channels: int, groups: int = 4) -> None:
        super().__init__(channels)


class NoChannels(Scale):
    def __init__(self, reduction: int = 4) -> None:
        super().__init__(reduction)


class OddReduction(Narrow):
    def __init__(self, channels: int, reduction: int = 12) -> None:
        super().__init__(channels, reduction)


class NarrowAndWrong(Narrow):
    def forward(self, pooled: Tensor) -> Tensor:
        return super().forward(pooled)[:, :8]


class CannotHold(Excitation):
    def forward(self, pooled: Tensor) -> Tensor:
        return pooled


class HoldsNothing(Scale):
    def hold(self) -> float:
        return 0.0


class HoldsSomethingElse(Scale):
    def hold(self) -> float:
        return super().hold() + 1.0


class NotOne(Pixels):
    def start_at_one(self) -> None:
        """Nothing."""


class TooFew(Scale):
    def forward(self, pooled: Tensor) -> Tensor:
        return super().forward(pooled)[:, :8]


class TooManyAxes(Pixels):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features)[None]


class DependsOnValues(Pixels):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) if features.sum().item() > 0 else features


class Unmakeable(Scale):
    def __init__(self, channels: int) -> None:
        raise KeyError("nothing of this kind\nwhatever follows")


class OnlyAtDepth1(Scale):
    def squeeze(self, features: Tensor) -> Tensor:
        return features.amax((2, 3)).repeat(1, 2)

    def forward(self, pooled: Tensor) -> Tensor:
        return super().forward(pooled[:, : pooled.shape[1] // 2] + pooled[:, len(self.weight) :])


def everything() -> list[dict[Any, Any]]:
    """What all registries hold."""
    return [dict(table) for table in (DECLARED, ATTENTION, BACKBONES, SAMPLERS, DATASETS)]


@pytest.mark.parametrize(
    ("name", "module", "says"),
    [
        ("se", Scale, "there is an attention 'se' already"),
        ("none", Scale, "there is an attention 'none' already"),
        ("my-scale", Scale, "attention 'my-scale': a name is a letter"),
        ("scale:depth", Scale, "a name is a letter"),
        ("", Scale, "a name is a letter"),
        ("depth", Scale, "no field of a design"),
        ("attention", Scale, "no field of a design"),
        (
            "new",
            Keyword,
            "Keyword(channels, groups) must take channels, may take reduction, and nothing else",
        ),
        ("new", NoChannels, "NoChannels(reduction) must take channels"),
        ("new", NarrowAndWrong, "attention 'new' raises RuntimeError: "),
        ("new", OddReduction, "attention 'new': reduction=12 is not allowed; use one of 1, 2, 4"),
        ("new", nn.Linear, "a class derived from Excitation or Gate"),
        ("new", lambda channels: None, "a class derived from Excitation or Gate"),
        ("new", CannotHold, "CannotHold lacks hold"),
        ("new", HoldsNothing, "after hold the logits are not what it returns"),
        ("new", HoldsSomethingElse, "after hold the logits are not what it returns"),
        ("new", NotOne, "after start_at_one the gate is not 1"),
        ("new", TooFew, "attention 'new' raises RuntimeError: "),
        ("new", TooManyAxes, "a gate is (B, C, 1, 1) or (B, C, H, W)"),
        ("new", DependsOnValues, "attention 'new' raises RuntimeError: "),
        ("new", Unmakeable, "attention 'new' of 64 channels raises KeyError: 'nothing of this kind"),
        ("new", OnlyAtDepth1, "attention 'new' raises RuntimeError: "),
    ],
)
def test_a_mistake_is_one_line_and_registers_nothing(name: str, module: type[Gate], says: str) -> None:
    before = everything()
    with pytest.raises(UserError) as raised:
        ATTENTION.register(name)(module)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert everything() == before


def test_a_module_that_cannot_have_so_many_channels_says_so() -> None:
    class InGroups(Scale):
        def __init__(self, channels: int) -> None:
            super().__init__(channels)
            self.norm = nn.GroupNorm(32, channels)

    ATTENTION.register("groups")(InGroups)
    assert len(stage_gates(Design("groups"), 32, 2)) == 2
    with pytest.raises(UserError, match="attention 'groups' of 16 channels raises ValueError: num_channels"):
        stage_gates(Design("groups"), 16, 2)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("little", "there is a backbone 'little' already"),
        ("a,b", "backbone 'a,b': a name has"),
        ("net.py:make", "no comma, colon or @"),
        ("a@b", "no comma, colon or @"),
        ("", "at least one letter"),
    ],
)
def test_a_backbone_has_a_name_of_its_own(name: str, says: str) -> None:
    factory = backbone("resnet11").make
    BACKBONES.register("little")(factory)
    with pytest.raises(UserError, match=says):
        BACKBONES.register(name)(factory)
    assert BACKBONES.keys() - BACKBONES.ours.keys() == {"little"}


SOURCE = """
import torch
from torch import nn
from space.attention import ATTENTION, Excitation

@ATTENTION.register("lifted")
class Lifted(Excitation):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, pooled):
        return self.weight * pooled

    def hold(self):
        nn.init.zeros_(self.weight)
        return 0.0
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file: (name, text); gives its path."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write_file


def test_the_same_plugin_may_be_loaded_again(write: Callable[..., Path]) -> None:
    path = write("lifted.py", SOURCE)
    first, again = load_plugins([path, path]), load_plugins([path])
    assert len(first) == 1
    assert first == again
    assert "lifted" in DECLARED


def test_its_digest_is_that_of_its_text(write: Callable[..., Path]) -> None:
    one, same, other = (load_plugins([write(f"{text[-1]}.py", text)])[0] for text in (PLAIN, PLAIN, f"{PLAIN}0"))
    assert one.digest == same.digest != other.digest


def test_whoever_unpickles_a_plugin_has_loaded_it(write: Callable[..., Path]) -> None:
    (plugin,) = load_plugins([write("lifted.py", SOURCE)])
    (write("lifted.py", "")).unlink()
    program = (
        "import pickle, sys; plugin = pickle.load(sys.stdin.buffer)\n"
        "from space.design import Design; print(Design.parse('lifted:depth=2'), plugin.digest)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(plugin), capture_output=True, check=True, cwd=ROOT
    )
    assert ended.stdout.decode().split() == ["lifted:depth=2", plugin.digest]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def", "mine.py raises SyntaxError when it is imported: "),
        ("import nowhere", "mine.py raises ModuleNotFoundError when it is imported: No module named 'nowhere'"),
        (SOURCE.replace('"lifted"', '"se"'), "mine.py: there is an attention 'se' already"),
        (SOURCE.replace("self.weight * pooled", "1 / 0"), "mine.py: attention 'lifted' raises ZeroDivisionError"),
    ],
)
def test_a_plugin_that_raises_is_one_line_and_may_be_mended(write: Callable[..., Path], text: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        load_plugins([write("mine.py", text)])
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    load_plugins([write("mine.py", SOURCE)])
    assert "lifted" in DECLARED


def test_a_plugin_that_raises_in_the_end_has_registered_nothing(write: Callable[..., Path]) -> None:
    others = (
        "from search.samplers import SAMPLERS\n"
        "from space.backbones import BACKBONES\n"
        "from trainers.datasets import DATASETS\n"
        "SAMPLERS.register('chance')(SAMPLERS['random'])\n"
        "BACKBONES.register('nothing')(lambda: nn.Identity())\n"
        "DATASETS.register('nothing')(lambda source, download: None)\n"
    )
    before = everything()
    with pytest.raises(UserError, match=r"mine\.py raises ZeroDivisionError"):
        load_plugins([write("mine.py", f"{SOURCE}\n{others}\n1 / 0")])
    assert everything() == before
    load_plugins([write("mine.py", f"{SOURCE}\n{others}")])
    assert [len(table) for table in everything()] == [len(table) + 1 for table in before]


def test_a_file_that_two_plugins_import_registers_once(write: Callable[..., Path]) -> None:
    write("shared.py", SOURCE)
    one, two = (write(f"{name}.py", "import shared") for name in ("one", "two"))
    load_plugins([one, two])
    assert Design.parse("lifted:depth=2").attention == "lifted"

    three = write("three.py", SOURCE)  # the same text, but another file
    with pytest.raises(UserError, match=r"three\.py: there is an attention 'lifted' already"):
        load_plugins([three])
    write("shared.py", f"{SOURCE}\n{PLAIN}")  # the same file, but another text
    with pytest.raises(UserError, match=r"one\.py: there is an attention 'lifted' already"):
        load_plugins([one])


def test_one_file_registers_a_name_once(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"mine\.py: there is an attention 'lifted' already"):
        load_plugins([write("mine.py", SOURCE + SOURCE)])


def test_two_plugins_need_two_names(write: Callable[..., Path]) -> None:
    paths = [write("a/mine.py", PLAIN), write("b/mine.py", f"{PLAIN}0")]
    with pytest.raises(UserError, match=r"b/mine.py: another plug-in is called mine.py, too; rename one"):
        load_plugins(paths)


def test_no_such_plugin(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.py", tmp_path):
        with pytest.raises(UserError, match=f"--plugin {path}: no such Python file"):
            load_plugins([path])
