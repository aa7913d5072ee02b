"""Finding the places for gates in any network, by watching one forward pass.

A residual sum adds a shallow tensor, the shortcut, to a deep one, the branch. What computed which tensor is noted
while an image passes, so no list of block classes is needed: a gate goes onto the last normalisation of each branch.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from space.design import Layout, Stage
from space.errors import UserError
from space.gating import Site

SUMS = {"add", "add_"}
"""Functions that add, in every way of writing it."""
LAYERS = re.compile(r"conv(_transpose)?[123]d|linear|bilinear|matmul|(b?add)?b?mm|einsum|scaled_dot_product_attention")
"""Functions that count as layers."""
CHANNELS_LAST = {"linear", "layer_norm"}
"""Functions whose channels are the last dimension."""
MOST_STAGES = 9
"""A design names its stages by digits."""
SHOWN = 8
"""Names in an error."""


@dataclass(eq=False)
class Node:
    """A tensor at one moment of the forward pass.

    Attributes:
        shape: of the tensor.
        function: name of what computed it.
        parents: what it was computed from.
        depth: layers on the longest way from the image.
        modules: paths of the modules that returned it, the innermost first.
    """

    shape: tuple[int, ...]
    function: str = ""
    parents: tuple["Node", ...] = ()
    depth: int = 0
    modules: list[str] = field(default_factory=list)

    @property
    def is_layer(self) -> bool:
        """Whether a layer with weights computed it."""
        return LAYERS.fullmatch(self.function) is not None


class Branch(NamedTuple):
    """One side of a residual sum.

    Attributes:
        end: what is added to the shortcut.
        fork: what both sides are computed from.
        inside: what is computed on the way there, and not on the way of the shortcut.
    """

    end: Node
    fork: Node
    inside: set[Node]


class Watched(NamedTuple):
    """What a forward pass showed.

    Attributes:
        branches: in the order of the pass.
        outputs: what each module returned, by path, in the order of the pass; several where it ran several times.
        modules: of the network, by path.
        images: what went in.
        output: of the network; None if that is no tensor.
    """

    branches: Sequence[Branch]
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


class _Notes(TorchFunctionMode):
    """Notes what each tensor is computed from."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.sums: list[tuple[Node, Node]] = []
        self.outputs: dict[str, list[Node]] = {}
        self.images = Node(tuple(images.shape))
        self._nodes = {id(images): self.images}
        self._alive: list[Tensor] = []  # an id names a tensor only while it lives

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        parents = tuple(node for tensor in _tensors((args, kwargs or {})) if (node := self.node(tensor)))
        result = func(*args, **(kwargs or {}))
        if not parents:
            return result
        name = getattr(func, "__name__", "")
        if name in SUMS and len(parents) == 2 and parents[0].shape == parents[1].shape and len(parents[0].shape) == 4:
            self.sums.append((parents[0], parents[1]))
        for tensor in _tensors(result):
            self._alive.append(tensor)
            node = Node(tuple(tensor.shape), name, parents, max(parent.depth for parent in parents))
            node.depth += node.is_layer
            self._nodes[id(tensor)] = node
        return result

    def node(self, tensor: Any) -> Node | None:
        """A tensor as it is now."""
        return self._nodes.get(id(tensor))

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
        module.register_forward_hook(lambda module, inputs, output, path=path: notes.returned(path, output))
        for path, module in modules.items()
    ]
    try:
        with notes, torch.inference_mode():
            output = notes.node(network.eval()(images))
    finally:
        for hook in hooks:
            hook.remove()
    branches = [branch for pair in notes.sums if (branch := _branch(*pair))]
    return Watched(_blocks(branches), notes.outputs, modules, notes.images, output)


def _branch(one: Node, other: Node) -> Branch | None:
    """The deeper side of a sum, if the other one is a shortcut: at most one layer beside it."""
    sides = [(*_way_back(shortcut, _ancestors(end)), end) for shortcut, end in ((one, other), (other, one))]
    layers, fork, end = min(sides, key=lambda side: (side[0], -side[2].depth))
    if layers > 1 or end.depth <= fork.depth + layers:
        return None
    return Branch(end, fork, _ancestors(end) - _ancestors(fork))


