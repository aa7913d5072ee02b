"""What can be built: designs, the search space, attention modules and backbones.

Importing this package does not import torch, so that reading and printing designs is quick;
`space.build`, `space.attention` and `space.backbones` do.
"""

from space.choices import SearchSpace
from space.cost import Cost
from space.design import Design, Layout, Stage
from space.errors import UserError

__all__ = ["Cost", "Design", "Layout", "SearchSpace", "Stage", "UserError"]
