"""The gate at initialisation: exactly 1 on request, and then it learns."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from space.attention.gate import Gate
from space.backbones import backbone
from space.build import build
from space.declared import DECLARED
from space.design import Design
from space.gating import Gated, Site, place_gates
from tests.space.conftest import normal, scales_before_bn, shifts_before_bn

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
    """Every attention that may start at 1, with its sharing, depth 1..3, deepening, connection, BN, output, cells."""
    designs: dict[Design, None] = {}
    for attention, declaration in DECLARED.items():
        names = declaration.choices
        structure = [name for name in names if name not in ("stages", "reduction", "start")]
        for values in product(*(DECLARED[attention].choices[name].values for name in structure)) if names else ():
            given = dict(zip(structure, values, strict=True))
            if given.get("depth") == 4 or (given.get("bias") == "no" and given.get("sharing") == "stage"):
                continue
            active = {n: v for n, v in given.items() if given.get("depth") != 1 or n not in ("deepening", "connection")}
            if declaration.learns_from_one(active):
                reduction = {"reduction": 1} if "reduction" in names else {}  # few hidden units may all start dead
                designs[Design.from_dict({"attention": attention, "start": "unit", **reduction, **given})] = None
    return list(designs)


EACH_DESIGN = pytest.mark.parametrize("design", unit_designs(), ids=str)


def test_every_attention_is_among_these_designs() -> None:
    assert {design.attention for design in unit_designs()} == set(DECLARED) - {"none"}


@EACH_DESIGN
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_at_the_unit_start_the_network_is_the_plain_one(design: Design, training: bool) -> None:
    images, _ = batch()
    plain, gated = (network(it).train(training)(images) for it in (Design(), design))
    torch.testing.assert_close(gated, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet20", "preresnet20", "wrn16-1", "resnext20-2x4", "resnet20+no_bn"])
@pytest.mark.parametrize("design", ["se", "ras", "eca", "cbam", "dia:cells=3,output=tanh", "sem", "spa"])
def test_at_the_unit_start_each_gate_of_a_backbone_is_1(
    design: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = []
    for text in ("none", f"{design}{',' if ':' in design else ':'}start=unit"):
        torch.manual_seed(0)
        networks.append(build(Design.parse(text), backbone(name)).double().eval())
    seen: list[tuple[Tensor, Tensor]] = []

    def spied(gate: Gate) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        factors = gate.factors

        def spy(features: Tensor) -> tuple[Tensor, Tensor]:
            one, other = factors(features)
            seen.append((features, one * other))
            return one, other

        return spy

    for module in networks[1].modules():
        if isinstance(module, Gated):
            monkeypatch.setattr(module.gate, "factors", spied(module.gate))
    plain, gated = (network(normal(2, 3, 16, 16)) for network in networks)

    assert len(seen) == len(backbone(name).sites)
    for features, product_of_factors in seen:
        torch.testing.assert_close(product_of_factors, features, rtol=1e-6, atol=0)
    torch.testing.assert_close(gated, plain, rtol=0, atol=1e-6)


@EACH_DESIGN
def test_every_parameter_of_a_gate_that_starts_at_1_learns(design: Design) -> None:
    model = network(design)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    largest: dict[str, float] = {}
    for _ in range(3):
        for name, gradient in gate_gradients(model).items():
            assert bool(gradient.isfinite().all())
            largest[name] = max(largest.get(name, 0.0), float(gradient.abs().max()))
        optimizer.step()

    assert largest
    for name, size in largest.items():
        if shifts_before_bn(name, design):
            assert size < 1e-15, name
        else:
            assert size > least_gradient(name, design), name


def least_gradient(name: str, design: Design) -> float:
    """What a gradient must exceed to be more than rounding."""
    if name.endswith(("numerator", "denominator")):
        return 0.0  # x^k times how little the module does yet: any will do
    if design.get("connection") == "bn" and design["depth"] == 3 and name.endswith("connections.0.bias"):
        return -1.0  # a shift before another BN as long as no ReLU between switches
    if scales_before_bn(name, design):
        return 1e-14
    return 1e-10


@pytest.mark.parametrize(
    ("design", "connection"),
    [
        *product(("eca", "spa:reduction=1", "se:reduction=1,bias=no"), ("identity", "relu", "tanh")),
        ("ras", "relu"),
    ],
)
def test_the_connections_that_forbid_the_unit_start_would_pass_no_gradient(design: str, connection: str) -> None:
    given = Design.from_dict({**Design.parse(design).to_dict(), "depth": 2, "connection": connection})
    assert not given.declaration.learns_from_one(given.to_dict())
    model = network(given)
    for module in model.modules():
        if isinstance(module, Gate):
            module.start_at_one()
    gradients = [g for name, g in gate_gradients(model).items() if name.endswith(("weight", "gamma"))]

    assert len(gradients) >= len(SITES)
    assert all(float(gradient.abs().max()) == 0.0 for gradient in gradients)


@pytest.mark.parametrize("deepening", ["implicit", "explicit"])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_ras_with_bns_at_its_published_start_is_a_saddle_and_at_the_unit_start_is_not(
    depth: int, deepening: str
) -> None:
    gates = len(SITES)
    for start, at_rest in (("published", True), ("unit", False)):
        design = Design("ras", depth=depth, deepening=deepening, connection="bn", start=start)
        gradients = gate_gradients(network(design))
        last = 0 if deepening == "implicit" else depth - 1
        gammas = [gradient for name, gradient in gradients.items() if name.endswith(f"{last}.gamma")]
        betas = [gradient for name, gradient in gradients.items() if name.endswith(f"{last}.beta")]
        others = [g for name, g in gradients.items() if not name.endswith((f"{last}.gamma", f"{last}.beta"))]
        assert len(gammas) == len(betas) == gates
        assert len(others) == gates * ((2 * last) + 2 * (depth - 1))
        assert all(bool((gradient == 0).all()) is at_rest for gradient in gammas)
        assert all(float(gradient.abs().max()) > 1e-8 for gradient in betas)
        assert all(bool((gradient == 0).all()) for gradient in others)


@pytest.mark.parametrize("attention", [name for name in DECLARED if name != "none"])
def test_the_published_start_is_the_default_and_not_1(attention: str) -> None:
    images, _ = batch()
    plain, gated = (network(it).eval()(images) for it in (Design(), Design(attention)))
    assert float((gated - plain).detach().abs().max()) > 1e-2
