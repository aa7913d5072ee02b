"""About how long a training takes."""

from collections.abc import Callable

import pytest
import torch

from space.backbones import backbone
from space.build import build
from space.design import Design
from space.errors import UserError
from trainers import estimate
from trainers.estimate import estimate_training_seconds
from trainers.recipe import Recipe
from trainers.task import Task

TASK = Task(10, (1, 4, 4))


@pytest.mark.parametrize(("images", "steps"), [(40, 4), (41, 4), (42, 5)])
def test_training_takes_its_steps_and_validations(monkeypatch: pytest.MonkeyPatch, images: int, steps: int) -> None:
    def seconds(call: Callable[[], object], device: str) -> float:
        return 0.5 if isinstance(call(), torch.Tensor) else 2.0  # judging gives logits, a training step nothing

    monkeypatch.setattr(estimate, "seconds_of", seconds)
    recipe = Recipe(epochs=3, batch_size=10)
    network = build(Design(), backbone("resnet11"), 10, 1)
    found = estimate_training_seconds(network, TASK, recipe, {"train": images, "val": 30, "test": 1}, "cpu")

    assert found == pytest.approx(3 * (steps * 2.0 + 3 * 0.5))


def test_the_duration_of_a_training_in_which_nothing_learns_is_a_mistake() -> None:
    network = build(Design(), backbone("resnet11"), 10, 1).requires_grad_(False)
    with pytest.raises(UserError, match="frozen"):
        estimate_training_seconds(network, TASK, Recipe(epochs=3, batch_size=10), {"train": 9, "val": 9}, "cpu")
    network.get_submodule("fc").requires_grad_(True)
    assert estimate_training_seconds(network, TASK, Recipe(epochs=3, batch_size=10), {"train": 9, "val": 9}, "cpu") > 0
