"""Search spaces in files: the presets, TOML files, and what is wrong with them."""

from itertools import combinations
from pathlib import Path

import pytest

from space.backbones import backbone
from space.declared import DECLARED
from space.design import Design, Layout, Stage
from space.errors import UserError
from space.space_files import PRESETS, load_space
from tests.space.test_choices import ONE, load, meant, random_candidates


@pytest.mark.parametrize("depth", ["", "depth = [2]\n"])
def test_where_every_gate_is_to_start_at_1_a_connection_that_rules_it_out_is_a_mistake_at_any_depth(
    tmp_path: Path, depth: str
) -> None:
    with pytest.raises(UserError, match="connection=relu would never learn"):
        load(tmp_path, f'attention = ["ras"]\nconnection = ["bn", "relu"]\n{depth}start = ["unit"]')


def of_depth(count: int) -> Layout:
    return tuple(Stage(2, 64) for _ in range(count))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("depths", [(1,), (2,), (3,), (4,), (9,), (1, 2), (4, 2), (3, 4), (9, 1, 3)], ids=str)
def test_a_preset_fits_every_backbone(preset: str, depths: tuple[int, ...]) -> None:
    layouts = {f"{count} stages": of_depth(count) for count in depths}
    space = load_space(preset, layouts)

    for attention, table in space.values.items():
        options = table.get("stages", ("all",))
        sets = [tuple(meant(option, layout) for layout in layouts.values()) for option in options]
        assert len(set(sets)) == len(sets) > 0
        for digits in sets:
            for layout, some in zip(layouts.values(), digits, strict=True):
                Design(attention, stages=None if attention == "none" else some).canonical(layout)
        assert attention == "none" or any(design.stages is None for _, design in random_candidates(space, 300))


@pytest.mark.parametrize(
    ("count", "stages"), [(1, {None}), (2, {None, "2"}), (3, {None, "23", "3"}), (4, {None, "34", "4"})]
)
def test_the_small_preset_has_all_the_last_two_and_the_last_stage(count: int, stages: set[str | None]) -> None:
    space = load_space("small", {"it": of_depth(count)})
    assert {design.stages for _, design in space.enumerate()} == stages


def test_the_last_stage_is_that_of_each_backbone(tmp_path: Path) -> None:
    layouts = {"three": of_depth(3), "four": of_depth(4)}
    space = load(tmp_path, 'attention = ["eca"]\nstages = ["last", "last two"]', layouts)
    assert {(name, design.stages) for name, design in space.enumerate()} == {
        ("three", "3"),
        ("three", "23"),
        ("four", "4"),
        ("four", "34"),
    }


@pytest.mark.parametrize("depths", [(1,), (4, 2)], ids=str)
def test_a_file_that_names_a_stage_that_is_not_there_gets_one_line_with_the_backbone(
    tmp_path: Path, depths: tuple[int, ...]
) -> None:
    with pytest.raises(UserError) as raised:
        load(
            tmp_path, 'attention = ["se"]\nstages = ["all", "3"]', {f"net{count}": of_depth(count) for count in depths}
        )
    assert str(raised.value) == (
        f"{tmp_path / 'space.toml'}: net{depths[-1]}: stages=3: this backbone has the stages {'12'[: depths[-1]]}"
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["resnet11", "resnet20", "resnet164"])
def test_a_preset_has_the_plain_network_and_every_attention(preset: str, name: str) -> None:
    space = load_space(preset, {name: backbone(name).layout})
    designs = [design for _, design in space.enumerate()]

    assert Design() in designs
    assert {design.attention for design in designs} == set(DECLARED)


@pytest.mark.parametrize("name", ["resnet20", "resnet83", "resnet164"])
def test_the_small_preset_has_a_few_hundred_designs(name: str) -> None:
    assert 200 <= len(list(load_space("small", {name: backbone(name).layout}).enumerate())) <= 600


def test_the_full_preset_holds_the_other_ones() -> None:
    small, papers, full = (set(load_space(preset, ONE).enumerate()) for preset in PRESETS)
    assert small < full
    assert papers < full


