"""What a pass through a network showed: its tensors, what each was computed from, and which modules returned it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import nn

SUMS = {"add", "add_"}
"""Functions that add, in every way of writing it."""
PRODUCTS = {"mul", "mul_", "multiply"}
"""Functions that multiply."""
CONVOLUTION = re.compile(r"conv(_transpose)?[123]d")
LAYERS = re.compile(rf"{CONVOLUTION.pattern}|linear|bilinear|matmul|(b?add)?b?mm|einsum|scaled_dot_product_attention")
"""Functions that count as layers."""


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
