"""Attention that a network carries itself: which of its modules are such.

An attention module returns what it gets times factors that it computes, by layers of its own, from means or maxima of
it: over the pixels, as in SE and ECA, or over the channels, as in the spatial half of CBAM.
"""

import math

from space.backbones.watching import PRODUCTS, Node, Watched


def attention_modules(watched: Watched) -> tuple[str, ...]:
    """Paths of the attention modules, in the order of the network; without those inside another one."""
    found = [path for path in watched.modules if watched.runs_once(path) and _is_attention(watched, path)]
    return tuple(path for path in found if not any(path.startswith(f"{other}.") for other in found))


def _is_attention(watched: Watched, path: str) -> bool:
    """Whether the way from what a module gets to what it returns is nothing but products with such factors."""
    begin, node = watched.inputs.get(path), watched.outputs[path][0]
    if begin is None or begin is node or not watched.is_map(node) or begin.shape != node.shape:
        return False
    while node is not begin:
        if node.function not in PRODUCTS or len(node.parents) != 2:
            return False
        one, other = node.parents
        node, factor = (one, other) if other.before >> one.number & 1 else (other, one)
        if not factor.before >> node.number & 1 or not _is_pooled(watched, factor, node):
            return False
    return True


def _is_pooled(watched: Watched, factor: Node, features: Node) -> bool:
    """Whether a factor is computed, by at least one layer, from one number for each channel, pixel, row or column."""
    assert features.size is not None
    channels, height, width = features.size
    own = list(watched.among(factor.before & ~features.before))
    pooled = {channels, height * width, channels * height, channels * width} if height * width > 1 else ()
    return any(node.is_layer for node in own) and any(math.prod(node.shape[1:]) in pooled for node in own)
