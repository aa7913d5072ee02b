"""The attention modules against their equations, their gradients, parameter counts and shapes."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from space.attention import ATTENTION, stage_gates
from space.attention.cbam import CBAM, SpatialGate
from space.attention.dia import DIALSTM, DIAGate, DIAUnit
from space.attention.eca import ECA, kernel_size
from space.attention.gate import Excitation
from space.attention.passes import mean
from space.attention.ras import Affine
from space.attention.recurrence import RecurrentGate
from space.attention.se import SE
from space.attention.sem import SEM
from space.attention.spa import SPA
from space.declarations import CONNECTION
from space.declared import DECLARED
from space.design import Design
from space.gating import Gated
from tests.space.conftest import batch_norm, bottleneck, count, linear, normal, randomised, sigmoid, weights

# Shapes: B = 3 images, C = 8 channels, 5 x 4 pixels.
POOLED = (3, 8)
FEATURES = (3, 8, 5, 4)
IN_BOTH_MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@pytest.mark.parametrize("dims", [(2, 3), (1,), (0, 2)])
@pytest.mark.parametrize("keepdim", [True, False])
def test_a_mean_is_that_of_torch_with_a_gradient_that_takes_no_room(dims: tuple[int, ...], keepdim: bool) -> None:
    x = normal(*FEATURES).requires_grad_()
    torch.testing.assert_close(mean(x, *dims, keepdim=keepdim), x.mean(dims, keepdim))
    [gradient] = torch.autograd.grad(mean(x, *dims, keepdim=keepdim).sum(), x)

    assert [gradient.stride(dim) for dim in dims] == [0] * len(dims)
    torch.testing.assert_close(gradient, torch.full_like(x, 1 / math.prod(x.shape[dim] for dim in dims)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_mean_in_few_bits_does_not_overflow(dtype: torch.dtype) -> None:
    found = mean(torch.full((1, 1, 64, 64), 100.0, dtype=dtype), 2, 3)
    assert found.dtype == dtype
    assert found.item() == 100


@IN_BOTH_MODES
@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
def test_se_is_two_layers_with_a_relu_between(bias: bool, training: bool) -> None:
    se = randomised(SE(8, reduction=2, bias=bias)).train(training)
    w = weights(se)

    assert w["reduce.weight"].shape == (4, 8)
    assert w["excite.weight"].shape == (8, 4)
    assert [name for name in w if name.endswith("bias")] == (["reduce.bias", "excite.bias"] if bias else [])
    torch.testing.assert_close(se(normal(*POOLED)), bottleneck(w, normal(*POOLED)))


@IN_BOTH_MODES
def test_affine_scales_and_shifts_each_channel(training: bool) -> None:
    affine = randomised(Affine(8)).train(training)
    w = weights(affine)
    torch.testing.assert_close(affine(normal(*POOLED)), w["gamma"] * normal(*POOLED) + w["beta"])


@pytest.mark.parametrize(("channels", "taps"), [(8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5)])
def test_eca_kernel_sizes(channels: int, taps: int) -> None:
    assert kernel_size(channels) == taps
    assert [tuple(weight.shape) for weight in ECA(channels).parameters()] == [(1, 1, taps)]


def neighbours(taps: list[float], x: Tensor) -> Tensor:
    """Each channel's weighted sum over its neighbours, with zeros beyond the ends."""
    channels, half = x.shape[1], len(taps) // 2
    out = torch.zeros_like(x)
    for channel in range(channels):
        for tap, weight in enumerate(taps):
            if 0 <= channel + tap - half < channels:
                out[:, channel] += weight * x[:, channel + tap - half]
    return out


@pytest.mark.parametrize("channels", [8, 64, 128, 256])
def test_eca_weighs_neighbouring_channels_with_zeros_beyond_the_ends(channels: int) -> None:
    eca = randomised(ECA(channels))
    taps = weights(eca)["conv.weight"].flatten().tolist()
    torch.testing.assert_close(eca(normal(3, channels)), neighbours(taps, normal(3, channels)))


@IN_BOTH_MODES
def test_sem_is_a_product_of_three_gates_that_a_switch_weighs(training: bool) -> None:
    sem = randomised(SEM(8, reduction=2)).train(training)
    w = weights(sem)
    y = normal(*FEATURES).mean((2, 3))

    switch = sigmoid(linear(w, "switch", y))
    assert switch.shape == (3, 3)
    by_se = sigmoid(switch[:, 0:1] * bottleneck(w, y, "se."))
    by_eca = sigmoid(switch[:, 1:2] * neighbours(w["eca.conv.weight"].flatten().tolist(), y))
    by_affine = sigmoid(switch[:, 2:3] * (w["affine.gamma"] * y + w["affine.beta"]))

    torch.testing.assert_close(sem(normal(*FEATURES))[:, :, 0, 0], by_se * by_eca * by_affine)


