"""What an attention says of itself: its choices, what they change, when they are idle, and whether it learns from 1.

Nothing here needs torch: what the files in `space/attention` declare is read without running them, by `space.declared`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from space.errors import UserError

Value: TypeAlias = int | str

GateCost: TypeAlias = Literal["params", "macs", "time"]
"""What a choice may change of one gate beside its function: parameters, multiply-accumulates, the time it takes."""

RESERVED = ("attention", "channels", "blocks", "self")
"""What designs and constructors have beside choices."""


class When(dict[str, tuple[Value, ...]]):
    """A condition: each of these choices has one of these values."""

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is so in a design with these values."""
        return all(values.get(name) in options for name, options in self.items())


@dataclass(frozen=True)
class Choice:
    """Something about an attention that a design chooses.

    Attributes:
        name: what people type.
        values: what it may be: words, or whole numbers. For ("yes", "no") the module's constructor gets a bool.
        default: what it is when left out; None for the first value.
        changes: what it changes of one gate; of a choice that changes nothing else, the function alone.
        idle: where one of these holds, the choice says nothing, and a design is without it. They name earlier choices.
        default_if: defaults that go before `default`.
        divides: it divides the channels: a hidden layer has `hidden_width(channels, value)` units, so that values of
            equal widths are one design.

    Raises:
        UserError: a name or values that the text form cannot hold, or a default that is none of them.
    """

    name: str
    values: tuple[Value, ...]
    default: Value | None = None
    changes: tuple[GateCost, ...] = ("params", "macs", "time")
    idle: tuple[When, ...] = ()
    default_if: tuple[tuple[When, Value], ...] = ()
    divides: bool = False

    def __post_init__(self) -> None:
        if not is_word(self.name) or self.name in RESERVED:
            raise UserError(
                f"choice {self.name!r}: a name is a letter, then letters, digits and _, and not {', '.join(RESERVED)}"
            )
        kinds = {type(value) for value in self.values}
        words = {str(value) for value in self.values if re.fullmatch(r"\w+", str(value), re.ASCII)}
        if (kinds not in ({int}, {str}) and self.name != "stages") or len(words) < len(self.values):
            raise UserError(
                f"choice {self.name!r}: its values are different words, or different whole numbers from 0 on"
            )
        if self.default is None and self.values:
            object.__setattr__(self, "default", self.values[0])  # a frozen dataclass, still being made
        if self.values and self.default not in self.values:
            raise UserError(not_one_of(self.name, self.default, self.values))

    def with_default(self, default: Value) -> "Choice":
        """The same choice with another default."""
        return replace(self, default=default)

    def is_idle(self, values: Mapping[str, Any]) -> bool:
        """Whether the other choices, of which one left out is idle, leave this one nothing to say."""
        return bool(self.idle) and any(condition.holds(values) for condition in self.idle)

    def default_in(self, values: Mapping[str, Any]) -> Value | None:
        """What it is when left out of a design with these other values."""
        for condition, value in self.default_if:
            if condition.holds(values):
                return value
        return self.default

    def read(self, text: str) -> Value:
        """The value that a text says, or the text."""
        return int(text) if self.values and isinstance(self.values[0], int) and text.isdecimal() else text

    def argument(self, value: Value | None) -> Value | bool | None:
        """What a module's constructor gets for this value."""
        return value == "yes" if set(self.values) == {"yes", "no"} else value


def is_word(text: str) -> bool:
    """Whether the text form of a design can hold this name."""
    return re.fullmatch(r"[A-Za-z]\w*", text, re.ASCII) is not None


def not_one_of(name: str, value: object, options: Iterable[Value]) -> str:
    """What a user is told whose value is not among those allowed."""
    return f"{name}={value} is not allowed; use one of {', '.join(map(str, options))}"


