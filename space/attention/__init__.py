"""The attention modules, one file a paper, and the registry that makes a stage's gates from a design.

Shapes: B images, C channels, H x W pixels. A gate sees the branch's features (B, C, H, W) and
returns what they are multiplied with, (B, C, 1, 1) or (B, C, H, W).
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from torch import nn

from space.attention.affine import Affine
from space.attention.cbam import CBAM, SpatialGate
from space.attention.eca import ECA
from space.attention.gate import Excitation, Gate
from space.attention.lstm import DIALSTM, DIAGate, DIAUnit
from space.attention.recurrence import RecurrentGate, connections
from space.attention.se import SE
from space.design import Design

MakeGates: TypeAlias = Callable[[Design, int, int], list[Gate]]
"""(design, channels, blocks) -> the gate of each block of a stage."""

Module = TypeVar("Module", bound=nn.Module)


def _recurrent(make: Callable[[Design, int], Excitation]) -> MakeGates:
    """Gates round an excitation: excitations per block or per stage, connections per block."""

    def gates(design: Design, channels: int, blocks: int) -> list[Gate]:
        excitations = _own_or_shared(design, blocks, lambda: make(design, channels))
        return [RecurrentGate(excitation, connections(design, channels)) for excitation in excitations]

    return gates


def _cbam(design: Design, channels: int, blocks: int) -> list[Gate]:
    return [*_own_or_shared(design, blocks, lambda: CBAM(_se(design, channels), SpatialGate()))]


def _dia(design: Design, channels: int, blocks: int) -> list[Gate]:
    assert design.reduction is not None
    unit = DIAUnit(DIALSTM(channels, design.reduction))
    return [DIAGate(unit, first=block == 0, last=block == blocks - 1) for block in range(blocks)]


def _se(design: Design, channels: int) -> SE:
    assert design.reduction is not None
    return SE(channels, design.reduction)


def _own_or_shared(design: Design, blocks: int, make: Callable[[], Module]) -> list[Module]:
    return [make()] * blocks if design.sharing == "stage" else [make() for _ in range(blocks)]


ATTENTION: dict[str, MakeGates] = {
    "se": _recurrent(_se),
    "ras": _recurrent(lambda design, channels: Affine(channels)),
    "eca": _recurrent(lambda design, channels: ECA(channels)),
    "cbam": _cbam,
    "dia": _dia,
}
"""How the gates of a stage are made, by attention."""


def stage_gates(design: Design, channels: int, blocks: int) -> list[Gate]:
    """The gate of each block of a stage that carries attention."""
    gates = ATTENTION[design.attention](design, channels, blocks)
    if design.start == "unit":
        for gate in gates:
            gate.start_at_one()
    return gates
