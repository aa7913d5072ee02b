"""What is made on the meta device has shapes, no values, and leaves the generator alone."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from space.meta import meta


@pytest.mark.parametrize("init", [nn.init.normal_, nn.init.uniform_, nn.init.kaiming_normal_, nn.init.xavier_uniform_])
def test_initial_weights_are_not_drawn(init: object) -> None:
    assert callable(init)
    before = torch.get_rng_state()
    with meta():
        layer = nn.Conv2d(3, 4, 3)
        init(layer.weight)
    assert layer.weight.is_meta
    assert layer.weight.shape == (4, 3, 3, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_stands_elsewhere_is_drawn() -> None:
    with meta():
        there = torch.zeros(100, device="cpu").normal_()
    assert there.std() > 0


def test_building_loads_no_compiler() -> None:
    program = (
        "import sys\n"
        "from space import Design\n"
        "from space.backbones import backbone\n"
        "from trainers.counting import Task, num_params\n"
        "backbone('resnet11').skeleton(3, 10)\n"
        "num_params(Design('dia'), 'resnet11', Task(10, (3, 32, 32)))\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