def _way_back(node: Node, goal: set[Node]) -> tuple[int, Node]:
    """Layers on the shortest way back to one of these nodes, and which it is: the images at the latest."""
    layers = {node: 0}
    queue = [node]
    while queue[0] not in goal:
        before = queue.pop(0)
        for parent in before.parents:
            if parent not in layers:
                layers[parent] = layers[before] + before.is_layer
                queue.append(parent)
    return layers[queue[0]], queue[0]


def _blocks(branches: Sequence[Branch]) -> list[Branch]:
    """Without skips over several blocks, and without sums inside a block, such as those between Res2Net's groups."""

    def inner(outer: Branch) -> list[Branch]:
        size = outer.end.shape[2:]
        return [it for it in branches if it.end in outer.inside - {outer.end} and it.end.shape[2:] == size]

    def is_skip(outer: Branch) -> bool:
        return len({it.fork for it in inner(outer) if it.end.shape == outer.end.shape}) > 1

    blocks = [it for it in branches if not is_skip(it)]
    inside = [it.end for outer in blocks for it in inner(outer)]
    return [it for it in blocks if it.end not in inside]


def _ancestors(node: Node) -> set[Node]:
    """A node and all that it was computed from."""
    found, queue = {node}, [node]
    while queue:
        new = set(queue.pop().parents) - found
        found |= new
        queue += new
    return found


def find_sites(watched: Watched, pattern: str | None = None) -> tuple[Site, ...]:
    """The places for gates, in the order of the forward pass.

    Args:
        watched: what a pass through the network showed.
        pattern: regular expression for the names of the modules whose outputs are gated; None for the last
            normalisation of each residual branch. Its groups tell the stages; without groups, and without a pattern,
            places of the same channels and size are a stage.

    Raises:
        UserError: nothing is found, or what the pattern names is no place for a gate.
    """
    ends = _ends(watched) if pattern is None else _named(watched, pattern)
    stages: dict[object, int] = {}
    shapes: dict[int, tuple[int, ...]] = {}
    for path, node, key in ends:
        shape = node.shape[1:]
        stage = stages.setdefault(key or shape, len(stages))
        if shapes.setdefault(stage, shape) != shape:
            raise UserError(
                f"--gate-at {pattern}: {path} returns {_times(shape)} and others of its stage {_times(shapes[stage])}; "
                "let the pattern's groups tell them apart, or leave the groups out"
            )
    if len(stages) > MOST_STAGES:
        most = f"{len(stages)} stages, and a design names at most {MOST_STAGES}"
        raise UserError(f"{most}; name fewer places with --gate-at PATTERN")
    numbers = [stages[key or node.shape[1:]] for _, node, key in ends]
    bare = {stage for stage, (_, node, _) in zip(numbers, ends, strict=True) if not _is_normalised(watched, node)}
    return tuple(
        Site(path, stage, node.shape[1], stage not in bare)
        for stage, (path, node, _) in zip(numbers, ends, strict=True)
    )


def layout_of(sites: Sequence[Site]) -> Layout:
    """Blocks and channels of each stage."""
    by_stage: dict[int, list[Site]] = {}
    for site in sites:
        by_stage.setdefault(site.stage, []).append(site)
    return tuple(Stage(len(there), there[0].channels) for _, there in sorted(by_stage.items()))


def _ends(watched: Watched) -> list[tuple[str, Node, object]]:
    found = dict(end for part in _parts(watched) if (end := _end(watched, part.end)))
    if not found:
        raise UserError(f"no residual branch found; {_how_to_name(watched)}")
    return [(path, found[path], None) for path in watched.outputs if path in found]


def _parts(watched: Watched) -> list[Branch]:
    """The branches; of one that is a sum that no module returns, its terms."""
    parts, queue = [], [*watched.branches]
    while queue:
        branch = queue.pop(0)
        meeting = _back(branch.end)[-1]
        if _end(watched, branch.end) or meeting.function not in SUMS:
            parts.append(branch)
        else:
            terms = [term for term in meeting.parents if term in branch.inside]
            queue += [Branch(term, branch.fork, branch.inside & _ancestors(term)) for term in terms]
    return parts


