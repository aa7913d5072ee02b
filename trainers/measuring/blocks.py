"""The blocks of a network that gates go into: cut out, with what they are given in a forward pass."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from space.attention import stage_gates
from space.backbones import Backbone
from space.design import Design
from space.gating import Site, gated, names_of_modules


@dataclass(frozen=True)
class CutBlock:
    """A block of a plain network, which holds one place for a gate.

    Attributes:
        module: the smallest one that holds the module which is gated, takes nothing but tensors.
        inputs: what it is given for a batch of images.
        site: the place; its path is that in the module.
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    site: Site

    def with_gate(self, design: Design) -> nn.Module:
        """The block with a gate as one block of this design carries it, in eval mode."""
        module, site = deepcopy(self.module), self.site
        end = module.get_submodule(site.path)
        gate = stage_gates(design, site.channels, blocks=1)[0]
        around = gated(end, gate, design, site.channels, site.normalised, site.channels_last)
        for path in names_of_modules(module)[end]:
            module.set_submodule(path, around)
        return module.eval()


def blocks_of(network: nn.Module, backbone: Backbone, images: Tensor) -> dict[tuple[int, int], CutBlock]:
    """The last block of each stage that may carry gates, by number, from 0, and channels.

    Args:
        network: plain, on the CPU.
        backbone: that it is of.
        images: (B, C, H, W).
    """
    last = {(site.stage, site.channels): site for site in backbone.sites}
    given: dict[str, tuple[Tensor, ...]] = {}

    def keep(path: str, module: nn.Module, inputs: tuple[object, ...], options: dict[str, object]) -> None:
        tensors = tuple(it.clone() for it in inputs if isinstance(it, Tensor))
        if len(tensors) == len(inputs) > 0 and not options:
            given.setdefault(path, tensors)

    hooks = [
        network.get_submodule(path).register_forward_pre_hook(partial(keep, path), with_kwargs=True)
        for path in {path for site in last.values() for path in _around(site.path)}
    ]
    with torch.inference_mode():
        network.eval()(images)
    for hook in hooks:
        hook.remove()
    found = {}
    for which, site in last.items():
        path = next(path for path in _around(site.path) if path in given)
        within = site.path.removeprefix(f"{path}." if path else "")
        found[which] = CutBlock(network.get_submodule(path), given[path], site._replace(path=within))
    return found


def _around(path: str) -> Iterator[str]:
    """The modules that hold this one, the innermost first, the network itself last."""
    while path:
        path = path.rpartition(".")[0]
        yield path
