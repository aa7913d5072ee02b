"""What attentions declare: ours without torch as when they register, and a plug-in's own choices like ours."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from space.attention import ATTENTION, Choice, Excitation, Gate, stage_gates
from space.attention.passes import mean
from space.backbones import backbone
from space.build import build
from space.choices import SearchSpace
from space.declarations import CONNECTION, DEPTH, REDUCTION, SHARING, START, When, declare
from space.declared import DECLARED, MODULES, registrations
from space.design import Design, Stage
from space.errors import UserError
from space.space_files import PRESETS, load_space
from tests.space.conftest import count
from trainers.counting import computation, macs, num_params
from trainers.task import Task

pytestmark = pytest.mark.usefixtures("registries")

ROOT = Path(__file__).parents[2]
ONE = {"resnet20": backbone("resnet20").layout}
TASK = Task(10, (3, 32, 32))


def test_what_is_known_without_torch_is_what_registers() -> None:
    known = "from space.declared import DECLARED; import sys; assert 'torch' not in sys.modules; print(repr(DECLARED))"
    ended = subprocess.run([sys.executable, "-c", known], check=True, capture_output=True, text=True, cwd=ROOT)
    assert ended.stdout.strip() == repr(DECLARED)
    assert {*ATTENTION.ours, "none"} == {*DECLARED.ours}
    assert {*ATTENTION.ours} == {name for name in MODULES if (ROOT / "space" / "attention" / f"{name}.py").exists()}


def test_ours_are_still_there_after_a_plugin_that_imported_them_first_and_raised(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\nfrom space.errors import UserError\nfrom space.user_code import load_plugins\n"
        "try: load_plugins([Path('mine.py')])\nexcept UserError: pass\n"
        "from space.attention import ATTENTION; print(*ATTENTION)"
    )
    (tmp_path / "mine.py").write_text("import space.attention; 1 / 0")
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert ended.stdout.split() == [*ATTENTION]


def test_one_of_ours_that_says_something_else_when_it_is_run_is_found_out() -> None:
    se = ATTENTION.pop("se")
    assert se is ATTENTION.ours["se"]
    with pytest.raises(AssertionError, match="se: its file says something else"):
        ATTENTION.register("se", choices=(GROUPS,))(InGroups)


def test_a_file_is_read_as_it_registers() -> None:
    [(name, declaration)] = registrations(
        '@ATTENTION.register("x", choices=(Choice("k", (3, 5)), REDUCTION))\nclass X(Excitation):\n  1 / 0'
    )
    assert name == "x"
    assert declaration == declare("excitation", (Choice("k", (3, 5)), REDUCTION))
    [(_, stage)] = registrations('@other\n@ATTENTION.register("y", normalises=True)\ndef y(channels, blocks): ...')
    assert stage == declare("stage", normalises=True)
    assert list(registrations("@register('z')\nclass Z(Gate): ...")) == []


class Grouped(Excitation):
    """w z + b, where z are the channel means, mixed by a convolution in groups, with a bias or without."""

    def __init__(self, channels: int, groups: int, kind: str = "mean", bias: bool = True) -> None:
        super().__init__()
        assert kind in ("mean", "max")
        assert isinstance(bias, bool)
        self.kind = kind
        self.mix = nn.Conv1d(channels, channels, 1, groups=groups, bias=bias)

    def squeeze(self, features: Tensor) -> Tensor:
        return mean(features, 2, 3) if self.kind == "mean" else features.amax((2, 3))

    def forward(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.mix(pooled[:, :, None])
        return logits.squeeze(2)

    def hold(self) -> float:
        for parameter in self.mix.parameters():
            nn.init.zeros_(parameter)
        return 0.0


class InGroups(Grouped):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, groups)


class OfSE(Grouped):
    def __init__(self, channels: int, se: int) -> None:
        super().__init__(channels, se)


GROUPS = Choice("groups", (2, 4, 8), default=4, changes=("params", "macs"))
KIND = Choice("kind", ("mean", "max"), changes=("time",))
BIAS = Choice("bias", ("yes", "no"), changes=("params",), idle=(When(groups=(8,)),))


def register_grouped() -> None:
    ATTENTION.register("grouped", choices=(GROUPS, KIND, BIAS), stalls=When(connection=("relu",), bias=("no",)))(
        Grouped
    )


def test_its_choices_stand_in_the_text_between_stages_and_start() -> None:
    register_grouped()
    text = "grouped:depth=3,connection=tanh,sharing=stage,stages=23,groups=8,kind=max,start=unit"
    design = Design.parse(text)
    assert str(design) == text
    assert Design.from_dict(design.to_dict()) == design
    assert (design["groups"], design["kind"], design.get("bias")) == (8, "max", None)
    assert Design.parse("grouped:groups=4,kind=mean,bias=yes") == Design("grouped")
    assert Design.parse("grouped:groups=8,bias=no") == Design("grouped", groups=8)  # there it is idle
    assert design.dashed.split("-") == ["grouped", *text.partition(":")[2].replace("=", ",").split(",")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("grouped:groups=3", "groups=3 is not allowed; use one of 2, 4, 8"),
        ("grouped:groups=two", "groups=two is not allowed; use one of 2, 4, 8"),
        ("grouped:kind=sum", "kind=sum is not allowed; use one of mean, max"),
        ("grouped:heads=2", "no field 'heads'; grouped has depth, .*, stages, groups, kind, bias, start"),
        ("se:groups=2", "no field 'groups'; se has"),
        ("grouped:depth=2,connection=relu,bias=no,start=unit", "connection=relu would never learn"),
    ],
)
def test_a_wrong_value_is_one_line(text: str, says: str) -> None:
    register_grouped()
    with pytest.raises(UserError, match=says) as raised:
        Design.parse(text)
    assert "\n" not in str(raised.value)


def test_where_it_says_that_it_learns_from_1_it_may_start_there() -> None:
    register_grouped()
    for text in ("connection=relu", "connection=tanh,bias=no", "connection=relu,bias=no,deepening=explicit"):
        assert Design.parse(f"grouped:depth=2,{text}").starting_at_one()["start"] == "unit"


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("grouped:stages=1", 2 * (64 * 64 // 4 + 64)),
        ("grouped:stages=1,groups=2", 2 * (64 * 64 // 2 + 64)),
        ("grouped:stages=1,groups=2,bias=no,sharing=stage", 64 * 64 // 2),
        ("grouped:stages=1,groups=8", 2 * (64 * 64 // 8 + 64)),
    ],
)
def test_its_constructor_gets_them(text: str, parameters: int) -> None:
    register_grouped()
    design = Design.parse(text)
    plain, gated = (build(it, backbone("resnet20")) for it in (Design(), design))
    assert count(gated) - count(plain) == parameters
    assert num_params(design, "resnet20", TASK) - num_params(Design(), "resnet20", TASK) == parameters
    assert isinstance(stage_gates(Design("grouped", kind="max"), 64, 1)[0].get_submodule("excitations.0"), Grouped)


def costs(text: str) -> tuple[Any, ...]:
    """What the costs of a design are looked up by: of parameters, MACs and time."""
    design = Design.parse(text)
    keys = [str(design.bearing_on(quantity)) for quantity in ("params", "macs")]
    return *keys, str(computation(design))


def test_its_costs_depend_on_a_choice_exactly_if_it_is_declared_so() -> None:
    register_grouped()
    before = costs("grouped")
    changed = {text: [a != b for a, b in zip(before, costs(f"grouped:{text}"), strict=True)] for text in CHANGE}
    assert changed == CHANGE
    assert macs(Design("grouped", groups=2), "resnet20", TASK) > macs(Design("grouped"), "resnet20", TASK)


CHANGE = {
    "groups=2": [True, True, False],
    "kind=max": [False, False, True],
    "bias=no": [True, False, False],
    "start=unit": [False, False, False],
    "stages=2": [False, False, False],
    "depth=2": [True, True, True],
}
"""Whether parameters, MACs and time change."""


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_all_values_of_its_own_choices(preset: str) -> None:
    register_grouped()
    values = load_space(preset, ONE).values["grouped"]
    assert (values["groups"], values["kind"]) == ((2, 4, 8), ("mean", "max"))
    assert ("bias" in values) is (preset == "full")  # that se has, too


def load(folder: Path, text: str) -> SearchSpace:
    (folder / "space.toml").write_text(text)
    return load_space(folder / "space.toml", ONE)


def test_a_file_may_list_their_values(tmp_path: Path) -> None:
    register_grouped()
    both = load(tmp_path, 'attention = ["se", "grouped"]\ngroups = [2, 8]\n[grouped]\nbias = ["no", "yes"]')
    texts = ["se", "grouped:groups=2", "grouped:groups=2,bias=no", "grouped:groups=8"]
    assert {str(design) for _, design in both.enumerate()} == {*texts}
    stalling = 'bias = ["no"]\nconnection = ["relu", "tanh"]\ndepth = [2]'
    unit = load(tmp_path, f'attention = ["grouped"]\n{stalling}')
    assert unit.starting_at_one().values["grouped"]["connection"] == ("tanh",)
    with pytest.raises(UserError, match=r"key 'groups': 3 is not allowed; use some of 2, 4, 8"):
        load(tmp_path, 'attention = ["grouped"]\ngroups = [3]')
    with pytest.raises(UserError, match=r"key 'se\.groups': se has"):
        load(tmp_path, 'attention = ["se"]\n[se]\ngroups = [2]')


class Running(Gate):
    """The sigmoid of the mean of all that the blocks of a stage have seen so far, weighed."""

    def __init__(self, seen: list[Tensor], weight: nn.Parameter, first: bool) -> None:
        super().__init__()
        self.seen, self.weight, self.first = seen, weight, first

    def forward(self, features: Tensor) -> Tensor:
        if self.first:
            self.seen.clear()
        self.seen.append(mean(features, 2, 3))
        return self._scaled((self.weight * torch.stack(self.seen).mean(0)).sigmoid())[:, :, None, None]

    def start_at_one(self) -> None:
        nn.init.zeros_(self.weight)
        self.scale = 2.0


def running(channels: int, blocks: int, reduction: int = 8, weight: str = "one") -> list[Gate]:
    """Gates that share a weight and what they have seen."""
    seen: list[Tensor] = []
    shared = nn.Parameter(torch.full((channels,), 1.0 if weight == "one" else 2.0))
    return [Running(seen, shared, block == 0) for block in range(blocks)]


def test_a_function_makes_the_gates_of_a_stage_like_dia() -> None:
    ATTENTION.register("running", choices=(Choice("weight", ("one", "two"), changes=()),))(running)
    dia = [name for name in DECLARED["dia"].choices if name not in ("output", "cells")]
    assert [*DECLARED["running"].choices] == [*dia[:2], "weight", "reduction", "start"]
    assert str(Design("running", sharing="stage", reduction=8, weight="two")) == "running:weight=two"
    with pytest.raises(UserError, match="sharing=block is not allowed; use one of stage"):
        Design("running", sharing="block")
    assert Design("running").canonical((Stage(1, 64), Stage(1, 64)))["sharing"] == "stage"
    assert str(Design("running", reduction=32).canonical((Stage(2, 16),))) == "running:reduction=10"
    first, second = stage_gates(Design("running", weight="two"), 4, 2)
    features = [torch.rand(3, 4, 2, 2), torch.rand(3, 4, 2, 2)]
    first(features[0])
    means = [it.mean((2, 3), keepdim=True) for it in features]
    torch.testing.assert_close(second(features[1]), (means[0] + means[1]).sigmoid())
    assert num_params(Design("running"), "resnet20", TASK) - num_params(Design(), "resnet20", TASK) == 64 + 128 + 256
    assert "running" in load_space("small", ONE).values


def test_a_choice_that_all_have_may_get_another_default_or_fewer_values() -> None:
    shallow = (DEPTH.with_default(3), Choice("sharing", ("stage",)), Choice("groups", (2,)))
    ATTENTION.register("deep", choices=shallow)(InGroups)
    assert Design("deep")["depth"] == 3
    assert str(Design("deep", depth=3)) == "deep"
    with pytest.raises(UserError, match="sharing=block is not allowed"):
        Design.parse("deep:sharing=block")


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ([("my-groups", (2, 4))], "choice 'my-groups': a name is a letter"),
        ([("attention", (2, 4))], "choice 'attention': a name is a letter"),
        ([("groups", ())], "choice 'groups': its values are different words"),
        ([("groups", (2, 2))], "its values are different words, or different whole numbers"),
        ([("groups", (2, "four"))], "its values are different words, or different whole numbers"),
        ([("groups", (0.5,))], "its values are different words, or different whole numbers"),
        ([("groups", (True, False))], "its values are different words, or different whole numbers"),
        ([("groups", (-1, 1))], "its values are different words, or different whole numbers"),
        ([("groups", ("a,b",))], "its values are different words, or different whole numbers"),
        ([("groups", (2, 4), 3)], "groups=3 is not allowed; use one of 2, 4"),
        ([("groups", (2, 4)), ("groups", (2, 4))], "attention 'new': choices groups, groups: one stands twice"),
        ([("stages", ("1",))], "attention 'new': choices stages: one stands twice, or is stages or start"),
        ([("start", ("unit",))], "or is stages or start"),
        ([("groups", (2, 4)), ("width", (1, 2))], "must take channels, groups, width, may take reduction, and nothing"),
        ([("groups", (2, 4), 2, ("time",))], "choice 'groups' is declared not to change the parameters, and does"),
        ([("groups", (2, 4, 7))], "attention 'new' of 64 channels raises ValueError"),
        ([("groups", (2, 4), 2, ("params",), (When(heads=(1,)),))], "choice 'groups': heads is no choice before it"),
    ],
)
def test_a_mistake_is_one_line_and_registers_nothing(choices: Sequence[tuple[Any, ...]], says: str) -> None:
    before = dict(DECLARED), dict(ATTENTION)
    with pytest.raises(UserError) as raised:
        ATTENTION.register("new", choices=tuple(Choice(*given) for given in choices))(InGroups)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (dict(DECLARED), dict(ATTENTION)) == before


def test_a_choice_has_no_attentions_name_and_no_attention_a_choices() -> None:
    register_grouped()
    with pytest.raises(UserError, match="attention 'new': choice se has the name of an attention"):
        ATTENTION.register("new", choices=(Choice("se", (2, 4)),))(OfSE)
    with pytest.raises(UserError, match=r"attention 'kind': a name is a letter.* and no field of a design"):
        ATTENTION.register("kind", choices=(GROUPS,))(InGroups)


@pytest.mark.parametrize(
    "stalls",
    [When(bias=("no",)), When(connection=("relu",), heads=(1,)), When()],
    ids=["no connection", "odd", "empty"],
)
def test_what_stalls_is_told_by_connections_and_choices_that_there_are(stalls: When) -> None:
    with pytest.raises(UserError, match="attention 'new': stalls names values of connection"):
        ATTENTION.register("new", choices=(GROUPS,), stalls=stalls)(InGroups)
    with pytest.raises(UserError, match="only what has connections stalls behind some"):
        declare("gate", stalls=stalls)


def test_gates_of_a_whole_stage_cannot_be_a_blocks_own() -> None:
    with pytest.raises(UserError, match="is shared there"):
        declare("stage", (SHARING,))


def test_conditions_are_of_choices_that_come_before() -> None:
    assert When(depth=(1, 2), kind=("a",)).holds({"depth": 2, "kind": "a", "more": 1})
    assert not When(depth=(1, 2), kind=("a",)).holds({"depth": 2})
    assert CONNECTION.is_idle({"depth": 1})
    assert CONNECTION.default_in({"deepening": "explicit"}) == "identity"
    assert CONNECTION.default_in({}) == "bn"
    assert START.read("unit") == "unit"
    assert (DEPTH.read("2"), DEPTH.read("two")) == (2, "two")
