"""A training spread over processes: the same as in one, but that BN looks at shares; whatever ends one ends all."""

import copy
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from space.design import Design
from space.errors import UserError
from tests.trainers.test_training import PLAIN, data, finished, without_bn
from trainers.evaluator import Evaluator
from trainers.recipe import Recipe, recipe
from trainers.share import Share
from trainers.source import Source
from trainers.spread import Spread
from trainers.training import Training

CPU = torch.device("cpu")
EACH = replace(PLAIN, class_weights=True, label_smoothing=0.1, clip_norm=0.5, momentum=0.9, schedule="one-cycle")


def make(how: Recipe, network: Callable[[], nn.Module], share: Share, device: torch.device) -> Training:
    """The last batches are of 6 images."""
    return Training(network(), data(train=22), how, 5, device, share=share)


def spread(how: Recipe, network: Callable[[], nn.Module] = without_bn, world: int = 2) -> Spread:
    return Spread(partial(make, how, network), world, "cpu")


@pytest.mark.parametrize("how", [PLAIN, EACH, replace(EACH, accumulate=2)], ids=["plain", "each", "in parts"])
def test_a_spread_training_has_the_curve_of_one_that_is_not(how: Recipe) -> None:
    together, alone = finished(spread(how)), finished(make(how, without_bn, Share(), CPU))
    for report, expected in zip(together, alone, strict=True):
        assert report == pytest.approx(expected, rel=1e-4)


def test_it_is_taken_up_to_the_same_numbers_and_halved_everywhere() -> None:
    whole = spread(EACH)
    whole.step()
    state = copy.deepcopy(whole.state_dict())
    rest = finished(whole)
    resumed = spread(EACH)
    resumed.load_state_dict(state)
    resumed.halve_batches()
    for report, expected in zip(finished(resumed), rest, strict=True):
        assert report["accumulate"] == 2
        assert {name: report[name] for name in expected} == pytest.approx(expected, rel=1e-4)


class Broken(nn.Module):
    """Cannot be trained in a share of few images."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = without_bn()

    def forward(self, images: Tensor) -> Tensor:
        if multiprocessing.parent_process() is not None:
            raise MemoryError("no room")
        logits: Tensor = self.inner(images)
        return logits


def test_what_another_share_raises_is_raised_here_and_ends_all() -> None:
    broken = spread(PLAIN, Broken)
    with pytest.raises(MemoryError, match="no room"):
        broken.step()
    assert not torch.distributed.is_initialized()
    assert not multiprocessing.active_children()
    spread(PLAIN).step()


@pytest.mark.parametrize(("size", "world"), [(9, 2), (8, 3), (2, 2)])
def test_batches_that_do_not_part_are_a_mistake(size: int, world: int) -> None:
    with pytest.raises(UserError, match=f"--batch-size {size} does not part over {world} GPUs"):
        Share(0, world).batch(size)


@pytest.mark.parametrize("count", range(4, 30))
@pytest.mark.parametrize("world", [1, 2, 4])
def test_shares_have_each_image_once_and_none_of_them_a_single_one(count: int, world: int) -> None:
    order = torch.randperm(count)
    shares = [Share(rank, world).of(order, 8) for rank in range(world)]
    assert sorted(torch.cat(shares).tolist()) == list(range(count))
    for share in shares:
        assert len(share) >= count // 8 * (8 // world)


def test_an_evaluator_spreads_its_trainings() -> None:
    source = Source(name="digits", train_size=50)
    evaluate = Evaluator(source=source, recipe=recipe("digits").with_epochs(1), device="cpu", processes=2)
    training = evaluate("resnet11", Design("ras"), 0)
    assert isinstance(training, Spread)
    (report,) = finished(training)
    assert 0 < report["val_accuracy"] <= 1
