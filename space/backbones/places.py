"""Where the gate of a branch goes: onto its last normalisation, if it has one."""

from typing import NamedTuple

from torch import nn

from space.backbones.branches import PARTS, TURNS, Branch, residual_branches
from space.backbones.watched import SUMS, Node, Watched


class Place(NamedTuple):
    """A module whose output is gated, and that output."""

    path: str
    node: Node

    @property
    def size(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        assert self.node.size is not None
        return self.node.size


def found_places(watched: Watched) -> list[Place]:
    """One at the end of each residual branch, in the order of the pass."""
    found = [place for branch in residual_branches(watched) if (place := _place(watched, branch))]
    by_path = {place.path: place for place in found}
    return [by_path[path] for path in watched.outputs if path in by_path]


def _place(watched: Watched, branch: Branch) -> Place | None:
    """The last normalisation of a branch that ends so; else the last layer, or the first module behind it.

    What stands behind a layer scale is taken only where nothing else is: a gate that sees almost nothing learns late.
    """
    last: Place | None = None
    behind: Place | None = None
    for node in _back(branch.end, branch.inside):
        alone = [path for path in node.modules if watched.runs_once(path)] if watched.is_map(node) else []
        norms = [path for path in node.modules if _is_norm(watched.modules[path])]
        if norms:
            return next((Place(path, node) for path in [*norms, *alone] if path in alone), last or behind)
        if alone:
            last = Place(alone[0], node)
        if node.rescaled:
            last, behind = None, last or behind
    return last or behind


def _back(node: Node, inside: int = -1) -> list[Node]:
    """A node and what it is made of pixel by pixel, back to a layer, or to where two maps are added.

    Args:
        node: to start from.
        inside: bits of the nodes to stay among; where others go in, too, it ends.
    """
    nodes = [node]
    while not node.is_layer:
        alike = [it for it in dict.fromkeys(node.parents) if it.shape == node.shape or _is_of(node, it)]
        trunk = [it for it in alike if all(other.before >> it.number & 1 for other in alike)]
        if not trunk or (len(alike) > 1 and node.function in SUMS) or not all(inside >> it.number & 1 for it in alike):
            break
        node = trunk[0]
        nodes.append(node)
    return nodes


def _is_of(node: Node, parent: Node) -> bool:
    """Whether a map is its parent with the dimensions in another order, or some channels of it."""
    if node.size is None or parent.size is None:
        return False
    return node.function in TURNS or (node.function in PARTS and node.size[1:] == parent.size[1:])


def is_normalised(watched: Watched, node: Node) -> bool:
    """Whether a normalisation returned it, or what it is made of pixel by pixel."""
    return any(_is_norm(watched.modules[path]) for before in _back(node) for path in before.modules)


def _is_norm(module: nn.Module) -> bool:
    """By its name and parameters: libraries have normalisations of their own."""
    has_own = any(True for _ in module.parameters(recurse=False))
    return "norm" in type(module).__name__.lower() and (has_own or not any(module.children()))
