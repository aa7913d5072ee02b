"""The branches of residual blocks in what a pass showed: a sum adds a shallow tensor, the shortcut, to a deep one.

No list of block classes is needed. In the pass that `watching` begins with,

    1 conv2d          stem
    |---.
    |   2 conv2d      block.conv
    |   |
    |   3 batch_norm  block.norm
    |---'
    4 add
    |
    5 relu            block

the sum 4 has the terms 1 and 3. On the way to 3 there is a layer that is not on the way to 1, and none the other way
round: so 1 is the shortcut, 3 the end of the branch, and 2 and 3 are inside. Going back from 3, `places` meets the
output of a normalisation first: there the gate goes, onto block.norm.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from space.backbones.channels import SWAPS
from space.backbones.watched import SUMS, Node, Watched

TURNS = SWAPS | {"permute", "contiguous"}
"""Functions that change nothing but the order of dimensions."""
PARTS = {"__getitem__", "narrow", "chunk", "split", "tensor_split", "split_with_sizes"}
"""Functions that take some of the channels, if they leave the pixels."""
LINEAR = SUMS | TURNS | PARTS | {"batch_norm", "sub", "sub_", "pad", "dropout"}
"""Functions that are linear without being layers."""


class Branch(NamedTuple):
    """One side of a residual sum.

    Attributes:
        end: what is added to the shortcut.
        whole: the sum.
        inside: what is computed on the way to the end, and not on the way of the shortcut: bits as in `Node.before`.
    """

    end: Node
    whole: Node
    inside: int


def residual_branches(watched: Watched) -> list[Branch]:
    """The branches of residual blocks, in the order of the pass.

    Without skips over several blocks, and without sums inside a block, such as those between Res2Net's groups.
    """
    branches = [branch for whole, terms in _sums(watched) for branch in _branches(watched, whole, terms)]

    def inner(outer: Branch) -> list[Branch]:
        size = outer.end.shape[2:]
        return [
            it
            for it in branches
            if it.whole is not outer.whole and outer.inside >> it.whole.number & 1 and it.end.shape[2:] == size
        ]

    def is_skip(outer: Branch) -> bool:
        return len({it.whole for it in inner(outer) if it.end.shape == outer.end.shape}) > 1

    blocks = [it for it in branches if not is_skip(it)]
    inside = [it for outer in blocks for it in inner(outer)]
    return [it for it in blocks if it not in inside]


def _sums(watched: Watched) -> Iterator[tuple[Node, list[Node]]]:
    """Every sum with its terms; one that nothing but another sum sees, not even a module, is a part of that."""
    terms_of = {it.whole: it.terms for it in watched.sums}
    parts = {
        term for it in watched.sums for term in it.terms if term in terms_of and term.uses == 1 and not term.modules
    }

    def terms(node: Node) -> list[Node]:
        return [it for term in terms_of[node] for it in (terms(term) if term in parts else [term])]

    for whole in terms_of:
        if whole not in parts:
            yield whole, terms(whole)


def _branches(watched: Watched, whole: Node, terms: Sequence[Node]) -> list[Branch]:
    """The terms that stand beside a shortcut; none where shortcut and layers together are one layer in disguise."""
    found = []
    for end in terms:
        beside = [it for it in terms if it is not end and _is_shortcut(watched, it, end)]
        if beside:
            found.append(Branch(end, whole, end.before & ~min(beside, key=lambda it: it.depth).before))
    inside = 0
    for branch in found:
        inside |= branch.inside
    return [] if not found or _is_one_layer(watched, inside) else found


def _is_shortcut(watched: Watched, shortcut: Node, end: Node) -> bool:
    """Whether one term has at most one layer beside the other, which is deeper; a separable convolution is one layer.

    A mere normalisation is no shortcut, but a part of a sum of parallel layers.
    """
    own = list(watched.among(shortcut.before & ~end.before))
    layers = [node for node in own if node.is_layer]
    if len(layers) - any(node.depthwise for node in layers) * (len(layers) == 2) > 1:
        return False
    if not layers and any("norm" in node.function for node in own):
        return False
    return _depth(watched, end.before & ~shortcut.before) > len(layers)


def _is_one_layer(watched: Watched, numbers: int) -> bool:
    """Whether branches are made to become a single convolution when the network is deployed.

    So they are if they have several layers side by side, or one that is depthwise, and nothing that is not linear.
    """
    nodes = list(watched.among(numbers))
    layers = [node for node in nodes if node.is_layer]
    linear = all(node.is_layer or node.rescaled or node.function in LINEAR for node in nodes)
    return linear and (len(layers) > 1 or layers[0].depthwise) and _depth(watched, numbers) == 1


def _depth(watched: Watched, numbers: int) -> int:
    """Layers on the longest way through these nodes."""
    depth: dict[Node, int] = {}
    for node in watched.among(numbers):
        depth[node] = node.is_layer + max((depth.get(parent, 0) for parent in node.parents), default=0)
    return max(depth.values(), default=0)
