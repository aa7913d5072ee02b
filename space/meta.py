"""Building on the meta device: networks with shapes and no values, made in no time.

The first computation there loads the compiler, which takes as long as torch itself. So smaller networks compute on
the CPU, from zeros.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

DRAWN_IN_PLACE = {"normal_", "uniform_", "kaiming_uniform_"}
"""How initial weights are drawn."""
LARGE = 20_000_000
"""Numbers; a network of more stays on the meta device."""


class _Undrawn(TorchFunctionMode):
    """Leaves out what would draw values."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        drawn = args[0] if args else kwargs.get("tensor")  # `torch.nn.init` names it
        if getattr(func, "__name__", "") in DRAWN_IN_PLACE and isinstance(drawn, Tensor) and drawn.is_meta:
            return drawn
        return func(*args, **kwargs)


@contextlib.contextmanager
def meta() -> Iterator[None]:
    """Modules made inside have shapes alone."""
    with torch.device("meta"), _Undrawn():
        yield


def zeroed(network: nn.Module) -> nn.Module:
    """The network to compute with: from the meta device to the CPU, its values zero, unless it is large.

    What it shares it does not share any more. A network that is elsewhere stays there, as it is.
    """
    tensors = [*network.parameters(), *network.buffers()]
    if not any(tensor.is_meta for tensor in tensors) or sum(tensor.numel() for tensor in tensors) > LARGE:
        return network
    for module in network.modules():  # `to_empty` would load the compiler, too
        for name, parameter in [*module.named_parameters(recurse=False)]:
            zeros = torch.zeros(parameter.shape, dtype=parameter.dtype)
            setattr(module, name, nn.Parameter(zeros, requires_grad=parameter.requires_grad))
        for name, buffer in [*module.named_buffers(recurse=False)]:
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
    return network
