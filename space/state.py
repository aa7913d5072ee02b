"""The state of a network: the weights of a file, and how they are fitted into a plain backbone."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from space.errors import UserError

StateDict = Mapping[str, Tensor]
"""Tensors by name, as `Module.state_dict` gives them."""

WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
"""Names under which training scripts keep a state beside other things."""
SHOWN = 5
"""Names in an error."""


@lru_cache(maxsize=1)
def read_state(path: Path) -> StateDict:
    """The tensors of a file, on the CPU; nothing else in it is looked at.

    Raises:
        UserError: no such file, or none of tensors alone.
    """
    if not path.is_file():
        raise UserError(f"--weights {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a file that is none of weights makes the reader raise anything
        raise UserError(
            f"--weights {path}: not a file of tensors alone; write it by safetensors.torch.save_file, or by "
            "torch.save(network.state_dict(), FILE)"
        ) from None
    while isinstance(state, Mapping) and (wrapped := [s for n in WRAPPERS if isinstance(s := state.get(n), Mapping)]):
        state = wrapped[0]
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"--weights {path}: no state of a network; write it by torch.save(network.state_dict(), FILE)")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def fit_state(network: nn.Module, weights: StateDict, classifier: str, removed: Collection[str] = ()) -> None:
    """Give a plain network these weights.

    Its last layer stays as it is where the classes differ in number, or where there are no weights for it.

    Args:
        network: freshly made, without gates.
        weights: for it; all names may have one thing more before them, such as `module.` or `model.`.
        classifier: path of the last layer.
        removed: paths of modules that were taken out of the network; weights for them are left out.

    Raises:
        UserError: names or shapes that do not fit; the first five are told.
    """
    own = network.state_dict()
    weights = _unwrapped(weights, next(iter(own), ""))
    last = {f"{classifier}.weight", f"{classifier}.bias"} & own.keys() if classifier else set()
    if any(name not in weights or weights[name].shape != own[name].shape for name in last):
        weights = {name: tensor for name, tensor in weights.items() if name not in last} | {n: own[n] for n in last}
    missing = [n for n in own if n not in weights and not n.endswith("num_batches_tracked")]
    weights = {n: tensor for n, tensor in weights.items() if not n.startswith(tuple(f"{path}." for path in removed))}
    unknown = [n for n in weights if n not in own]
    other = [
        f"{n} {tuple(weights[n].shape)} for {tuple(own[n].shape)}"
        for n in own
        if n in weights and weights[n].shape != own[n].shape
    ]
    wrong = [
        f"{what} {_some(names)}"
        for what, names in (("missing", missing), ("not in the network", unknown), ("of another shape", other))
        if names
    ]
    if wrong:
        raise UserError(f"--weights: they do not fit the backbone: {'; '.join(wrong)}")
    network.load_state_dict({**own, **weights})


def _unwrapped(weights: StateDict, first: str) -> StateDict:
    """Without what DataParallel, torch.compile or a Lightning module put before each name of the network."""
    before = [name.removesuffix(first) for name in weights if name.endswith(f".{first}") or name == first]
    prefix = min(before, key=len, default="")
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def _some(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
