"""Folding a trained network for inference: the same function of images, in fewer passes over its maps."""

from copy import deepcopy

import torch
from torch import nn

from space.attention.gate import Gate, folded_gate
from space.attention.inference import ChannelMap, normalised
from space.ends import FoldedEnd, PointwiseEnd
from space.errors import UserError
from space.gating import End, Gated, names_of_modules
from space.traced_pairs import pairs


def fold(network: nn.Module) -> nn.Module:
    """A network that computes the same in eval mode, faster. It is an ordinary module, but not for training.

    BNs go into the convolutions before them. A gate that sees average pools is computed from what stands before the
    branch's last 1x1 convolution, and multiplies its weights; what attentions say of themselves (`Gate.folded`,
    `Excitation.steps`) makes it few small layers. Blocks that add by `gating.residual` add into the shortcut's memory,
    so what such a block is given is overwritten. Weights are channels_last. What cannot be folded runs as it is.

    Args:
        network: any, in eval mode; it stays as it is.

    Raises:
        UserError: it is in training mode.
    """
    if any(module.training for module in network.modules()):
        raise UserError("a network in training mode cannot be folded; call its eval() first")
    folded = deepcopy(network)
    with torch.no_grad():
        gates = _without_gates(folded)
        for conv, end in list(pairs(folded)):
            _merge(folded, conv, end, to_end=end in gates)
        for path, gate in gates.items():
            end_module = folded.get_submodule(path)
            if not isinstance(end_module, End):
                _replace(folded, path, folded_end(end_module, gate))
    return folded.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def _without_gates(network: nn.Module) -> dict[str, Gate | None]:
    """Take the gates out: each by the path of what it stood round, and None where a block adds without a gate."""
    gates: dict[str, Gate | None] = {}
    for path, module in list(network.named_modules()):
        if isinstance(module, Gated):
            gates[path] = module.gate
            _replace(network, path, module.end)
        elif added := getattr(module, "fuses", ""):
            gates.setdefault(f"{path}.{added}" if path else added, None)
    return gates


def _replace(network: nn.Module, path: str, by: nn.Module) -> None:
    for name in names_of_modules(network)[network.get_submodule(path)]:
        network.set_submodule(name, by)


def _merge(network: nn.Module, conv: str, end: str, to_end: bool) -> None:
    """Make one convolution of two modules, if the second is a BN or nothing.

    Args:
        network: that they are in.
        conv: path of the first.
        end: path of the second.
        to_end: whether the one goes there, where the gate or the addition is.
    """
    made, second = network.get_submodule(conv), network.get_submodule(end)
    assert isinstance(made, nn.Conv2d)
    if type(second) is nn.BatchNorm2d and second.track_running_stats:
        made = normalised(made, second)
    elif type(second) is not nn.Identity:
        return
    network.set_submodule(end if to_end else conv, made)
    network.set_submodule(conv if to_end else end, nn.Identity())


def folded_end(end: nn.Module, gate: Gate | None) -> End:
    """The end of a branch with its gate, which sees what stands before it where it can."""
    if isinstance(end, nn.Sequential):
        layers = [layer for layer in end if type(layer) is not nn.Identity]
        end = layers[0] if len(layers) == 1 else end
    if _is_pointwise(end):
        assert isinstance(end, nn.Conv2d)
        if gate is None:
            return PointwiseEnd(end, None)
        before = folded_gate(gate, ChannelMap.linear(end.weight, end.bias))
        if before is not None:
            return PointwiseEnd(end, before.to(end.weight.dtype))
    if gate is None:
        return FoldedEnd(end, None)
    behind = folded_gate(gate)
    dtype = next((parameter.dtype for parameter in gate.parameters()), None)
    return FoldedEnd(end, gate if behind is None else behind.to(dtype))


def _is_pointwise(end: nn.Module) -> bool:
    if type(end) is not nn.Conv2d or end.groups > 1:
        return False
    return end.kernel_size == end.stride == (1, 1) and end.padding in ((0, 0), "valid", "same")
