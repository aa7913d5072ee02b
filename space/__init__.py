"""What can be built: designs, the search space, attention modules, backbones; and what was trained, by `space.load`.

Importing this package does not import torch, so that reading and printing designs is quick;
`space.build`, `space.attention`, `space.backbones` and the first use of `space.load` do.
"""

from typing import TYPE_CHECKING, Any

from space.choices import SearchSpace
from space.design import Design, Layout, Stage
from space.errors import UserError

if TYPE_CHECKING:
    from space.saved import load

__all__ = ["Design", "Layout", "SearchSpace", "Stage", "UserError", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from space.saved import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
