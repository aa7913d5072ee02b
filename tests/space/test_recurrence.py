"""Implicit depth: an excitation applied several times with connections between."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from space.attention import stage_gates
from space.attention.connection import CONNECTIONS, Rational
from space.attention.recurrence import RecurrentGate
from space.design import VALUES, Design

CHANNELS = 8


def recurrent(design: Design, training: bool = True) -> RecurrentGate:
    """The gate of a design with every parameter and statistic drawn at random."""
    torch.manual_seed(0)
    gate = stage_gates(design, CHANNELS, blocks=1)[0].double().train(training)
    assert isinstance(gate, RecurrentGate)
    for parameter in gate.parameters():
        nn.init.normal_(parameter)
    for name, buffer in gate.named_buffers():
        if "running" in name:
            nn.init.uniform_(buffer, 0.5, 1.5)
    return gate


def features() -> Tensor:
    return torch.randn(5, CHANNELS, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def rational(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    numerator = p[0] + p[1] * x + p[2] * x**2 + p[3] * x**3 + p[4] * x**4 + p[5] * x**5
    return numerator / (1 + (q[0] * x + q[1] * x**2 + q[2] * x**3 + q[3] * x**4).abs())


PLAIN_CONNECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": lambda x: x.clamp(min=0),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
}


def affine(w: dict[str, Tensor], y: Tensor) -> Tensor:
    return w["excitation.gamma"] * y + w["excitation.beta"]


def test_every_connection_of_a_design_exists() -> None:
    assert set(CONNECTIONS) == set(VALUES["connection"])
    assert set(PLAIN_CONNECTIONS) == set(CONNECTIONS) - {"bn", "rational"}


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("connection", PLAIN_CONNECTIONS)
def test_one_affine_map_is_applied_at_each_step(connection: str, depth: int) -> None:
    gate = recurrent(Design("ras", depth=depth, connection=connection))
    w = gate.state_dict()
    y = affine(w, features().mean((2, 3)))
    for _ in range(depth - 1):
        y = affine(w, PLAIN_CONNECTIONS[connection](y))

    torch.testing.assert_close(gate(features())[:, :, 0, 0], 1 / (1 + (-y).exp()))
    assert len(list(gate.parameters())) == 2


@pytest.mark.parametrize("depth", [2, 3])
def test_each_rational_connection_has_coefficients_of_its_own(depth: int) -> None:
    gate = recurrent(Design("ras", depth=depth, connection="rational"))
    w = gate.state_dict()
    y = affine(w, features().mean((2, 3)))
    for step in range(depth - 1):
        y = affine(w, rational(y, w[f"connections.{step}.numerator"], w[f"connections.{step}.denominator"]))

    torch.testing.assert_close(gate(features())[:, :, 0, 0], 1 / (1 + (-y).exp()))
    assert sum(p.numel() for p in gate.parameters()) == 2 * CHANNELS + 10 * (depth - 1)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("depth", "bn", "norms"), [(2, None, 1), (3, "own", 2), (3, "shared", 1), (4, "own", 3)])
def test_bn_connections_normalise_over_the_batch(depth: int, bn: str | None, norms: int, training: bool) -> None:
    gate = recurrent(Design("ras", depth=depth, bn=bn), training)
    w = {name: value.clone() for name, value in gate.state_dict().items()}
    y = affine(w, features().mean((2, 3)))
    for step in range(depth - 1):
        its = f"connections.{step}."
        mean, var = w[f"{its}running_mean"], w[f"{its}running_var"]
        if training:
            mean, var = y.mean(0), y.var(0, unbiased=False)
        y = affine(w, (y - mean) / (var + 1e-5).sqrt() * w[f"{its}weight"] + w[f"{its}bias"])

    torch.testing.assert_close(gate(features())[:, :, 0, 0], 1 / (1 + (-y).exp()))
    assert len({id(connection) for connection in gate.connections}) == norms
    assert sum(p.numel() for p in gate.parameters()) == 2 * CHANNELS + 2 * CHANNELS * norms


def test_a_shared_bn_learns_its_statistics_from_each_of_its_uses() -> None:
    gate = recurrent(Design("ras", depth=3, bn="shared"))
    w = {name: value.clone() for name, value in gate.state_dict().items()}
    mean = w["connections.0.running_mean"]
    y = affine(w, features().mean((2, 3)))
    for _ in range(2):
        mean = 0.9 * mean + 0.1 * y.mean(0)
        normalised = (y - y.mean(0)) / (y.var(0, unbiased=False) + 1e-5).sqrt()
        y = affine(w, normalised * w["connections.0.weight"] + w["connections.0.bias"])
    gate(features())

    torch.testing.assert_close(gate.state_dict()["connections.0.running_mean"], mean)


def test_depth_applies_one_se_again_to_its_own_output() -> None:
    gate = recurrent(Design("se", depth=3, connection="tanh", reduction=2))
    se = gate.excitation
    expected = se(se(se(features().mean((2, 3))).tanh()).tanh()).sigmoid()

    torch.testing.assert_close(gate(features())[:, :, 0, 0], expected)
    assert sum(p.numel() for p in gate.parameters()) == 2 * 8 * 4 + 4 + 8


def test_the_rational_connection_starts_close_to_leaky_relu() -> None:
    x = torch.linspace(-3, 3, 601)
    leaky_relu = torch.where(x > 0, x, 0.01 * x)
    error = (Rational()(x) - leaky_relu).detach()

    assert float(error.abs().max()) < 0.07
    assert float(error.square().mean().sqrt()) < 0.02


def test_the_rational_connection_has_no_poles() -> None:
    connection = Rational().double()
    for parameter in connection.parameters():
        nn.init.normal_(parameter, std=10, generator=torch.Generator().manual_seed(0))
    x = torch.linspace(-50, 50, 10_001, dtype=torch.float64)
    numerator = sum(float(p) * x**power for power, p in enumerate(connection.numerator.tolist()))

    assert bool((connection(x).abs() <= torch.as_tensor(numerator).abs() + 1e-6).all())
