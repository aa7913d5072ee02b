"""Watching a network: what it computes from what, while images pass through it."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

SUMS = {"add", "add_"}
"""Functions that add, in every way of writing it."""
PRODUCTS = {"mul", "mul_", "multiply"}
"""Functions that multiply."""
CONVOLUTION = re.compile(r"conv(_transpose)?[123]d")
LAYERS = re.compile(rf"{CONVOLUTION.pattern}|linear|bilinear|matmul|(b?add)?b?mm|einsum|scaled_dot_product_attention")
"""Functions that count as layers."""
CHANNELS_SECOND = re.compile(rf"{CONVOLUTION.pattern}|(batch|group|instance)_norm|pixel_(un)?shuffle")
"""Functions whose channels are the second dimension, whatever they get."""
SWAPS = {"transpose", "swapaxes", "swapdims", "mT"}
"""Functions that exchange two dimensions."""
RESHAPES = {"view", "reshape", "flatten", "unflatten", "view_as", "reshape_as"}
"""Functions that cut dimensions or put them together."""


@dataclass(eq=False)
class Node:
    """A tensor at one moment of the forward pass.

    Attributes:
        number: in the order of the pass.
        shape: of the tensor.
        function: name of what computed it.
        parents: what it was computed from.
        depth: layers on the longest way from the image.
        before: the numbers of all that it was computed from, and its own, as the bits of an integer.
        channels: the dimensions that hold the channels; none where those are mixed with others.
        rescaled: whether it is its parent times a parameter, such as a layer scale.
        depthwise: whether a convolution computed it that mixes no channels.
        modules: paths of the modules that returned it, the innermost first.
        uses: tensors that were computed from it at once.
    """

    number: int
    shape: tuple[int, ...]
    function: str = ""
    parents: tuple["Node", ...] = ()
    depth: int = 0
    before: int = 0
    channels: tuple[int, ...] = ()
    rescaled: bool = False
    depthwise: bool = False
    modules: list[str] = field(default_factory=list)
    uses: int = 0

    @property
    def is_layer(self) -> bool:
        """Whether a layer with weights computed it."""
        return LAYERS.fullmatch(self.function) is not None

    @property
    def channel(self) -> int | None:
        """The dimension that holds the channels, if it is one."""
        return self.channels[0] if len(self.channels) == 1 else None

    @property
    def size(self) -> tuple[int, int, int] | None:
        """Channels, height and width of a feature map, be its channels the second or the last dimension."""
        if len(self.shape) != 4 or self.channel not in (1, 3):
            return None
        _, *sides = self.shape
        return sides.pop(self.channel - 1), sides[0], sides[1]


class Sum(NamedTuple):
    """Two feature maps (B, C, H, W) that are added."""

    whole: Node
    terms: tuple[Node, Node]


class Watched(NamedTuple):
    """What a forward pass showed.

    Attributes:
        nodes: every tensor, by its number.
        sums: of feature maps, in the order of the pass.
        inputs: what each module got first, by path.
        outputs: what each module returned, by path, in the order of the pass; several where it ran several times.
        modules: of the network, by path.
        images: what went in.
        output: of the network; None if that is no tensor.
    """

    nodes: Sequence[Node]
    sums: Sequence[Sum]
    inputs: Mapping[str, Node]
    outputs: Mapping[str, Sequence[Node]]
    modules: Mapping[str, nn.Module]
    images: Node
    output: Node | None

    @property
    def stem(self) -> str:
        """Path of the convolution that the images enter; empty if there is none."""
        for path in self.outputs:
            module = self.modules[path]
            if isinstance(module, nn.Conv2d):
                return path if module.in_channels == self.images.shape[1] and module.groups == 1 else ""
        return ""

    @property
    def classifier(self) -> str:
        """Path of the layer, linear or a convolution, that the outputs leave; empty if there is none."""
        node = self.output
        while node and node.parents and not node.is_layer:
            node = max(node.parents, key=lambda parent: parent.depth)
        paths = node.modules if node else []
        return next((path for path in paths if isinstance(self.modules[path], nn.Linear | nn.Conv2d)), "")

    def among(self, numbers: int) -> Iterator[Node]:
        """The nodes of these numbers, in the order of the pass."""
        while numbers:
            lowest = numbers & -numbers
            yield self.nodes[lowest.bit_length() - 1]
            numbers ^= lowest

    def is_map(self, node: Node) -> bool:
        """Whether it is a map of each image: not where images are cut into windows."""
        return node.size is not None and node.shape[0] == self.images.shape[0]

    def runs_once(self, path: str) -> bool:
        """Whether a module ran once, and returned a tensor."""
        return len(self.outputs.get(path, ())) == 1


class _Notes(TorchFunctionMode):
    """Notes what each tensor is computed from."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.sums: list[Sum] = []
        self.inputs: dict[str, Node] = {}
        self.outputs: dict[str, list[Node]] = {}
        self._nodes: dict[int, Node] = {}
        self._alive: list[Tensor] = []  # an id names a tensor only while it lives
        self.images = self._add(images, Node(0, tuple(images.shape), channels=(1,)))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors((args, kwargs)))
        parents = tuple(node for tensor in given if (node := self.node(tensor)))
        result = func(*args, **kwargs)
        if not parents:
            return result
        name = getattr(func, "__name__", "")
        if name == "__get__":  # a property, such as mT
            name = str(getattr(getattr(func, "__self__", None), "__name__", name))
        for tensor in _tensors(result):
            node = Node(len(self.nodes), tuple(tensor.shape), name, parents)
            node.depth = max(parent.depth for parent in parents) + node.is_layer
            node.channels = _channels(node, [*args[1:], *kwargs.values()])
            node.rescaled = name in PRODUCTS and len(parents) == 1 < len(given)
            if CONVOLUTION.fullmatch(name) and len(given) > 1:
                node.depthwise = given[1].shape[1] == 1 < given[1].shape[0]
            self._add(tensor, node)
            if name in SUMS and len(parents) == 2 and all(it.shape == node.shape for it in parents):
                self.sums.append(Sum(node, (parents[0], parents[1])))
        return result

    def _add(self, tensor: Tensor, node: Node) -> Node:
        self._alive.append(tensor)
        self._nodes[id(tensor)] = node
        self.nodes.append(node)
        node.before = 1 << node.number
        for parent in node.parents:
            node.before |= parent.before
            parent.uses += 1
        return node

    def node(self, tensor: Any) -> Node | None:
        """A tensor as it is now."""
        return self._nodes.get(id(tensor))

    def gets(self, path: str, inputs: tuple[Any, ...]) -> None:
        """A module is called with this."""
        node = next((node for tensor in _tensors(inputs) if (node := self.node(tensor))), None)
        if node is not None:
            self.inputs[path] = node

    def returned(self, path: str, output: Any) -> None:
        """A module has returned this."""
        node = self.node(output)
        if node is not None:
            node.modules.append(path)
            self.outputs.setdefault(path, []).append(node)


