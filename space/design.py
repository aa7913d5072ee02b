"""A design: everything about the attention in a network, as a value that people can type.

The text form is ``attention`` or ``attention:field=value,field=value``, for example ``ras``,
``se:reduction=8`` or ``ras:depth=3,connection=tanh,stages=23``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple, TypeAlias

from space.declarations import Choice, Declaration, GateCost, Value, hidden_width, not_one_of
from space.declared import DECLARED, NONE, no_attention, no_field
from space.errors import UserError


class Stage(NamedTuple):
    """One stage of a backbone: how many blocks carry a gate, and of how many channels.

    Attributes:
        blocks: of the first width.
        channels: the first width.
        more: blocks of other widths. What the blocks of a stage share is shared by those of one width.
    """

    blocks: int
    channels: int
    more: tuple["Stage", ...] = ()

    @property
    def widths(self) -> tuple["Stage", ...]:
        """The blocks of each width."""
        return (self._replace(more=()), *self.more) if self.more else (self,)


Layout: TypeAlias = tuple[Stage, ...]
"""The stages of a backbone, the first one first."""


@dataclass(frozen=True, init=False)
class Design:
    """The attention in a network, independent of the backbone.

    A choice that the attention does not have, or that the other ones make idle, is left out; one that is not given
    takes its default. So two designs that say the same are equal.

    Args:
        attention: which module computes the gate, one of `DECLARED`.
        choices: by name, see `space.declarations` and the attention's own file. None for the default.

    Raises:
        UserError: naming the choice, its value and what is allowed.
    """

    attention: str
    choices: tuple[tuple[str, Value], ...]
    """Names and values, in the order of the text form; `stages` is among them unless all carry attention."""

    def __init__(self, attention: str = NONE, **choices: Value | None) -> None:
        if attention not in DECLARED:
            raise UserError(no_attention(attention))
        if (stages := choices.get("stages")) is not None:
            choices["stages"] = stages = _sorted_digits(attention, str(stages))
            if not stages:
                attention, choices = NONE, {}
        object.__setattr__(self, "attention", attention)  # a frozen dataclass, still being made
        object.__setattr__(self, "choices", tuple(self._settled(choices).items()))

    def _settled(self, given: Mapping[str, Value | None]) -> dict[str, Value]:
        """The choices of the design with these ones given."""
        declared = self.declaration.choices
        for name, value in given.items():
            if value is None:
                continue
            if name not in declared:
                raise UserError(no_field(self.attention, name))
            if name != "stages" and value not in declared[name].values:
                raise UserError(f"{self.attention}: {not_one_of(name, value, declared[name].values)}")
        settled: dict[str, Value] = {}
        for name, choice in declared.items():
            value = given.get(name)
            value = choice.default_in(settled) if value is None else value
            if value is not None and not choice.is_idle(settled):
                settled[name] = value
        if settled.get("start") == "unit" and not self.declaration.learns_from_one(settled):
            raise UserError(
                f"{self.attention}: start=unit with connection={settled.get('connection')} would never learn; "
                "use connection=bn or start=published"
            )
        return settled

    def __str__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        given = [f"{name}={value}" for name, value in self.choices if value != self._default(name)]
        return f"{self.attention}:{','.join(given)}" if given else self.attention

    def _default(self, name: str) -> Value | None:
        return self.declaration.choices[name].default_in(self._values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def get(self, name: str) -> Any:
        """A choice's value, of the type that it is declared with; None where the design is without it."""
        return self._values.get(name)

    @cached_property
    def _values(self) -> dict[str, Value]:
        return dict(self.choices)

    @property
    def stages(self) -> str | None:
        """Digits of the stages that carry attention, such as "23"; None for all."""
        stages: str | None = self.get("stages")
        return stages

    @property
    def declaration(self) -> Declaration:
        """What its attention declares."""
        return DECLARED[self.attention]

    @property
    def dashed(self) -> str:
        """The text form with dashes alone for its punctuation, for names of files and metrics.

        No two designs have the same: no word in the text form has a dash.
        """
        return re.sub("[:=,]", "-", str(self))

    @classmethod
    def parse(cls, text: str) -> "Design":
        """The design that a text form says: ``Design.parse(str(d)) == d``."""
        if not text.strip().isprintable():
            raise UserError(f"design {text!r}: it must be printable, on one line")
        attention, _, rest = text.strip().partition(":")
        if attention not in DECLARED:
            raise UserError(f"design {text!r}: {no_attention(attention)}")
        declared = DECLARED[attention].choices
        values: dict[str, Value] = {}
        for part in rest.split(",") if rest else ():
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals:
                raise UserError(f"design {text!r}: {part!r} is not field=value")
            if name not in declared:
                raise UserError(f"design {text!r}: {no_field(attention, name)}")
            if name in values:
                raise UserError(f"design {text!r}: field {name!r} stands twice")
            values[name] = declared[name].read(value)
        try:
            return cls(attention, **values)
        except UserError as error:
            raise UserError(f"design {text!r}: {error}") from None

    def to_dict(self) -> dict[str, Value]:
        """The attention and the choices, for JSON; `from_dict` is the way back."""
        return {"attention": self.attention, **self._values}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> "Design":
        """The design that `to_dict` described; choices left out take their defaults."""
        return cls(**table)

    def without(self, *names: str) -> "Design":
        """This design with the defaults of these choices."""
        return Design(self.attention, **{name: value for name, value in self.choices if name not in names})

    def bearing_on(self, quantity: GateCost) -> "Design":
        """This design with the defaults of all choices that do not change this quantity of one gate."""
        declared = self.declaration.choices
        bearing = tuple((name, value) for name, value in self.choices if quantity in declared[name].changes)
        return _design(self.declaration, self.attention, bearing)

    def starting_at_one(self) -> "Design":
        """This design with gates that start at exactly 1, as pretrained weights want them.

        Raises:
            UserError: it would never learn from there.
        """
        return Design.from_dict({**self.to_dict(), "start": "unit"}) if "start" in self.declaration.choices else self

    def attends(self, stage: int) -> bool:
        """Whether this stage, counted from 0, carries attention."""
        return self.attention != NONE and (self.stages is None or str(stage + 1) in self.stages)

    def canonical(self, layout: Layout) -> "Design":
        """The design without what this backbone makes idle.

        Two designs that build the same network in a backbone of this layout have one canonical
        form, so a trial is keyed by it.

        Raises:
            UserError: a stage that the backbone does not have.
        """
        every = "".join(str(stage + 1) for stage in range(len(layout)))
        if self.stages is not None and set(self.stages) - set(every):
            raise UserError(f"stages={self.stages}: this backbone has the stages {every}")
        values: dict[str, Value | None] = {**self._values}
        if self.stages == every:
            values["stages"] = None
        attended = [alike for number, stage in enumerate(layout) if self.attends(number) for alike in stage.widths]
        declared = self.declaration.choices
        if (
            self.get("sharing") == "stage"
            and "block" in declared["sharing"].values
            and all(s.blocks == 1 for s in attended)
        ):
            values["sharing"] = "block"
        for name, value in self.choices:
            if declared[name].divides:
                values[name] = _smallest(value, declared[name].values, tuple(stage.channels for stage in attended))
        return self if values == self._values else Design(self.attention, **values)


def may_reword(choice: Choice) -> bool:
    """Whether a design's canonical form may have another value of this choice, or none."""
    return choice.divides or choice.name in ("stages", "sharing")


@cache
def _design(declaration: Declaration, attention: str, choices: tuple[tuple[str, Value], ...]) -> Design:
    """A design of what an attention declares now, made once: thousands differ only in what does not bear on a cost."""
    return Design(attention, **dict(choices))


@cache
def _smallest(reduction: Value, options: tuple[Value, ...], channels: tuple[int, ...]) -> Value:
    """Of the reductions that give hidden layers of the same widths as this one."""
    widths = {c: hidden_width(c, int(reduction)) for c in channels}
    return min(r for r in map(int, options) if all(hidden_width(c, r) == width for c, width in widths.items()))


def _sorted_digits(attention: str, stages: str) -> str:
    if not all(digit in "123456789" for digit in stages) or len(set(stages)) != len(stages):
        raise UserError(f"{attention}: stages={stages!r} is not a set of stage digits such as 23")
    return "".join(sorted(stages))
