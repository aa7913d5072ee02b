"""A space of millions of designs: some stand for it, and all are in it."""

import random
from collections.abc import Mapping

import pytest

from space.choices import LARGE, Candidate, SearchSpace
from space.declarations import Choice, Value, declare
from space.declared import DECLARED
from space.design import Design, Layout, Stage
from space.space_files import load_space

LAYOUT = (Stage(2, 64), Stage(2, 128), Stage(2, 256))
BACKBONES: dict[str, Layout] = {f"backbone{number}": LAYOUT for number in range(400)}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return load_space("full", BACKBONES)


def random_candidates(space: SearchSpace, count: int) -> list[Candidate]:
    draw = random.Random(0)
    return [space.sample(lambda name, options: draw.choice(options)) for _ in range(count)]


def led_to(space: SearchSpace, made: Mapping[str, Value]) -> Candidate:
    return space.sample(lambda name, options: made[name])


def test_its_size_is_that_of_one_backbone_times_their_number(space: SearchSpace) -> None:
    (one,) = list(BACKBONES)[:1]
    alone = load_space("full", {one: LAYOUT})
    assert space.is_large
    assert not alone.is_large
    assert space.size == 400 * len(alone.decisions) > 10_000_000
    assert str(space) == f"about {space.size:,} designs"


def test_thousands_stand_for_it_all_backbones_and_attentions_among_them(space: SearchSpace) -> None:
    drawn = list(space.enumerate())
    assert LARGE / 10 < len(drawn) < LARGE
    assert {backbone for backbone, _ in drawn} == set(BACKBONES)
    assert {design.attention for _, design in drawn} == set(space.values)
    for candidate, made in random.Random(0).sample(list(space.decisions.items()), 200):
        assert led_to(space, made) == candidate
    assert list(load_space("full", BACKBONES).enumerate()) == drawn


def test_decisions_lead_to_every_design_of_it(space: SearchSpace) -> None:
    for candidate in random_candidates(space, 500):
        made = space.leading_to(candidate)
        assert made is not None
        assert led_to(space, made) == candidate


@pytest.mark.parametrize(
    "candidate",
    [
        ("another", Design()),
        ("backbone7", Design("eca")),
        ("backbone7", Design("se", reduction=32)),
        ("backbone7", Design("ras", stages="1")),
    ],
    ids=str,
)
def test_none_lead_to_what_it_leaves_out(space: SearchSpace, candidate: Candidate) -> None:
    values = {name: dict(table) for name, table in space.values.items() if name != "eca"}
    values["se"]["reduction"] = (4, 16)
    values["ras"]["stages"] = ("all", "23")
    narrower = SearchSpace(BACKBONES, values)
    assert narrower.is_large
    assert narrower.leading_to(candidate) is None
    assert narrower.leading_to(("backbone7", Design("ras", stages="32"))) is not None


@pytest.mark.usefixtures("registries")
def test_what_says_nothing_in_its_words_is_not_looked_for_in_all_of_it() -> None:
    digits = tuple(range(1, 9))
    choices = tuple(Choice(f"choice{number}", (0, *digits), changes=()) for number in range(20))
    DECLARED["wide"] = declare("gate", choices)
    space = SearchSpace({"backbone": LAYOUT}, {"wide": {choice.name: digits for choice in choices}})
    assert space.sequences == 8**20
    assert space.leading_to(("backbone", Design("wide"))) is None
    assert space.leading_to(("backbone", Design("wide", **dict.fromkeys(space.values["wide"], 5)))) is not None
