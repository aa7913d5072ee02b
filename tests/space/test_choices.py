"""The search space: sampling, enumeration, and the designs that start at 1."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest

from space.choices import Candidate, SearchSpace
from space.declarations import Value
from space.declared import DECLARED
from space.design import Design, Layout, Stage
from space.errors import UserError
from space.space_files import PRESETS, load_space

ONE: dict[str, Layout] = {"two-blocks": (Stage(2, 64), Stage(2, 128), Stage(2, 256))}
TWO: dict[str, Layout] = {**ONE, "one-block": (Stage(1, 8), Stage(1, 16), Stage(1, 32))}

SMALL = """
attention = ["none", "se", "ras", "dia"]
depth = [1, 2, 3]
deepening = ["implicit", "explicit"]
connection = ["bn", "identity", "relu"]
bn = ["own", "shared"]
stages = ["all", "3", "321"]
start = ["published", "unit"]
[se]
depth = [1, 3]
sharing = ["block", "stage"]
reduction = [8, 16]
bias = ["yes", "no"]
[dia]
reduction = [4]
output = ["sigmoid", "relu"]
cells = [1, 3]
"""


@pytest.fixture(params=[ONE, TWO], ids=["one backbone", "two backbones"])
def space(request: pytest.FixtureRequest, tmp_path: Path) -> SearchSpace:
    layouts: dict[str, Layout] = request.param
    return load(tmp_path, SMALL, layouts)


def load(folder: Path, text: str, layouts: dict[str, Layout] = ONE) -> SearchSpace:
    path = folder / "space.toml"
    path.write_text(text)
    return load_space(path, layouts)


def random_candidates(space: SearchSpace, count: int) -> list[Candidate]:
    generator = random.Random(0)
    return [space.sample(lambda name, options: generator.choice(options)) for _ in range(count)]


def test_a_name_always_has_the_same_options(space: SearchSpace) -> None:
    generator = random.Random(0)
    seen: dict[str, set[tuple[Value, ...]]] = {}

    def choose(name: str, options: Sequence[Value]) -> Value:
        seen.setdefault(name, set()).add(tuple(options))
        return generator.choice(options)

    for _ in range(2000):
        space.sample(choose)

    assert {name: len(options) for name, options in seen.items()} == dict.fromkeys(seen, 1)
    assert {name.partition(".")[2] for name in seen if name.startswith("se.")} == set(DECLARED["se"].choices)


def test_no_decision_is_asked_twice_or_with_one_option_only(space: SearchSpace) -> None:
    for _ in range(200):
        asked: list[str] = []

        def choose(name: str, options: Sequence[Value], asked: list[str] = asked) -> Value:
            asked.append(name)
            assert len(options) > 1
            return options[-1]

        space.sample(choose)
        assert len(set(asked)) == len(asked)


def test_nothing_idle_is_asked_so_that_other_decisions_give_another_design(tmp_path: Path) -> None:
    text = SMALL.replace('"all", "3", "321"', '"all", "3"').replace('"ras"', '"ras", "eca", "spa"')
    space, generator = load(tmp_path, text), random.Random(0)
    ways: dict[Candidate, set[tuple[tuple[str, Value], ...]]] = {}
    for _ in range(5000):
        made: dict[str, Value] = {}

        def choose(name: str, options: Sequence[Value], made: dict[str, Value] = made) -> Value:
            made[name] = generator.choice(options)
            return made[name]

        ways.setdefault(space.sample(choose), set()).add(tuple(made.items()))

    assert {candidate: len(decisions) for candidate, decisions in ways.items()} == dict.fromkeys(ways, 1)


def test_enumeration_gives_each_design_once_and_all_that_sampling_reaches(space: SearchSpace) -> None:
    enumerated, sampled = list(space.enumerate()), set(random_candidates(space, 5_000))

    assert len(set(enumerated)) == len(enumerated)
    assert sampled <= set(enumerated)
    assert len(sampled) > len(enumerated) / 2


def test_enumeration_equals_a_list_written_by_hand(tmp_path: Path) -> None:
    space = load(
        tmp_path,
        'attention = ["none", "ras", "eca"]\ndepth = [1, 2, 3]\nconnection = ["bn", "tanh"]\nbn = ["own", "shared"]\n'
        'start = ["published", "unit"]\nstages = ["all", "123", "2"]\n[ras]\ndeepening = ["implicit", "explicit"]\n'
        '[eca]\ndepth = [2]\nstages = ["all"]',
    )
    ras = ["ras:connection=bn", "ras:connection=tanh", "ras:depth=3,connection=bn", "ras:depth=3,connection=tanh"]
    ras += ["ras:depth=3,connection=bn,bn=shared"]
    ras += [f"{text},deepening=explicit" for text in ras] + ["ras:depth=1"]
    texts = [f"{text}{':' if ':' not in text else ','}stages=2" for text in ras] + ras
    texts += [f"{text}{':' if ':' not in text else ','}start=unit" for text in texts]
    texts += ["none", "eca:depth=2", "eca:depth=2,start=unit", "eca:depth=2,connection=tanh"]

    assert {design for _, design in space.enumerate()} == {Design.parse(text) for text in texts}


def meant(option: Value, layout: Layout) -> str:
    """The stages that an option names."""
    every = "123456789"[: len(layout)]
    return {"all": every, "last": every[-1:], "last two": every[-2:]}.get(str(option), str(option))


def combinations_of(
    values: Mapping[str, Mapping[str, Sequence[Value]]], layouts: Mapping[str, Layout]
) -> Iterator[Candidate | UserError]:
    """The canonical design of each combination of values, or what is wrong with it."""
    for (name, layout), (attention, table) in product(layouts.items(), values.items()):
        for picked in product(*table.values()):
            fields = dict(zip(table, picked, strict=True))
            if "stages" in fields:
                fields["stages"] = meant(fields["stages"], layout)
            try:
                yield name, Design.from_dict({"attention": attention, **fields}).canonical(layout)
            except UserError as error:
                yield error


def random_table(attention: str, generator: random.Random) -> dict[str, list[Value]]:
    """One or two values of some fields."""
    options = {
        name: [*choice.values] if name != "stages" else STAGES for name, choice in DECLARED[attention].choices.items()
    }
    return {
        name: generator.sample(values, min(len(values), generator.choice((1, 2))))
        for name, values in options.items()
        if generator.random() < 0.7
    }


STAGES: list[Value] = ["all", "last", "last two", "1", "12", "321"]


def test_enumeration_equals_all_combinations_of_values_that_are_designs(tmp_path: Path) -> None:
    generator, refused = random.Random(0), 0
    for attention in ("se", "ras", "eca", "dia", "spa") * 20:
        table = random_table(attention, generator)
        text = f'attention = ["none", "{attention}"]\n[{attention}]\n'
        text += "\n".join(f"{name} = {values}" for name, values in table.items())
        every = set(combinations_of({"none": {}, attention: table}, TWO))
        designs = {each for each in every if not isinstance(each, UserError)}  # the others would never learn from 1
        if table.get("start") == ["unit"] and designs < every:
            refused += 1
            with pytest.raises(UserError, match="would never learn"):
                load(tmp_path, text, TWO)
            continue
        enumerated = list(load(tmp_path, text, TWO).enumerate())
        assert len(set(enumerated)) == len(enumerated)
        assert set(enumerated) == designs, text
        assert {design.get("start") for _, design in enumerated} <= {None, *table.get("start", ("published",))}
    assert refused in range(1, 20)


@pytest.mark.parametrize("attention", ["se", "ras", "eca", "dia", "cbam", "sem", "spa"])
def test_a_space_of_gates_that_start_at_1_has_no_other_ones(tmp_path: Path, attention: str) -> None:
    space = load(tmp_path, f'attention = ["{attention}"]\nstart = ["unit"]')
    assert {design for _, design in space.enumerate()} == {Design(attention, start="unit")}


@pytest.mark.parametrize("preset", ["small", "papers"])
@pytest.mark.parametrize("backbones", [ONE, TWO], ids=["one", "two"])
def test_a_preset_is_all_combinations_of_its_values(preset: str, backbones: dict[str, Layout]) -> None:
    space = load_space(preset, backbones)
    every = combinations_of(space.values, backbones)
    assert set(space.enumerate()) == {each for each in every if not isinstance(each, UserError)}


def test_each_enumerated_design_is_canonical(space: SearchSpace) -> None:
    for name, design in space.enumerate():
        assert design.canonical(space.backbones[name]) == design


def test_decisions_replayed_give_the_candidate_back(space: SearchSpace) -> None:
    for candidate, made in space.decisions.items():
        asked: set[str] = set()

        def choose(
            name: str, options: Sequence[Value], made: Mapping[str, Value] = made, asked: set[str] = asked
        ) -> Value:
            asked.add(name)
            assert made[name] in options
            return made[name]

        assert space.sample(choose) == candidate
        assert asked == set(made)


def test_each_backbone_is_a_choice(tmp_path: Path) -> None:
    space = load(tmp_path, SMALL, TWO)
    by_backbone = {name: {d for n, d in space.enumerate() if n == name} for name in TWO}

    assert by_backbone["two-blocks"] == {d for _, d in load(tmp_path, SMALL, ONE).enumerate()}
    assert by_backbone["one-block"] < by_backbone["two-blocks"] | {Design("se", reduction=8)} | by_backbone["one-block"]
    assert {d["sharing"] for d in by_backbone["one-block"] if d.attention == "se"} == {"block"}


def test_the_first_backbone_without_attention_is_what_designs_are_compared_with(space: SearchSpace) -> None:
    assert space.plain() == ("two-blocks", Design())
    assert space.plain() in set(space.enumerate())


def learning(space: SearchSpace) -> set[Candidate]:
    """The designs of a space with gates that start at 1, without those that would never learn from there."""
    found = set()
    for name, design in space.enumerate():
        with suppress(UserError):
            found.add((name, design.starting_at_one()))
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_starting_at_one_leaves_the_designs_that_learn_from_there(preset: str) -> None:
    space = load_space(preset, ONE)
    narrowed = space.starting_at_one()
    designs = set(narrowed.enumerate())

    assert all(design == design.starting_at_one() for _, design in designs)
    assert designs <= learning(space)
    assert {design.attention for _, design in designs} == {design.attention for _, design in space.enumerate()}
    assert not any(name.endswith(".start") for name in narrowed.choices())
    if not any("explicit" in table.get("deepening", ()) for table in space.values.values()):
        assert designs == learning(space)


def test_starting_at_one_leaves_the_connections_that_learn_in_every_design(space: SearchSpace) -> None:
    narrowed = space.starting_at_one()
    designs = set(narrowed.enumerate())

    assert designs <= learning(space)
    assert narrowed.values["ras"]["connection"] == ("bn", "identity")
    assert narrowed.values["se"]["connection"] == ("bn",)  # without biases nothing else learns
    assert {design.get("start") for _, design in designs if design.attention != "none"} == {"unit"}


@pytest.mark.parametrize(
    ("text", "connections"),
    [
        ('attention = ["eca"]\ndepth = [2]\nconnection = ["tanh", "relu"]', ("bn",)),
        ('attention = ["eca"]\ndepth = [2]\nconnection = ["tanh", "sigmoid"]', ("sigmoid",)),
        ('attention = ["se"]\ndepth = [2]\nconnection = ["tanh", "relu"]', ("tanh", "relu")),
        ('attention = ["se"]\ndepth = [2]\nbias = ["no"]\nconnection = ["tanh", "rational"]', ("rational",)),
        ('attention = ["ras"]\nconnection = ["tanh", "relu"]', ("tanh",)),
        ('attention = ["ras"]\ndeepening = ["explicit"]\nconnection = ["tanh", "relu"]', ("tanh", "relu")),
    ],
)
def test_starting_at_one_leaves_out_connections_and_falls_back_to_bn(
    tmp_path: Path, text: str, connections: tuple[str, ...]
) -> None:
    narrowed = load(tmp_path, text).starting_at_one()
    [table] = narrowed.values.values()
    assert table["connection"] == connections
    assert table["start"] == ("unit",)
    assert narrowed.starting_at_one() == narrowed
    assert {design.get("connection") for _, design in narrowed.enumerate()} == set(connections)