def _end(watched: Watched, end: Node) -> tuple[str, Node] | None:
    """The last normalisation of a branch that ends so; else the last layer, or the first module behind it."""
    last: tuple[str, Node] | None = None
    if not _has_channels_first(end):
        return None
    for node in _back(end):
        alone = [path for path in node.modules if len(watched.outputs[path]) == 1]
        norms = [path for path in node.modules if _is_norm(watched.modules[path])]
        if norms:
            return next(((path, node) for path in [*norms, *alone] if path in alone), last)
        if alone:
            last = alone[0], node
    return last


def _back(node: Node) -> list[Node]:
    """A node and what it is made of pixel by pixel, back to a layer, or to where two maps are added."""
    nodes = [node]
    while not node.is_layer:
        alike = {parent for parent in node.parents if parent.shape == node.shape}
        trunk = [parent for parent in alike if all(parent in _ancestors(other) for other in alike)]
        if not trunk or (len(alike) > 1 and node.function in SUMS):
            break
        node = trunk[0]
        nodes.append(node)
    return nodes


def _is_normalised(watched: Watched, node: Node) -> bool:
    return any(_is_norm(watched.modules[path]) for before in _back(node) for path in before.modules)


def _has_channels_first(node: Node) -> bool:
    """Whether channels are the second of four dimensions: not where the last layer's width stands at the end."""
    layer = node
    while layer.parents and not layer.is_layer and layer.function not in CHANNELS_LAST:
        layer = max(layer.parents, key=lambda parent: (parent.shape == layer.shape, parent.depth))
    if len(node.shape) != 4 or node.function in CHANNELS_LAST:
        return False
    if layer.function in CHANNELS_LAST:
        return node.shape[1] == layer.shape[-1]
    if layer.is_layer and not layer.function.startswith("conv"):
        return False
    width = layer.shape[1]
    return node.shape[1] == width or node.shape[-1] != width  # chunks and concatenations have other widths


def _is_norm(module: nn.Module) -> bool:
    """By its name and parameters: libraries have normalisations of their own."""
    has_own = any(True for _ in module.parameters(recurse=False))
    return "norm" in type(module).__name__.lower() and (has_own or not any(module.children()))


def _named(watched: Watched, pattern: str) -> list[tuple[str, Node, object]]:
    if not pattern.isprintable():
        raise UserError(f"--gate-at {pattern!r}: it must be printable, on one line")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--gate-at {pattern}: no regular expression ({error})") from None
    matches = {path: match for path in watched.modules if (match := compiled.fullmatch(path))}
    if not matches:
        raise UserError(f"--gate-at {pattern}: no module has such a name; {_how_to_name(watched)}")
    for path in matches:
        nodes = watched.outputs.get(path, [])
        if len(nodes) != 1:
            says = "runs several times in a forward pass" if nodes else "returns no tensor in a forward pass"
            raise UserError(f"--gate-at {pattern}: {path} {says}; a gate needs a module that runs once")
        if not _has_channels_first(nodes[0]):
            raise UserError(f"--gate-at {pattern}: {path} returns {_times(nodes[0].shape)}, no map (B, C, H, W)")
    _check_once(watched, pattern, list(matches))
    ordered = [path for path in watched.outputs if path in matches]
    return [(path, watched.outputs[path][0], matches[path].groups() or None) for path in ordered]


def _check_once(watched: Watched, pattern: str, paths: Sequence[str]) -> None:
    """Make sure that no branch gets two gates."""
    nodes = [{node} for outputs in watched.outputs.values() for node in outputs]
    for inside in [*(part.inside for part in _parts(watched)), *nodes]:
        twice = [path for path in paths if watched.outputs[path][0] in inside]
        if len(twice) > 1:
            raise UserError(
                f"--gate-at {pattern}: {twice[0]} and {twice[1]} are in one branch, which takes one gate; "
                "narrow the pattern"
            )


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _how_to_name(watched: Watched) -> str:
    maps = [path for path, nodes in watched.outputs.items() if len(nodes) == 1 and _has_channels_first(nodes[0])]
    if not maps:
        return "none of its modules returns a feature map (B, C, H, W)"
    return (
        "name the modules whose outputs are gated with --gate-at PATTERN, a regular expression for some of "
        + ", ".join([*maps[:SHOWN], *(["..."] if len(maps) > SHOWN else [])])
    )
