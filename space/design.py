"""A design: everything about the attention in a network, as a value that people can type.

The text form is ``attention`` or ``attention:field=value,field=value``, for example ``ras``,
``se:reduction=8`` or ``ras:depth=3,connection=tanh,stages=23``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeAlias

from space.errors import UserError
from space.registry import Registry

Value: TypeAlias = int | str

VALUES: dict[str, tuple[Value, ...]] = {
    "depth": (1, 2, 3, 4),
    "deepening": ("implicit", "explicit"),
    "connection": ("bn", "identity", "relu", "sigmoid", "tanh", "rational"),
    "bn": ("own", "shared"),
    "sharing": ("block", "stage"),
    "reduction": (1, 2, 4, 8, 10, 16, 20, 32),
    "bias": ("yes", "no"),
    "output": ("sigmoid", "tanh", "relu"),
    "cells": (1, 2, 3),
    "start": ("published", "unit"),
}
"""What each field may be, its default first unless `default` says otherwise; `stages` is any set of stage digits."""

_RECURRENT = ("depth", "deepening", "connection", "bn", "sharing", "stages")

FIELDS: Registry[tuple[str, ...]] = Registry(
    "attention",
    {
        "none": (),
        "se": (*_RECURRENT, "reduction", "bias", "start"),
        "ras": (*_RECURRENT, "start"),
        "eca": (*_RECURRENT, "start"),
        "cbam": ("sharing", "stages", "reduction", "start"),
        "dia": ("sharing", "stages", "reduction", "output", "cells", "start"),
        "sem": ("sharing", "stages", "reduction", "start"),
        "spa": (*_RECURRENT, "reduction", "start"),
    },
)
"""Which fields each attention has, each after those that may make it idle; plug-ins add theirs."""

DEFAULT_REDUCTION = 16

_SPECIAL_DEFAULTS: Registry[Value] = Registry(
    "default",
    {
        "ras.depth": 2,
        "dia.reduction": 4,
        "dia.sharing": "stage",
    },
)

_KEEP_ZERO = ("identity", "relu", "tanh")
"""Connections that turn zero into zero."""


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
        return self._replace(more=()), *self.more


Layout: TypeAlias = tuple[Stage, ...]
"""The stages of a backbone, the first one first."""


@dataclass(frozen=True)
class Design:
    """The attention in a network, independent of the backbone.

    A field that the attention does not have, or that the other fields make idle, is None; one
    left out takes its default. So two designs that say the same are equal.

    Attributes:
        attention: which module computes the gate, a key of `FIELDS`.
        depth: how often a module is applied in a block (RAS paper, Eq. 2 and Eq. 3).
        deepening: one module `depth` times (implicit, Eq. 3) or as many modules (explicit, Eq. 2);
            None at depth 1.
        connection: what sits between two applications; None at depth 1.
        bn: a BN per connection or one for all; None unless there are two BN connections.
        sharing: a module per block, or one for all blocks of a stage (DIANet); dia is always
            shared by a stage.
        stages: digits of the stages that carry attention, such as "23"; None for all.
        reduction: bottleneck ratio r of the hidden layer, C -> C // r.
        bias: whether the two layers of se have biases.
        output: activation of dia on the cell state (DIANet Table 6).
        cells: stacked LSTM cells of dia (DIANet Table 6).
        start: the gate at initialisation: as published, or exactly 1.

    Raises:
        UserError: naming the field, its value and what is allowed.
    """

    attention: str = "none"
    depth: int | None = None
    deepening: str | None = None
    connection: str | None = None
    bn: str | None = None
    sharing: str | None = None
    stages: str | None = None
    reduction: int | None = None
    bias: str | None = None
    output: str | None = None
    cells: int | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        if self.attention not in FIELDS:
            raise UserError(no_attention(self.attention))
        if self.stages is not None:
            self._set("stages", _sorted_digits(self.attention, self.stages))
            if not self.stages:
                for field in fields(self):
                    self._set(field.name, "none" if field.name == "attention" else None)
        for name in field_names():
            value = getattr(self, name)
            if value is None:
                continue
            if name not in FIELDS[self.attention]:
                raise UserError(_no_field(self.attention, name))
            if name != "stages" and value not in allowed(self.attention, name):
                raise UserError(_not_allowed(self.attention, name, value))
        for name in FIELDS[self.attention]:
            if is_idle(name, vars(self)):
                self._set(name, None)
            elif getattr(self, name) is None:
                self._set(name, default(self.attention, name, self.deepening))
        if self.start == "unit" and not unit_start_learns(self.attention, vars(self)):
            raise UserError(
                f"{self.attention}: start=unit with connection={self.connection} would never learn; "
                "use connection=bn or start=published"
            )

    def _set(self, name: str, value: Value | None) -> None:
        object.__setattr__(self, name, value)  # a frozen dataclass, still being made

    def __str__(self) -> str:
        given = [f"{name}={value}" for name, value in self._given()]
        return f"{self.attention}:{','.join(given)}" if given else self.attention

    @property
    def dashed(self) -> str:
        """The text form with dashes alone for its punctuation, for names of files and metrics.

        No two designs have the same: no word in the text form has a dash.
        """
        return re.sub("[:=,]", "-", str(self))

    def _given(self) -> Iterable[tuple[str, Value]]:
        for name in field_names():
            value = getattr(self, name)
            if value is not None and value != default(self.attention, name, self.deepening):
                yield name, value

    @classmethod
    def parse(cls, text: str) -> "Design":
        """The design that a text form says: ``Design.parse(str(d)) == d``."""
        if not text.strip().isprintable():
            raise UserError(f"design {text!r}: it must be printable, on one line")
        attention, _, rest = text.strip().partition(":")
        if attention not in FIELDS:
            raise UserError(f"design {text!r}: {no_attention(attention)}")
        values: dict[str, Value] = {}
        for part in rest.split(",") if rest else ():
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals:
                raise UserError(f"design {text!r}: {part!r} is not field=value")
            if name not in FIELDS[attention]:
                raise UserError(f"design {text!r}: {_no_field(attention, name)}")
            if name in values:
                raise UserError(f"design {text!r}: field {name!r} stands twice")
            values[name] = int(value) if isinstance(VALUES.get(name, ("",))[0], int) and value.isdecimal() else value
        try:
            return cls.from_dict({"attention": attention, **values})
        except UserError as error:
            raise UserError(f"design {text!r}: {error}") from None

    def to_dict(self) -> dict[str, Value]:
        """The fields that matter, for JSON; `from_dict` is the way back."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> "Design":
        """The design that `to_dict` described; fields left out take their defaults."""
        return cls(**table)

    def without(self, *names: str) -> "Design":
        """This design with the defaults of these fields."""
        return Design.from_dict({name: value for name, value in self.to_dict().items() if name not in names})

    def starting_at_one(self) -> "Design":
        """This design with gates that start at exactly 1, as pretrained weights want them.

        Raises:
            UserError: it would never learn from there.
        """
        return Design.from_dict({**self.to_dict(), "start": "unit"}) if "start" in FIELDS[self.attention] else self

    def attends(self, stage: int) -> bool:
        """Whether this stage, counted from 0, carries attention."""
        return self.attention != "none" and (self.stages is None or str(stage + 1) in self.stages)

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
        values: dict[str, Value | None] = dict(self.to_dict())
        if self.stages == every:
            values["stages"] = None
        attended = [alike for number, stage in enumerate(layout) if self.attends(number) for alike in stage.widths]
        if self.sharing == "stage" and self.attention != "dia" and all(s.blocks == 1 for s in attended):
            values["sharing"] = "block"
        if self.reduction is not None:
            values["reduction"] = min(
                r
                for r in VALUES["reduction"]
                if isinstance(r, int)
                and all(hidden_width(s.channels, r) == hidden_width(s.channels, self.reduction) for s in attended)
            )
        return Design.from_dict(values)


