"""What the tests of designs, modules and networks share: random numbers, and simple formulas."""

import re

import pytest
import torch
from torch import Tensor, nn

from space.design import Design


@pytest.fixture(autouse=True)
def timm_where_it_is_needed(request: pytest.FixtureRequest) -> None:
    """It is optional."""
    case = getattr(request.node, "callspec", None)
    if case is not None and any("timm/" in str(value) for value in case.params.values()):
        pytest.importorskip("timm")


def randomised(module: nn.Module, std: float = 0.7) -> nn.Module:
    """The module in double precision with every parameter and statistic drawn at random."""
    torch.manual_seed(0)
    module = module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    for name, buffer in module.named_buffers():
        if "running" in name:
            nn.init.uniform_(buffer, 0.5, 1.5)
    return module


def normal(*shape: int) -> Tensor:
    """Standard normal numbers, the same at each call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def weights(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """A copy of the module's tensors under this prefix, by the rest of their names."""
    tensors = module.state_dict().items()
    return {name.removeprefix(prefix): value.clone() for name, value in tensors if name.startswith(prefix)}


def count(module: nn.Module) -> int:
    """Parameters; a shared one counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def shifts_before_bn(name: str, design: Design) -> bool:
    """Whether this parameter of a gate only shifts what a BN connection normalises, so that it has no gradient.

    Such are the last biases of a module in front of a BN (explicit deepening), and the bias of a BN
    where only a linear module, ras or eca, stands between it and the next one.
    """
    if design.get("connection") != "bn":
        return False
    depth: int = design["depth"]
    if found := re.search(r"excitations\.(\d+)\.(beta|excite\.bias)$", name):
        return design["deepening"] == "explicit" and int(found[1]) < depth - 1
    if found := re.search(r"connections\.(\d+)\.bias$", name):
        linear = design.attention in ("ras", "eca")
        return linear and design.get("bn") != "shared" and int(found[1]) < depth - 2
    return False


def scales_before_bn(name: str, design: Design) -> bool:
    """Whether this parameter of a gate only scales what a BN connection normalises.

    Then its gradient is not zero, but of the order of the BN's eps over the variance.
    """
    if design.get("connection") != "bn" or design.attention != "ras":
        return False
    depth: int = design["depth"]
    if found := re.search(r"excitations\.(\d+)\.gamma$", name):
        return design["deepening"] == "explicit" and int(found[1]) < depth - 1
    if found := re.search(r"connections\.(\d+)\.weight$", name):
        return design.get("bn") != "shared" and int(found[1]) < depth - 2
    return False


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + (-x).exp())


def linear(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """W x + b, or W x where the layer has no bias."""
    out = x @ w[f"{name}.weight"].T
    return out + w[f"{name}.bias"] if f"{name}.bias" in w else out


def bottleneck(w: dict[str, Tensor], x: Tensor, prefix: str = "") -> Tensor:
    """W2 relu(W1 x), the two layers of se."""
    return linear(w, f"{prefix}excite", linear(w, f"{prefix}reduce", x).clamp(min=0))


def batch_norm(w: dict[str, Tensor], name: str, x: Tensor, training: bool) -> Tensor:
    """BN of (B, C) or (B, C, H, W), with the statistics of the batch or those it has learnt."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
    mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    if training:
        mean, var = x.mean(axes), x.var(axes, unbiased=False)
    normalised = (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt()
    return normalised * w[f"{name}.weight"].view(shape) + w[f"{name}.bias"].view(shape)
