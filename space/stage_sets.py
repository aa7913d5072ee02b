"""Sets of stages, as a search space writes them down: digits, or words that mean other digits in other backbones."""

from collections.abc import Iterable
from itertools import combinations

from space.declarations import Value
from space.design import Layout

ALL_STAGES = "all"
LAST_STAGES = {"last": 1, "last two": 2}
"""So many stages at the end of each backbone."""
ANY_STAGES = "any"
"""In a TOML file: every set of stages that all backbones have."""
STAGE_WORDS = ", ".join(map(repr, (ALL_STAGES, *LAST_STAGES, ANY_STAGES)))


def stage_digits(option: Value, layout: Layout) -> str:
    """The stages that an option means in a backbone of this layout."""
    every = "".join(str(stage) for stage in range(1, len(layout) + 1))
    if option in LAST_STAGES:
        return every[-LAST_STAGES[str(option)] :]
    return every if option == ALL_STAGES else str(option)


def fitting_sets(options: Iterable[Value], layouts: Iterable[Layout]) -> tuple[Value, ...]:
    """The options that mean stages of every backbone, the first of those that mean the same ones; else all stages."""
    found: dict[tuple[str, ...], Value] = {}
    for option in options:
        meant = tuple(stage_digits(option, layout) for layout in layouts)
        if all(
            set(digits) <= set(stage_digits(ALL_STAGES, layout)) for digits, layout in zip(meant, layouts, strict=True)
        ):
            found.setdefault(meant, option)
    return tuple(found.values()) or (ALL_STAGES,)


def stage_sets(layouts: Iterable[Layout]) -> list[str]:
    """Every set of stages that all backbones have, but for one that is all stages of each."""
    counts = {len(layout) for layout in layouts}
    digits = "123456789"[: min(counts)]
    sizes = range(1, len(digits) + (len(counts) > 1))
    return ["".join(some) for size in sizes for some in combinations(digits, size)]
