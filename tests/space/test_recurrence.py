"""Depth: one excitation applied several times, or several excitations, with connections between."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from space.attention import stage_gates
from space.attention.connection import CONNECTIONS, Rational
from space.attention.recurrence import RecurrentGate
from space.declarations import CONNECTION
from space.declared import DECLARED
from space.design import Design
from tests.space.conftest import batch_norm, bottleneck, count, normal, randomised, sigmoid, weights

CHANNELS = 8


def recurrent(design: Design, training: bool = True) -> RecurrentGate:
    """The gate of a design with every parameter and statistic drawn at random."""
    gate = randomised(stage_gates(design, CHANNELS, blocks=1)[0].train(training), std=1.0)
    assert isinstance(gate, RecurrentGate)
    return gate


def features() -> Tensor:
    return normal(5, CHANNELS, 2, 3)


def rational(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    numerator = p[0] + p[1] * x + p[2] * x**2 + p[3] * x**3 + p[4] * x**4 + p[5] * x**5
    return numerator / (1 + (q[0] * x + q[1] * x**2 + q[2] * x**3 + q[3] * x**4).abs())


PLAIN_CONNECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": lambda x: x.clamp(min=0),
    "sigmoid": sigmoid,
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
}


def affine(w: dict[str, Tensor], y: Tensor) -> Tensor:
    return w["excitations.0.gamma"] * y + w["excitations.0.beta"]


def test_every_connection_of_a_design_exists() -> None:
    assert set(CONNECTIONS) == set(CONNECTION.values)
    assert set(PLAIN_CONNECTIONS) == set(CONNECTIONS) - {"bn", "rational"}


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("connection", PLAIN_CONNECTIONS)
def test_one_affine_map_is_applied_at_each_step(connection: str, depth: int) -> None:
    gate = recurrent(Design("ras", depth=depth, connection=connection))
    w = weights(gate)
    y = affine(w, features().mean((2, 3)))
    for _ in range(depth - 1):
        y = affine(w, PLAIN_CONNECTIONS[connection](y))

    torch.testing.assert_close(gate(features())[:, :, 0, 0], sigmoid(y))
    assert len(list(gate.parameters())) == 2


@pytest.mark.parametrize("depth", [2, 3])
def test_each_rational_connection_has_coefficients_of_its_own(depth: int) -> None:
    gate = recurrent(Design("ras", depth=depth, connection="rational"))
    w = weights(gate)
    y = affine(w, features().mean((2, 3)))
    for step in range(depth - 1):
        y = affine(w, rational(y, w[f"connections.{step}.numerator"], w[f"connections.{step}.denominator"]))

    torch.testing.assert_close(gate(features())[:, :, 0, 0], sigmoid(y))
    assert count(gate) == 2 * CHANNELS + 10 * (depth - 1)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("depth", "bn", "norms"), [(2, None, 1), (3, "own", 2), (3, "shared", 1), (4, "own", 3)])
def test_bn_connections_normalise_over_the_batch(depth: int, bn: str | None, norms: int, training: bool) -> None:
    gate = recurrent(Design("ras", depth=depth, bn=bn), training)
    w = weights(gate)
    y = affine(w, features().mean((2, 3)))
    for step in range(depth - 1):
        y = affine(w, batch_norm(w, f"connections.{step}", y, training))

    torch.testing.assert_close(gate(features())[:, :, 0, 0], sigmoid(y))
    assert len({id(connection) for connection in gate.connections}) == norms
    assert count(gate) == 2 * CHANNELS + 2 * CHANNELS * norms


def test_a_shared_bn_learns_its_statistics_from_each_of_its_uses() -> None:
    gate = recurrent(Design("ras", depth=3, bn="shared"))
    w = weights(gate)
    mean = w["connections.0.running_mean"]
    y = affine(w, features().mean((2, 3)))
    for _ in range(2):
        mean = 0.9 * mean + 0.1 * y.mean(0)
        y = affine(w, batch_norm(w, "connections.0", y, training=True))
    gate(features())

    torch.testing.assert_close(weights(gate)["connections.0.running_mean"], mean)


def test_depth_applies_one_se_again_to_its_own_output() -> None:
    gate = recurrent(Design("se", depth=3, connection="tanh", reduction=2))
    w = weights(gate)
    y = bottleneck(w, features().mean((2, 3)), "excitations.0.")
    for _ in range(2):
        y = bottleneck(w, y.tanh(), "excitations.0.")

    torch.testing.assert_close(gate(features())[:, :, 0, 0], sigmoid(y))
    assert count(gate) == 2 * 8 * 4 + 4 + 8


@pytest.mark.parametrize("bias", ["yes", "no"])
@pytest.mark.parametrize("depth", [2, 3])
def test_explicit_deepening_stacks_as_many_modules_on_each_other(depth: int, bias: str) -> None:
    gate = recurrent(Design("se", depth=depth, deepening="explicit", reduction=2, bias=bias))
    w = weights(gate)
    y = features().mean((2, 3))
    for step in range(depth):  # RAS Eq. 2: g^k = W1^k relu(W2^k g^(k-1))
        y = bottleneck(w, y, f"excitations.{step}.")

    torch.testing.assert_close(gate(features())[:, :, 0, 0], sigmoid(y))
    assert count(gate) == depth * (2 * 8 * 4 + (4 + 8 if bias == "yes" else 0))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("depth", "bn", "norms"), [(2, None, 1), (3, "own", 2), (3, "shared", 1)])
def test_modules_of_their_own_may_have_bns_between(depth: int, bn: str | None, norms: int, training: bool) -> None:
    gate = recurrent(Design("se", depth=depth, deepening="explicit", connection="bn", bn=bn, reduction=2), training)
    w = weights(gate)
    y = bottleneck(w, features().mean((2, 3)), "excitations.0.")
    for step in range(1, depth):
        y = bottleneck(w, batch_norm(w, f"connections.{step - 1}", y, training), f"excitations.{step}.")

    torch.testing.assert_close(gate(features())[:, :, 0, 0], sigmoid(y))
    assert count(gate) == depth * (2 * 8 * 4 + 4 + 8) + norms * 2 * CHANNELS


@pytest.mark.parametrize("attention", [name for name in DECLARED if "deepening" in DECLARED[name].choices])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_explicit_deepening_has_the_parameters_of_so_many_modules(attention: str, depth: int) -> None:
    implicit = recurrent(Design(attention, depth=depth, connection="tanh"))
    explicit = recurrent(Design(attention, depth=depth, connection="tanh", deepening="explicit"))

    assert count(implicit) == count(recurrent(Design(attention, depth=1)))
    assert count(explicit) == depth * count(implicit)
    assert len({id(excitation) for excitation in explicit.excitations}) == depth


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
