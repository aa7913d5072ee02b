"""Building on the meta device: networks with shapes and no values, made in no time."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

DRAWN_IN_PLACE = {"normal_", "uniform_"}
"""How initial weights are drawn. On the meta device these load the compiler, which takes as long as torch."""


class _Undrawn(TorchFunctionMode):
    """Leaves out what would draw values."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in DRAWN_IN_PLACE and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def meta() -> Iterator[None]:
    """Modules made inside have shapes alone."""
    with torch.device("meta"), _Undrawn():
        yield
