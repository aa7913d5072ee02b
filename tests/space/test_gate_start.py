"""The gate at initialisation: exactly 1 on request, and then it learns."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from space.attention.gate import Gate
from space.design import FIELDS, Design, allowed, unit_start_learns
from space.gating import Site, place_gates

CHANNELS = 8
SITES = [Site(f"stages.{stage}.{block}.end", stage, CHANNELS) for stage in range(2) for block in range(2)]


class Block(nn.Module):
    """X + end(conv(relu(X)))."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.end: nn.Module = nn.BatchNorm2d(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.end(self.conv(x.relu()))
        return out


class Network(nn.Module):
    """Two stages of two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.stages = nn.ModuleList(nn.ModuleList(Block() for _ in range(2)) for _ in range(2))
        self.classifier = nn.Linear(CHANNELS, 4)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for site in SITES:
            x = self.get_submodule(site.path.removesuffix(".end"))(x)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def network(design: Design) -> Network:
    torch.manual_seed(0)
    made = Network()
    place_gates(made, SITES, design)
    return made.double()


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(12, 3, 5, 5, generator=generator, dtype=torch.float64)
    return images, torch.randint(4, (12,), generator=generator)


def gate_gradients(model: Network) -> dict[str, Tensor]:
    images, labels = batch()
    model.zero_grad()
    nn.functional.cross_entropy(model.train()(images), labels).backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if ".gate." in name
    }


def unit_designs() -> list[Design]:
    """Every attention x sharing x depth 1..3 x connection x BN that may start at 1."""
    designs: dict[Design, None] = {}
    for attention, names in FIELDS.items():
        structure = [name for name in ("sharing", "depth", "connection", "bn") if name in names]
        for values in product(*(allowed(attention, name) for name in structure)) if names else ():
            given = dict(zip(structure, values, strict=True))
            connection = None if given.get("depth", 1) == 1 else str(given["connection"])
            if given.get("depth") != 4 and unit_start_learns(attention, connection):
                reduction = 1 if "reduction" in names else None  # with few hidden units all may start dead
                design = Design(attention, start="unit", reduction=reduction, **given)  # type: ignore[arg-type]
                designs[design] = None
    return list(designs)


EACH_DESIGN = pytest.mark.parametrize("design", unit_designs(), ids=str)


def test_every_attention_is_among_these_designs() -> None:
    assert {design.attention for design in unit_designs()} == set(FIELDS) - {"none"}


@EACH_DESIGN
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_at_the_unit_start_the_network_is_the_plain_one(design: Design, training: bool) -> None:
    images, _ = batch()
    plain, gated = (network(it).train(training)(images) for it in (Design(), design))
    torch.testing.assert_close(gated, plain, rtol=0, atol=1e-6)


@EACH_DESIGN
def test_every_parameter_of_a_gate_that_starts_at_1_learns(design: Design) -> None:
    model = network(design)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    largest: dict[str, float] = {}
    for _ in range(5):
        for name, gradient in gate_gradients(model).items():
            assert bool(gradient.isfinite().all())
            largest[name] = max(largest.get(name, 0.0), float(gradient.abs().max()))
        optimizer.step()

    assert largest
    assert {name: size for name, size in largest.items() if size <= least_gradient(name, design)} == {}


def least_gradient(name: str, design: Design) -> float:
    """What a gradient must exceed to be more than rounding.

    A bias before another BN has none. A rational's is x^k times how little the module does yet: any will do.
    """
    last = f"connections.{(design.depth or 1) - 2}.bias"
    if design.connection == "bn" and name.endswith(".bias") and "connections" in name and not name.endswith(last):
        return -1.0
    return 0.0 if name.endswith(("numerator", "denominator")) else 1e-8


@pytest.mark.parametrize(
    ("attention", "connection"), [("eca", c) for c in ("identity", "relu", "tanh")] + [("ras", "relu")]
)
def test_the_connections_that_forbid_the_unit_start_would_pass_no_gradient(attention: str, connection: str) -> None:
    model = network(Design(attention, depth=2, connection=connection))
    for module in model.modules():
        if isinstance(module, Gate):
            module.start_at_one()
    weights = {"eca": "conv.weight", "ras": "gamma"}
    gradients = [g for name, g in gate_gradients(model).items() if name.endswith(weights[attention])]

    assert len(gradients) == len(SITES)
    assert all(float(gradient.abs().max()) == 0.0 for gradient in gradients)


@pytest.mark.parametrize("depth", [2, 3])
def test_ras_at_its_published_start_is_a_saddle_and_at_the_unit_start_is_not(depth: int) -> None:
    for start, at_rest in (("published", True), ("unit", False)):
        gradients = gate_gradients(network(Design("ras", depth=depth, start=start)))
        gammas = [gradient for name, gradient in gradients.items() if name.endswith("gamma")]
        betas = [gradient for name, gradient in gradients.items() if name.endswith("beta")]
        assert len(gammas) == len(betas) == len(SITES)
        assert all(bool((gradient == 0).all()) is at_rest for gradient in gammas)
        assert all(float(gradient.abs().max()) > 1e-8 for gradient in betas)


@pytest.mark.parametrize("attention", ["ras", "se", "eca", "cbam", "dia"])
def test_the_published_start_is_the_default_and_not_1(attention: str) -> None:
    images, _ = batch()
    plain, gated = (network(it).eval()(images) for it in (Design(), Design(attention)))
    assert float((gated - plain).detach().abs().max()) > 1e-2
