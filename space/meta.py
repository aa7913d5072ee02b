"""Building on the meta device: networks with shapes and no values, made in no time."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DRAWN_IN_PLACE = {"normal_", "uniform_"}
"""How initial weights are drawn. On the meta device these load the compiler, which takes as long as torch."""


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
