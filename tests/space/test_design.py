"""Designs: their text form, defaults, idle fields, errors and canonical form."""

from collections.abc import Iterator
from itertools import product

import pytest

from space.choices import SearchSpace
from space.design import FIELDS, VALUES, Design, Layout, Stage, Value, allowed, hidden_width, unit_start_learns
from space.errors import UserError

DEEP: Layout = (Stage(2, 64), Stage(2, 128), Stage(2, 256))
SHALLOW: Layout = (Stage(1, 64), Stage(1, 128), Stage(1, 256))
UNEVEN: Layout = (Stage(1, 8), Stage(3, 16), Stage(1, 32), Stage(2, 64))
LAYOUTS = pytest.mark.parametrize("layout", [DEEP, SHALLOW, UNEVEN], ids=["deep", "shallow", "uneven"])


def every_design() -> Iterator[Design]:
    """Each combination of values, idle and redundant ones included."""
    for attention, names in FIELDS.items():
        options: list[tuple[Value | None, ...]] = [
            (None, "1", "32", "123", "") if name == "stages" else allowed(attention, name) for name in names
        ]
        for values in product(*options):
            given = dict(zip(names, values, strict=True))
            connection = None if given.get("depth", 1) == 1 else str(given["connection"])
            if given.get("start") == "published" or unit_start_learns(attention, connection):
                yield Design(attention, **given)  # type: ignore[arg-type]


def test_every_design_is_what_its_text_and_its_json_say() -> None:
    for design in every_design():
        assert Design.parse(str(design)) == design
        assert Design(**design.to_dict()) == design  # type: ignore[arg-type]


def test_every_design_of_the_full_space_is_what_its_text_says() -> None:
    for _, design in SearchSpace.load("full", {"deep": DEEP}).enumerate():
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
        ("dia", Design("dia", sharing="stage", reduction=4, start="published")),
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
    ],
)
def test_a_field_that_says_nothing_is_dropped(text: str, same: str) -> None:
    assert Design.parse(text) == Design.parse(same)
    assert str(Design.parse(text)) == same


@pytest.mark.parametrize("bn", ["own", "shared"])
def test_two_bn_connections_may_share_a_bn(bn: str) -> None:
    assert Design("ras", depth=3, bn=bn).bn == bn


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("senet", ["'senet'", *FIELDS]),
        ("", ["''", *FIELDS]),
        ("senet:depth=2", ["'senet'", *FIELDS]),
        ("transformer:heads=8", ["'transformer'", *FIELDS]),
        ("se:heads=8", ["'heads'", *FIELDS["se"]]),
        ("eca:reduction=8", ["'reduction'", *FIELDS["eca"]]),
        ("none:depth=2", ["'depth'", "none"]),
        ("se:attention=ras", ["'attention'", *FIELDS["se"]]),
        ("se:depth=5", ["depth=5", "1, 2, 3, 4"]),
        ("se:depth=two", ["depth=two", "1, 2, 3, 4"]),
        ("se:depth=", ["depth=", "1, 2, 3, 4"]),
        ("se:depth=2.0", ["depth=2.0", "1, 2, 3, 4"]),
        ("se:reduction=3", ["reduction=3", "1, 2, 4, 8, 16, 32"]),
        ("ras:connection=gelu", ["connection=gelu", "bn, identity, relu, sigmoid, tanh, rational"]),
        ("ras:depth=3,bn=none", ["bn=none", "own, shared"]),
        ("se:depth=1,connection=gelu", ["connection=gelu", "bn"]),
        ("se:sharing=all", ["sharing=all", "block, stage"]),
        ("dia:sharing=block", ["sharing=block", "stage"]),
        ("se:start=zero", ["start=zero", "published, unit"]),
        ("se:stages=0", ["stages='0'", "digits"]),
        ("se:stages=all", ["stages='all'", "digits"]),
        ("se:stages=22", ["stages='22'", "digits"]),
        ("se:depth=2,depth=3", ["'depth'", "twice"]),
        ("se:depth", ["'depth'", "field=value"]),
        ("se:depth=2,", ["''", "field=value"]),
        ("se:,depth=2", ["''", "field=value"]),
        ("eca:depth=2,connection=identity,start=unit", ["start=unit", "connection=identity", "start=published"]),
        ("ras:connection=relu,start=unit", ["start=unit", "connection=relu", "connection=bn"]),
    ],
)
def test_a_wrong_text_gets_one_line_with_field_value_and_what_is_allowed(text: str, named: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        Design.parse(text)
    message = str(raised.value)
    assert "\n" not in message
    assert [name for name in named if name not in message] == []


@pytest.mark.parametrize("name", [name for name in VALUES if name != "depth"])
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
        for name in ("attention", "depth", "connection", "bn", "start"):
            assert getattr(canonical, name) == getattr(design, name)
        if design.reduction is not None and canonical.reduction is not None:
            for number in attended:
                channels = layout[number].channels
                assert hidden_width(channels, canonical.reduction) == hidden_width(channels, design.reduction)


def test_all_stages_are_the_default() -> None:
    assert Design("se", stages="123").canonical(DEEP) == Design("se")
    assert Design("se", stages="123").canonical(UNEVEN) == Design("se", stages="123")
    assert Design("se", stages="12").canonical(DEEP) == Design("se", stages="12")


def test_sharing_says_nothing_where_each_attended_stage_has_one_block() -> None:
    assert Design("se", sharing="stage").canonical(SHALLOW) == Design("se")
    assert Design("se", sharing="stage").canonical(DEEP) == Design("se", sharing="stage")
    assert Design("se", sharing="stage", stages="13").canonical(UNEVEN) == Design("se", stages="13")
    assert Design("se", sharing="stage", stages="12").canonical(UNEVEN) == Design("se", sharing="stage", stages="12")


@LAYOUTS
def test_dia_stays_shared_by_a_stage(layout: Layout) -> None:
    assert Design("dia").canonical(layout).sharing == "stage"


@pytest.mark.parametrize(
    ("stages", "given", "canonical"),
    [
        ("1", 32, 8),  # 8 channels: one hidden unit from r = 8 on
        ("1", 16, 8),
        ("1", 4, 4),
        ("12", 32, 16),  # 16 channels: 2 hidden units at r = 8, one from r = 16 on
        ("12", 8, 8),
        ("13", 32, 32),  # 32 channels: every reduction has a width of its own
        ("2", 16, 16),
    ],
)
def test_reductions_with_the_same_hidden_widths_are_the_smallest_of_them(
    stages: str, given: int, canonical: int
) -> None:
    assert Design("se", reduction=given, stages=stages).canonical(UNEVEN).reduction == canonical


@pytest.mark.parametrize(
    ("channels", "reduction", "units"), [(64, 16, 4), (64, 1, 64), (8, 16, 1), (8, 8, 1), (20, 8, 2)]
)
def test_a_hidden_layer_has_c_over_r_units_and_at_least_one(channels: int, reduction: int, units: int) -> None:
    assert hidden_width(channels, reduction) == units


@pytest.mark.parametrize("stages", ["4", "14", "9"])
def test_a_stage_that_the_backbone_does_not_have_is_an_error(stages: str) -> None:
    with pytest.raises(UserError, match=rf"^stages={stages}\b.*\b123$"):
        Design("se", stages=stages).canonical(DEEP)