def hidden_width(channels: int, reduction: int) -> int:
    """Units q of a bottleneck's hidden layer: max(1, C // r)."""
    return max(1, channels // reduction)


DEPTH = Choice("depth", (1, 2, 3, 4))
"""How often a module is applied in a block (RAS paper, Eq. 2 and Eq. 3)."""
DEEPENING = Choice("deepening", ("implicit", "explicit"), changes=("params",), idle=(When(depth=(1,)),))
"""One module `depth` times (implicit, Eq. 3) or as many modules (explicit, Eq. 2)."""
CONNECTION = Choice(
    "connection",
    ("bn", "identity", "relu", "sigmoid", "tanh", "rational"),
    changes=("params", "time"),
    idle=(When(depth=(1,)),),
    default_if=((When(deepening=("explicit",)), "identity"),),  # Eq. 2
)
"""What sits between two applications."""
BN = Choice(
    "bn",
    ("own", "shared"),
    changes=("params",),
    idle=(When(depth=(1, 2)), When(connection=("identity", "relu", "sigmoid", "tanh", "rational"))),
)
"""A BN per connection or one for all; idle unless there are two BN connections."""
SHARING = Choice("sharing", ("block", "stage"), changes=("params",))
"""A module per block, or one for all blocks of a stage (DIANet)."""
SHARED = Choice("sharing", ("stage",), changes=())
"""Of what is made for a whole stage."""
STAGES = Choice("stages", (), changes=())
"""Digits of the stages that carry attention, such as "23"; all when left out."""
START = Choice("start", ("published", "unit"), changes=())
"""The gate at initialisation: as published, or exactly 1."""

REDUCTION = Choice("reduction", (1, 2, 4, 8, 10, 16, 20, 32), default=16, divides=True)
"""Bottleneck ratio r of the hidden layer, C -> C // r: for attentions that have one."""

KEEP_ZERO = ("identity", "relu", "tanh")
"""Connections that turn zero into zero."""

AttentionKind: TypeAlias = Literal["excitation", "gate", "stage"]
"""What is registered: a class of excitations, which are applied in depth; one of whole gates; or a function that makes
the gates of all blocks of a stage."""

_OF_ALL: dict[AttentionKind, tuple[Choice, ...]] = {
    "excitation": (DEPTH, DEEPENING, CONNECTION, BN, SHARING, STAGES),
    "gate": (SHARING, STAGES),
    "stage": (SHARED, STAGES),
}
"""What each kind has before its own choices; after them comes `START`."""


@dataclass(frozen=True)
class Declaration:
    """An attention, as far as designs, spaces and costs have to know it.

    Attributes:
        choices: by name, in the order of the text form, each after those that may make it idle.
        own: names of those that its constructor takes.
        stalls: where a gate that starts at exactly 1 would get no gradient; empty for nowhere.
        normalises: whether a branch that is not normalised is, where this attention stands.
    """

    choices: Mapping[str, Choice] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    stalls: When = field(default_factory=When)
    normalises: bool = False

    def __hash__(self) -> int:
        return hash(tuple(self.choices))  # their names; a mapping has no hash

    def learns_from_one(self, values: Mapping[str, Any]) -> bool:
        """Whether gates that start at exactly 1 get gradients in a design with these values."""
        return not (self.stalls and self.stalls.holds(values))

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the constructor gets for these values, beside the size; of a choice that is idle its default."""
        own = {name: self.choices[name] for name in self.own}
        return {name: choice.argument(values.get(name, choice.default)) for name, choice in own.items()}

    def without(self, name: str) -> "Declaration":
        """The same without a choice."""
        choices = {key: choice for key, choice in self.choices.items() if key != name}
        return Declaration(choices, self.own, self.stalls, self.normalises)


def declare(
    kind: AttentionKind, choices: tuple[Choice, ...] = (), stalls: When | None = None, normalises: bool = False
) -> Declaration:
    """The declaration of an attention of this kind.

    Args:
        kind: of what is registered.
        choices: of its own, which its constructor takes by their names. One that all of its kind have, such as `DEPTH`,
            takes its place instead.
        stalls: of an excitation: values of `CONNECTION`, and perhaps of other choices, with which one module that does
            all the work gets no gradient at the unit start. There the last application puts out a constant; where the
            connection turns that into zero, none reaches a module without biases. That is the default, since what a
            module has is not known.
        normalises: whether a branch that is not normalised is, where this attention stands.

    Raises:
        UserError: a name that stands twice, or a condition that names no earlier choice.
    """
    given = {choice.name: choice for choice in choices}
    if len(given) < len(choices) or given.keys() & {STAGES.name, START.name}:
        raise UserError(
            f"choices {', '.join(choice.name for choice in choices)}: one stands twice, or is stages or start"
        )
    common = {choice.name: given.pop(choice.name, choice) for choice in _OF_ALL[kind]}
    if kind == "stage" and common[SHARED.name].values != SHARED.values:
        raise UserError("what is made for a whole stage is shared there: its sharing is stage, and nothing else")
    every = {**common, **given, START.name: START}
    known: set[str] = set()
    for choice in every.values():
        for condition in (*choice.idle, *(condition for condition, _ in choice.default_if)):
            if not condition.keys() <= known:
                raise UserError(f"choice {choice.name!r}: {', '.join(condition.keys() - known)} is no choice before it")
        known.add(choice.name)
    if kind == "excitation":
        stalls = When(connection=KEEP_ZERO) if stalls is None else stalls
        if "connection" not in stalls or not stalls.keys() <= every.keys():
            raise UserError("stalls names values of connection, and perhaps of other choices")
        stalls = When(deepening=("implicit",), **stalls)
    elif stalls is not None:
        raise UserError("only what has connections stalls behind some")
    return Declaration(every, tuple(given), stalls or When(), normalises)
