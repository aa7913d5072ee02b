"""Designs: their text form, defaults, idle fields, errors and canonical form."""

import json
from functools import cache
from itertools import product
from random import Random

import pytest

from space.declarations import Choice, Value, declare, hidden_width
from space.declared import DECLARED
from space.design import Design, Layout, Stage
from space.errors import UserError
from space.space_files import load_space

DEEP: Layout = (Stage(2, 64), Stage(2, 128), Stage(2, 256))
SHALLOW: Layout = (Stage(1, 64), Stage(1, 128), Stage(1, 256))
UNEVEN: Layout = (Stage(1, 8), Stage(3, 16), Stage(1, 32), Stage(2, 64))
LAYOUTS = pytest.mark.parametrize("layout", [DEEP, SHALLOW, UNEVEN], ids=["deep", "shallow", "uneven"])


@cache
def every_design() -> tuple[Design, ...]:
    """Combinations of values, idle and redundant ones included: of each attention all, or 1500 drawn at random."""
    designs: list[Design] = []
    for attention, declaration in DECLARED.items():
        names = declaration.choices
        options: list[tuple[Value | None, ...]] = [
            (None, "1", "32", "123", "") if name == "stages" else choice.values for name, choice in names.items()
        ]
        combinations = list(product(*options))
        for values in Random(0).sample(combinations, min(1500, len(combinations))):
            given = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            idle = ("deepening", "connection") if given.get("depth") == 1 else ()
            active = {name: value for name, value in given.items() if name not in idle}
            if given.get("start") != "unit" or declaration.learns_from_one(active):
                designs.append(Design.from_dict({"attention": attention, **given}))
    return tuple(designs)


def test_each_value_of_each_field_is_among_these_designs() -> None:
    for attention, declaration in DECLARED.items():
        for name, choice in declaration.choices.items():
            found = {design.get(name) for design in every_design() if design.attention == attention}
            assert found - {None} == ({"1", "23", "123"} if name == "stages" else {*choice.values})


def test_every_design_is_what_its_text_and_its_json_say() -> None:
    for design in every_design():
        assert Design.parse(str(design)) == design
        assert Design.from_dict(json.loads(json.dumps(design.to_dict()))) == design


def test_every_design_of_the_full_space_is_what_its_text_says() -> None:
    for _, design in load_space("full", {"deep": DEEP}).enumerate():
        assert Design.parse(str(design)) == design


def test_different_designs_have_different_texts() -> None:
    designs = set(every_design())
    assert len({str(design) for design in designs}) == len(designs)


@pytest.mark.parametrize(
    ("text", "design"),
    [
        ("none", Design()),
        ("ras", Design("ras", depth=2, connection="bn", sharing="block", start="published")),
        ("se", Design("se", depth=1, sharing="block", reduction=16, start="published")),
        ("eca", Design("eca", depth=1, sharing="block", start="published")),
        ("cbam", Design("cbam", sharing="block", reduction=16, start="published")),
        ("dia", Design("dia", sharing="stage", reduction=4, output="sigmoid", cells=1, start="published")),
        ("sem", Design("sem", sharing="block", reduction=16, start="published")),
        ("spa", Design("spa", depth=1, sharing="block", reduction=16, start="published")),
        ("se", Design("se", bias="yes")),
        ("se:depth=2", Design("se", depth=2, deepening="implicit", connection="bn")),
        ("se:depth=2,deepening=explicit", Design("se", depth=2, deepening="explicit", connection="identity")),
        ("ras:deepening=explicit", Design("ras", depth=2, deepening="explicit", connection="identity")),
        ("spa:deepening=explicit,depth=3,bn=shared", Design("spa", depth=3, deepening="explicit")),
        ("dia:cells=3,output=relu", Design("dia", reduction=4, output="relu", cells=3)),
        ("se:depth=3", Design("se", depth=3, connection="bn", bn="own", reduction=16)),
        ("ras:stages=32", Design("ras", stages="23")),
        ("  se : reduction=8".replace(" :", ":"), Design("se", reduction=8)),
        ("ras: depth = 3 , connection = tanh", Design("ras", depth=3, connection="tanh")),
    ],
)
def test_a_field_left_out_takes_its_default(text: str, design: Design) -> None:
    assert Design.parse(text) == design


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("se:depth=1,connection=tanh,bn=shared", "se"),
        ("ras:depth=2,bn=shared", "ras"),
        ("ras:depth=3,connection=tanh,bn=shared", "ras:depth=3,connection=tanh"),
        ("se:stages=", "none"),
        ("dia:stages=,reduction=8", "none"),
        ("dia:sharing=stage", "dia"),
        ("se:depth=1,reduction=16,start=published", "se"),
        ("se:depth=1,deepening=explicit", "se"),
        ("se:depth=3,deepening=implicit", "se:depth=3"),
        ("se:depth=2,deepening=explicit,connection=identity", "se:depth=2,deepening=explicit"),
        ("se:depth=2,deepening=explicit,connection=bn,bn=shared", "se:depth=2,deepening=explicit,connection=bn"),
        ("se:bias=yes", "se"),
        ("dia:output=sigmoid,cells=1", "dia"),
    ],
)
def test_a_field_that_says_nothing_is_dropped(text: str, same: str) -> None:
    assert Design.parse(text) == Design.parse(same)
    assert str(Design.parse(text)) == same


