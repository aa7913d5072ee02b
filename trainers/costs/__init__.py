"""The costs that a design has, a file each: what each one is, and how it is known.

None of these files loads anything heavy before it is asked for values, so that studies are read quickly.
"""

from trainers.costs import fps, macs, params  # which register
from trainers.costs.cost import COSTS, Cost

COSTS.are_ours()

ALWAYS = ("params", "macs", "fps")
"""Costs that are known of every design that is trained, whatever the objectives are."""

__all__ = ["ALWAYS", "COSTS", "Cost", "fps", "macs", "params"]
