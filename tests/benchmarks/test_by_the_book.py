"""Ours and the networks as the papers' code has them: the same function, and the same training."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.by_the_book import by_the_book
from space.backbones import backbone
from space.build import build
from space.design import Design

STEPS = 10


def losses(network: nn.Module) -> list[float]:
    """Of the steps of a training."""
    network.double().train()
    torch.manual_seed(1)
    images, labels = torch.randn(STEPS, 8, 3, 8, 8, dtype=torch.float64), torch.randint(10, (STEPS, 8))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    found = []
    for some, of in zip(images, labels, strict=True):
        optimizer.zero_grad()
        loss = cross_entropy(network(some), of)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize(
    ("name", "text"), [*(("resnet20", it) for it in ("se", "ras", "ras:depth=3", "eca", "dia")), ("preresnet11", "se")]
)
def test_a_training_has_the_losses_of_one_by_the_book(name: str, text: str) -> None:
    design = Design.parse(text)
    torch.manual_seed(0)
    ours = build(design, backbone(name), 10).to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    book = by_the_book(design, backbone(name), 10)
    assert losses(ours) == pytest.approx(losses(book), abs=1e-9)