def test_the_affine_part_of_sem_starts_as_that_of_ras() -> None:
    w = weights(SEM(8))
    assert w["affine.gamma"].tolist() == [0.0] * 8
    assert w["affine.beta"].tolist() == [-1.0] * 8


def pyramid(x: Tensor) -> Tensor:
    """Means of the whole map, of its quarters and of its sixteenths, channel by channel each."""
    height, width = x.shape[2:]

    def bins(size: int, count: int) -> list[slice]:  # they overlap where the size does not divide
        return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]

    parts = []
    for side in (1, 2, 4):
        cells = [x[:, :, rows, columns].mean((2, 3)) for rows in bins(height, side) for columns in bins(width, side)]
        parts.append(torch.stack(cells, dim=2).flatten(1))
    return torch.cat(parts, dim=1)


@IN_BOTH_MODES
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (8, 12), (5, 7), (6, 3), (2, 2), (1, 1)], ids=str)
def test_spa_is_two_layers_on_the_pools_of_three_sizes(size: tuple[int, int], training: bool) -> None:
    spa = randomised(SPA(8, reduction=2)).train(training)
    w = weights(spa)
    x = normal(3, 8, *size)
    assert isinstance(spa, SPA)

    assert {name: tuple(value.shape) for name, value in w.items()} == {
        "reduce.weight": (4, 168),
        "excite.weight": (8, 4),
    }
    torch.testing.assert_close(spa.squeeze(x), pyramid(x))
    torch.testing.assert_close(spa(spa.squeeze(x)), bottleneck(w, pyramid(x)))


def test_the_quarters_of_a_4x4_map_are_its_2x2_corners() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    expected = [7.5, 2.5, 4.5, 10.5, 12.5, *map(float, range(16))]
    assert SPA(1).squeeze(x).tolist() == [expected]


@pytest.mark.parametrize("make", [lambda: SE(8), lambda: Affine(8), lambda: ECA(8), lambda: SPA(8)])
def test_what_goes_back_in_is_the_vector_seen_as_a_1x1_map(make: Callable[[], Excitation]) -> None:
    excitation = make()
    y = normal(*POOLED)
    torch.testing.assert_close(excitation.lift(y), excitation.squeeze(y[:, :, None, None]), rtol=0, atol=0)


@IN_BOTH_MODES
@pytest.mark.parametrize("depth", [2, 3])
def test_spa_in_depth_sees_its_own_output_as_a_1x1_map(depth: int, training: bool) -> None:
    design = Design("spa", depth=depth, connection="tanh", reduction=2)
    gate = randomised(stage_gates(design, 8, blocks=1)[0]).train(training)
    w = weights(gate, "excitations.0.")
    y = bottleneck(w, pyramid(normal(*FEATURES)))
    for _ in range(depth - 1):
        y = bottleneck(w, pyramid(y.tanh()[:, :, None, None]))

    torch.testing.assert_close(gate(normal(*FEATURES))[:, :, 0, 0], sigmoid(y))


def spatial_gate(w: dict[str, Tensor], x: Tensor, training: bool) -> Tensor:
    batch, _, height, width = x.shape
    maps = torch.stack([x.max(1).values, x.mean(1)], dim=1)
    padded = torch.zeros(batch, 2, height + 6, width + 6, dtype=x.dtype)
    padded[:, :, 3:-3, 3:-3] = maps
    logits = torch.zeros(batch, 1, height, width, dtype=x.dtype)
    for row, column in product(range(7), range(7)):
        window = padded[:, :, row : row + height, column : column + width]
        logits += (w["spatial.conv.weight"][0, :, row, column, None, None] * window).sum(1, keepdim=True)
    return sigmoid(batch_norm(w, "spatial.bn", logits, training))


@IN_BOTH_MODES
def test_cbam_is_a_channel_gate_times_a_spatial_gate_of_what_the_first_lets_through(training: bool) -> None:
    cbam = randomised(CBAM(8, reduction=2)).train(training)
    w = weights(cbam)
    x = normal(*FEATURES)

    means, maxima = x.mean((2, 3)), x.flatten(2).max(2).values
    channel = sigmoid(bottleneck(w, means, "mlp.") + bottleneck(w, maxima, "mlp."))[:, :, None, None]
    expected = channel * spatial_gate(w, x * channel, training)

    torch.testing.assert_close(cbam(x), expected)


def test_the_bn_of_cbam_forgets_slowly() -> None:
    gate = SpatialGate().double().train()
    x = normal(*FEATURES)
    logits = gate.conv(torch.stack([x.max(1).values, x.mean(1)], dim=1)).detach()
    gate(x)

    assert gate.bn.running_mean is not None
    torch.testing.assert_close(gate.bn.running_mean, 0.01 * logits.mean(dim=(0, 2, 3)))


OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": sigmoid,
    "tanh": lambda c: (c.exp() - (-c).exp()) / (c.exp() + (-c).exp()),
    "relu": lambda c: c.clamp(min=0),
}


def dia_states(
    w: dict[str, Tensor], pooled: list[Tensor], output: str = "sigmoid", cells: int = 1, kept: Tensor | None = None
) -> list[Tensor]:
    """h of each block of a stage (DIANet Eq. 1, Figure 4).

    Args:
        w: the tensors of the LSTM.
        pooled: y of each block.
        output: activation of the cell states.
        cells: how many are stacked.
        kept: what the dropout between cells multiplies with, (blocks, cells - 1, B, C).
    """

    def layers(cell: int, name: str, x: Tensor) -> Tensor:
        if cell:
            return linear(w, f"cells.{cell}.{name}", x)
        return linear(w, f"cells.0.{name}.2", linear(w, f"cells.0.{name}.0", x).clamp(min=0))

    h, c = ([torch.zeros_like(pooled[0])] * cells for _ in range(2))
    gates = []
    for block, y in enumerate(pooled):
        below = y
        for cell in range(cells):
            i, f, g, o = (layers(cell, "input", below) + layers(cell, "state", h[cell])).split(y.shape[1], dim=1)
            c[cell] = sigmoid(f) * c[cell] + sigmoid(i) * g.tanh()
            h[cell] = below = sigmoid(o) * OUTPUTS[output](c[cell])
            if kept is not None and cell < cells - 1:
                below = below * kept[block, cell]
        gates.append(below)
    return gates


def dia(blocks: int, output: str = "sigmoid", cells: int = 1) -> tuple[list[nn.Module], DIALSTM]:
    """The gates of a stage and their LSTM, at random."""
    lstm = DIALSTM(8, 2, output, cells)
    unit = DIAUnit(lstm)
    gates = [DIAGate(unit, block, blocks) for block in range(blocks)]
    return list(randomised(nn.ModuleList(gates)).children()), lstm


@IN_BOTH_MODES
@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_dia_hands_the_state_of_one_lstm_from_block_to_block(blocks: int, training: bool) -> None:
    gates, lstm = dia(blocks)
    lstm.train(training)
    features = list(normal(blocks, *FEATURES))

    states = dia_states(weights(lstm), [x.mean((2, 3)) for x in features])
    for gate, x, h in zip(gates, features, states, strict=True):
        torch.testing.assert_close(gate(x), h[:, :, None, None])


@pytest.mark.parametrize("cells", [1, 2, 3])
@pytest.mark.parametrize("output", DECLARED["dia"].choices["output"].values)
def test_dia_has_a_choice_of_outputs_and_cells_that_see_the_h_below(output: str, cells: int) -> None:
    gates, lstm = dia(3, output, cells)
    lstm.eval()
    features = list(normal(3, *FEATURES))

    states = dia_states(weights(lstm), [x.mean((2, 3)) for x in features], output, cells)
    for gate, x, h in zip(gates, features, states, strict=True):
        torch.testing.assert_close(gate(x), h[:, :, None, None])


def test_dia_in_training_drops_a_tenth_of_what_the_next_cell_sees_and_nothing_else() -> None:
    gates, lstm = dia(3, cells=3)
    masks: list[Tensor] = []

    def drop(_: nn.Module, seen: tuple[Tensor], out: Tensor) -> None:
        assert bool((seen[0] != 0).all())
        masks.append((out / seen[0]).detach())

    lstm.dropout.register_forward_hook(drop)
    features = list(normal(3, *FEATURES))
    found = [gate(x)[:, :, 0, 0] for gate, x in zip(gates, features, strict=True)]
    kept = torch.stack(masks).view(3, 2, *POOLED)

    assert set(kept.flatten().mul(0.9).round(decimals=9).tolist()) == {0.0, 1.0}
    torch.testing.assert_close(found, dia_states(weights(lstm), [x.mean((2, 3)) for x in features], "sigmoid", 3, kept))
    assert DIALSTM(8, cells=3).dropout.p == 0.1


