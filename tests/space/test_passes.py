"""Passes over maps: what torch computes, and its gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from space.attention.passes import add_product, channel_maxima, channel_means, pixel_maxima

SIZES = [(3, 16, 8, 8), (2, 16, 3, 5), (2, 40, 4, 6), (1, 5, 7, 7)]
FORMATS = [torch.contiguous_format, torch.channels_last]


def value_and_gradients(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """What it returns, and the gradients of a fixed projection of that; without gradients it returns the same."""
    leaves = [it.detach().requires_grad_() for it in inputs]
    value = function(*leaves)
    torch.manual_seed(1)
    gradients = torch.autograd.grad((value * torch.randn(value.shape, dtype=value.dtype)).sum(), leaves)
    with torch.inference_mode():
        assert torch.equal(function(*inputs), value.detach())
    return [value, *gradients]


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (channel_means, lambda it: it.mean((2, 3))),
        (channel_maxima, lambda it: it.amax((2, 3))),
        (pixel_maxima, lambda it: it.amax(1, keepdim=True)),
    ],
)
@pytest.mark.parametrize("ties", [False, True])
def test_of_one_map(
    ours: Callable[[Tensor], Tensor],
    theirs: Callable[[Tensor], Tensor],
    size: tuple[int, ...],
    layout: torch.memory_format,
    ties: bool,
) -> None:
    torch.manual_seed(0)
    features = torch.randn(size, dtype=torch.float64).contiguous(memory_format=layout)
    features = features.round() if ties else features
    for mine, other in zip(value_and_gradients(ours, features), value_and_gradients(theirs, features), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("gate_of", [lambda b, c, h, w: (b, c, 1, 1), lambda b, c, h, w: (b, 1, h, w), lambda *it: it])
@pytest.mark.parametrize("size", SIZES)
def test_sums_of_products(
    gate_of: Callable[..., tuple[int, ...]], size: tuple[int, ...], layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    shortcut, features = (torch.randn(size, dtype=torch.float64).contiguous(memory_format=layout) for _ in range(2))
    inputs = (shortcut, features, torch.randn(gate_of(*size), dtype=torch.float64))
    for mine, other in zip(
        value_and_gradients(add_product, *inputs), value_and_gradients(torch.addcmul, *inputs), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_gradients_are_maps_in_the_layout_of_the_features() -> None:
    features = torch.randn(2, 16, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    for function in (
        channel_maxima,
        pixel_maxima,
        lambda it: add_product(it, it, it[:, :, :1, :1]),
    ):
        (gradient,) = torch.autograd.grad(function(features).sum(), features)
        assert gradient.is_contiguous(memory_format=torch.channels_last)
