"""Networks as the papers' code has them: NCHW, gate times branch, then the addition, then the ReLU, each a pass."""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from space.attention import stage_gates
from space.attention.dia import DIAGate
from space.attention.gate import Gate
from space.attention.recurrence import RecurrentGate
from space.backbones import Backbone
from space.build import build
from space.design import Design


class Book(nn.Module):
    """A branch's last module and its gate.

    Args:
        end: the last module.
        gate: of SE, RAS or DIA.
    """

    def __init__(self, end: nn.Module, gate: Gate) -> None:
        super().__init__()
        self.end = end
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        """Gate times branch."""
        features: Tensor = self.end(x)
        pooled = adaptive_avg_pool2d(features, 1).flatten(1)
        if isinstance(self.gate, DIAGate):
            gate = self.gate.unit.advance(pooled, self.gate.block == 0, self.gate.last)
        else:
            assert isinstance(self.gate, RecurrentGate)
            gate = torch.sigmoid(self.gate.logits(pooled))
        return features * gate[:, :, None, None].expand_as(features)


def by_the_book(design: Design, backbone: Backbone, num_classes: int, in_channels: int = 3) -> nn.Module:
    """The backbone with a design's gates at its sites."""
    network = build(Design(), backbone, num_classes, in_channels)
    for stage, width in dict.fromkeys((site.stage, site.channels) for site in backbone.sites):
        there = [site for site in backbone.sites if (site.stage, site.channels) == (stage, width)]
        for site, gate in zip(there, stage_gates(design, width, len(there)), strict=True):
            network.set_submodule(site.path, Book(network.get_submodule(site.path), gate))
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network