def test_leaving_fields_out_gives_them_their_defaults() -> None:
    design = Design.parse("se:depth=3,connection=tanh,stages=23,reduction=8,bias=no")
    assert design.without("stages", "bias") == Design.parse("se:depth=3,connection=tanh,reduction=8")
    assert design.without("depth") == Design.parse("se:stages=23,reduction=8,bias=no")


@pytest.mark.parametrize("bn", ["own", "shared"])
def test_two_bn_connections_may_share_a_bn(bn: str) -> None:
    assert Design("ras", depth=3, bn=bn)["bn"] == bn


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("senet", ["'senet'", *DECLARED]),
        ("", ["''", *DECLARED]),
        ("senet:depth=2", ["'senet'", *DECLARED]),
        ("transformer:heads=8", ["'transformer'", *DECLARED]),
        ("se:heads=8", ["'heads'", *DECLARED["se"].choices]),
        ("eca:reduction=8", ["'reduction'", *DECLARED["eca"].choices]),
        ("none:depth=2", ["'depth'", "none"]),
        ("se:attention=ras", ["'attention'", *DECLARED["se"].choices]),
        ("se:depth=5", ["depth=5", "1, 2, 3, 4"]),
        ("se:depth=two", ["depth=two", "1, 2, 3, 4"]),
        ("se:depth=", ["depth=", "1, 2, 3, 4"]),
        ("se:depth=2.0", ["depth=2.0", "1, 2, 3, 4"]),
        ("se:reduction=3", ["reduction=3", "1, 2, 4, 8, 10, 16, 20, 32"]),
        ("ras:connection=gelu", ["connection=gelu", "bn, identity, relu, sigmoid, tanh, rational"]),
        ("ras:depth=3,bn=none", ["bn=none", "own, shared"]),
        ("se:depth=1,connection=gelu", ["connection=gelu", "bn"]),
        ("se:sharing=all", ["sharing=all", "block, stage"]),
        ("dia:sharing=block", ["sharing=block", "stage"]),
        ("se:start=zero", ["start=zero", "published, unit"]),
        ("se:depth=2,deepening=both", ["deepening=both", "implicit, explicit"]),
        ("se:bias=maybe", ["bias=maybe", "yes, no"]),
        ("cbam:bias=no", ["'bias'", *DECLARED["cbam"].choices]),
        ("dia:depth=2", ["'depth'", *DECLARED["dia"].choices]),
        ("dia:output=gelu", ["output=gelu", "sigmoid, tanh, relu"]),
        ("dia:cells=4", ["cells=4", "1, 2, 3"]),
        ("sem:cells=2", ["'cells'", *DECLARED["sem"].choices]),
        ("se:stages=0", ["stages='0'", "digits"]),
        ("se:stages=all", ["stages='all'", "digits"]),
        ("se:stages=22", ["stages='22'", "digits"]),
        ("se:depth=2,depth=3", ["'depth'", "twice"]),
        ("se:depth", ["'depth'", "field=value"]),
        ("se:depth=2,", ["''", "field=value"]),
        ("se:,depth=2", ["''", "field=value"]),
        ("eca:depth=2,connection=identity,start=unit", ["start=unit", "connection=identity", "start=published"]),
        ("spa:depth=3,connection=relu,start=unit", ["start=unit", "connection=relu", "start=published"]),
        ("se:depth=2,connection=tanh,bias=no,start=unit", ["start=unit", "connection=tanh", "connection=bn"]),
        ("ras:connection=relu,start=unit", ["start=unit", "connection=relu", "connection=bn"]),
    ],
)
def test_a_wrong_text_gets_one_line_with_field_value_and_what_is_allowed(text: str, named: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        Design.parse(text)
    message = str(raised.value)
    assert "\n" not in message
    assert [name for name in named if name not in message] == []


@pytest.mark.parametrize("name", ["depth", "stages", "reduction", "start"])
def test_a_line_break_in_a_value_does_not_break_the_message(name: str) -> None:
    with pytest.raises(UserError) as raised:
        Design.parse(f"se:{name}=first\nsecond")
    assert len(str(raised.value).splitlines()) == 1


def test_a_design_attends_the_stages_it_names() -> None:
    assert [Design("se", stages="13").attends(stage) for stage in range(3)] == [True, False, True]
    assert [Design("se").attends(stage) for stage in range(3)] == [True, True, True]
    assert [Design().attends(stage) for stage in range(3)] == [False, False, False]


@LAYOUTS
def test_canonical_is_idempotent(layout: Layout) -> None:
    for design in every_design():
        canonical = design.canonical(layout)
        assert canonical.canonical(layout) == canonical
        assert Design.parse(str(canonical)) == canonical


@LAYOUTS
def test_canonical_keeps_what_the_network_computes(layout: Layout) -> None:
    for design in every_design():
        canonical = design.canonical(layout)
        attended = [number for number in range(len(layout)) if design.attends(number)]
        assert [number for number in range(len(layout)) if canonical.attends(number)] == attended
        assert canonical.attention == design.attention
        for name in ("depth", "deepening", "connection", "bn", "bias", "output", "cells", "start"):
            assert canonical.get(name) == design.get(name)
        if design.get("reduction") is not None:
            for number in attended:
                channels = layout[number].channels
                assert hidden_width(channels, canonical["reduction"]) == hidden_width(channels, design["reduction"])


def test_all_stages_are_the_default() -> None:
    assert Design("se", stages="123").canonical(DEEP) == Design("se")
    assert Design("se", stages="123").canonical(UNEVEN) == Design("se", stages="123")
    assert Design("se", stages="12").canonical(DEEP) == Design("se", stages="12")


def test_sharing_says_nothing_where_each_attended_stage_has_one_block() -> None:
    assert Design("eca", sharing="stage").canonical(SHALLOW) == Design("eca")
    assert Design("eca", sharing="stage").canonical(DEEP) == Design("eca", sharing="stage")
    assert Design("eca", sharing="stage", stages="13").canonical(UNEVEN) == Design("eca", stages="13")
    assert Design("eca", sharing="stage", stages="12").canonical(UNEVEN) == Design("eca", sharing="stage", stages="12")


def test_a_stage_of_several_widths_is_canonical_by_each_of_them() -> None:
    single, double = (Stage(1, 8, (Stage(blocks, 64),)) for blocks in (1, 2))
    assert str(Design.parse("eca:sharing=stage").canonical((single,))) == "eca"
    assert str(Design.parse("eca:sharing=stage").canonical((double,))) == "eca:sharing=stage"
    for layout in ((single,), (double,)):
        assert str(Design.parse("se:reduction=32").canonical(layout)) == "se:reduction=32"
        assert str(Design.parse("se:reduction=10").canonical(layout)) == "se:reduction=10"
    assert str(Design.parse("se:reduction=32").canonical((Stage(1, 8),))) == "se:reduction=8"


@LAYOUTS
def test_dia_stays_shared_by_a_stage(layout: Layout) -> None:
    assert Design("dia").canonical(layout)["sharing"] == "stage"


@pytest.mark.parametrize(
    ("stages", "given", "canonical"),
    [
        ("1", 32, 8),  # 8 channels: one hidden unit from r = 8 on
        ("1", 10, 8),
        ("1", 4, 4),
        ("12", 32, 10),  # 16 channels: 2 hidden units at r = 8, one from r = 10 on
        ("12", 8, 8),
        ("13", 32, 20),  # 32 channels: one hidden unit from r = 20 on, 2 at r = 16, 3 at r = 10
        ("13", 16, 16),
        ("13", 10, 10),
        ("4", 32, 32),  # 64 channels: every reduction has a width of its own
    ],
)
def test_reductions_with_the_same_hidden_widths_are_the_smallest_of_them(
    stages: str, given: int, canonical: int
) -> None:
    assert Design("se", reduction=given, stages=stages).canonical(UNEVEN)["reduction"] == canonical


@pytest.mark.parametrize(
    ("channels", "reduction", "units"), [(64, 16, 4), (64, 1, 64), (8, 16, 1), (8, 8, 1), (20, 8, 2)]
)
def test_a_hidden_layer_has_c_over_r_units_and_at_least_one(channels: int, reduction: int, units: int) -> None:
    assert hidden_width(channels, reduction) == units


@pytest.mark.parametrize("stages", ["4", "14", "9"])
def test_a_stage_that_the_backbone_does_not_have_is_an_error(stages: str) -> None:
    with pytest.raises(UserError, match=rf"^stages={stages}\b.*\b123$"):
        Design("se", stages=stages).canonical(DEEP)


@pytest.mark.usefixtures("registries")
def test_what_bears_on_a_cost_is_said_by_what_an_attention_declares_now() -> None:
    for values in ((1, 2), (3, 4)):
        DECLARED["new"] = declare("gate", (Choice("groups", values, changes=()),))
        assert Design("new", groups=values[1]).bearing_on("params")["groups"] == values[0]