def hidden_width(channels: int, reduction: int) -> int:
    """Units q of a bottleneck's hidden layer: max(1, C // r)."""
    return max(1, channels // reduction)


def field_names() -> tuple[str, ...]:
    """The fields beside `attention`, in the order of the text form."""
    return tuple(field.name for field in fields(Design) if field.name != "attention")


def allowed(attention: str, name: str) -> tuple[Value, ...]:
    """The values that a field of this attention may take."""
    return ("stage",) if (attention, name) == ("dia", "sharing") else VALUES[name]


def default(attention: str, name: str, deepening: Value | None = None) -> Value | None:
    """The value that a field of this attention takes when left out."""
    if name == "connection" and deepening == "explicit":
        return "identity"  # Eq. 2
    if name == "stages":
        return None
    return _SPECIAL_DEFAULTS.get(f"{attention}.{name}", DEFAULT_REDUCTION if name == "reduction" else VALUES[name][0])


def is_idle(name: str, values: Mapping[str, Any]) -> bool:
    """Whether the other fields leave this one nothing to say.

    Args:
        name: a field.
        values: those that come before it in `FIELDS`, where one left out is idle.
    """
    if name in ("deepening", "connection"):
        return values.get("depth") == 1
    return name == "bn" and (values.get("connection") != "bn" or values.get("depth") == 2)


def add_attention(name: str, *, recurrent: bool, reduction: int | None) -> None:
    """Let designs have an attention of a plug-in.

    Args:
        name: what people type.
        recurrent: whether it has the fields of depth.
        reduction: its default; None if it has no such field.

    Raises:
        UserError: a name that is taken or that the text form cannot hold, or a reduction that is not allowed.
    """
    if name in FIELDS:
        raise UserError(f"there is an attention {name!r} already; give this one another name")
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or name in ("attention", *field_names()):
        raise UserError(f"attention {name!r}: a name is a letter, then letters, digits and _, and no field of a design")
    if reduction is not None:
        if reduction not in VALUES["reduction"]:
            raise UserError(f"attention {name!r}: {_not_one_of('reduction', reduction, VALUES['reduction'])}")
        _SPECIAL_DEFAULTS[f"{name}.reduction"] = reduction
    FIELDS[name] = (
        *(_RECURRENT if recurrent else ("sharing", "stages")),
        *(() if reduction is None else ("reduction",)),
        "start",
    )


def unit_start_learns(attention: str, values: Mapping[str, Any]) -> bool:
    """Whether a gate that starts at exactly 1 gets gradients with these values of its other fields.

    At the unit start the last module of a block puts out a constant. Where one module does all the
    work and the connection turns that constant into zero, no gradient reaches a module without
    biases, nor the scales of ras. What a plug-in's module has is not known.
    """
    connection = values.get("connection")
    if values.get("deepening") == "explicit":
        return True
    if attention == "ras":
        return connection != "relu"
    unbiased = attention in ("eca", "spa") or attention not in FIELDS.ours or values.get("bias") == "no"
    return not (unbiased and connection in _KEEP_ZERO)


def _sorted_digits(attention: str, stages: str) -> str:
    if not all(digit in "123456789" for digit in stages) or len(set(stages)) != len(stages):
        raise UserError(f"{attention}: stages={stages!r} is not a set of stage digits such as 23")
    return "".join(sorted(stages))


def no_attention(attention: object) -> str:
    """What a user is told who typed an attention that there is not."""
    return f"no attention {attention!r}; there are {', '.join(FIELDS)}; a plug-in's needs --plugin FILE.py"


def _no_field(attention: str, name: str) -> str:
    has = ", ".join(FIELDS[attention]) if FIELDS[attention] else "no fields"
    return f"no field {name!r}; {attention} has {has}"


def _not_allowed(attention: str, name: str, value: Value) -> str:
    return f"{attention}: {_not_one_of(name, value, allowed(attention, name))}"


def _not_one_of(name: str, value: Value, options: Iterable[Value]) -> str:
    return f"{name}={value} is not allowed; use one of {', '.join(map(str, options))}"
