"""The costs that a design has, a file each: what each one is, and how it is known.

None of these files loads anything heavy before it is asked for values, so that studies are read quickly.
"""

from importlib import import_module

from trainers.costs.cost import COSTS, Cost, MeasuredCost

ALWAYS = ("params", "macs", "fps")
"""Costs that are known of every design that is trained, whatever the objectives are."""

for _name in (*ALWAYS, "latency", "memory"):
    import_module(f"trainers.costs.{_name}")  # registers itself
COSTS.are_ours()

__all__ = ["ALWAYS", "COSTS", "Cost", "MeasuredCost"]
