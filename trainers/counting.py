"""Parameters and MACs of every design of a space, exact, without building every network.

A network's gates cost the same whatever stands in the other stages, so each kind of gate is counted
once a stage and the counts are added to those of the plain backbone. Everything is counted on the
meta device where the network runs there: nothing is computed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from space.attention import stage_gates
from space.backbones import Backbone
from space.backbones import backbone as find_backbone
from space.design import Design
from space.gating import Site, gated
from space.meta import meta, zeroed
from trainers.task import Task


def count_params(network: nn.Module) -> int:
    """Trainable parameters; one that is shared counts once."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def count_macs(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of convolutions and matrix products for one input of this shape."""
    was_training = network.training
    device = next(network.parameters()).device
    with _Flops() as counter, torch.inference_mode():
        network.eval()(torch.zeros(1, *shape, device=device))
    network.train(was_training)
    return int(counter.total) // 2


class _Flops(TorchDispatchMode):
    """Counts as torch's `FlopCounterMode`, by its formulas, but for what that loads: the compiler, which takes long."""

    FORMULAS: Mapping[Any, Callable[..., int]] = FlopCounterMode(display=False).flop_registry

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        formula = self.FORMULAS.get(func._overloadpacket)
        if formula is None:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        self.total += 0 if formula is None else formula(*args, **kwargs, out_val=out)
        return out


def num_params(design: Design, backbone: str, task: Task) -> int:
    """Trainable parameters of the network that this design builds."""
    gate = design.bearing_on("params")
    stages = attended_stages(design, backbone, task)
    return _plain(backbone, task).num_params + sum(_gate_params(gate, s.blocks, s.place) for s in stages)


def macs(design: Design, backbone: str, task: Task) -> int:
    """MACs of the network that this design builds, for one image."""
    gate = design.bearing_on("macs")
    stages = attended_stages(design, backbone, task)
    return _plain(backbone, task).macs + sum(s.blocks * _gate_macs(gate, s.place) for s in stages)


class GateContext(NamedTuple):
    """Where a gate stands, as far as its cost depends on it.

    Attributes:
        size: channels, height and width of the features.
        normalised: see `Site`.
        fused: see `Site`.
    """

    size: tuple[int, int, int]
    normalised: bool = True
    fused: bool = True

    def __str__(self) -> str:
        words = ["x".join(map(str, self.size))]
        words += [] if self.normalised else ["unnormalised"]
        words += [] if self.fused else ["multiplied first"]
        return " ".join(words)

    def gate(self, design: Design) -> nn.Module:
        """Features -> gated features, as one block of this design computes them."""
        gate = stage_gates(design, self.size[0], blocks=1)[0]
        return gated(nn.Identity(), gate, design, self.size[0], self.normalised)


class GatedStage(NamedTuple):
    """The blocks of a stage that carry gates at one place: how many, where, and which stage, counted from 0."""

    blocks: int
    place: GateContext
    number: int


def attended_stages(design: Design, backbone: str, task: Task) -> list[GatedStage]:
    """The stages that carry this design's gates; one with blocks of several widths comes once for each width."""
    return [stage for stage in all_stages(backbone, task) if design.attends(stage.number)]


def all_stages(backbone: str, task: Task) -> tuple[GatedStage, ...]:
    """The stages that may carry gates."""
    return _plain(backbone, task).stages


def computation(design: Design) -> Design:
    """The design reduced to what one gate computes: not where it stands, nor whose its parameters are."""
    return design.bearing_on("time")


@dataclass(frozen=True)
class _Plain:
    """A backbone without attention."""

    num_params: int
    macs: int
    stages: tuple[GatedStage, ...]


@cache
def _plain(name: str, task: Task) -> _Plain:
    backbone = find_backbone(name)
    network = backbone.skeleton(task.shape[0], task.num_classes)
    num_params = count_params(network)
    network = zeroed(network)
    return _Plain(num_params, count_macs(network, task.shape), _gated_stages(network, backbone, task))


def _gated_stages(network: nn.Module, backbone: Backbone, task: Task) -> tuple[GatedStage, ...]:
    """Where gates stand, with the sizes that a forward pass shows."""
    pixels: dict[int, tuple[int, int]] = {}

    def remember(site: Site, output: Tensor) -> None:
        _, *sides = output.shape
        sides.pop(2 if site.channels_last else 0)
        pixels[site.stage] = (sides[0], sides[1])

    device = next(network.parameters()).device
    for site in backbone.sites:
        end = network.get_submodule(site.path)
        end.register_forward_hook(lambda module, inputs, output, site=site: remember(site, output))
    with torch.inference_mode():
        network.eval()(torch.zeros(1, *task.shape, device=device))
    normalised = {site.stage: site.normalised for site in backbone.sites}
    multiplied_first = {site.stage for site in backbone.sites if not site.fused}
    return tuple(
        GatedStage(
            alike.blocks,
            GateContext((alike.channels, *pixels[number]), normalised[number], number not in multiplied_first),
            number,
        )
        for number, stage in enumerate(backbone.layout)
        for alike in stage.widths
    )


@cache
def _gate_params(gate: Design, blocks: int, place: GateContext) -> int:
    """Parameters of the gates of one stage; each has its own, and as many, unless they share them."""
    if blocks > 1 and gate.get("sharing") == "block":
        return blocks * _gate_params(gate, 1, place)
    channels = place.size[0]
    with meta():
        gates = stage_gates(gate, channels, blocks)
        return count_params(nn.ModuleList(gated(nn.Identity(), g, gate, channels, place.normalised) for g in gates))


@cache
def _gate_macs(gate: Design, place: GateContext) -> int:
    """MACs of one gate."""
    with meta():
        on_its_own = place.gate(gate)
    return count_macs(zeroed(on_its_own), place.size)
