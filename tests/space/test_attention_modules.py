"""The attention modules against their equations, their gradients, parameter counts and shapes."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from space.attention import ATTENTION, stage_gates
from space.attention.affine import Affine
from space.attention.cbam import CBAM, SpatialGate
from space.attention.eca import ECA, kernel_size
from space.attention.lstm import DIALSTM, DIAGate, DIAUnit
from space.attention.recurrence import RecurrentGate
from space.attention.se import SE
from space.design import FIELDS, VALUES, Design, default
from space.gating import Gated

# Shapes: B = 3 images, C = 8 channels, 5 x 4 pixels.
POOLED = (3, 8)
FEATURES = (3, 8, 5, 4)


def randomised(module: nn.Module) -> nn.Module:
    """The module in double precision with every parameter and statistic drawn at random."""
    torch.manual_seed(0)
    module = module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    for name, buffer in module.named_buffers():
        if "running" in name:
            nn.init.uniform_(buffer, 0.5, 1.5)
    return module


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def bottleneck(w: dict[str, Tensor], x: Tensor) -> Tensor:
    hidden = (x @ w["squeeze.weight"].T + w["squeeze.bias"]).clamp(min=0)
    return hidden @ w["excite.weight"].T + w["excite.bias"]


def test_se_is_two_layers_with_a_relu_between() -> None:
    se = randomised(SE(8, reduction=2))
    w = se.state_dict()

    assert w["squeeze.weight"].shape == (4, 8)
    torch.testing.assert_close(se(normal(*POOLED)), bottleneck(w, normal(*POOLED)))


def test_affine_scales_and_shifts_each_channel() -> None:
    affine = randomised(Affine(8))
    w = affine.state_dict()
    torch.testing.assert_close(affine(normal(*POOLED)), w["gamma"] * normal(*POOLED) + w["beta"])


@pytest.mark.parametrize(("channels", "taps"), [(8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5)])
def test_eca_kernel_sizes(channels: int, taps: int) -> None:
    assert kernel_size(channels) == taps
    assert [tuple(weight.shape) for weight in ECA(channels).parameters()] == [(1, 1, taps)]


@pytest.mark.parametrize("channels", [8, 64, 128, 256])
def test_eca_weighs_neighbouring_channels_with_zeros_beyond_the_ends(channels: int) -> None:
    eca = randomised(ECA(channels))
    taps = eca.state_dict()["conv.weight"].flatten().tolist()
    pooled = normal(3, channels)
    half = len(taps) // 2
    expected = torch.zeros_like(pooled)
    for channel in range(channels):
        for tap, weight in enumerate(taps):
            neighbour = channel + tap - half
            if 0 <= neighbour < channels:
                expected[:, channel] += weight * pooled[:, neighbour]

    torch.testing.assert_close(eca(pooled), expected)


def spatial_gate(w: dict[str, Tensor], x: Tensor, training: bool) -> Tensor:
    batch, _, height, width = x.shape
    maps = torch.stack([x.max(1).values, x.mean(1)], dim=1)
    padded = torch.zeros(batch, 2, height + 6, width + 6, dtype=x.dtype)
    padded[:, :, 3:-3, 3:-3] = maps
    logits = torch.zeros(batch, height, width, dtype=x.dtype)
    for row in range(7):
        for column in range(7):
            window = padded[:, :, row : row + height, column : column + width]
            logits += (w["conv.weight"][0, :, row, column, None, None] * window).sum(1)
    mean, var = (logits.mean(), logits.var(unbiased=False)) if training else (w["bn.running_mean"], w["bn.running_var"])
    normalised = (logits - mean) / (var + 1e-5).sqrt() * w["bn.weight"] + w["bn.bias"]
    return sigmoid(normalised)[:, None]


def starting_with(w: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in w.items() if name.startswith(prefix)}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_cbam_is_a_channel_gate_times_a_spatial_gate_of_what_the_first_lets_through(training: bool) -> None:
    cbam = randomised(CBAM(SE(8, reduction=2), SpatialGate())).train(training)
    w = {name: value.clone() for name, value in cbam.state_dict().items()}
    x = normal(*FEATURES)

    mlp = starting_with(w, "mlp.")
    channel = sigmoid(bottleneck(mlp, x.mean((2, 3))) + bottleneck(mlp, x.flatten(2).max(2).values))[:, :, None, None]
    expected = channel * spatial_gate(starting_with(w, "spatial."), x * channel, training)

    torch.testing.assert_close(cbam(x), expected)


def test_the_bn_of_cbam_forgets_slowly() -> None:
    gate = SpatialGate().double().train()
    x = normal(*FEATURES)
    logits = gate.conv(torch.stack([x.max(1).values, x.mean(1)], dim=1)).detach()
    gate(x)

    assert gate.bn.running_mean is not None
    torch.testing.assert_close(gate.bn.running_mean, 0.01 * logits.mean(dim=(0, 2, 3)))


def dia_states(w: dict[str, Tensor], pooled: list[Tensor]) -> list[Tensor]:
    """h of each block of a stage (DIANet Eq. 1)."""

    def layers(name: str, x: Tensor) -> Tensor:
        hidden = (x @ w[f"{name}.0.weight"].T + w[f"{name}.0.bias"]).clamp(min=0)
        return hidden @ w[f"{name}.2.weight"].T + w[f"{name}.2.bias"]

    h = c = torch.zeros_like(pooled[0])
    states = []
    for y in pooled:
        i, f, g, o = (layers("input", y) + layers("state", h)).split(y.shape[1], dim=1)
        c = sigmoid(f) * c + sigmoid(i) * g.tanh()
        h = sigmoid(o) * sigmoid(c)
        states.append(h)
    return states


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_dia_hands_the_state_of_one_lstm_from_block_to_block(blocks: int, training: bool) -> None:
    unit = DIAUnit(DIALSTM(8, reduction=2))
    gates = [DIAGate(unit, first=block == 0, last=block == blocks - 1) for block in range(blocks)]
    w = randomised(nn.ModuleList(gates).train(training))[0].unit.lstm.state_dict()  # type: ignore[index]
    features = list(normal(blocks, *FEATURES))

    states = dia_states(w, [x.mean((2, 3)) for x in features])
    for gate, x, h in zip(gates, features, states, strict=True):
        torch.testing.assert_close(gate(x), h[:, :, None, None])


@pytest.mark.parametrize("sizes", [(3, 3), (3, 5), (5, 2)])
def test_dia_starts_anew_in_each_forward_and_keeps_nothing_after_it(sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    gates = stage_gates(Design("dia"), 8, blocks=3)
    unit = gates[0].unit
    assert isinstance(unit, DIAUnit)

    def forward(batch: int) -> list[Tensor]:
        x = torch.ones(batch, 8, 2, 2)
        return [gate(x) for gate in gates]

    expected = forward(sizes[1])
    forward(sizes[0])
    assert unit.carried is None
    torch.testing.assert_close(forward(sizes[1]), expected, rtol=0, atol=0)
    gates[0](torch.ones(sizes[0], 8, 2, 2))  # a forward that broke off after the first block
    torch.testing.assert_close(forward(sizes[1]), expected, rtol=0, atol=0)


@pytest.mark.parametrize("channels", [8, 64])
@pytest.mark.parametrize("reduction", [1, 4, 16])
def test_parameter_counts_follow_the_formulas(channels: int, reduction: int) -> None:
    c, q = channels, max(1, channels // reduction)
    counts: list[tuple[nn.Module, int]] = [
        (SE(c, reduction), 2 * c * q + q + c),
        (Affine(c), 2 * c),
        (ECA(c), 3),
        (SpatialGate(), 100),
        (CBAM(SE(c, reduction), SpatialGate()), 2 * c * q + q + c + 100),
        (DIALSTM(c, reduction), 2 * (5 * c * q + q + 4 * c)),
    ]
    for module, count in counts:
        assert sum(parameter.numel() for parameter in module.parameters()) == count


EVERY_KIND = [
    *(Design(name, reduction=2 if "reduction" in FIELDS[name] else None) for name in ATTENTION),
    *(
        Design(name, depth=2, connection=str(connection), reduction=2 if name == "se" else None)
        for name in ("se", "ras", "eca")
        for connection in VALUES["connection"]
        if default(name, "depth") != 2 or connection != "bn"
    ),
    Design("ras", depth=3, bn="shared"),
]
EACH_KIND = pytest.mark.parametrize("design", EVERY_KIND, ids=str)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@EACH_KIND
def test_gradients_are_those_of_finite_differences(design: Design, training: bool) -> None:
    chain = randomised(nn.Sequential(*(Gated(nn.Identity(), gate) for gate in stage_gates(design, 8, blocks=2))))
    parameters = dict(chain.train(training).named_parameters())

    def call(x: Tensor, *values: Tensor) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in chain.named_buffers()}
        out: Tensor = functional_call(chain, {**dict(zip(parameters, values, strict=True)), **buffers}, x)
        return out

    inputs = (normal(2, 8, 2, 1).requires_grad_(), *(p.detach().requires_grad_() for p in parameters.values()))
    assert torch.autograd.gradcheck(call, inputs)


@EACH_KIND
def test_a_gate_has_one_value_a_channel_or_one_a_pixel(design: Design) -> None:
    torch.manual_seed(0)
    shape = FEATURES if design.attention == "cbam" else (*POOLED, 1, 1)
    for gate in stage_gates(design, 8, blocks=2):
        assert gate(torch.randn(FEATURES)).shape == shape


@EACH_KIND
def test_a_gate_lies_between_0_and_1(design: Design) -> None:
    torch.manual_seed(0)
    for gate in stage_gates(design, 8, blocks=2):
        out = gate(10 * torch.randn(FEATURES))
        assert float(out.detach().min()) >= 0
        assert float(out.detach().max()) <= 1


@pytest.mark.parametrize("make", [lambda: SE(8, 2), lambda: Affine(8), lambda: ECA(8)], ids=["se", "ras", "eca"])
def test_a_channel_gate_is_the_sigmoid_of_its_excitation_on_the_channel_means(
    make: Callable[[], SE | Affine | ECA],
) -> None:
    gate = RecurrentGate(make())
    randomised(gate)
    x = normal(*FEATURES)
    torch.testing.assert_close(gate(x)[:, :, 0, 0], sigmoid(gate.excitation(x.flatten(2).mean(2))))


def test_ras_starts_with_a_gate_of_sigmoid_of_minus_one() -> None:
    for gate in stage_gates(Design("ras"), 8, blocks=2):
        expected = torch.full((*POOLED, 1, 1), 1 / (1 + math.e))
        torch.testing.assert_close(gate(torch.randn(FEATURES)), expected)
