"""The search space: which designs a search may try, as the values of each choice.

Every decision goes through ``choose(name, options)``. A name always has the same options, so a
random generator, an Optuna trial, a replayed list and an exhaustive enumeration all fit, and this
package knows none of them.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

from space.declarations import Choice, Value
from space.declared import DECLARED
from space.design import Design, Layout, may_reword
from space.stage_sets import stage_digits

Choose: TypeAlias = Callable[[str, Sequence[Value]], Value]
"""Picks one of the options of a named choice."""

Among: TypeAlias = Callable[[str, Sequence[Value]], Sequence[Value]]
"""Which of the options of a named choice are tried."""

Decisions: TypeAlias = Mapping[str, Value]
"""What was picked of each choice that had several options."""

Candidate: TypeAlias = tuple[str, Design]
"""A backbone's name and a design that is canonical in it."""

LARGE = 100_000
"""Sequences of decisions above which a space is not enumerated."""
DRAWN = 30_000
"""Sequences that are drawn instead; the designs that they lead to stand for such a space."""


@dataclass(frozen=True)
class SearchSpace:
    """A finite set of designs in one or more backbones.

    Args:
        backbones: the layout of each backbone, by name; the first is the one that a search
            compares with.
        values: for each attention the options of each of its fields. A field left out keeps
            its default.
    """

    backbones: Mapping[str, Layout]
    values: Mapping[str, Mapping[str, tuple[Value, ...]]]

    def starting_at_one(self) -> "SearchSpace":
        """The designs whose gates start at exactly 1, as pretrained weights want them, and learn from there."""
        values: dict[str, dict[str, tuple[Value, ...]]] = {}
        for attention, table in self.values.items():
            values[attention] = dict(table)
            declaration = DECLARED[attention]
            if "start" in declaration.choices:
                values[attention]["start"] = ("unit",)
            if "connection" in table and declaration.stalls:
                names = [name for name in declaration.stalls if name != "connection"]
                options = [table.get(name, (declaration.choices[name].default,)) for name in names]
                others = [dict(zip(names, picked, strict=True)) for picked in product(*options)]
                learning = tuple(
                    connection
                    for connection in table["connection"]
                    if all(declaration.learns_from_one({**other, "connection": connection}) for other in others)
                )
                values[attention]["connection"] = learning or ("bn",)
        return SearchSpace(self.backbones, values)

    def sample(self, choose: Choose) -> Candidate:
        """Make every decision with `choose`; gives a backbone and its canonical design."""
        [(candidate, _)] = self._walked(lambda name, options: (choose(name, options),))
        return candidate

    def choices(self) -> dict[str, tuple[Value, ...]]:
        """Every choice that `sample` may make, with its options."""
        found: dict[str, tuple[Value, ...]] = {"backbone": tuple(self.backbones), "attention": tuple(self.values)}
        for attention, table in self.values.items():
            found |= {f"{attention}.{name}": options for name, options in table.items()}
        return {name: options for name, options in found.items() if len(options) > 1}

    @cached_property
    def sequences(self) -> int:
        """How many sequences of decisions there are; some lead to one design."""
        return len(self.backbones) * sum(map(self._sequences, self.values))

    @property
    def is_large(self) -> bool:
        """Whether some designs stand for all of them."""
        return self.sequences > LARGE

    @property
    def size(self) -> int:
        """How many designs there are; of a large space the sequences that lead to them."""
        return self.sequences if self.is_large else len(self.decisions)

    def __str__(self) -> str:
        """How many designs there are."""
        return f"{'about ' if self.is_large else ''}{self.size:,} designs"

    def enumerate(self) -> Iterator[Candidate]:
        """Each canonical design once; of a large space those that stand for it."""
        return iter(self.decisions)

    @cached_property
    def decisions(self) -> Mapping[Candidate, Decisions]:
        """For each canonical design the first sequence of decisions that leads to it; in a large space for some."""
        if not self.is_large:
            return _first(self._walked(lambda name, options: options))
        draw = random.Random(0)

        def one(name: str, options: Sequence[Value]) -> Sequence[Value]:
            return (draw.choice(options),)

        return _first(way for _ in range(DRAWN) for way in self._walked(one))

    def leading_to(self, candidate: Candidate) -> Decisions | None:
        """The decisions that lead to a design; None where the space leaves it out."""
        if candidate in self.decisions or not self.is_large:
            return self.decisions.get(candidate)
        backbone, design = candidate
        if backbone not in self.backbones or design.attention not in self.values:
            return None
        wanted = {"backbone": backbone, **design.to_dict()}

        def bearing(name: str, options: Sequence[Value]) -> Sequence[Value]:
            """What the design says of a choice; all options where its canonical form may say one in other words."""
            field = name.rpartition(".")[2]
            said = wanted.get(field)
            if said is not None and said in options:
                return [said]
            return options if may_reword(design.declaration.choices[field]) else ()

        return next((made for there, made in self._walked(bearing) if there == candidate), None)

    def plain(self) -> Candidate:
        """The first backbone without attention: what every design is compared with."""
        return next(iter(self.backbones)), Design()

    def to_dict(self) -> dict[str, dict[str, list[Value]]]:
        """The options of each field of each attention, for JSON."""
        return {attention: {n: list(o) for n, o in table.items()} for attention, table in self.values.items()}

    def _options(self, attention: str, declared: Choice, picked: Mapping[str, Value]) -> tuple[Value, ...]:
        """What there is for a choice after what has been picked: maybe its default alone, nothing where it is idle."""
        if declared.is_idle(picked):
            return ()
        options = self.values[attention].get(declared.name)
        if options is None or (declared.name == "start" and not DECLARED[attention].learns_from_one(picked)):
            default = declared.default_in(picked)
            return () if default is None else (default,)
        return options

    def _sequences(self, attention: str) -> int:
        """Of one attention in one backbone: counted by what bears on later choices."""
        declaration = DECLARED[attention]
        conditions = [declaration.stalls]
        for declared in declaration.choices.values():
            conditions += [*declared.idle, *(condition for condition, _ in declared.default_if)]
        bearing = {name for condition in conditions for name in condition}
        counts = Counter({frozenset[tuple[str, Value]](): 1})
        for name, declared in declaration.choices.items():
            following: Counter[frozenset[tuple[str, Value]]] = Counter()
            for picked, count in counts.items():
                options = self._options(attention, declared, dict(picked))
                for option in options if name in bearing else ():
                    following[picked | {(name, option)}] += count
                if name not in bearing or not options:
                    following[picked] += count * max(1, len(options))
            counts = following
        return counts.total()

    def _walked(self, among: Among) -> Iterator[tuple[Candidate, Decisions]]:
        """Every sequence of decisions among some options, in their order, with the canonical design it leads to."""
        for to_backbone, backbone in _decided({}, "backbone", tuple(self.backbones), among):
            layout = self.backbones[str(backbone)]
            for to_attention, attention in _decided(to_backbone, "attention", tuple(self.values), among):
                for made, picked in self._picked(str(attention), layout, to_attention, among):
                    yield (str(backbone), Design(str(attention), **picked).canonical(layout)), made

    def _picked(
        self, attention: str, layout: Layout, made: Decisions, among: Among
    ) -> Iterable[tuple[Decisions, dict[str, Value]]]:
        """Every way to decide on an attention behind the decisions made, with what it picks; all go on side by side."""
        ways: list[tuple[Decisions, dict[str, Value]]] = [(made, {})]
        for name, declared in DECLARED[attention].choices.items():
            following = []
            for decisions, picked in ways:
                options = self._options(attention, declared, picked)
                if not options:
                    following.append((decisions, picked))
                for decided, value in _decided(decisions, f"{attention}.{name}", options, among):
                    said = stage_digits(value, layout) if name == "stages" else value
                    following.append((decided, {**picked, name: said}))
            ways = following
        return ways


def _decided(made: Decisions, name: str, options: Sequence[Value], among: Among) -> Iterator[tuple[Decisions, Value]]:
    """The options to take, each with the decisions made by then; one alone is no decision."""
    if len(options) < 2:
        yield from ((made, value) for value in options)
    else:
        yield from (({**made, name: value}, value) for value in among(name, options))


def _first(walked: Iterable[tuple[Candidate, Decisions]]) -> dict[Candidate, Decisions]:
    """For each design the first decisions that lead to it."""
    found: dict[Candidate, Decisions] = {}
    for candidate, made in walked:
        found.setdefault(candidate, made)
    return found
