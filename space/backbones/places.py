"""Finding the places for gates in any network, by watching one forward pass.

A residual sum adds a shallow tensor, the shortcut, to a deep one, the branch. What computed which tensor is noted
while an image passes, so no list of block classes is needed: a gate goes onto the last normalisation of each branch.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from space.backbones.watching import SUMS, SWAPS, Node, Watched
from space.design import Layout, Stage
from space.errors import UserError
from space.gating import Site

TURNS = SWAPS | {"permute", "contiguous"}
"""Functions that change nothing but the order of dimensions."""
PARTS = {"__getitem__", "narrow", "chunk", "split", "tensor_split", "split_with_sizes"}
"""Functions that take some of the channels, if they leave the pixels."""
LINEAR = SUMS | TURNS | PARTS | {"batch_norm", "sub", "sub_", "pad", "dropout"}
"""Functions that are linear without being layers."""
MOST_STAGES = 9
"""A design names its stages by digits."""
SHOWN = 8
"""Names in an error."""


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


class Place(NamedTuple):
    """A module whose output is gated, and that output."""

    path: str
    node: Node

    @property
    def size(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        assert self.node.size is not None
        return self.node.size


def find_sites(watched: Watched, pattern: str | None = None) -> tuple[Site, ...]:
    """The places for gates, in the order of the forward pass.

    Args:
        watched: what a pass through the network showed.
        pattern: regular expression for the names of the modules whose outputs are gated; None for the last
            normalisation of each residual branch. Its groups tell the stages; without groups, and without a pattern,
            places of the same channels and size are a stage, or those of the same size where that gives too many.

    Raises:
        UserError: nothing is found, or what the pattern names is no place for a gate.
    """
    if pattern is None:
        places, groups = _found(watched), None
    else:
        places, groups = _named(watched, pattern)
    stages = _stages(places) if groups is None else _as_told(f"--gate-at {pattern}", places, groups)
    if len(set(stages)) > MOST_STAGES:
        most = f"{len(set(stages))} stages, and a design names at most {MOST_STAGES}"
        raise UserError(f"{most}; name fewer places with --gate-at PATTERN")
    bare = {stage for stage, (_, node) in zip(stages, places, strict=True) if not _is_normalised(watched, node)}
    return tuple(
        Site(place.path, stage, place.size[0], stage not in bare, place.node.channel == 3)
        for stage, place in zip(stages, places, strict=True)
    )


def layout_of(sites: Sequence[Site]) -> Layout:
    """Blocks and channels of each stage."""
    layout = []
    for stage in range(1 + max(site.stage for site in sites)):
        widths = [site.channels for site in sites if site.stage == stage]
        first, *more = (Stage(widths.count(width), width) for width in dict.fromkeys(widths))
        layout.append(first._replace(more=tuple(more)))
    return tuple(layout)


def _stages(places: Sequence[Place]) -> list[int]:
    """The stage of each place, counted from 0 in the order of the pass: by its size."""
    sizes: list[tuple[int, ...]] = [place.size for place in places]
    if len(set(sizes)) > MOST_STAGES:
        sizes = [size[1:] for size in sizes]
    return _numbered(sizes)


def _as_told(flag: str, places: Sequence[Place], groups: Sequence[object]) -> list[int]:
    """The stage of each place, by the groups of a pattern."""
    pixels: dict[object, tuple[int, int, int]] = {}
    for place, group in zip(places, groups, strict=True):
        first = pixels.setdefault(group, place.size)
        if first[1:] != place.size[1:]:
            raise UserError(
                f"{flag}: {place.path} returns {_times(place.size)} and others of its stage {_times(first)}; "
                "let the pattern's groups tell them apart, or leave the groups out"
            )
    return _numbered(groups)


def _numbered(keys: Sequence[object]) -> list[int]:
    order = list(dict.fromkeys(keys))
    return [order.index(key) for key in keys]


def _found(watched: Watched) -> list[Place]:
    """At the end of each residual branch."""
    found = [place for branch in residual_branches(watched) if (place := _place(watched, branch))]
    if not found:
        raise UserError(f"no residual branch found; {_how_to_name(watched)}")
    by_path = {place.path: place for place in found}
    return [by_path[path] for path in watched.outputs if path in by_path]


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


def _is_normalised(watched: Watched, node: Node) -> bool:
    return any(_is_norm(watched.modules[path]) for before in _back(node) for path in before.modules)


def _is_norm(module: nn.Module) -> bool:
    """By its name and parameters: libraries have normalisations of their own."""
    has_own = any(True for _ in module.parameters(recurse=False))
    return "norm" in type(module).__name__.lower() and (has_own or not any(module.children()))


def _named(watched: Watched, pattern: str) -> tuple[list[Place], list[object] | None]:
    """What a pattern names, and its groups, if it has some."""
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
        if not watched.is_map(nodes[0]):
            raise UserError(f"--gate-at {pattern}: {path} returns {_times(nodes[0].shape)}, no map (B, C, H, W)")
    _check_once(watched, pattern, [Place(path, watched.outputs[path][0]) for path in matches])
    places = [Place(path, nodes[0]) for path, nodes in watched.outputs.items() if path in matches]
    return places, [matches[place.path].groups() for place in places] if compiled.groups else None


def _check_once(watched: Watched, pattern: str, places: Sequence[Place]) -> None:
    """Make sure that no branch gets two gates; of branches in each other the innermost counts."""
    branches = sorted(residual_branches(watched), key=lambda branch: branch.inside.bit_count())
    first: dict[object, Place] = {}
    for place in places:
        bit = 1 << place.node.number
        owner = next((branch.inside for branch in branches if branch.inside & bit), bit)
        there = first.setdefault(owner, place)
        if there is not place:
            raise UserError(
                f"--gate-at {pattern}: {there.path} and {place.path} are in one branch, which takes one gate; "
                "narrow the pattern"
            )


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _how_to_name(watched: Watched) -> str:
    maps = [
        path for path, (node, *_) in watched.outputs.items() if watched.runs_once(path) and _is_first(watched, node)
    ]
    if not maps:
        return "none of its modules returns a feature map (B, C, H, W)"
    return (
        "name the modules whose outputs are gated with --gate-at PATTERN, a regular expression for some of "
        + ", ".join([*maps[:SHOWN], *(["..."] if len(maps) > SHOWN else [])])
    )


def _is_first(watched: Watched, node: Node) -> bool:
    return watched.is_map(node) and node.channel == 1
