"""Parameters and MACs of every design of a space, exact, without building every network.

A network's gates cost the same whatever stands in the other stages, so each kind of gate is counted
once a stage and the counts are added to those of the plain backbone. Everything is counted on the
meta device: nothing is computed.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from space.attention import stage_gates
from space.backbones import Backbone
from space.backbones import backbone as find_backbone
from space.build import build
from space.design import Design


@dataclass(frozen=True)
class Task:
    """What a network is for.

    Attributes:
        num_classes: outputs of the classifier.
        shape: channels, height and width of an image.
    """

    num_classes: int
    shape: tuple[int, int, int]


def count_params(network: nn.Module) -> int:
    """Trainable parameters; one that is shared counts once."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of convolutions and matrix products for one input of this shape."""
    was_training = network.training
    device = next(network.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.zeros(1, *shape, device=device))
    network.train(was_training)
    return int(counter.get_total_flops()) // 2


def num_params(design: Design, backbone: str, task: Task) -> int:
    """Trainable parameters of the network that this design builds."""
    gate = _without(design, "stages", "start")
    stages = attended_stages(design, backbone, task)
    return _plain(backbone, task).num_params + sum(_gate_params(gate, s.blocks, s.channels) for s in stages)


def macs(design: Design, backbone: str, task: Task) -> int:
    """MACs of the network that this design builds, for one image."""
    gate = computation(design)
    stages = attended_stages(design, backbone, task)
    return _plain(backbone, task).macs + sum(s.blocks * _gate_macs(gate, s.size) for s in stages)


class StageFeatures(NamedTuple):
    """What a stage's gates see.

    Attributes:
        blocks: gates in the stage.
        size: channels, height and width of the features.
    """

    blocks: int
    size: tuple[int, int, int]

    @property
    def channels(self) -> int:
        """Channels of the features."""
        return self.size[0]


def attended_stages(design: Design, backbone: str, task: Task) -> list[StageFeatures]:
    """The stages that carry this design's gates."""
    return [stage for number, stage in enumerate(_plain(backbone, task).stages) if design.attends(number)]


def computation(design: Design) -> Design:
    """The design reduced to what one gate computes: not where it stands, nor whose its parameters are."""
    return _without(design, "stages", "sharing", "bn", "start")


def _without(design: Design, *names: str) -> Design:
    kept = {name: value for name, value in design.to_dict().items() if name not in names}
    return Design(**kept)  # type: ignore[arg-type]  # the fields of a design


@dataclass(frozen=True)
class _Plain:
    """A backbone without attention."""

    num_params: int
    macs: int
    stages: tuple[StageFeatures, ...]


@cache
def _plain(name: str, task: Task) -> _Plain:
    backbone = find_backbone(name)
    with torch.device("meta"):
        network = build(Design(), backbone, task.num_classes, task.shape[0])
    return _Plain(count_params(network), count_macs(network, task.shape), _stage_features(network, backbone, task))


def _stage_features(network: nn.Module, backbone: Backbone, task: Task) -> tuple[StageFeatures, ...]:
    sizes: dict[int, tuple[int, int, int]] = {}

    def remember(stage: int, output: Tensor) -> None:
        sizes[stage] = (output.shape[1], output.shape[2], output.shape[3])

    hooks = [
        network.get_submodule(site.path).register_forward_hook(
            lambda module, inputs, output, stage=site.stage: remember(stage, output)
        )
        for site in backbone.sites
    ]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, *task.shape, device="meta"))
    for hook in hooks:
        hook.remove()
    return tuple(StageFeatures(stage.blocks, sizes[number]) for number, stage in enumerate(backbone.layout))


@cache
def _gate_params(gate: Design, blocks: int, channels: int) -> int:
    """Parameters of the gates of one stage."""
    with torch.device("meta"):
        return count_params(nn.ModuleList(stage_gates(gate, channels, blocks)))


@cache
def _gate_macs(gate: Design, size: tuple[int, int, int]) -> int:
    """MACs of one gate."""
    with torch.device("meta"):
        return count_macs(stage_gates(gate, size[0], blocks=1)[0], size)