def _tensors(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _tensors(each)
    elif isinstance(given, Mapping):
        yield from _tensors(list(given.values()))


def _channels(node: Node, arguments: Sequence[Any]) -> tuple[int, ...]:
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
    found = (
        tuple(range(begin, end))
        for begin, end in combinations(range(len(new) + 1), 2)
        if math.prod(new[:begin]) == others and math.prod(new[begin:end]) == own
    )
    return min(found, key=len, default=())


def watch(network: nn.Module, images: Tensor) -> Watched:
    """Pass images (B, C, H, W) through a network, in eval mode, and note what it computes from what."""
    modules = {path: module for path, module in network.named_modules() if path}
    notes = _Notes(images)
    hooks = [
        hook
        for path, module in modules.items()
        for hook in (
            module.register_forward_pre_hook(lambda module, inputs, path=path: notes.gets(path, inputs)),
            module.register_forward_hook(lambda module, inputs, output, path=path: notes.returned(path, output)),
        )
    ]
    try:
        with notes, torch.inference_mode():
            output = notes.node(network.eval()(images))
    finally:
        for hook in hooks:
            hook.remove()
    sums = [it for it in notes.sums if it.whole.channel == 1 and it.whole.size]
    watched = Watched(notes.nodes, sums, notes.inputs, notes.outputs, modules, notes.images, output)
    return watched._replace(sums=[it for it in sums if watched.is_map(it.whole)])