def test_values_common_to_all_attentions_are_narrowed_to_what_each_allows(tmp_path: Path) -> None:
    space = load(tmp_path, 'attention = ["se", "dia", "eca"]\nsharing = ["block"]\nreduction = [8]')
    assert set(space.enumerate()) == {
        ("two-blocks", Design("se", reduction=8)),
        ("two-blocks", Design("dia", reduction=8)),
        ("two-blocks", Design("eca")),
    }


@pytest.mark.parametrize("layout", [ONE["two-blocks"], (*ONE["two-blocks"], Stage(1, 512))], ids=["three", "four"])
def test_any_stages_are_all_sets_of_them(tmp_path: Path, layout: Layout) -> None:
    space = load(tmp_path, 'attention = ["eca"]\nstages = ["any"]', {"it": layout})
    sets = {"".join(digits) for size in range(1, len(layout)) for digits in combinations("1234"[: len(layout)], size)}

    assert {design for _, design in space.enumerate()} == {Design("eca"), *(Design("eca", stages=s) for s in sets)}
    assert len(list(space.enumerate())) == 2 ** len(layout) - 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("attention = [", ["not TOML"]),
        ("", ["attention", *DECLARED]),
        ("attention = []", ["attention", *DECLARED]),
        ('attention = "se"', ["attention", *DECLARED]),
        ('attention = ["senet"]', ["'senet'", *DECLARED]),
        ('attention = [["se"]]', ["attention", *DECLARED]),
        ("attention = [{se = 1}]", ["attention", *DECLARED]),
        ('attention = ["se", "ras", "se"]', ["attention", "twice"]),
        ('attention = ["se"]\nwidth = [1]', ["'width'", "depth", "reduction"]),
        ('attention = ["se"]\n[ras]\ndepth = [1]', ["'ras'", "attention"]),
        ('attention = ["se"]\nse = 3', ["'se'"]),
        ('attention = ["eca"]\n[eca]\nreduction = [4]', ["eca.reduction", *DECLARED["eca"].choices]),
        ('attention = ["none"]\n[none]\ndepth = [1]', ["none.depth", "no fields"]),
        ('attention = ["se"]\ndepth = [5]', ["'depth'", "5", "1, 2, 3, 4"]),
        ('attention = ["se"]\ndepth = ["2"]', ["'depth'", "'2'", "1, 2, 3, 4"]),
        ('attention = ["se"]\ndepth = [2.0]', ["'depth'", "2.0", "1, 2, 3, 4"]),
        ('attention = ["se"]\ndepth = [true]', ["'depth'", "True", "1, 2, 3, 4"]),
        ('attention = ["se"]\ndepth = [[1]]', ["'depth'", "[1]", "1, 2, 3, 4"]),
        ('attention = ["se"]\ndepth = []', ["'depth'", "at least one"]),
        ('attention = ["se"]\ndepth = 2', ["'depth'", "list"]),
        ('attention = ["se"]\ndepth = [2, 2]', ["'depth'", "twice"]),
        ('attention = ["se"]\n[se]\nreduction = [3]', ["se.reduction", "3", "1, 2, 4, 8, 10, 16, 20, 32"]),
        ('attention = ["dia"]\n[dia]\nsharing = ["block"]', ["dia.sharing", "'block'", "stage"]),
        (
            'attention = ["eca"]\ndepth = [2]\nconnection = ["bn", "tanh"]\nstart = ["unit"]',
            ["eca", "unit", "tanh", "published"],
        ),
        ('attention = ["se"]\nstages = ["4"]', ["stages", "4", "123"]),
        ('attention = ["se"]\nstages = ["22"]', ["stages", "'22'"]),
        ('attention = ["se"]\nstages = [""]', ["stages", "''", "all"]),
        ('attention = ["se"]\nstages = [23]', ["stages", "23", "all"]),
    ],
)
def test_a_wrong_file_gets_one_line_with_file_key_and_what_is_allowed(
    tmp_path: Path, text: str, named: list[str]
) -> None:
    with pytest.raises(UserError) as raised:
        load(tmp_path, text)
    message = str(raised.value)
    assert "\n" not in message
    assert [name for name in [str(tmp_path / "space.toml"), *named] if name not in message] == []


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_file_that_cannot_be_read_gets_one_line_with_the_presets(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "space.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError) as raised:
        load_space(path, ONE)
    assert "\n" not in str(raised.value)
    assert all(name in str(raised.value) for name in (str(path), *PRESETS))
