"""Two designs build the same network exactly if they have one canonical form."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain, product
from random import Random
from typing import TypeAlias

import pytest
import torch
from torch import nn

from space.attention import stage_gates
from space.backbones import backbone
from space.declarations import Value
from space.declared import DECLARED
from space.design import Design, Layout, Stage
from space.errors import UserError
from space.gating import place_gates
from space.space_files import load_space

RESNET20: Layout = backbone("resnet20").layout
NARROW: Layout = (Stage(2, 8), Stage(1, 16), Stage(2, 32))
"""Reductions that give equal widths, and a stage of one block."""

Signature: TypeAlias = tuple[object, ...]


def signature(network: nn.Module) -> Signature:
    """What a network is: where which modules stand with which options and tensors, and which are the same object.

    Whether modules without tensors are the same object makes no difference.
    """
    first: dict[int, str] = {}
    rows: list[object] = []
    for path, module in network.named_modules(remove_duplicate=False):
        holds_tensors = next(chain(module.parameters(), module.buffers()), None) is not None
        place = first.setdefault(id(module), path) if holds_tensors else path
        if place != path:
            rows.append((path, place))
            continue
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        options = {name: value for name, value in vars(module).items() if isinstance(value, int | float | str | tuple)}
        rows.append(
            (
                path,
                type(module),
                tuple(sorted(options.items())),
                tuple((name, tuple(it.shape), first.setdefault(id(it), f"{path}.{name}")) for name, it in tensors),
            )
        )
    return tuple(rows)


@pytest.mark.long
@pytest.mark.parametrize("preset", ["small", "full"])
def test_two_designs_of_a_space_never_build_the_same_network(preset: str) -> None:
    space = load_space(preset, {"resnet20": RESNET20})
    numbers: dict[Signature, int] = {}

    @cache
    def gates(design: Design, stage: Stage) -> int:
        with torch.device("meta"):
            made = nn.ModuleList(stage_gates(design, stage.channels, stage.blocks))
        return numbers.setdefault(signature(made), len(numbers))

    built: dict[tuple[int | None, ...], Design] = {}
    for _, design in space.enumerate():
        everywhere = design.without("stages")
        network = tuple(gates(everywhere, s) if design.attends(n) else None for n, s in enumerate(RESNET20))
        assert built.setdefault(network, design) == design


Given: TypeAlias = dict[str, Value | None]
Options: TypeAlias = Mapping[str, tuple[Value | None, ...]]
"""The values to try of some fields; of the others all that there are."""


def values(attention: str, name: str, options: Options) -> list[Value | None]:
    """The values to try of a field of this attention."""
    has = DECLARED[attention].choices[name].values
    return [value for value in options.get(name, has) if name == "stages" or value in has]


def every_text(options: Options) -> Iterator[Given]:
    """Each combination of values, idle and redundant ones included."""
    for attention, declaration in DECLARED.items():
        names = declaration.choices
        for combination in product(*(values(attention, name, options) for name in names)):
            yield {"attention": attention, **dict(zip(names, combination, strict=True))}


def designs(texts: Iterable[Given]) -> Iterator[Design]:
    """Those of these designs that there are."""
    for given in texts:
        try:
            yield Design.from_dict(given)
        except UserError:
            continue  # with start=unit it would never learn


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        (NARROW, {"stages": (None, "1", "2", "13", "321"), "depth": (1, 3), "connection": ("bn", "tanh")}),
    ],
    ids=["narrow"],
)
def test_designs_build_the_same_gates_exactly_if_they_have_one_canonical_form(layout: Layout, options: Options) -> None:
    numbers: dict[Signature, int] = {}
    built: dict[tuple[Design, Stage], int] = {}

    def gates(design: Design, stage: Stage) -> int:
        if (design, stage) not in built:
            with torch.device("meta"):
                made = nn.ModuleList(stage_gates(design, stage.channels, stage.blocks))
            built[design, stage] = numbers.setdefault(signature(made), len(numbers))
        return built[design, stage]

    canonical_of: dict[tuple[int | None, ...], Design] = {}
    network_of: dict[Design, tuple[int | None, ...]] = {}
    for design in designs(every_text(options)):
        everywhere = design.without("stages")
        network = tuple(gates(everywhere, s) if design.attends(n) else None for n, s in enumerate(layout))
        canonical = design.canonical(layout)
        assert canonical_of.setdefault(network, canonical) == canonical
        assert network_of.setdefault(canonical, network) == network
    assert len(network_of) > 2000


def pairs(count: int, options: Options) -> Iterator[tuple[Design, ...]]:
    """Random pairs of designs; in every other pair only one field differs."""
    random = Random(0)

    def draw(attention: str) -> Given:
        names = DECLARED[attention].choices
        return {"attention": attention, **{name: random.choice(values(attention, name, options)) for name in names}}

    while count:
        attention, another = random.choice(list(DECLARED)), random.choice(list(DECLARED))
        one, other = draw(attention), draw(another)
        if count % 2 and DECLARED[attention].choices:
            name = random.choice([*DECLARED[attention].choices])
            other = one | {name: random.choice(values(attention, name, options))}
        pair = tuple(designs([one, other]))
        if len(pair) == 2:
            count -= 1
            yield pair


@pytest.mark.parametrize("name", ["resnet20", "preresnet20", "wrn10-1"])
def test_networks_are_the_same_exactly_if_their_designs_have_one_canonical_form(name: str) -> None:
    it = backbone(name)
    found = {True: 0, False: 0}
    for pair in pairs(70, {"stages": (None, "1", "23", "123")}):
        networks = [it.make(3, 10) for _ in pair]
        for network, design in zip(networks, pair, strict=True):
            place_gates(network, it.sites, design)
        same = signature(networks[0]) == signature(networks[1])
        assert same == (pair[0].canonical(it.layout) == pair[1].canonical(it.layout)), pair
        found[same] += 1
    assert min(found.values()) > 5
