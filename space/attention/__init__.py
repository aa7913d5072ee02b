"""The attention modules, one file a paper, and the registry that makes a stage's gates from a design.

Shapes: B images, C channels, H x W pixels. A gate sees the branch's features (B, C, H, W) and
returns what they are multiplied with, (B, C, 1, 1) or (B, C, H, W).
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import torch

from space.attention.affine import Affine
from space.attention.cbam import CBAM, SpatialGate
from space.attention.eca import ECA
from space.attention.gate import Excitation, Gate
from space.attention.lstm import DIALSTM, DIAGate, DIAUnit
from space.attention.recurrence import RecurrentGate, connections
from space.attention.se import SE
from space.attention.sem import SEM
from space.attention.spa import SPA
from space.design import DEFAULT_REDUCTION, FIELDS, Design, add_attention
from space.errors import UserError
from space.registry import Registry, all_or_nothing

MakeGates: TypeAlias = Callable[[Design, int, int], list[Gate]]
"""(design, channels, blocks) -> the gate of each block of a stage."""

T = TypeVar("T")
Module = TypeVar("Module", bound=type[Excitation] | type[Gate])


def _recurrent(make: Callable[[Design, int], Excitation]) -> MakeGates:
    """Gates round excitations: excitations per block or per stage, connections per block."""

    def gates(design: Design, channels: int, blocks: int) -> list[Gate]:
        modules = design.depth if design.deepening == "explicit" and design.depth is not None else 1
        excitations = _own_or_shared(design, blocks, lambda: [make(design, channels) for _ in range(modules)])
        return [RecurrentGate(of_block, connections(design, channels)) for of_block in excitations]

    return gates


def _whole(make: Callable[[Design, int], Gate]) -> MakeGates:
    """Gates that compute everything themselves."""
    return lambda design, channels, blocks: _own_or_shared(design, blocks, lambda: make(design, channels))


def _own_or_shared(design: Design, blocks: int, make: Callable[[], T]) -> list[T]:
    return [make()] * blocks if design.sharing == "stage" else [make() for _ in range(blocks)]


def _reduction(design: Design) -> int:
    assert design.reduction is not None
    return design.reduction


def _se(design: Design, channels: int) -> SE:
    return SE(channels, _reduction(design), bias=design.bias != "no")


def _spa(design: Design, channels: int) -> SPA:
    return SPA(channels, _reduction(design))


def _cbam(design: Design, channels: int) -> CBAM:
    return CBAM(_se(design, channels), SpatialGate())


def _sem(design: Design, channels: int) -> SEM:
    return SEM(channels, _reduction(design))


def _dia(design: Design, channels: int, blocks: int) -> list[Gate]:
    assert design.output is not None
    assert design.cells is not None
    unit = DIAUnit(DIALSTM(channels, _reduction(design), design.output, design.cells))
    return [DIAGate(unit, block, blocks) for block in range(blocks)]


ATTENTION: Registry[MakeGates] = Registry(
    "attention",
    {
        "se": _recurrent(_se),
        "ras": _recurrent(lambda design, channels: Affine(channels)),
        "eca": _recurrent(lambda design, channels: ECA(channels)),
        "cbam": _whole(_cbam),
        "dia": _dia,
        "sem": _whole(_sem),
        "spa": _recurrent(_spa),
    },
)
"""How the gates of a stage are made, by attention; plug-ins add theirs."""


def register(name: str) -> Callable[[Module], Module]:
    """Decorator for plug-ins: the class is the attention of this name.

    An `Excitation` gets what se has: depth, connections, sharing, stages, start. A `Gate`, which computes
    all itself, gets sharing, stages and start. One that starts at 1 anyway has no field start.

    The constructor takes `channels`, and `reduction` if a hidden layer has `hidden_width(channels, reduction)`
    units; the default of that is the design's.

    Raises:
        UserError: a name that is taken, another constructor, or a module that does not do what it has to.
    """

    def add(module: Module) -> Module:
        reduction = _default_reduction(name, module)
        recurrent = issubclass(module, Excitation)

        def make(design: Design, channels: int) -> Any:
            given = {} if design.reduction is None else {"reduction": design.reduction}
            try:
                return module(channels=channels, **given)
            except Exception as error:
                raise UserError(f"attention {name!r} of {channels} channels {_raises(error)}") from None

        with all_or_nothing():
            add_attention(name, recurrent=recurrent, reduction=reduction)
            ATTENTION[name] = _recurrent(make) if recurrent else _whole(make)
            try:
                _try_out(name)
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"attention {name!r} {_raises(error)}") from None
        return module

    return add


def _default_reduction(name: str, module: object) -> int | None:
    """The reduction that the constructor takes when left out; None if it takes none."""
    if not (inspect.isclass(module) and issubclass(module, Excitation | Gate)):
        raise UserError(f"attention {name!r}: what is registered is a class derived from Excitation or Gate")
    if inspect.isabstract(module):
        raise UserError(f"attention {name!r}: {module.__name__} lacks {', '.join(sorted(module.__abstractmethods__))}")
    takes = inspect.signature(module).parameters
    if "channels" not in takes or takes.keys() - {"channels", "reduction"}:
        raise UserError(
            f"attention {name!r}: {module.__name__}({', '.join(takes)}) must take channels, may take reduction, "
            "and nothing else"
        )
    if "reduction" not in takes:
        return None
    default = takes["reduction"].default
    return default if isinstance(default, int) else DEFAULT_REDUCTION


def _try_out(name: str) -> None:
    """Run gates where costs are counted and where networks are trained, and see that they start at 1 where they should.

    Raises:
        UserError: they do not; and whatever the module raises.
    """
    depth = 2 if "depth" in FIELDS[name] else None
    _leave_as_it_is(Design(name, depth=depth), "meta")
    if _leave_as_it_is(Design(name, depth=depth), "cpu"):
        FIELDS[name] = tuple(field for field in FIELDS[name] if field != "start")
    elif not _leave_as_it_is(Design(name, depth=depth, sharing="stage", start="unit"), "cpu"):
        method = "start_at_one the gate is not 1" if depth is None else "hold the logits are not what it returns"
        raise UserError(f"attention {name!r}: after {method}")


@torch.no_grad()
def _leave_as_it_is(design: Design, device: str) -> bool:
    """Whether the gates of a stage, as they start, are 1."""
    with torch.device(device), torch.random.fork_rng([]):
        features = torch.rand(2, 64, 4, 4)
        gated = [torch.mul(*gate.factors(features)) for gate in stage_gates(design, 64, 2)]
        if any(it.shape != features.shape for it in gated):
            raise UserError(f"attention {design.attention!r}: a gate is (B, C, 1, 1) or (B, C, H, W)")
        return device != "meta" and all(torch.allclose(it, features) for it in gated)


def _raises(error: Exception) -> str:
    return f"raises {type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def stage_gates(design: Design, channels: int, blocks: int) -> list[Gate]:
    """The gate of each block of a stage that carries attention."""
    gates = ATTENTION[design.attention](design, channels, blocks)
    if design.start == "unit":
        for gate in gates:
            gate.start_at_one()
    return gates


__all__ = ["ATTENTION", "DIAGate", "Excitation", "Gate", "register", "stage_gates"]
