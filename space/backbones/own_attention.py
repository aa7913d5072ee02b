"""Attention that a network carries itself: which of its modules are such.

An attention module returns what it gets times factors that it computes, by layers of its own, from means or maxima of
it: over the pixels, as in SE and ECA, or over the channels, as in the spatial half of CBAM.
"""

import math
from itertools import permutations

from space.backbones.watched import PRODUCTS, Node, Watched


def attention_modules(watched: Watched) -> tuple[str, ...]:
    """Paths of the attention modules, in the order of the network; without those inside another one."""
    found = [path for path in watched.modules if watched.runs_once(path) and _is_attention(watched, path)]
    return tuple(path for path in found if not any(path.startswith(f"{other}.") for other in found))


def _is_attention(watched: Watched, path: str) -> bool:
    """Whether the way from what a module gets to what it returns is nothing but products with such factors."""
    begin, node = watched.inputs.get(path), watched.outputs[path][0]
    if begin is None or begin is node or not watched.is_map(node) or not watched.is_map(begin):
        return False
    if begin.shape != node.shape:
        return False
    return _is_multiplied(watched, node, begin)


def _is_multiplied(watched: Watched, node: Node, begin: Node) -> bool:
    """Whether a tensor is another one times factors alone that are computed from that, or from it on the way."""
    if node is begin:
        return True
    if node.function not in PRODUCTS or len(node.parents) != 2:
        return False
    return any(
        factor.before >> begin.number & 1
        and _is_pooled(watched, factor, rest if factor.before >> rest.number & 1 else begin)
        and _is_multiplied(watched, rest, begin)
        for rest, factor in permutations(node.parents)
    )


def _is_pooled(watched: Watched, factor: Node, features: Node) -> bool:
    """Whether a factor is computed, by at least one layer, from one number for each channel, pixel, row or column."""
    if features.size is None:
        return False
    channels, height, width = features.size
    own = list(watched.among(factor.before & ~features.before))
    pooled = {channels, height * width, channels * height, channels * width} if height * width > 1 else ()
    return any(node.is_layer for node in own) and any(math.prod(node.shape[1:]) in pooled for node in own)
