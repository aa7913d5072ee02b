"""What sits between two applications of a recurrent attention module (RAS paper, Section 4.1)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from space.attention.inference import ChannelMap, Step

# Least-squares fit of leaky ReLU (slope 0.01) on [-3, 3], the start that Molina et al. publish.
LEAKY_RELU_NUMERATOR = (0.02979246, 0.61837738, 2.32335207, 3.05202660, 1.48548002, 0.25103717)
LEAKY_RELU_DENOMINATOR = (1.14201226, 4.39322834, 0.87154450, 0.34720652)


class Rational(nn.Module):
    """Pade activation unit P(x) / (1 + |Q(x)|), P of degree 5, Q of degrees 1 to 4, both learnt.

    Molina, Schramowski, Kersting: Pade Activation Units, ICLR 2020, https://arxiv.org/abs/1907.06732

    Shape:
        any -> the same.

    Parameters: 10.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numerator = nn.Parameter(torch.tensor(LEAKY_RELU_NUMERATOR))
        self.denominator = nn.Parameter(torch.tensor(LEAKY_RELU_DENOMINATOR))

    def forward(self, x: Tensor) -> Tensor:
        return _horner(self.numerator, x) / (1 + (x * _horner(self.denominator, x)).abs())


def _horner(coefficients: Tensor, x: Tensor) -> Tensor:
    """The polynomial with these coefficients, the constant first."""
    value = coefficients[-1].expand_as(x)
    for coefficient in coefficients[:-1].flip(0):
        value = torch.addcmul(coefficient, value, x)
    return value


CONNECTIONS: dict[str, Callable[[int], nn.Module]] = {
    "bn": nn.BatchNorm1d,
    "identity": lambda channels: nn.Identity(),
    "relu": lambda channels: nn.ReLU(),
    "sigmoid": lambda channels: nn.Sigmoid(),
    "tanh": lambda channels: nn.Tanh(),
    "rational": lambda channels: Rational(),
}
"""Maker of each connection from the number of channels."""


def folded_connection(connection: nn.Module) -> list[Step]:
    """What it computes in eval mode."""
    if isinstance(connection, nn.BatchNorm1d):
        return [ChannelMap.norm(connection)]
    return [] if isinstance(connection, nn.Identity) else [connection]
