"""Gradients behind each stage."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from space.backbones import backbone
from space.build import build
from space.design import Design
from trainers.gradients import stage_gradients


@pytest.mark.parametrize("name", ["resnet20+no_skip", "preresnet20", "imagenet/resnet18"])
@pytest.mark.parametrize("design", ["none", "dia"])
def test_they_are_those_of_the_loss_at_the_stages_outputs(name: str, design: str) -> None:
    torch.manual_seed(0)
    it = backbone(name)
    network = build(Design.parse(design), it)
    images, labels = torch.randn(4, 3, 32, 32), torch.arange(4)
    found = stage_gradients(network, it, images, labels)

    stages = network.get_submodule("stages")
    outputs = [network.get_submodule("stem")(images)]
    for stage in stages.children():
        outputs.append(stage(outputs[-1]))
    pooled = network.get_submodule("pool")(network.get_submodule("tail")(outputs[-1])).flatten(1)
    loss = cross_entropy(network.get_submodule("fc")(pooled), labels)
    expected = torch.autograd.grad(loss, outputs[1:])

    assert len(found) == len(it.layout)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs.abs().flatten())
