"""From a design to a network."""

from torch import nn

from space.backbones import Backbone
from space.design import Design
from space.gating import place_gates


def build(design: Design, backbone: Backbone, num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """The backbone with the design's gates, freshly initialised from torch's global generator.

    The backbone's own weights are drawn first: under one seed they are the same for every design.

    Raises:
        UserError: a stage that the backbone does not have.
    """
    design = design.canonical(backbone.layout)
    network = backbone.make(in_channels, num_classes)
    place_gates(network, backbone.sites, design)
    return network
