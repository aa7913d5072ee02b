"""The gates of a stage, made from a design by the class or the function that is registered."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from space.attention.gate import Gate
from space.attention.recurrence import RecurrentGate, connections
from space.declarations import AttentionKind
from space.design import Design
from space.errors import UserError, first_line

MakeGates: TypeAlias = Callable[[Design, int, int], list[Gate]]
"""(design, channels, blocks) -> the gate of each block of a stage, as they start."""

T = TypeVar("T")


def maker(name: str, part: Callable[..., Any], kind: AttentionKind) -> MakeGates:
    """How the gates of a stage are made by what is registered, of this kind."""

    def made(design: Design, channels: int, **size: int) -> Any:
        try:
            return part(channels=channels, **size, **design.declaration.arguments(dict(design.choices)))
        except Exception as error:
            raise UserError(f"attention {name!r} of {channels} channels {raises(error)}") from None

    def excitations(design: Design, channels: int) -> list[Any]:
        count = design["depth"] if design.get("deepening") == "explicit" else 1
        return [made(design, channels) for _ in range(count)]

    def of_stage(design: Design, channels: int, blocks: int) -> list[Gate]:
        if kind == "stage":
            gates: list[Gate] = made(design, channels, blocks=blocks)
        elif kind == "gate":
            gates = _own_or_shared(design, blocks, lambda: made(design, channels))
        else:  # excitations per block or per stage, connections per block
            of_blocks = _own_or_shared(design, blocks, lambda: excitations(design, channels))
            gates = [RecurrentGate(of_block, connections(design, channels)) for of_block in of_blocks]
        if design.get("start") == "unit":
            for gate in gates:
                gate.start_at_one()
        return gates

    return of_stage


def _own_or_shared(design: Design, blocks: int, make: Callable[[], T]) -> list[T]:
    return [make()] * blocks if design["sharing"] == "stage" else [make() for _ in range(blocks)]


def raises(error: Exception) -> str:
    """What a user is told whose module raises this."""
    return f"raises {type(error).__name__}: {first_line(error)}"
