"""Which dimensions of a tensor hold its channels."""

import math
import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from space.backbones.watched import CONVOLUTION, Node

CHANNELS_SECOND = re.compile(rf"{CONVOLUTION.pattern}|(batch|group|instance)_norm|pixel_(un)?shuffle")
"""Functions whose channels are the second dimension, whatever they get."""
SWAPS = {"transpose", "swapaxes", "swapdims", "mT"}
"""Functions that exchange two dimensions."""
RESHAPES = {"view", "reshape", "flatten", "unflatten", "view_as", "reshape_as"}
"""Functions that cut dimensions or put them together."""


def channels_of(node: Node, arguments: Sequence[Any]) -> tuple[int, ...]:
    """Which dimensions hold the channels, by what a function makes of its parents' dimensions."""
    dims = len(node.shape)
    parent = max(node.parents, key=lambda it: (it.shape == node.shape, len(it.shape) == dims, it.channels))
    at, order = parent.channels, list(range(len(parent.shape)))
    if CHANNELS_SECOND.fullmatch(node.function):
        return (1,)
    if node.function == "linear" or (node.function == "layer_norm" and not at):
        return (dims - 1,)
    if node.is_layer or not at:
        return ()
    numbers = [n for it in arguments for n in (it if isinstance(it, list | tuple) else [it]) if isinstance(n, int)]
    if node.function == "permute":
        order = [order[number] for number in numbers]
    elif node.function in SWAPS:
        one, other = numbers or (-1, -2)
        order[one], order[other] = order[other], order[one]
    elif node.shape != parent.shape and (dims != len(order) or node.function in RESHAPES):
        return _reshaped(parent.shape, at, node.shape)
    return tuple(sorted(order.index(dim) for dim in at))


def _reshaped(old: Sequence[int], at: tuple[int, ...], new: Sequence[int]) -> tuple[int, ...]:
    """Where dimensions are after a reshaping: as many numbers together, behind as many others."""
    first, behind = at[0], at[-1] + 1
    if at != tuple(range(first, behind)):
        return ()
    others, own = math.prod(old[:first]), math.prod(old[first:behind])
    found = [
        tuple(range(begin, end))
        for begin, end in combinations(range(len(new) + 1), 2)
        if math.prod(new[:begin]) == others and math.prod(new[begin:end]) == own
    ]
    return min(found, key=len, default=())
