"""The attentions by name, ours and those of plug-ins, and what each has to be."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from space.attention.gate import Excitation, Gate
from space.attention.making import MakeGates, maker, raises
from space.declarations import REDUCTION, AttentionKind, Choice, Declaration, declare, is_word
from space.declared import DECLARED, NONE
from space.design import Design
from space.errors import UserError
from space.registry import Registry, all_or_nothing, taken


def _admit(name: str, part: Any, choices: tuple[Choice, ...] = (), **declared: Any) -> MakeGates:
    """How the gates of what is registered are made.

    An `Excitation` gets depth, connections, sharing, stages and start. A `Gate`, which computes all itself, gets
    sharing, stages and start, and so do the gates that a function makes for a whole stage, which always share. What
    starts at 1 anyway has no choice of start.

    Args:
        name: what people type.
        part: a class whose constructor takes `channels`, or a function that takes `channels` and `blocks`; and its own
            choices by their names. One called `reduction` need not be declared: its default is then the constructor's.
        choices: see `declare`.
        declared: the rest of that.

    Raises:
        UserError: a name that is taken, another constructor, or gates that do not do what they have to.
    """
    kind = _kind(name, part)
    try:
        declaration = declare(kind, choices + _from_constructor(part, choices), **declared)
    except UserError as error:
        raise UserError(f"attention {name!r}: {error}") from None
    _check_parameters(name, part, kind, declaration)
    make = maker(name, part, kind)
    if name in DECLARED.ours and name != NONE:
        assert declaration == DECLARED[name], f"{name}: its file says something else without being run"
        return make
    _check_names(name, declaration)
    with all_or_nothing():
        DECLARED[name] = declaration
        try:
            _try_out(name, make)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"attention {name!r} {raises(error)}") from None
    return make


def _kind(name: str, part: Any) -> AttentionKind:
    if inspect.isclass(part) and issubclass(part, Excitation | Gate):
        if inspect.isabstract(part):
            raise UserError(f"attention {name!r}: {part.__name__} lacks {', '.join(sorted(part.__abstractmethods__))}")
        return "excitation" if issubclass(part, Excitation) else "gate"
    if inspect.isfunction(part) and {"channels", "blocks"} <= inspect.signature(part).parameters.keys():
        return "stage"
    raise UserError(
        f"attention {name!r}: what is registered is a class derived from Excitation or Gate, or a function of channels "
        "and blocks"
    )


def _from_constructor(part: Callable[..., Any], choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """The choice that a parameter called `reduction` is, unless it is declared."""
    takes = inspect.signature(part).parameters.get(REDUCTION.name)
    if takes is None or REDUCTION.name in [choice.name for choice in choices]:
        return ()
    return (REDUCTION.with_default(takes.default) if isinstance(takes.default, int) else REDUCTION,)


def _check_parameters(name: str, part: Callable[..., Any], kind: AttentionKind, declaration: Declaration) -> None:
    takes = inspect.signature(part).parameters
    needs = ("channels", *(("blocks",) if kind == "stage" else ()), *declaration.own)
    if takes.keys() != set(needs):
        needs = tuple(it for it in needs if it != REDUCTION.name)
        raise UserError(
            f"attention {name!r}: {part.__name__}({', '.join(takes)}) must take {', '.join(needs)}, may take "
            "reduction, and nothing else but choices that it declares"
        )


def _check_names(name: str, declaration: Declaration) -> None:
    if name in DECLARED:
        raise UserError(taken("attention", name))
    fields = {"attention", *declaration.choices, *(field for other in DECLARED.values() for field in other.choices)}
    if not is_word(name) or name in fields:
        raise UserError(f"attention {name!r}: a name is a letter, then letters, digits and _, and no field of a design")
    if both := declaration.choices.keys() & DECLARED.keys():
        raise UserError(f"attention {name!r}: choice {', '.join(both)} has the name of an attention")


def _try_out(name: str, make: MakeGates) -> None:
    """Run gates where costs are counted and where networks are trained, and see that they are as they are declared.

    Raises:
        UserError: they are not; and whatever the module raises.
    """
    declaration = DECLARED[name]
    has = declaration.choices
    deep = {"depth": 2} if "depth" in has and 2 in has["depth"].values else {}
    design = Design(name, **deep)
    _run(make, design, "meta")
    for own in declaration.own:
        sizes = {_run(make, Design(name, **deep, **{own: value}), "meta")[1] for value in has[own].values}
        if len(sizes) > 1 and "params" not in has[own].changes:
            raise UserError(f"attention {name!r}: choice {own!r} is declared not to change the parameters, and does")
    if _run(make, design, "cpu")[0]:
        DECLARED[name] = declaration.without("start")
    elif not _run(make, Design(name, **deep, sharing=has["sharing"].values[-1], start="unit"), "cpu")[0]:
        method = "hold the logits are not what it returns" if "depth" in has else "start_at_one the gate is not 1"
        raise UserError(f"attention {name!r}: after {method}")


@torch.no_grad()
def _run(make: MakeGates, design: Design, device: str) -> tuple[bool, int]:
    """Whether the gates of a stage, as they start, are 1, and how many parameters they have."""
    with torch.device(device), torch.random.fork_rng([]):
        features = torch.rand(2, 64, 4, 4)
        gates = make(design, 64, 2)
        if len(gates) != 2:
            raise UserError(f"attention {design.attention!r}: a stage has as many gates as blocks")
        gated: list[Tensor] = [torch.mul(*gate.factors(features)) for gate in gates]
        if any(it.shape != features.shape for it in gated):
            raise UserError(f"attention {design.attention!r}: a gate is (B, C, 1, 1) or (B, C, H, W)")
        are_one = device != "meta" and all(torch.allclose(it, features) for it in gated)
        return are_one, sum(parameter.numel() for parameter in nn.ModuleList(gates).parameters())


ATTENTION: Registry[MakeGates] = Registry("attention", {}, _admit)
"""How the gates of a stage are made, by attention. Ours register as plug-ins do: over the class, see `_admit`."""


def stage_gates(design: Design, channels: int, blocks: int) -> list[Gate]:
    """The gate of each block of a stage that carries attention."""
    return ATTENTION[design.attention](design, channels, blocks)
