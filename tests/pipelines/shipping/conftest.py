"""Networks as if they were trained, and folders of them as `search retrain` writes them."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from space import Design
from space.backbones import backbone
from space.build import build
from space.gating import Gated
from space.identity import Identity

SHAPE = (1, 8, 8)


def trained(name: str, design: Design) -> nn.Module:
    """A network that is as if it had learnt something."""
    return as_trained(build(design, backbone(name), num_classes=3, in_channels=1))


def as_trained(network: nn.Module) -> nn.Module:
    """The network with gates and statistics as if it had learnt something."""
    torch.manual_seed(0)
    network.eval()
    for module in network.modules():
        if isinstance(module, Gated):
            for parameter in module.gate.parameters():
                spread = 0.3 / math.sqrt(parameter[0].numel())  # more, and rounding errors would grow with the depth
                parameter.data.add_(spread * torch.randn_like(parameter))
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network


def write(folder: Path, name: str, text: str, **changes: Any) -> nn.Module:
    """A folder as `search retrain` writes it; with a `study` the weights say that they are of this one."""
    design = Design.parse(text)
    network = trained(name, design)
    folder.mkdir(parents=True)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    study = changes.get("study")
    whose = None if study is None else Identity(study=study, backbone=name, design=text, seed=0).metadata()
    save_file(state, folder / "model.safetensors", whose)
    described = {
        "backbone": name,
        "design": str(design),
        "test_accuracy": 0.5,
        "fields": design.to_dict(),
        "dataset": "digits",
        "classes": ["a", "b", "c"],
        "shape": SHAPE,
        "shorter_side": None,
        "mean": [0.25],
        "std": [0.5],
        "recipe": {"epochs": 1},
        **changes,
    }
    (folder / "design.json").write_text(json.dumps(described))
    return network
