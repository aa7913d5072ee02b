"""The attention modules, one file a paper, and the registry that makes a stage's gates from a design.

Shapes: B images, C channels, H x W pixels. A gate sees the branch's features (B, C, H, W) and
returns what they are multiplied with, (B, C, 1, 1) or (B, C, H, W).
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from space.attention.affine import Affine
from space.attention.cbam import CBAM, SpatialGate
from space.attention.eca import ECA
from space.attention.gate import Excitation, Gate
from space.attention.lstm import DIALSTM, DIAGate, DIAUnit
from space.attention.recurrence import RecurrentGate, connections
from space.attention.se import SE
from space.attention.sem import SEM
from space.attention.spa import SPA
from space.design import Design

MakeGates: TypeAlias = Callable[[Design, int, int], list[Gate]]
"""(design, channels, blocks) -> the gate of each block of a stage."""

T = TypeVar("T")


def _recurrent(make: Callable[[Design, int], Excitation]) -> MakeGates:
    """Gates round excitations: excitations per block or per stage, connections per block."""

    def gates(design: Design, channels: int, blocks: int) -> list[Gate]:
        modules = design.depth if design.deepening == "explicit" and design.depth is not None else 1
        excitations = _own_or_shared(design, blocks, lambda: [make(design, channels) for _ in range(modules)])
        return [RecurrentGate(of_block, connections(design, channels)) for of_block in excitations]

    return gates


def _own_or_shared(design: Design, blocks: int, make: Callable[[], T]) -> list[T]:
    return [make()] * blocks if design.sharing == "stage" else [make() for _ in range(blocks)]


def _reduction(design: Design) -> int:
    assert design.reduction is not None
    return design.reduction


def _se(design: Design, channels: int) -> SE:
    return SE(channels, _reduction(design), bias=design.bias != "no")


def _spa(design: Design, channels: int) -> SPA:
    return SPA(channels, _reduction(design))


def _cbam(design: Design, channels: int, blocks: int) -> list[Gate]:
    return [*_own_or_shared(design, blocks, lambda: CBAM(_se(design, channels), SpatialGate()))]


def _sem(design: Design, channels: int, blocks: int) -> list[Gate]:
    return [*_own_or_shared(design, blocks, lambda: SEM(channels, _reduction(design)))]


def _dia(design: Design, channels: int, blocks: int) -> list[Gate]:
    assert design.output is not None
    assert design.cells is not None
    unit = DIAUnit(DIALSTM(channels, _reduction(design), design.output, design.cells))
    return [DIAGate(unit, block, blocks) for block in range(blocks)]


ATTENTION: dict[str, MakeGates] = {
    "se": _recurrent(_se),
    "ras": _recurrent(lambda design, channels: Affine(channels)),
    "eca": _recurrent(lambda design, channels: ECA(channels)),
    "cbam": _cbam,
    "dia": _dia,
    "sem": _sem,
    "spa": _recurrent(_spa),
}
"""How the gates of a stage are made, by attention."""


def stage_gates(design: Design, channels: int, blocks: int) -> list[Gate]:
    """The gate of each block of a stage that carries attention."""
    gates = ATTENTION[design.attention](design, channels, blocks)
    if design.start == "unit":
        for gate in gates:
            gate.start_at_one()
    return gates


__all__ = ["ATTENTION", "DIAGate", "Gate", "stage_gates"]
