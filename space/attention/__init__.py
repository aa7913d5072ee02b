"""The attention modules, one file a paper; each file registers its own, with what designs may choose about it.

Shapes: B images, C channels, H x W pixels. A gate sees the branch's features (B, C, H, W) and
returns what they are multiplied with, (B, C, 1, 1) or (B, C, H, W).
"""

from importlib import import_module

from space.attention.gate import Excitation, Gate
from space.attention.registry import ATTENTION, stage_gates
from space.declarations import Choice
from space.declared import MODULES

for module in MODULES:
    import_module(f"{__name__}.{module}")
ATTENTION.ours = dict(ATTENTION)

__all__ = ["ATTENTION", "Choice", "Excitation", "Gate", "stage_gates"]
