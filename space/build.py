"""From a design to a network."""

from torch import nn

from space.backbones import Backbone
from space.design import Design
from space.gating import Gated, place_gates
from space.state import StateDict, fit_state


def build(
    design: Design, backbone: Backbone, num_classes: int = 10, in_channels: int = 3, weights: StateDict | None = None
) -> nn.Module:
    """The backbone with the design's gates, freshly initialised from torch's global generator.

    The backbone's own weights are drawn first: under one seed they are the same for every design.

    Args:
        design: of the gates.
        backbone: that they go into.
        num_classes: outputs of the classifier.
        in_channels: of an image.
        weights: of the plain backbone, instead of drawn ones. Every gate then starts at exactly 1, so that the
            network computes what the plain one does.

    Raises:
        UserError: a stage that the backbone does not have, weights that do not fit, or with weights a design whose
            gates would not learn from 1.
    """
    design = design.canonical(backbone.layout)
    network = backbone.make(in_channels, num_classes)
    if weights is not None:
        design = design.starting_at_one()
        fit_state(network, weights, backbone.classifier, backbone.removed)
    place_gates(network, backbone.sites, design)
    return network


def pretrained_parameters(network: nn.Module, classifier: str) -> list[nn.Parameter]:
    """Those that are neither a gate's nor the last layer's."""
    new = {id(p) for module in network.modules() if isinstance(module, Gated) for p in module.gate.parameters()}
    new |= {id(p) for p in network.get_submodule(classifier).parameters()} if classifier else set()
    return [parameter for parameter in network.parameters() if id(parameter) not in new]
