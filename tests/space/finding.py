"""What is found in a network that is watched, and networks whose numbers are set."""

import torch
from torch import Tensor, nn

from space.attention import Gate
from space.backbones.sites import find_sites
from space.backbones.watched import Watched
from space.backbones.watching import watch
from space.gating import Gated


def watched(network: nn.Module, side: int = 32) -> Watched:
    return watch(network.to("meta"), torch.zeros(2, 3, side, side, device="meta"))


def found(network: nn.Module, pattern: str | None = None) -> list[str]:
    return [site.path for site in find_sites(watched(network), pattern)]


class Constant(Gate):
    """A gate of one value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def start_at_one(self) -> None:
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        return features.new_full((1, 1, 1, 1), self.value)


def put(network: nn.Module, path: str, value: float) -> None:
    network.set_submodule(path, Gated(network.get_submodule(path), Constant(value)))


def drawn(network: nn.Module) -> nn.Module:
    """The network with parameters at random: libraries start some at zero, or next to it."""
    generator = torch.Generator().manual_seed(0)
    network = network.to_empty(device="cpu")
    for parameter in network.parameters():
        bound = (3.0 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 1.0
        nn.init.uniform_(parameter, -bound if parameter.dim() > 1 else 0.5, bound, generator=generator)
    for name, buffer in network.named_buffers():
        nn.init.constant_(buffer, float(name.endswith("var")))
    return network