@pytest.mark.parametrize("design", ["dia", "dia:cells=3,output=tanh"])
@pytest.mark.parametrize("sizes", [(3, 3), (3, 5), (5, 2)])
def test_dia_starts_anew_in_each_forward_and_keeps_nothing_after_it(sizes: tuple[int, int], design: str) -> None:
    torch.manual_seed(0)
    gates = [gate.eval() for gate in stage_gates(Design.parse(design), 8, blocks=3)]
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
    expected: list[tuple[nn.Module, int]] = [
        (SE(c, reduction), 2 * c * q + q + c),
        (SE(c, reduction, bias=False), 2 * c * q),
        (Affine(c), 2 * c),
        (ECA(c), 3),
        (SpatialGate(), 100),
        (CBAM(c, reduction), 2 * c * q + q + c + 100),
        (SEM(c, reduction), 3 * c + 3 + (2 * c * q + q + c) + 3 + 2 * c),
        (SPA(c, reduction), 22 * c * q),
        (DIALSTM(c, reduction), 2 * (5 * c * q + q + 4 * c)),
        (DIALSTM(c, reduction, cells=3), 2 * (5 * c * q + q + 4 * c) + 2 * 2 * (4 * c * c + 4 * c)),
    ]
    for module, parameters in expected:
        assert count(module) == parameters


RECURRENT = [name for name in DECLARED if "depth" in DECLARED[name].choices]
DEPTHS = [
    "depth=1",
    *(f"depth=2,connection={connection}" for connection in CONNECTION.values),
    "depth=3,bn=own",
    "depth=3,bn=shared",
    "depth=2,deepening=explicit",
    "depth=3,deepening=explicit",
    "depth=3,deepening=explicit,connection=bn",
]
DIA = DECLARED["dia"].choices
KINDS: dict[str, list[str]] = {
    **dict.fromkeys(RECURRENT, DEPTHS),
    "se": [*DEPTHS, "bias=no", "bias=no,depth=2", "bias=no,depth=2,deepening=explicit"],
    "cbam": ["start=published"],
    "sem": ["start=published"],
    "dia": [f"output={output},cells={cells}" for output in DIA["output"].values for cells in DIA["cells"].values],
}
EVERY_KIND = [
    Design.parse(f"{name}:{kind}{',reduction=2' if 'reduction' in DECLARED[name].choices else ''}")
    for name, kinds in KINDS.items()
    for kind in kinds
]
EACH_KIND = pytest.mark.parametrize("design", EVERY_KIND, ids=str)


def test_every_attention_is_among_these_designs() -> None:
    assert {*KINDS} == {*ATTENTION}


@IN_BOTH_MODES
@EACH_KIND
def test_gradients_are_those_of_finite_differences(design: Design, training: bool) -> None:
    chain = randomised(nn.Sequential(*(Gated(nn.Identity(), gate) for gate in stage_gates(design, 8, blocks=2))))
    parameters = dict(chain.train(training).named_parameters())
    for module in chain.modules():
        if isinstance(module, nn.Dropout):
            module.eval()

    def call(x: Tensor, *values: Tensor) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in chain.named_buffers()}
        out: Tensor = functional_call(chain, {**dict(zip(parameters, values, strict=True)), **buffers}, x)
        return out

    inputs = (normal(3, 8, 2, 1).requires_grad_(), *(p.detach().requires_grad_() for p in parameters.values()))
    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)


@EACH_KIND
def test_a_gate_has_one_value_a_channel_or_one_a_pixel(design: Design) -> None:
    torch.manual_seed(0)
    shape = FEATURES if design.attention == "cbam" else (*POOLED, 1, 1)
    for gate in stage_gates(design, 8, blocks=2):
        assert gate(torch.randn(FEATURES)).shape == shape


@EACH_KIND
def test_a_gate_lies_between_0_and_1(design: Design) -> None:
    torch.manual_seed(0)
    least, most = {"tanh": (-1.0, 1.0), "relu": (0.0, math.inf)}.get(design.get("output"), (0.0, 1.0))
    for gate in stage_gates(design, 8, blocks=2):
        out = gate(10 * torch.randn(FEATURES))
        assert float(out.detach().min()) >= least
        assert float(out.detach().max()) <= most


@pytest.mark.parametrize("make", [lambda: SE(8, 2), lambda: Affine(8), lambda: ECA(8), lambda: SPA(8, 2)])
def test_a_channel_gate_is_the_sigmoid_of_its_excitation_on_what_it_squeezes(make: Callable[[], Excitation]) -> None:
    gate = RecurrentGate([make()])
    randomised(gate)
    x = normal(*FEATURES)
    excitation = gate.excitations[0]
    squeezed = pyramid(x) if isinstance(excitation, SPA) else x.flatten(2).mean(2)
    torch.testing.assert_close(gate(x)[:, :, 0, 0], sigmoid(excitation(squeezed)))


def test_ras_starts_with_a_gate_of_sigmoid_of_minus_one() -> None:
    for gate in stage_gates(Design("ras"), 8, blocks=2):
        expected = torch.full((*POOLED, 1, 1), 1 / (1 + math.e))
        torch.testing.assert_close(gate(torch.randn(FEATURES)), expected)
