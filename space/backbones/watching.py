"""Watching a network: what it computes from what, while images pass through it.

Every function of torch that gets a tensor gives a node. Of a convolution and a block `relu(x + norm(conv(x)))`:

    number  function    parents  depth  modules
    0                            0
    1       conv2d      0        1      stem
    2       conv2d      1        2      block.conv
    3       batch_norm  2        2      block.norm
    4       add         1 3      2
    5       relu        4        2      block

4 is kept as a sum of 1 and 3, too, which are feature maps; and `block` got 1. What follows is in `branches`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from space.backbones.channels import channels_of
from space.backbones.watched import CONVOLUTION, PRODUCTS, SUMS, Node, Sum, Watched


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
            node.channels = channels_of(node, [*args[1:], *kwargs.values()])
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
