"""The CUDA paths; run where there is a GPU."""

import pytest
import torch

from space import Design
from trainers.costs import COSTS, MeasuredCost
from trainers.deployment import DTYPES, Deployment
from trainers.evaluator import Evaluator
from trainers.recipe import Recipe
from trainers.source import Source
from trainers.task import Task

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("mixed_precision", [False, True])
def test_a_training_learns_on_the_gpu(mixed_precision: bool, compiled: bool) -> None:
    recipe = Recipe(epochs=3, batch_size=50, mixed_precision=mixed_precision, compiled=compiled, crop_padding=1)
    training = Evaluator(source=Source(name="digits"), recipe=recipe, device="cuda")("resnet11", Design("ras"), 0)
    losses = [training.step()["train_loss"] for _ in range(3)]
    assert losses[-1] < losses[0]


def test_a_training_too_large_for_its_share_of_the_gpu_fails_alone() -> None:
    torch.cuda.set_per_process_memory_fraction(0.01)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.zeros(torch.cuda.get_device_properties(0).total_memory // 8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("cost", ["fps", "latency", "memory"])
@pytest.mark.parametrize("form", ["folded", "eager"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_measured_is_measured_on_the_gpu(cost: str, form: str, dtype: str) -> None:
    on = COSTS[cost](Task(10, (3, 32, 32)), Deployment(device="cuda", form=form, dtype=dtype))
    assert isinstance(on, MeasuredCost)
    on.prepare([("resnet11", Design("se"))])
    assert on.of("resnet11", Design("se")) > 0
    assert on.conditions["device"] == torch.cuda.get_device_name()
